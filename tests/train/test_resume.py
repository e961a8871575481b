import json
import math
import random
import signal
import subprocess
import sys
import time

import pytest

from mien.errors import MienWarning, ModelError, UsageError
from mien.train import Interrupted, fit
from mien.train.lock import locked
from mien.train.state import load_state
from tests.conftest import ROOT
from tests.train.toy import ToyTask, same_history, same_weights, toy_recipe


class CrashError(Exception):
    pass


def crash_at(count):
    """A progress callback that ends the run at its n-th report; that it validates does not count."""
    left = [count]

    def progress(report):
        left[0] -= not report.validating
        if not left[0]:
            raise CrashError

    return progress


def run(folder, resume=False, progress=None, task_class=ToyTask, **changes):
    recipe = toy_recipe(**changes)
    return fit(task_class(recipe), recipe, folder, resume=resume, progress=progress)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    cache = {}

    def result(**changes):
        key = json.dumps(changes)
        if key not in cache:
            cache[key] = run(tmp_path_factory.mktemp("undisturbed") / "run", **changes)
        return cache[key]

    return result


def assert_same(one, other):
    assert same_history(one.history, other.history)
    assert (one.best, one.best_epoch, one.epochs, one.steps) == (
        other.best,
        other.best_epoch,
        other.epochs,
        other.steps,
    )
    assert same_weights(one.best_path, other.best_path)
    assert same_weights(one.last_path, other.last_path)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("crash", [1, 2, 3, 4])
def test_after_a_crash_the_result_is_the_same(tmp_path, undisturbed, optimizer, crash):
    changes = {"optimizer": optimizer, "learning_rate": 0.02}
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(crash), **changes)
    assert_same(run(tmp_path / "run", resume=True, **changes), undisturbed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_decay": 0},
        {"schedule": "plateau", "plateau_patience": 1},
        {"settled": True},
        {"settled": True, "ema_decay": 0},
        {"settled": True, "keep_start": 0.5},
        {"sam_radius": 0.1},
    ],
)
def test_what_else_a_state_holds(tmp_path, undisturbed, changes):
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(3), **changes)
    assert_same(run(tmp_path / "run", resume=True, **changes), undisturbed(**changes))


def test_a_long_epoch_goes_on_in_its_middle(tmp_path, undisturbed):
    # 64 steps an epoch, looked at first after 8, where it is time to save.
    changes = {"points": 2048, "epochs": 2, "save_every_s": 1e-6, "step_s": 0.001}
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2), **changes)
    recipe = toy_recipe(**changes)
    task = ToyTask(recipe)
    result = fit(task, recipe, tmp_path / "run", resume=True)
    assert task.seen[0][:2] == (0, 8)
    assert_same(result, undisturbed(**changes))


def test_tensorboard_forgets_what_a_lost_part_has_told(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changes = {"loggers": ("tensorboard",), "save_every_s": 60}
    with pytest.raises(CrashError):  # in the second epoch, before anything was saved
        run(tmp_path / "run", progress=crash_at(3), points=2048, **changes)
    run(tmp_path / "run", resume=True, points=2048, **changes)
    told = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    told.Reload()
    assert [event.step for event in told.Scalars("validation/accuracy")] == [1, 2, 3, 4]


def test_a_run_may_crash_again_and_again(tmp_path, undisturbed):
    for resume in (False, True, True):
        with pytest.raises(CrashError):
            run(tmp_path / "run", resume=resume, progress=crash_at(2))
    assert_same(run(tmp_path / "run", resume=True), undisturbed())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [part["after_epochs"] for part in record["parts"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(("step", "number"), [(3, signal.SIGINT), (8, signal.SIGINT), (3, signal.SIGTERM)])
def test_ctrl_c_saves_and_says_where_and_so_does_sigterm(tmp_path, undisturbed, step, number):
    class Stopped(ToyTask):
        def batch(self, at):
            if (at.epoch, at.index) == (1, step - 1):
                signal.raise_signal(number)
            return super().batch(at)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.warns(MienWarning, match=r"stopping after .*Ctrl-C again"), pytest.raises(Interrupted) as caught:
        run(tmp_path / "run", task_class=Stopped)
    # In the last step of an epoch, the epoch is brought to its end.
    assert (caught.value.epoch, caught.value.step) == ((2, 3) if step == 3 else (3, 0))
    assert caught.value.folder == tmp_path / "run"
    assert [signal.getsignal(number) for number in handlers] == list(handlers.values())
    assert_same(run(tmp_path / "run", resume=True), undisturbed())


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    class Stopped(ToyTask):
        def batch(self, at):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError

    with pytest.warns(MienWarning), pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path / "run", task_class=Stopped)
    assert not isinstance(caught.value, Interrupted)


@pytest.mark.parametrize("sam_radius", [0.0, 0.1])
def test_a_real_kill_at_any_moment(tmp_path, undisturbed, sam_radius):
    changes = {"step_s": 0.01, "points": 512, "epochs": 3, "save_every_s": 0.05, "sam_radius": sam_radius}
    command = [sys.executable, "-m", "tests.train.toy", str(tmp_path / "run")]
    command += [f"{name}={value}" for name, value in changes.items()]
    moment = random.Random()
    for resume in ([], ["--resume"]):
        child = subprocess.Popen([*command, *resume], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = child.stdout.readline()
        assert line, child.stderr.read()
        wait_s = moment.uniform(0, 0.4)
        time.sleep(wait_s)
        child.kill()
        child.communicate()
        assert child.returncode in (-signal.SIGKILL, 0), wait_s  # it may have come to its end
    assert_same(run(tmp_path / "run", resume=True, **changes), undisturbed(**changes))


def test_a_finished_run_gives_its_result_again(tmp_path):
    one = run(tmp_path / "run")
    assert run(tmp_path / "run", resume=True) == one


def test_another_recipe_is_refused_and_what_differs_named(tmp_path):
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2))
    with pytest.raises(UsageError, match=r"another recipe \(schedule\.epochs was 4 and is 9\)"):
        run(tmp_path / "run", resume=True, epochs=9)
    # How it is logged, and how often saved, may change.
    assert run(tmp_path / "run", resume=True, save_every_s=5, loggers=("csv", "tensorboard")).epochs == 4


def test_other_data_are_refused(tmp_path):
    class Other(ToyTask):
        def facts(self):
            return {**super().facts(), "checksum": "other"}

    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2))
    with pytest.raises(UsageError, match="the run began with other data"):
        run(tmp_path / "run", resume=True, task_class=Other)


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(UsageError, match="holds no run to resume"):
        run(tmp_path / "run", resume=True)


