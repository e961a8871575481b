"""docs/python.md: the public names of the package, from their signatures and docstrings."""

import dataclasses
import functools
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import griffe

from mien.options import option_facts

SOURCE = Path(__file__).parents[2] / "src"
WIDTH = 130
PACKAGES = {
    "mien": "Reading photos and videos",
    "mien.sink": "Where readings go",
    "mien.source": "Where images come from",
    "mien.labels": "Label schemes",
    "mien.zoo": "Models and their cards",
    "mien.classify": "Classifiers",
    "mien.detect": "Detectors",
    "mien.align": "Crops of faces",
    "mien.track": "Persons in videos",
    "mien.data": "Datasets of faces",
    "mien.data.photos": "Datasets of photos, for detectors",
    "mien.train": "Training",
    "mien.train.architectures": "Architectures",
    "mien.train.search": "Search",
    "mien.train.checkpoint": "Checkpoints",
    "mien.evaluate": "Evaluation",
    "mien.metrics.paired": "Two models on the same faces",
    "mien.export": "Export",
    "mien.serve.app": "The service",
    "mien.serve.options": "Options of the service",
    "mien.cluster": "Options of batches",
    "mien.cluster.run": "Batches",
}
"""The packages and modules whose `__all__` is shown, in this order."""

HEAD = """\
# Python reference

Written by `scripts/pages` from the docstrings; `help(mien.Recognizer)` says the same. The [guide](guide.md) and
[how do I ...?](howto.md) show how it is used.

Images are uint8 arrays in OpenCV's order of colours (BGR), boxes are left, top, right, bottom in pixels. Every
error is a [`MienError`](#mienmienerror). What is not on this page may change without notice.
"""


def is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def anchor(headline: str) -> str:
    """The address of a headline, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", headline.lower()).replace(" ", "-")


class Names:
    """All public objects, and where each is described: a name that two packages offer is described in the first."""

    def __init__(self) -> None:
        self.source = griffe.load("mien", search_paths=[SOURCE], resolve_aliases=True)
        self.modules: dict[str, ModuleType] = {package: importlib.import_module(package) for package in PACKAGES}
        self.home: dict[int, str] = {}
        for package, module in self.modules.items():
            for name in module.__all__:
                self.home.setdefault(id(getattr(module, name)), f"{package}.{name}")

    def of(self, package: str) -> Iterator[tuple[str, Any]]:
        """The names that are described with a package, errors last."""
        module = self.modules[package]
        for name in sorted(module.__all__, key=lambda name: is_error(getattr(module, name))):
            value = getattr(module, name)
            if self.home[id(value)] == f"{package}.{name}":
                yield name, value

    def written(self, package: str, name: str) -> griffe.Attribute:
        """A constant or a type as it stands in the source, with its docstring, which Python does not keep."""
        found = self.source[f"{package}.{name}".removeprefix("mien.")]
        return found.final_target if isinstance(found, griffe.Alias) else found

    def link(self, package: str, name: str) -> str | None:
        """Where a name that a docstring of a package mentions is described; None if it is not."""
        first = name.removeprefix("mien.").split(".")[0]
        for whole in (name, f"{package}.{name}", f"mien.{name}", f"{package}.{first}", f"mien.{first}"):
            package_name, _, last = whole.rpartition(".")
            module = self.modules.get(package_name)
            if module is not None and last in module.__all__:
                return anchor(self.home[id(getattr(module, last))])
        return None


class Writer:
    """The Markdown of one package."""

    def __init__(self, package: str, names: Names) -> None:
        self.package, self.names = package, names

    def text(self, said: str, own: str = "") -> str:
        """A docstring's text: its code in Markdown's way, with links to what is on this page."""
        said = re.sub(r"``(.+?)``", r"`` \1 ``", said)

        def linked(found: re.Match[str]) -> str:
            name = found[1]
            target = None if own and name.split(".")[0] == own else self.names.link(self.package, name)
            return f"[`{name}`](#{target})" if target else f"`{name}`"

        said = re.sub(r"(?<![`\w])`([A-Za-z_][\w.]*)`(?!`)", linked, said)
        return re.sub(r"`` (.+?) ``", r"`\1`", said)

    def paragraphs(self, said: str, own: str) -> list[str]:
        """The text before a docstring's sections."""
        lines: list[str] = []
        for part in said.strip().split("\n\n"):
            # Lists and indented lines stay as they are.
            kept = re.search(r"^( |- )", part, re.MULTILINE)
            lines += [self.text(part, own) if kept else fill(self.text(part, own)), ""]
        return lines

    def kind(self, said: str) -> str:
        """A type as a docstring names it, with links."""

        def linked(found: re.Match[str]) -> str:
            target = self.names.link(self.package, found[0])
            return f"[{found[0]}](#{target})" if target else found[0]

        return re.sub(r"(?<![`\w.])[A-Z]\w+(?![`\w])", linked, said)

    def entry(self, name: str, kind: str, said: str, own: str) -> str:
        """One line of a list of parameters, attributes or errors."""
        kind = self.kind(kind)
        head = f"**`{name}`**" + (f" ({kind})" if kind else "") if name else kind
        text = self.text(" ".join(said.split()), own)
        return fill(f"- {head}: {text}" if text else f"- {head}", "  ")

    def docstring(self, value: Any, own: str) -> list[str]:
        """The sections of a docstring."""
        lines: list[str] = []
        for section in griffe.parse_numpy(griffe.Docstring(inspect.getdoc(value) or ""), warnings=False):
            kind, found = section.kind.value, section.value
            if kind == "text":
                lines += self.paragraphs(found, own)
                continue
            title = {"returns": "Returns", "yields": "Yields", "raises": "Raises", "examples": "Examples"}.get(kind)
            lines += [f"*{title or kind.capitalize()}*", ""]
            if kind == "examples":
                for form, code in found:
                    lines += ["```python", code.strip(), "```", ""] if form.value == "examples" else [code, ""]
                continue
            for item in found:
                name = getattr(item, "name", "") or ""
                annotation = "" if item.annotation is None else str(item.annotation)
                default = getattr(item, "value", None)
                if annotation.startswith('"'):
                    annotation = f"`{annotation.replace(', ', '` or `')}`"  # choices, the first of which is no default
                elif kind in ("parameters", "attributes") and default is not None:
                    annotation = ", ".join(filter(None, [annotation, f"default `{default}`"]))
                lines.append(self.entry(name, annotation, item.description, own))
            lines.append("")
        return lines

    def member(self, name: str, value: Any) -> list[str]:
        """What is said of one public name."""
        lines = [f"### {self.package}.{name}", ""]
        if inspect.isclass(value):
            if not is_error(value):
                lines += signature(name, value)
            lines += self.docstring(value, name)
            for method, found in methods(value):
                if not isinstance(found, FunctionType):
                    lines += [f"**`{name}.{method}`**", ""]
                else:
                    lines += [f"**`{name}.{method}()`**", "", *signature(method, found)]
                lines += self.docstring(found, name)
        elif isinstance(value, FunctionType):
            lines += [*signature(name, value), *self.docstring(value, name)]
        else:
            found = self.names.written(self.package, name)
            lines += [*code(f"{name} = {found.value}"), *self.paragraphs(inspect.cleandoc(docs_of(found)), name)]
        return lines


