"""Which room may import which: along the way of a photo, and never back; and no file imports in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mien

SOURCE = Path(mien.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# From the ground up: a room imports only what stands before it.
LAYERS = [
    {"__init__"},  # the version, and the public names, which are loaded at first use
    {"background", "errors", "lazy"},
    {"files", "labels", "opencv", "options", "parallel", "progress", "shell"},
    {"result", "source", "zoo"},
    {"align", "detect"},
    {"classify", "sink", "track"},
    {"page", "prepared", "recognizer_options", "video_options"},
    {"explain", "video"},
    {"recognizer"},
    {"kept_recognizer"},
    {"cluster", "data", "serve"},
    {"metrics"},
    {"train"},
    {"evaluate"},
    {"export"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def test_every_room_has_its_place():
    assert set(HEIGHT) == {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }


def test_imports_go_one_way():
    wrong = [
        f"{file.relative_to(SOURCE)}:{line}: {room_of(file)} imports {room_of(target)}"
        for file in FILES
        if file != SOURCE / "__init__.py"
        for target, line, where in imports(file)
        if where != "types" and room_of(target) != room_of(file) and HEIGHT[room_of(target)] >= HEIGHT[room_of(file)]
    ]
    assert wrong == []


def test_files_import_each_other_in_no_circle():
    """Not inside a room either, and not by imports in functions or for type checkers alone.

    So there is an order in which each file is read after all that it uses. The package itself is left out: it names
    files of all rooms, and gives them its version.
    """
    package = SOURCE / "__init__.py"
    needs = {file: {target for target, _, _ in imports(file)} - {file, package} for file in FILES if file != package}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" is imported by ".join(str(file.relative_to(SOURCE)) for file in error.args[1]))


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[tuple[Path, int, str]]:
    """Files of mien that a file imports, with the line, and where: "module", "function" or for "types" alone."""
    return _imports(ast.parse(file.read_text(encoding="utf-8")), "module")


def _imports(tree: ast.AST, where: str) -> Iterator[tuple[Path, int, str]]:
    for node in ast.iter_child_nodes(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from ((file_of(name), node.lineno, where) for name in names if name.split(".")[0] == "mien")
        inner = where
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            inner = "types"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and where == "module":
            inner = "function"
        yield from _imports(node, inner)


def file_of(name: str) -> Path:
    """The file that holds a name of mien."""
    place = SOURCE.parent.joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return file_of(name.rpartition(".")[0])
