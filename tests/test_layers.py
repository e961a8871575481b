"""Which room may import which: along the way of a photo, and never back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mien

SOURCE = Path(mien.__file__).parent

# From the ground up: a room imports only what stands before it.
LAYERS = [
    {"__init__"},  # the version, and the public names, which are loaded at first use
    {"errors", "lazy"},
    {"files", "labels", "opencv", "options", "parallel"},
    {"result", "source", "zoo"},
    {"align", "detect", "track"},
    {"classify", "sink"},
    {"page", "prepared", "recognizer_options", "video_options"},
    {"video"},
    {"recognizer"},
    {"cluster", "data", "serve"},
    {"evaluate"},
    {"train"},
    {"export"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}

# Upwards only inside a function, and only these.
UPWARDS = {
    ("evaluate", "train"),  # a checkpoint may be evaluated before it is exported
}


def test_every_room_has_its_place():
    assert set(HEIGHT) == {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }


def test_imports_go_one_way():
    wrong = [
        f"{file.relative_to(SOURCE)}:{line}: {room} imports {target}"
        for file in sorted(SOURCE.rglob("*.py"))
        for room in [file.relative_to(SOURCE).parts[0].removesuffix(".py")]
        for target, line, inside in imports(ast.parse(file.read_text(encoding="utf-8")))
        if target != room and HEIGHT[target] >= HEIGHT[room] and not (inside and (room, target) in UPWARDS)
        if room != "__init__"
    ]
    assert wrong == []


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Rooms of mien that a file imports, with the line, and whether a function does; not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "mien":
            full = [node.module] if node.module != "mien" else [f"mien.{alias.name}" for alias in node.names]
            for name in full:
                room = name.split(".")[1]
                known = (SOURCE / room).is_dir() or (SOURCE / f"{room}.py").is_file()
                yield room if known else "__init__", node.lineno, inside
        yield from imports(node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
