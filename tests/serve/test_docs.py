"""What docs/serve.md says is so."""

import dataclasses
import re

from starlette.testclient import TestClient

from mien.serve.options import ServeOptions
from tests.cli.test_recognize import run
from tests.conftest import ROOT
from tests.serve.conftest import run_server

PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


STREAM, MOUNT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_client_of_a_live_stream_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with run_server() as server:
        exec(STREAM.replace("127.0.0.1:8000", f"{server.host}:{server.port}"), {})
    labels, face = capsys.readouterr().out.splitlines()
    assert labels == "['happy', 'sad', 'neutral']"
    assert face.startswith("1 happy 0.")


def test_the_service_answers_inside_another_application(photo):
    names = {}
    exec(MOUNT, names)
    client = TestClient(names["app"], base_url="http://localhost")
    answer = client.post("/faces/v1/recognize", files={"images": photo}).json()
    assert answer["labels"] == "basic3"


def test_the_limits_are_the_real_ones():
    shown = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    defaults = {item.name: item.default for item in dataclasses.fields(ServeOptions)}
    assert {name: float(value) for name, value in shown.items()} == {
        name: float(defaults[name.replace("-", "_")]) for name in shown
    }
    told = {name.replace("-", "_") for name in shown}
    assert {name for name in defaults if name.startswith("max_")} - told == {"max_not_face"}


def test_every_flag_that_is_named_exists():
    help_text = run("serve", "--help", NO_COLOR="1", COLUMNS="200").stdout
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE + DOCKERFILE))
    others = {
        "--rm",
        "--restart",
        "--read-only",
        "--cap-drop",
        "--memory",
        "--json",
        "--system",
        "--uid",
        "--no-create-home",
    }
    others |= {"--from", "--interval", "--timeout", "--start-period", "--no-cache-dir"}
    for flag in named - others:
        assert flag in help_text, flag
