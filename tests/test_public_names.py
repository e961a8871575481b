"""What the package shows to the outside, and what it loads for it."""

import subprocess
import sys

import pytest

import mien

HEAVY = [
    "av",
    "torch",
    "pandas",
    "pyarrow",
    "PIL",
    "supervision",
    "matplotlib",
    "fastapi",
    "ray",
    "onnx",
    "sklearn",
    "scipy",
]


def test_all_is_sorted_and_exists():
    assert mien.__all__ == sorted(mien.__all__)
    for name in mien.__all__:
        assert getattr(mien, name).__module__.startswith("mien"), name


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mien.nothing  # noqa: B018
    assert set(mien.__all__) <= set(dir(mien))


def loaded_after(statement):
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_reading_a_photo_loads_nothing_heavy(astronaut_path):
    loaded = loaded_after(f"import mien; assert mien.recognize({str(astronaut_path)!r}).faces")
    assert not loaded & set(HEAVY)
    assert {"numpy", "cv2", "onnxruntime"} <= loaded


def test_the_command_line_starts_without_the_stages():
    loaded = loaded_after("import mien.cli")
    assert not loaded & {*HEAVY, "cv2", "onnxruntime"}


def test_the_type_checker_sees_the_same_names():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(mien.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in ast.walk(guarded) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(mien.__all__)
