"""`mien batch` in a process of its own, with a reader that certain photos crash."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROGRESS = re.compile(r"mien: [\d,]+ of [\d,]+ parts are done, [\d,]+ images/s\n")


def environment(folder):
    """An environment in which the readers of this run are those of `crashing_child.py`."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'mien.cluster.child' in sys.orig_argv:\n"
        f"    sys.path.append({str(ROOT)!r})\n"
        "    import tests.cluster.crashing_child\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(site), *filter(None, [clean.get("PYTHONPATH")])])
    return {**clean, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}


def start(arguments, env, **options):
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mien", "batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=env,
        start_new_session=True,
        **options,
    )


def finish(process, timeout_s=120):
    """Status, standard output and standard error of a command that was started.

    How far it is goes to standard error every few seconds, so only where the machine is busy: these lines are left out.
    """
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, "".join(line for line in err.splitlines(True) if not PROGRESS.match(line))


def rows(folder):
    """Both tables of a destination, in an order that does not depend on the parts."""
    return [
        pandas.read_parquet(folder / name).sort_values("key", kind="stable").reset_index(drop=True)
        for name in ("faces", "inputs")
    ]


def processes_with(text):
    """Ids of the processes that have a text in their environment."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                if text.encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
    return found


def command_line(process_id):
    """What a process is called; empty where it has gone."""
    try:
        return (Path("/proc") / str(process_id) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
