"""What the documentation shows is what happens: its Python sessions and its commands are run."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SESSIONS = [(page, number, text) for page in PAGES for number, text in enumerate(
    re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
)]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder in which the paths of the documentation exist, and which may be written to."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    picture = cv2.imread(str(ROOT / "examples" / "astronaut.jpg"))
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (512, 512))
    for _ in range(10):
        video.write(picture)
    video.release()
    monkeypatch.chdir(tmp_path)
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
def test_terminal_sessions(page, number, session, here):
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "mien", f"{page.name}: only mien's own commands are run: {command}"
        done = subprocess.run(
            [sys.executable, "-m", "mien", *arguments],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if shown.strip():
            assert comparable(done.stdout) == comparable(shown), command


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


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_page_names_a_path_of_the_machine_it_was_written_on():
    for page in PAGES:
        assert str(Path.home()) + "/" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["models-page", "recipe-page"])
def test_pages_that_are_written_by_scripts_are_up_to_date(script):
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
