"""What the package shows to the outside, and what it loads for it."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien import errors
from mien.cli.app import COMMANDS
from tests.conftest import ROOT

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


LAZY = ["mien", *(f"mien.{name}" for name in (
    "data", "data.photos", "evaluate", "export", "sink", "train", "train.architectures", "train.search"
))]  # fmt: skip


@pytest.mark.parametrize("package", LAZY)
def test_all_is_sorted_and_exists_for_people_and_type_checkers(package):
    module = importlib.import_module(package)
    public = module.__all__
    assert list(public) == sorted(public, key=lambda name: (not name.isupper(), name))
    for name in public:
        assert hasattr(module, name), name
    assert set(public) <= set(dir(module))
    assert not {"os", "annotations", "TYPE_CHECKING", "lazy_names"} & set(dir(module))
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in ast.walk(guarded) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(public)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'mien' has no attribute 'nothing'"):
        mien.nothing  # noqa: B018


def test_a_module_that_was_not_imported_is_named():
    code = "import mien\ntry: mien.data\nexcept AttributeError as error: print(error)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "module 'mien' has no attribute 'data'; it is a module of its own: import mien.data\n"


def test_every_error_is_public():
    assert set(errors.__all__) <= set(mien.__all__)


def loaded_after(statement):
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_reading_a_photo_loads_nothing_heavy(astronaut_path):
    loaded = loaded_after(f"import mien; assert mien.recognize({str(astronaut_path)!r}).faces")
    assert not loaded & set(HEAVY)
    assert {"numpy", "cv2", "onnxruntime"} <= loaded


@pytest.mark.parametrize("imports", ["import mien", "import mien.export.run, mien"])
def test_onnx_runtime_sends_no_telemetry(imports, astronaut_path, tmp_path):
    """Its official builds keep a number of the device and a queue of events below the home folder."""
    code = f"{imports}; mien.recognize({str(astronaut_path)!r})"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "CI": ""}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **home}, check=True)
    assert not list(tmp_path.iterdir())


def test_no_file_is_read_in_the_encoding_of_the_place(astronaut_path, tmp_path):
    """Python warns of it on request (PEP 597); so did it of ours, beside OpenCV's."""
    command = [sys.executable, "-X", "warn_default_encoding", "-m", "mien", "recognize", str(astronaut_path)]
    run = subprocess.run([*command, "--out", str(tmp_path / "faces.csv")], capture_output=True, text=True, check=True)
    assert str(Path(mien.__file__).parent) not in run.stderr


def test_the_help_of_all_commands_loads_no_stage():
    program = "import sys; sys.argv[1:] = ['--help']; from mien.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert not loaded_after(program) & {
        *HEAVY,
        "numpy",
        "cv2",
        "onnxruntime",
        "cleanlab",
        "jinja2",
        "uvicorn",
        "pydantic",
    }


CORE_ONLY = """
import re, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

core, left = set(), ["mien"]
while left:
    name = plain(left.pop())
    if name not in core:
        core.add(name)
        try:
            needs = requires(name) or []
        except PackageNotFoundError:  # of another system or Python
            continue
        left += [re.match(r"[\\w.-]+", one)[0] for one in needs if "extra ==" not in one]
absent = {module for module, names in packages_distributions().items() if not core & set(map(plain, names))}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Absent())
from mien.cli import main
main()
"""
"""The program with nothing installed but mien's core."""


@pytest.mark.parametrize("command", ["", *COMMANDS, "data import", "data audit"])
def test_the_help_needs_no_extra(command):
    run = subprocess.run([sys.executable, "-c", CORE_ONLY, *command.split(), "-h"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "Usage: " in run.stdout


@pytest.mark.parametrize("command", ["train --data faces --out run", "serve --no-open"])
def test_an_extra_that_is_not_there_is_named(command, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", CORE_ONLY, *command.split()], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 2
    assert re.fullmatch(r"mien: .* needs the library '\w+', which is not installed\. Install it with: .*\n", run.stderr)


def test_json_lines_wait_for_nothing_that_draws(astronaut_path):
    program = (
        f"import sys; sys.argv[1:] = ['recognize', {str(astronaut_path)!r}, '--json']; from mien.cli import main; "
        "sys.stdout = sys.stderr\ntry: main()\nexcept SystemExit: pass\nsys.stdout = sys.__stdout__"
    )
    loaded = loaded_after(program)
    assert "onnxruntime" in loaded
    assert not loaded & {*HEAVY, "rich"}


def test_a_command_does_not_load_the_others():
    program = "import sys; sys.argv[1:] = ['models']; from mien.cli import main\ntry: main()\nexcept SystemExit: pass"
    code = f"{program}\nprint(*[name for name in sys.modules if name.startswith('mien.')])"
    run = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in run.stdout.splitlines()[-1].split()}
    assert rooms == {"background", "cli", "errors", "files", "lazy", "shell", "zoo"}


MODULES = {
    "scikit-learn": "sklearn", "pyyaml": "yaml", "opencv-python-headless": "cv2", "jinja2": "jinja2 markupsafe",
    "optuna": "optuna sqlalchemy",
}  # fmt: skip
"""What a distribution is imported as, where that is not its name; with what cannot be used without it."""


def test_the_extra_for_training_has_all_that_training_imports():
    """Also what it needs of other rooms: the faces that are held out are chosen by `mien.data.split`."""
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    there = {re.split(r"[^\w-]", one)[0] for one in wanted}
    there = {name for one in there for name in MODULES.get(one, one).split()} | set(sys.stdlib_module_names) | {"mien"}
    source = ROOT / "src" / "mien"
    files = [*(source / "train").rglob("*.py"), *(source / "export").rglob("*.py"), source / "data" / "split.py"]
    assert len(files) > 60
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= there, file
