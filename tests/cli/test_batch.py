"""The command as a person runs it, on a real Ray: poisoned photos, killed processes, two nodes."""

import importlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from rich.console import Console

from mien.cluster.rows import Tally
from tests.cluster.conftest import jpegs  # noqa: F401 - a fixture
from tests.cluster.run import command_line, environment, finish, processes_with, rows, start
from tests.cluster.test_destination import read_all

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="kills processes as Linux lists them")

OPTIONS = ("--part-size", 8, "--timeout", 5, "--retries", 1)
MANY = ("--part-size", 4, "--timeout", 5, "--retries", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("batch")


@pytest.fixture(scope="module")
def photos(place, jpegs):  # noqa: F811
    """120 photos, among them one that crashes the reader, one that hangs it, and three that are no photos."""
    folder = place / "photos"
    folder.mkdir()
    for number in range(120):
        (folder / f"photo{number:03d}.jpg").write_bytes(jpegs[number % 40])
    for name, data in [
        ("crash", b"CRASH"),
        ("hang", b"HANG"),
        ("empty", b""),
        ("text", b"no"),
        ("cut", jpegs[1][:999]),
    ]:
        (folder / f"photo04{name}.jpg").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def clean(place, photos):
    """One undisturbed run: its destination, and what it said."""
    process = start([photos, place / "clean", *OPTIONS], environment(place))
    return place / "clean", finish(process)


def test_each_input_has_its_row(clean):
    folder, (status, out, err) = clean
    assert (status, err) == (1, "")
    assert "125 inputs: 90 ok, 30 no face, 5 unreadable" in out
    _, inputs = rows(folder)
    errors = inputs[inputs.status == "unreadable"].set_index("key")["error"].to_dict()
    assert errors["photo04crash.jpg"] == "crashed the reader (SIGSEGV)"
    assert errors["photo04hang.jpg"] == "took longer than 5 s (raise --timeout)"
    assert errors["photo04empty.jpg"] == "the file is empty (0 bytes)"
    assert len(errors) == 5
    page = (folder / "summary.html").read_text(encoding="utf-8")
    assert 'class="bars"' in page
    assert "http" not in page.replace("http-equiv", "")


def test_on_a_screen_in_ascii_json_has_escapes(clean, place):
    (place / "drawn ü").symlink_to(clean[0])
    status, out, _ = finish(
        start(["--status", place / "drawn ü", "--json"], {**environment(place), "PYTHONIOENCODING": "ascii"})
    )
    assert (status, json.loads(out)["destination"]) == (0, str(place / "drawn ü"))


def test_started_again_it_has_nothing_to_do(clean, photos, place):
    folder, _ = clean
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    status, out, _ = finish(start([photos, folder, *OPTIONS, "--json"], environment(place)))
    assert status == 1
    assert json.loads(out)["complete"] is True
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == before
    status, out, _ = finish(start(["--status", folder], environment(place)))
    assert status == 0
    assert "done" in out


@pytest.fixture(scope="module")
def many(place, jpegs):  # noqa: F811
    """160 photos with nothing wrong, in 40 parts."""
    folder = place / "many"
    folder.mkdir()
    for number in range(160):
        (folder / f"photo{number:03d}.jpg").write_bytes(jpegs[number % 40])
    return folder


@pytest.fixture(scope="module")
def undisturbed(many, place):
    """Their rows, read in this process."""
    read_all(many, place / "undisturbed", part_size=4)
    return rows(place / "undisturbed")


def test_killed_again_and_again_it_gives_the_same_rows(many, undisturbed, place):
    """The reader, a worker and the driver are killed, each at a random moment; then it is finished."""
    # Two workers also where there are more cores: the last kill comes long before the end.
    options = (*MANY, "--workers", 2)
    env = {**environment(place), "MIEN_TEST_MARK": (mark := "killed-again-and-again")}
    target = place / "killed"
    rng = random.Random(0)
    process = start([many, target, *options], env)
    for what in ("mien.cluster.child", "ray::mien_part", "driver"):
        before = len(list(target.glob("inputs/*.parquet")))
        while len(list(target.glob("inputs/*.parquet"))) < before + 3:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        if what == "driver":
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        else:
            while not (victims := named(mark, what)):
                time.sleep(0.01)
            os.kill(rng.choice(victims), signal.SIGKILL)
    done = len(list(target.glob("inputs/*.parquet")))
    assert 0 < done < 40
    status, out, err = finish(start([many, target, *options, "--json"], env))
    assert (status, err) == (0, "")
    assert json.loads(out)["inputs"] == 160
    for found, expected in zip(rows(target), undisturbed, strict=True):
        pandas.testing.assert_frame_equal(found, expected, check_exact=True)
    wait_until_gone(mark, "ray::mien_part")
    wait_until_gone(mark, "mien.cluster.child")


def named(mark, what):
    """The processes of a run that are called so."""
    return [number for number in processes_with(mark) if what in command_line(number)]


def wait_until_gone(mark, what=""):
    """Nothing that was started may stay behind."""
    deadline_s = time.monotonic() + 60
    while left := named(mark, what):
        assert time.monotonic() < deadline_s, [command_line(number)[:80] for number in left]
        time.sleep(0.1)


def test_ctrl_c_stops_and_says_how_to_go_on(photos, place):
    env = {**environment(place), "MIEN_TEST_MARK": "stopped-by-hand"}
    process = start([photos, place / "stopped", *OPTIONS], env)
    while not list((place / "stopped").glob("inputs/*.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    status, _, err = finish(process)
    assert status == 130
    assert f"To continue: mien batch {photos} {place}/stopped --part-size 8" in err
    assert "Traceback" not in err
    wait_until_gone("stopped-by-hand")


def free_port():
    """A port of this machine that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_nodes_give_the_same_rows(many, undisturbed, place):
    env = {**environment(place), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    env["MIEN_TEST_MARK"] = "two-nodes"
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--disable-usage-stats"]
    port = free_port()
    small = ["--num-cpus=1", f"--object-store-memory={80 << 20}"]
    head = ["--head", f"--port={port}", "--include-dashboard=false"]
    try:
        subprocess.run([*ray, *head, *small], env=env, check=True, capture_output=True, timeout=60)
        subprocess.run(
            [*ray, f"--address=127.0.0.1:{port}", *small], env=env, check=True, capture_output=True, timeout=60
        )
        process = start([many, place / "nodes", *MANY, "--address", f"127.0.0.1:{port}"], env)
        status, _, err = finish(process)
        assert (status, err) == (0, "")
    finally:
        for number in processes_with("two-nodes"):
            os.kill(number, signal.SIGKILL)
    for found, expected in zip(rows(place / "nodes"), undisturbed, strict=True):
        pandas.testing.assert_frame_equal(found, expected, check_exact=True)
    workers = json.loads(finish(start(["--status", place / "nodes", "--json"], env))[1])["images_per_second_per_worker"]
    assert len(workers) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{photos}"], "expected SOURCE and DEST"),
        (["{place}/missing", "{place}/new"], "no such file or folder"),
        (["{photos}", "{photos}"], "is not empty and holds no batch"),
        (["{photos}", "{place}/clean", "--part-size", "9"], "holds another job: its part_size is 8, not 9"),
        (["--status", "{place}"], "holds no batch"),
        (["{photos}", "/proc/new"], "cannot be written"),
        (["{photos}", "{place}/new", "--gpus-per-worker", "1"], "a GPU was asked for"),
    ],
)
def test_wrong_usage_is_one_line(clean, photos, place, arguments, said):
    named = [argument.format(photos=photos, place=place) for argument in arguments]
    status, out, err = finish(start(named, environment(place)))
    assert (status, out) == (2, "")
    assert err.startswith("mien: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_log_gets_a_line_from_time_to_time(monkeypatch, capsys):
    module = importlib.import_module("mien.cli.batch")
    with module._Progress(Console(file=io.StringIO()), shown=True) as progress:
        progress.parts = 2513
        progress.part_done(Tally(frames=4096))
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(module, "_LINE_S", 0.0)
        progress.part_done(Tally(frames=4096))
    assert capsys.readouterr().err.startswith("mien: 2 of 2,513 parts are done, ")


def test_an_address_where_no_cluster_is(photos, place):
    status, _, err = finish(start([photos, place / "nowhere", "--address", "127.0.0.1:1"], environment(place)))
    assert status == 2
    assert "no Ray cluster answers at '127.0.0.1:1'" in err
    assert err.count("\n") == 1