def test_a_run_that_is_under_way_is_not_resumed(tmp_path, undisturbed):
    """As by a job that is started again before the last one has ended."""
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2))
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with locked(tmp_path / "run", "run"), pytest.raises(UsageError, match="another process is at this run"):
        run(tmp_path / "run", resume=True)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    assert_same(run(tmp_path / "run", resume=True), undisturbed())


def test_a_kill_before_anything_was_saved(tmp_path, undisturbed):
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(1))
    assert not (tmp_path / "run" / "state.safetensors").exists()
    assert_same(run(tmp_path / "run", resume=True), undisturbed())


def test_it_is_saved_as_seldom_as_was_asked_for(tmp_path, undisturbed):
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(3), save_every_s=3600)
    assert not (tmp_path / "run" / "state.safetensors").exists()
    assert_same(run(tmp_path / "run", resume=True, save_every_s=3600), undisturbed())


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_state_is_said(tmp_path, damage):
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2))
    (tmp_path / "run" / "state.safetensors").write_bytes(damage)
    with pytest.raises(ModelError, match=r"state\.safetensors"):
        run(tmp_path / "run", resume=True)


def test_a_state_that_was_loaded_leaves_its_file_alone(tmp_path):
    """What still maps the file could not be saved anew on Windows; here such tensors follow what is in the file."""
    path = tmp_path / "run" / "state.safetensors"
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(2), optimizer="adam", learning_rate=0.02)
    _, tensors = load_state(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert any(bool(value.any()) for value in tensors.values())


def test_a_budget_that_was_used_up_when_it_stopped_leaves_an_epoch_of_numbers(tmp_path):
    class Stopped(ToyTask):
        def batch(self, at):
            if at.index == 4:
                time.sleep(0.7)
                signal.raise_signal(signal.SIGINT)
            return super().batch(at)

    changes = {"minutes": 0.01, "points": 4096, "save_every_s": 30}
    with pytest.warns(MienWarning), pytest.raises(Interrupted):
        run(tmp_path / "run", task_class=Stopped, **changes)
    result = run(tmp_path / "run", resume=True, **changes)
    assert (result.epochs, result.steps, result.stopped_by) == (1, 5, "budget")
    assert all(math.isfinite(value) for value in result.history[0].values()), result.history


def test_a_budget_of_minutes_goes_on_with_what_is_left(tmp_path):
    changes = {"minutes": 0.03, "step_s": 0.005}
    with pytest.raises(CrashError):
        run(tmp_path / "run", progress=crash_at(3), **changes)  # early: on a busy machine an epoch takes long
    result = run(tmp_path / "run", resume=True, **changes)
    spent_s = result.history[1]["seconds"]  # saved before the crash
    assert 0 < spent_s < result.history[2]["seconds"]
    assert 1.75 < result.seconds < 6
    assert result.history[-1]["learning_rate"] < 0.01
