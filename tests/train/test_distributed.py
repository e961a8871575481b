"""Two processes on the CPU, as two GPUs or two machines would be."""

import csv
import signal
import socket
import subprocess
import sys
import time

import pytest

from mien.train import fit
from tests.conftest import ROOT
from tests.train.forked import Forked
from tests.train.toy import ToyTask, same_weights, toy_recipe

LIMIT_S = 240
SLOW = "step_s=0.1"  # on a busy machine, too, a signal comes before the run is over


def run(folder, *words):
    return Forked([folder, "devices=2", *words]).finish(LIMIT_S)


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def epochs(stdout):
    return [line for line in stdout.splitlines() if line.startswith("epoch")]


EPOCHS = [f"epoch {number} 8" for number in (1, 2, 3, 4)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def run_two_machines(first, second, *words):
    """One process each; started by somebody else, as by torchrun or Slurm."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    machines = [
        Forked([folder, "nodes=2", *words], {**place, "NODE_RANK": rank})
        for rank, folder in (("0", first), ("1", second))
    ]
    return [machine.finish(LIMIT_S) for machine in machines]


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory):
    """A run of two processes that nothing disturbed: the folder of the first one. The second "machine" needs none."""
    folder = tmp_path_factory.mktemp("two")
    both = run_two_machines(folder / "run", folder / "none")
    assert [one.returncode for one in both] == [0, 0], both
    assert [epochs(one.stdout) for one in both] == [EPOCHS, []]
    assert not (folder / "none").exists()
    return folder / "run"


def test_two_processes_learn_what_one_does(tmp_path, two_machines):
    two = rows(two_machines)
    recipe = toy_recipe()
    one = fit(ToyTask(recipe), recipe, tmp_path / "one").history
    assert [row["learning_rate"] for row in two] == [row["learning_rate"] for row in one]
    # Each process draws its own noise, and batch norm sees its half: alike, not equal.
    for mine, other in zip(one, two, strict=True):
        assert other["train_loss"] == pytest.approx(mine["train_loss"], abs=0.15)
    assert two[-1]["validation_accuracy"] > 0.85
    assert [row["validation_apart"] for row in two] == [0.0] * 4, "both measure the network that is saved"


def test_with_sam_both_move_alike(tmp_path):
    done = run(tmp_path / "run", "sam_radius=0.1")
    assert done.returncode == 0, done.stderr
    two = rows(tmp_path / "run")
    recipe = toy_recipe(sam_radius=0.1)
    one = fit(ToyTask(recipe), recipe, tmp_path / "one").history
    for mine, other in zip(one, two, strict=True):
        assert other["train_loss"] == pytest.approx(mine["train_loss"], abs=0.15)
    assert [row["validation_apart"] for row in two] == [0.0] * 4


def test_ctrl_c_stops_both_and_resume_goes_on(tmp_path, two_machines):
    """On one machine with two devices; the end is that of two machines with one each that nothing disturbed.

    Only here the program is started as by a person, and starts the other one as it would for him.
    """
    command = [sys.executable, "-m", "tests.train.toy", str(tmp_path / "run"), "devices=2", SLOW]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = ""
    while not epochs(told):
        told += child.stdout.readline()
        assert child.poll() is None, child.stderr.read()
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)  # Only the first process hears it, and they agree.
    rest, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130, errors
    assert "holds all that is needed to go on" in errors
    done = run(tmp_path / "run", SLOW, "--resume")
    assert done.returncode == 0, done.stderr
    assert epochs(told + rest + done.stdout) == EPOCHS  # told by one of them only
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(tmp_path / "run" / name, two_machines / name)


@pytest.mark.parametrize("moment", ["step", "epoch"])
def test_a_signal_that_comes_just_after_they_agreed_is_heard_when_they_do_again(tmp_path, moment):
    done = run(tmp_path / "run", f"--term-at-{moment}", "points=512")
    assert done.returncode == 130, done.stderr
    assert "stopped in epoch 2 after step 0" in done.stderr


def test_an_error_is_said_once_and_ends_both(tmp_path):
    done = run(tmp_path / "run", "nan_at=3")
    assert done.returncode == 2
    assert done.stderr.count("TrainingError: the loss is nan in epoch 2 at step 3 of 8") == 1


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("1:bug", "TrainingError: process 1: KeyError: 'as it was told to'\n"),
        ("1:kill", "TrainingError: process 1 of the run ended with signal 9\n"),
        ("0:error", "TrainingError: as it was told to\n"),
        ("1:error,0:stuck", "process 1: as it was told to\n"),
    ],
)
def test_what_goes_wrong_in_one_process_ends_both_and_the_first_says_it(tmp_path, fails, said):
    stuck = "stuck" in fails
    done = run(tmp_path / "run", f"fails={fails}", *(["--impatient"] if stuck else []))
    assert done.returncode == 2
    if "bug" in fails:  # shown where it was
        assert "in _fail" in done.stderr
        assert done.stderr.endswith(said)
    else:
        assert done.stderr == said
    assert epochs(done.stdout) == EPOCHS[:1]


def test_where_the_first_process_is_killed_the_other_says_so(tmp_path):
    done = run(tmp_path / "run", "fails=0:kill")  # till the other one has ended, too
    assert done.returncode == -signal.SIGKILL
    assert "TrainingError: the first process of the run is gone" in done.stderr


def test_what_the_first_finds_in_the_folder_is_told_to_those_who_wait(tmp_path, two_machines):
    both = run_two_machines(two_machines, tmp_path)
    assert [one.returncode for one in both] == [2, 1]
    assert [one.stderr.count("holds a run; continue it with --resume") for one in both] == [1, 0]
    both = run_two_machines(two_machines, tmp_path, "--resume")
    assert [one.returncode for one in both] == [0, 0], both
    assert [one.stdout for one in both] == [both[0].stdout] * 2
    assert "done" in both[0].stdout
    assert epochs(both[0].stdout) == []


def test_a_program_can_train_twice_with_the_processes_of_its_first_run(tmp_path):
    done = run(tmp_path / "1", str(tmp_path / "2"), "epochs=1", "warmup_epochs=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert same_weights(tmp_path / "1" / "last.safetensors", tmp_path / "2" / "last.safetensors")


def test_after_an_error_of_another_process_a_program_cannot_train_again(tmp_path):
    done = run(tmp_path / "1", str(tmp_path / "2"), "fails=1:error")
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first == "TrainingError: process 1: as it was told to"
    assert second.startswith(
        "UsageError: devices is 2, and the 2 processes that an earlier run of this program started"
    )


def test_seeds_are_added_by_two_processes_as_by_one(tmp_path):
    """The second call begins with runs that are done, of which the process that is started then knows nothing."""
    done = run(tmp_path / "two", "--two-seeds")
    assert done.returncode == 0, done.stderr
    done = run(tmp_path / "two", "--resume", "--three-seeds")
    assert done.returncode == 0, done.stderr
    alone = run(tmp_path / "alone", "seed=2")
    assert alone.returncode == 0, alone.stderr
    assert same_weights(tmp_path / "two" / "seed-2" / "last.safetensors", tmp_path / "alone" / "last.safetensors")


@pytest.mark.parametrize(("rank", "said"), [("0", "1/2 clients joined"), ("1", "timed out")])
def test_a_machine_does_not_wait_for_ever_for_one_that_failed_before_they_met(tmp_path, rank, said):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "NODE_RANK": rank}
    done = Forked([tmp_path / "run", "nodes=2", "--impatient"], place).finish(LIMIT_S)
    assert done.returncode == 2
    assert "TrainingError: the 2 processes of the run did not meet at 127.0.0.1:" in done.stderr
    assert said in done.stderr
