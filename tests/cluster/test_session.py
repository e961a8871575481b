"""Ray on this machine, started for a while in this process."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mien.cluster.session import RaySession, _short_folder

pytest.importorskip("ray")

PROGRAM = '''
import sys, threading
from pathlib import Path
from mien.cluster.session import RaySession
from mien.errors import UsageError

def processes():
    """What runs with the mark of this test."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and sys.argv[1].encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found

with RaySession(None, 1) as session:
    session.start()
    ray = session.connect()
    print(ray.get(ray.remote(num_cpus=1)(lambda: 6 * 7).remote()))
    places = [Path.home() / ".ray", *Path(sys.argv[2]).glob("mien-ray-*")]
    print(len(places), [oct(place.stat().st_mode & 0o077) for place in places])
    print("dashboard.py" in str(processes()), "monitor.py" in str(processes()), "raylet" in str(processes()))
    try:
        with RaySession(None, 1) as second:
            second.start()
    except UsageError as error:
        print(error)
    print(ray.is_initialized())
print(ray.is_initialized(), [t.name for t in threading.enumerate() if t.name == "mien-ray"])
'''


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes as Linux lists them")
def test_only_what_runs_tasks_is_started_and_all_of_it_ends(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    mark = f"session-{os.getpid()}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # Of its own, and short: the names of sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as home:
        result = subprocess.run(
            [sys.executable, str(program), mark, home],
            env={**clean, "MIEN_TEST_MARK": mark, "HOME": home, "TMPDIR": home},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "42",
        "2 ['0o0', '0o0']",  # other users of the machine see neither the token nor the sockets
        "False False True",
        "this process is connected to Ray already; call ray.shutdown() before a batch",
        "True",
        "False []",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Ray has no sockets with names there")
@pytest.mark.parametrize("long", [False, True])
def test_its_folder_leaves_room_for_the_names_of_sockets(monkeypatch, long):
    """As the folder of macOS for temporary files does not."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as home:
        place = Path(home) / ("zyxvpxvq6csfxvn" if long else "")
        place.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        folder = Path(_short_folder())
        folder.rmdir()
    assert folder.parent == (Path("/tmp") if long else place)
    assert len(f"{folder}/r/session_2026-01-02_03-04-05_123456_1234567/sockets/plasma_store") <= 103


@pytest.mark.skipif(sys.platform == "win32", reason="the home is in another variable there")
@pytest.mark.parametrize("home", [None, "is a file", "a folder"])
def test_ray_gets_a_home_where_the_user_has_none(monkeypatch, tmp_path, home):
    """As in a container that runs with any number for a user, or cannot write there: Ray would not start."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.delenv("HOME", raising=False)
    if home is None:
        monkeypatch.setattr(Path, "home", no_home)
    else:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "home").touch() if home == "is a file" else (tmp_path / "home").mkdir()
    before = os.environ.get("HOME")
    with RaySession(None) as session:
        session._open_home(str(own))
        assert os.environ.get("HOME") == (before if home == "a folder" else str(own))
        assert (own / ".ray").is_dir() == (home != "a folder")
    assert os.environ.get("HOME") == before


def no_home():
    raise RuntimeError("Could not determine home directory.")
