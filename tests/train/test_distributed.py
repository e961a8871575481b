"""Two processes on the CPU, as two GPUs or two machines would be."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from mien.train import fit
from tests.conftest import ROOT
from tests.train.toy import ToyTask, same_weights, toy_recipe

LIMIT_S = 240
SLOW = "step_s=0.01"
SLOWER = "step_s=0.1"  # on a busy machine, too, a signal comes before the run is over


def command(folder, *words):
    return [sys.executable, "-m", "tests.train.toy", str(folder), "devices=2", *words]


def run(folder, *words):
    return subprocess.run(
        command(folder, *words), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("two") / "run"
    done = run(folder, SLOW)
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stdout.splitlines() if line.startswith("epoch")]
    assert epochs == [f"epoch {number} 8" for number in (1, 2, 3, 4)]  # told by one of them only
    return folder


def test_two_processes_learn_what_one_does(tmp_path, whole):
    two = rows(whole)
    recipe = toy_recipe()
    one = fit(ToyTask(recipe), recipe, tmp_path / "one").history
    assert [row["learning_rate"] for row in two] == [row["learning_rate"] for row in one]
    # Each process draws its own noise, and batch norm sees its half: alike, not equal.
    for mine, other in zip(one, two, strict=True):
        assert other["train_loss"] == pytest.approx(mine["train_loss"], abs=0.15)
    assert two[-1]["validation_accuracy"] > 0.85
    assert [row["validation_apart"] for row in two] == [0.0] * 4, "both measure the network that is saved"


def test_two_machines_with_one_device_each_are_the_same_as_one_with_two(tmp_path, whole):
    # The second "machine" needs no folder of its own.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    words = [sys.executable, "-m", "tests.train.toy"]
    machines = [
        subprocess.Popen(
            [*words, str(tmp_path / name), "nodes=2"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**place, "NODE_RANK": rank},
        )
        for rank, name in (("0", "run"), ("1", "none"))
    ]
    said = [machine.communicate(timeout=LIMIT_S) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert not (tmp_path / "none").exists()
    assert same_weights(tmp_path / "run" / "last.safetensors", whole / "last.safetensors")


def test_ctrl_c_stops_both_and_resume_goes_on(tmp_path, whole):
    child = subprocess.Popen(
        command(tmp_path / "run", SLOWER), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not child.stdout.readline().startswith("epoch 1"):
        assert child.poll() is None, child.stderr.read()
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)  # Only the first process hears it, and they agree.
    _, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130, errors
    assert "holds all that is needed to go on" in errors
    done = run(tmp_path / "run", SLOWER, "--resume")
    assert done.returncode == 0, done.stderr
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(tmp_path / "run" / name, whole / name)


def test_an_error_is_said_once_and_ends_both(tmp_path):
    done = run(tmp_path / "run", "nan_at=3")
    assert done.returncode == 2
    assert done.stderr.count("TrainingError: the loss is nan in epoch 2 at step 3 of 8") == 1
