"""What the OpenAPI document promises, held against the running service by generated requests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import run_server

# As a process: the library's pytest plugin does not go with the newest pytest.
COMMAND = [Path(sys.executable).parent / "schemathesis", "--config-file", Path(__file__).parent / "schemathesis.toml"]
FLAGS = ["--max-examples", "20", "--seed", "7", "--no-color"]


@pytest.mark.parametrize(("token", "phases"), [(None, "examples,coverage,fuzzing"), ("sesame", "coverage")])
def test_schemathesis_finds_no_failure(token, phases, tmp_path):
    limits = ["--max-requests-per-s", 100_000, "--max-upload-mb", 1]
    with run_server(*limits, **({} if token is None else {"MIEN_TOKEN": token})) as server:
        key = [] if token is None else ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(
            [*COMMAND, "run", f"{server.url}/openapi.json", *FLAGS, "--phases", phases, *key],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout
    assert "Tested: 5" in done.stdout
