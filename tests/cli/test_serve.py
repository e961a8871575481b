"""`mien serve` as a person runs it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.cli.test_recognize import run
from tests.serve.conftest import run_server


def get(url, token=None):
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def test_it_starts_says_where_and_stops():
    with run_server("--model", "small", "--labels", "basic3") as server:
        assert b"<title>mien</title>" in get(server.url)
        assert json.loads(get(f"{server.url}/v1/models"))["default"] == {"model": "small", "labels": "basic3"}
        damaged = urllib.request.Request(f"{server.url}/v1/recognize", b"no part", method="POST")
        damaged.add_header("content-type", "multipart/form-data; boundary=b")
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(damaged, timeout=10)
        refused.value.close()
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"{server.url.replace('http', 'ws')}/v1/stream", origin="http://evil.example")
        # Those were the clients' faults, and nothing for the terminal.
        assert server.stop() == (0, "mien: stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("flag", "opened"), [("--open", True), ("--no-open", False)])
def test_in_a_terminal_it_opens_the_page(flag, opened, tmp_path):
    import pty

    note = tmp_path / "address"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {note}\n', encoding="utf-8")
    browser.chmod(0o755)
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", flag, "--token", "sesame"]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert "serving on" in process.stderr.readline()
        until_s = time.monotonic() + (20.0 if opened else 0.5)
        while not note.exists() and time.monotonic() < until_s:
            time.sleep(0.02)
        process.terminate()
        process.communicate(timeout=20)
    os.close(leader)
    os.close(follower)
    assert note.exists() == opened
    if opened:
        assert note.read_text(encoding="utf-8").strip().endswith("/#token=sesame")


def test_a_token_from_the_environment_is_wanted():
    with run_server(MIEN_TOKEN="sesame") as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(f"{server.url}/v1/models")
        refused.value.close()
        assert refused.value.code == 401
        assert get(f"{server.url}/v1/models", "sesame")


def test_elsewhere_than_loopback_without_a_token_warns():
    command = [sys.executable, "-m", "mien", "serve", "--host", "0.0.0.0", "--port", "0", "--no-open"]
    for extra, warned, shown in [
        ((), True, False),
        (("--token", "auto"), False, True),
        (("--token", "x"), False, False),
    ]:
        with subprocess.Popen([*command, *extra], stderr=subprocess.PIPE, text=True) as process:
            lines = []
            while "serving on" not in (lines[-1] if lines else ""):
                lines.append(process.stderr.readline())
                assert lines[-1]
            process.terminate()
            process.communicate(timeout=20)
        assert any("can be reached from other computers" in line for line in lines) == warned
        assert ("#token=" in lines[-1]) == shown  # one that was made is known from nowhere else, and this is a log


def test_a_port_in_use_is_one_line_and_status_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "choose another with --port" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "giant"], "unknown expression model 'giant'"),
        (["--labels", "silly"], "silly"),
        (["--max-faces", "0"], "at least 1"),
        (["--port", "99999"], "at most 65535"),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2_and_one_clear_message(arguments, message):
    done = run("serve", "--no-open", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_limit_is_a_flag():
    shown = run("serve", "--help", NO_COLOR="1", COLUMNS="200").stdout
    for flag in (
        "--max-upload-mb", "--max-images", "--max-megapixels", "--max-faces", "--max-requests-per-s",
        "--max-connections", "--max-streams", "--max-frame-mb", "--max-queue", "--client-timeout-s", "--token",
        "--allow-origin", "--allow-host", "--host", "--port", "--no-open",
    ):  # fmt: skip
        assert flag in shown


def test_without_the_extra_it_says_what_to_install():
    code = (
        "import sys\n"
        "sys.modules['fastapi'] = None\n"
        "sys.argv = ['mien', 'serve', '--no-open']\n"
        "from mien.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert 'pip install "mien[serve]"' in done.stderr
    assert "Traceback" not in done.stderr
