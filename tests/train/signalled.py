"""Programs that a signal comes to, and to all of their processes alike, as Ctrl-C does in a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.conftest import ROOT

LIMIT_S = 120


def run_alone(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a session of its own, which ends with all of its processes."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            out, err = child.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            raise
    for _ in range(200):
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return subprocess.CompletedProcess(child.args, child.returncode, out, err)
        time.sleep(0.05)
    os.killpg(child.pid, 9)
    raise AssertionError("its processes are still there")