def docs_of(found: griffe.Attribute) -> str:
    return found.docstring.value if found.docstring else ""


def fill(said: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(said.split()), WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """The documented public methods and properties of a class, and of what it inherits from mien."""
    seen = set()
    for owner in kind.__mro__:
        if not owner.__module__.startswith("mien."):
            continue
        for name, value in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            found = getattr(value, "__func__", value)  # of a class method
            if isinstance(found, (FunctionType, property, functools.cached_property)) and inspect.getdoc(found):
                yield name, found


def signature(name: str, value: Any) -> list[str]:
    """A call with its parameters, in a block; those of options are described one by one, and not shown."""
    if getattr(value, "_is_protocol", False):
        return []
    if dataclasses.is_dataclass(value) and any(map(option_facts, dataclasses.fields(value))):
        return code(f"{name}(**options)")
    found = inspect.signature(value)
    parts = []
    for item in found.parameters.values():
        if item.name in ("self", "cls"):
            continue
        if item.kind is item.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        stars = {item.VAR_POSITIONAL: "*", item.VAR_KEYWORD: "**"}.get(item.kind, "")
        part = f"{stars}{item.name}: {inspect.formatannotation(item.annotation)}".replace("'", "")
        if item.default is not item.empty:
            # What has no form that could be typed in, such as a function, is left out.
            part += " = ..." if "<" in repr(item.default) else f" = {item.default!r}"
        parts.append(part)
    gives = "" if inspect.isclass(value) else f" -> {found.return_annotation}"
    whole = f"{name}({', '.join(parts)}){gives}"
    if len(whole) > 110:
        whole = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){gives}"
    return code(whole)


def code(text: str) -> list[str]:
    return ["```python", text, "```", ""]


def page() -> str:
    names = Names()
    contents = " ·\n".join(f"[`{package}`](#{anchor(package)}): {what}" for package, what in PACKAGES.items())
    lines = [HEAD, contents, ""]
    for package, what in PACKAGES.items():
        writer = Writer(package, names)
        members = list(names.of(package))
        listed = ", ".join(f"[`{name}`](#{anchor(f'{package}.{name}')})" for name, _ in members)
        lines += [f"## {package}", "", fill(f"{what}: {listed}."), ""]
        for name, value in members:
            lines += writer.member(name, value)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
    # As scripts/check wants the code in pages.
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "docs/python.md"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
