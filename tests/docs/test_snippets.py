"""What the documentation shows is what happens: its Python sessions and its commands are run."""

import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import onnx.parser
import pytest
import typer
import yaml
from fastapi import HTTPException, UploadFile

import mien
from mien.cli.app import COMMANDS, _make_app
from mien.train import own
from mien.train.architectures import registry
from tests.cli.mien_in_process import runner
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SESSIONS = [(page, number, text) for page in PAGES for number, text in enumerate(
    re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
)]  # fmt: skip
THEIRS = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
theirs (float[n, 48, 48, 3] face) => (float[n, 8] softmax) {
    means = ReduceMean <axes = [1, 2], keepdims = 0> (face)
    scale = Constant <value_floats = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> ()
    one = ReduceMean <axes = [1]> (means)
    logits = Mul (one, scale)
    softmax = Softmax <axis = 1> (logits)
}""")
"""A network of another project: BGR with the channels last, probabilities out."""
YOLO = b"3 0.4395 0.2305 0.1836 0.2305\n"
"""The face of the astronaut in a dataset for detectors: its class, then centre and size as fractions of the photo."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder in which the paths of the documentation exist, and which may be written to."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    picture = cv2.imread(str(ROOT / "examples" / "astronaut.jpg"))
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (512, 512))
    for _ in range(10):
        video.write(picture)
    video.release()
    onnx.save(THEIRS, tmp_path / "theirs.onnx")
    for kind, name, data in (("images", "jpg", cv2.imencode(".jpg", picture)[1].tobytes()), ("labels", "txt", YOLO)):
        (tmp_path / "yolo" / "train" / kind).mkdir(parents=True)
        (tmp_path / "yolo" / "train" / kind / f"astronaut.{name}").write_bytes(data)
    (tmp_path / "yolo" / "data.yaml").write_text("names: [angry, fear, sad, happy]\n")
    monkeypatch.chdir(tmp_path)
    # A page registers a network, a loss and an augmentation.
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(own, "_losses", {})
    monkeypatch.setattr(own, "_augmentations", {})
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_sessions(page, here):
    sessions = re.findall(r"```pycon\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(sessions), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    output: list[str] = []
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)


def comparable(text):
    """Without what differs from run to run: times, and the blanks at the ends of lines."""
    return [re.sub(r"in [\d.]+ s$", "in N s", line.rstrip()) for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("page", "number", "session"), SESSIONS, ids=[f"{page.name}-{number}" for page, number, _ in SESSIONS]
)
def test_terminal_sessions(page, number, session, here, monkeypatch, capsys):
    run = runner(monkeypatch, capsys)
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "mien", f"{page.name}: only mien's own commands are run: {command}"
        done = run(*arguments, COLUMNS="80")
        assert done.code == 0, f"{command}\n{done.err}"
        if shown.strip():
            assert comparable(done.out) == comparable(shown), command


def test_recipes_are_recipes(tmp_path):
    """Every YAML block of the page on training is a recipe that is read, and searched where it says what to vary."""
    from mien.train.recipe import read_recipe
    from mien.train.search import read_search

    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "train.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    for number, text in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        if "search:" in text:
            assert len(read_search(path)[1].fields) == 4
        else:
            assert read_recipe(path).data.dataset == Path("faces")


def test_the_programs_of_howto_run(here, monkeypatch):
    """A clip stands in for the camera, and nothing for the window and the web framework's server."""
    shown = []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda delay_ms: ord("q"))
    page = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    names = {}
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(program.replace("camera:0", "clip.mp4"), names)
    assert shown == [(512, 512, 3)]
    assert names["labels"] == ["happy 95%"]
    photo = UploadFile(io.BytesIO((here / "examples" / "astronaut.jpg").read_bytes()))
    assert names["expressions"](photo)["faces"][0]["expression"] == "happy"
    with pytest.raises(HTTPException, match="is not an image"):
        names["expressions"](UploadFile(io.BytesIO(b"hello")))


def anchors_of(page):
    return anchors_in(page.read_text(encoding="utf-8"))


def anchors_in(text):
    """The addresses of headlines, as GitHub makes them."""
    lines = re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines()
    headlines = [line.lstrip("#").strip().lower() for line in lines if re.match("#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", headline).replace(" ", "-") for headline in headlines}


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "examples" / "README.md"]:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            if ":" in name:  # an address
                continue
            linked = page.parent / name if name else page
            assert linked.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors_of(linked), f"{page.name} links to {target}"


def test_lists_of_contents_are_complete():
    """A page that begins with a list of its sections names all of them."""
    for page in PAGES[1:]:
        top, *sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        listed = set(re.findall(r"\]\(#([^)]+)\)", top))
        heads = "\n".join("## " + section.partition("\n")[0] for section in sections)
        if len(listed) > 1 and page.name != "howto.md":  # its list is one of answers
            assert anchors_in(heads) <= listed, page.name


def test_every_flag_that_a_page_names_exists():
    group = typer.main.get_command(_make_app(COMMANDS))
    commands = [group, *group.commands.values(), *group.commands["data"].commands.values()]
    own = {flag for one in commands for option in one.params for flag in [*option.opts, *option.secondary_opts]}
    own.add("--help")
    # Those of docker, pip, PyInstaller, ray, tensorboard and tf2onnx, and of the programs in benchmarks/.
    others = re.compile(
        "--(cap-drop|device|entrypoint|memory|network|read-only|restart|rm|find-links|no-index|wheel-dir|disable-usage-stats|"
        "collect-all|generate|head|keras|logdir|output|saved-model|batch-sizes|side-by-side|one-pass|clip|parts|yunet|"
        "aligned)"
    )
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", page.read_text(encoding="utf-8")))
        assert {flag for flag in named - own if not others.fullmatch(flag)} == set(), page.name


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == mien.__version__


def test_no_page_names_a_path_of_the_machine_it_was_written_on():
    for page in PAGES:
        assert str(Path.home()) + "/" not in page.read_text(encoding="utf-8")


def test_pages_that_are_made_from_the_code_are_up_to_date():
    variables = os.environ | {"VENV": sys.prefix}
    done = subprocess.run([ROOT / "scripts/pages", "--check"], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
