import csv
import gc
import json
import math
import os
import signal
import subprocess
import sys
import time
import types
import warnings
import weakref
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from mien.errors import MienWarning, MissingExtraError, OutputError, TrainingError, UsageError
from mien.train import Interrupted, fit
from mien.train.optimizer import MovingAverage, make_optimizer
from mien.train.options import OptimizerOptions
from tests.conftest import ROOT
from tests.train.toy import ToyTask, same_history, same_weights, toy_recipe, weights_of


def train(folder, progress=None, task=None, **changes):
    recipe = toy_recipe(**changes)
    return fit(task or ToyTask(recipe), recipe, folder, progress=progress)


def test_a_run_learns_and_tells(tmp_path):
    reports = []
    result = train(tmp_path / "run", reports.append, epochs=6)
    assert "train_loss" not in repr(result)
    assert result.best > 0.9
    assert (result.epochs, result.steps, result.stopped_by, result.metric) == (6, 48, "budget", "validation_accuracy")
    assert result.best == max(row["validation_accuracy"] for row in result.history)
    assert result.history[result.best_epoch - 1]["validation_accuracy"] == result.best
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    ends = [report for report in reports if report.metrics is not None]
    assert [report.epoch for report in ends] == [1, 2, 3, 4, 5, 6]
    assert [report.progress for report in ends] == pytest.approx([n / 6 for n in range(1, 7)])
    assert [report.epoch for report in reports if report.validating] == [1, 2, 3, 4, 5, 6]
    assert ends[-1].seconds_left == 0
    assert ends[-1].images_per_s > 0


def test_the_folder_holds_the_run(tmp_path):
    from mien.train.recipe import read_recipe
    from tests.train.toy import ToyRecipe

    result = train(tmp_path / "run", loggers=("csv", "tensorboard"))
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "best.safetensors", "last.safetensors", "recipe.yaml", "run.json", "metrics.csv", "curves.svg", "run.html",
        "tensorboard", ".lock",
    }  # fmt: skip
    kept = read_recipe(folder / "recipe.yaml", {"toy": ToyRecipe})
    assert kept == toy_recipe(loggers=("csv", "tensorboard"))
    record = json.loads((folder / "run.json").read_text())
    assert record["parameters"] == 226
    assert record["data"]["training"] == 256
    part = record["parts"][0]
    assert (part["torch"], part["device"].split(":")[0], part["precision"]) == (torch.__version__, "cpu", "32")
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["train_loss"]) for row in rows] == [row["train_loss"] for row in result.history]
    ElementTree.fromstring((folder / "curves.svg").read_text())
    page = (folder / "run.html").read_text()
    assert "best validation accuracy" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert list((folder / "tensorboard").glob("events*"))


def test_checkpoints_are_of_the_best_and_the_last_epoch(tmp_path):
    from safetensors import safe_open

    result = train(tmp_path / "run", falling=True)
    assert result.best_epoch == 1
    with safe_open(result.best_path, "pt") as best, safe_open(result.last_path, "pt") as last:
        assert (best.metadata()["epoch"], last.metadata()["epoch"]) == ("1", "4")
        assert float(best.metadata()["validation_accuracy"]) == result.best
    one = train(tmp_path / "one", falling=True, epochs=1, warmup_epochs=0, schedule="constant")
    more = train(tmp_path / "more", falling=True, epochs=3, warmup_epochs=0, schedule="constant")
    assert same_weights(one.best_path, more.best_path)
    assert not same_weights(more.best_path, more.last_path)


def test_a_seed_gives_the_same_run_and_another_one_another(tmp_path):
    one, two = train(tmp_path / "1", seed=3), train(tmp_path / "2", seed=3)
    assert same_history(one.history, two.history)
    assert same_weights(one.last_path, two.last_path)
    assert not same_history(one.history, train(tmp_path / "3", seed=4).history)


def test_a_run_leaves_torch_as_it_was(tmp_path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(tmp_path / "run", threads=1, deterministic=True, epochs=1)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_finished_run_leaves_memory_at_once(tmp_path):
    """And not when garbage happens to be collected: its images and networks would stay on the device till then."""
    recipe = toy_recipe(epochs=1)
    gc.collect()
    gc.disable()
    try:
        task = ToyTask(recipe)
        gone = weakref.ref(task)
        fit(task, recipe, tmp_path / "run")
        del task
        assert gone() is None
    finally:
        gc.enable()


def test_the_pace_is_that_of_the_steps_and_not_of_saving(tmp_path):
    class Task(ToyTask):
        def save_checkpoint(self, network, path, extra):
            time.sleep(1.0)
            super().save_checkpoint(network, path, extra)

    result = train(tmp_path / "run", task=Task(toy_recipe()), epochs=2)
    assert result.history[1]["images_per_s"] > 256 / 1.0  # as if its steps took no time


def test_where_the_memory_of_a_gpu_does_not_suffice_the_error_says_what_to_do(tmp_path):
    message = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.78 GiB of which 1.01 GiB is "
        "free. Including non-PyTorch memory, this process has 6.76 GiB memory in use."
    )

    class Task(ToyTask):
        def losses(self, network, batch):
            network(batch[0])
            raise torch.cuda.OutOfMemoryError(message)

    with pytest.raises(TrainingError, match=r"2.00 GiB.* 1.01 GiB is free\); try a smaller batch_size"):
        train(tmp_path / "run", task=Task(toy_recipe()))


def test_where_there_is_no_compiler_the_error_says_what_to_do(tmp_path):
    place = {**os.environ, "CXX": str(tmp_path / "no-compiler")}
    words = [sys.executable, "-m", "tests.train.toy", str(tmp_path / "run"), "compile=network"]
    done = subprocess.run(words, cwd=ROOT, env=place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("TrainingError: compile 'network' did not work (No working C++ compiler found")
    assert "--compile none" in line


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "plateau", "constant"])
def test_every_optimizer_and_schedule_learns(tmp_path, optimizer, schedule):
    rate = 0.1 if optimizer == "sgd" else 0.02
    result = train(tmp_path / "run", epochs=8, optimizer=optimizer, schedule=schedule, learning_rate=rate)
    assert result.best > 0.85


@pytest.mark.filterwarnings("ignore:this processor has no instructions for bfloat16")
@pytest.mark.parametrize(
    "changes",
    [{"ema_decay": 0}, {"clip_norm": 0}, {"precision": "bf16"}, {"channels_last": False}, {"warmup_epochs": 0}],
)
def test_what_can_be_switched_learns_too(tmp_path, changes):
    assert train(tmp_path / "run", epochs=8, **changes).best > 0.85


def test_the_learning_rate_comes_to_its_end_in_a_budget_of_minutes(tmp_path):
    result = train(tmp_path / "run", minutes=0.03, step_s=0.01, epochs=1)
    assert 1.79 < result.seconds < 6  # told without the time that setting up takes; longer on a busy machine
    assert result.epochs > 3
    rates = [row["learning_rate"] for row in result.history[1:]]  # the first epoch is the warm-up
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.02  # 0.09 on an idle machine
    assert rates[-1] < 0.01


def test_progress_is_told_to_the_task(tmp_path):
    recipe = toy_recipe(epochs=2)
    task = ToyTask(recipe)
    fit(task, recipe, tmp_path / "run")
    assert [(epoch, index) for epoch, index, _ in task.seen] == [(e, i) for e in range(2) for i in range(8)]
    assert [progress for *_, progress in task.seen] == pytest.approx([n / 16 for n in range(16)])


def test_early_stopping(tmp_path):
    result = train(tmp_path / "run", epochs=20, falling=True, early_stop=3)
    assert (result.epochs, result.best_epoch, result.stopped_by) == (4, 1, "early_stop")


def test_a_loss_that_is_no_number_stops_and_says_where(tmp_path):
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 2 at step 3 of 8, with learning rate 0\.0778"):
        train(tmp_path / "run", nan_at=3)
    # What was saved before is whole, and without a trace of it.
    assert all(
        bool(torch.isfinite(value.float()).all())
        for value in weights_of(tmp_path / "run" / "last.safetensors").values()
    )


def test_a_gradient_that_is_no_number_in_the_last_step_stops_too(tmp_path):
    class Broken(ToyTask):
        def losses(self, network, batch):
            found = super().losses(network, batch)
            if self.seen[-1][:2] == (1, 7):
                # The root of zero has a value, but no slope.
                found["loss"] = found["loss"] + (0 * next(network.parameters()).sum()).abs().sqrt() * 1.0
            return found

    recipe = toy_recipe()
    with pytest.raises(TrainingError, match="the weights are no longer finite numbers after epoch 2"):
        fit(Broken(recipe), recipe, tmp_path / "run")


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there and not empty"):
        train(tmp_path / "run")
    train(tmp_path / "other", epochs=1)
    with pytest.raises(UsageError, match="holds a run; continue it with --resume"):
        train(tmp_path / "other", epochs=1)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("number", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_one_process_is_the_first_of_its_run_whatever_job_it_is_part_of(tmp_path, monkeypatch, number):
    monkeypatch.setenv(number, "1")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there and not empty"):
        train(tmp_path)
    reports = []
    train(tmp_path / "run", reports.append, epochs=1)
    assert [report.epoch for report in reports if report.metrics is not None] == [1]


def test_a_task_that_cannot_start_leaves_no_folder(tmp_path):
    class Broken(ToyTask):
        def setup(self, place):
            raise UsageError("no such data")

    recipe = toy_recipe()
    with pytest.raises(UsageError, match="no such data"):
        fit(Broken(recipe), recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_epoch_far_worse_than_guessing_is_warned_of_once(tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = train(tmp_path / "run", loss_factor=40.0, learning_rate=0.02).history
        train(tmp_path / "well", loss_factor=1.5)
    assert history[1]["train_loss"] > 2 * math.log(2)
    (message,) = [str(warning.message) for warning in told]
    assert message == (
        f"the training loss of epoch 2 is {history[1]['train_loss']:.2f}, where guessing gives 0.69: the steps are too "
        "large. Try --learning-rate 0.002"
    )


def test_a_resumed_run_does_not_warn_again(tmp_path):
    class Stopped(ToyTask):
        def validate(self, network):
            if self.epochs_validated == 2:
                signal.raise_signal(signal.SIGINT)
            return super().validate(network)

    recipe = toy_recipe(loss_factor=40.0)
    with warnings.catch_warnings(record=True) as told, pytest.raises(Interrupted):
        warnings.simplefilter("always")
        fit(Stopped(recipe), recipe, tmp_path / "run")
    assert any("the training loss of epoch 2 is" in str(warning.message) for warning in told)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MienWarning)
        fit(ToyTask(recipe), recipe, tmp_path / "run", resume=True)


@pytest.mark.parametrize("optimizer", [{}, {"ema_decay": 0.0}, {"keep_start": 0.5}])
def test_the_network_is_settled_before_it_is_validated_and_kept(tmp_path, optimizer):
    settled = []

    class Settling(ToyTask):
        def settle(self, network):
            settled.append(network)
            network[1].running_var.fill_(4.0)

        def validate(self, network):
            assert not network.training
            assert network[1].running_var.eq(4.0).all()
            return super().validate(network)

    recipe = toy_recipe(epochs=2, **optimizer)
    result = fit(Settling(recipe), recipe, tmp_path / "run")
    for path in (result.best_path, result.last_path):
        assert weights_of(path)["1.running_var"].eq(4.0).all()
    assert len(settled) == 2  # Once an epoch: it may take long.


def test_no_gpu_where_one_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no GPU; use --accelerator cpu"):
        train(tmp_path / "run", accelerator="cuda")
    assert not (tmp_path / "run").exists()
    assert train(tmp_path / "run", accelerator="auto", epochs=1).epochs == 1


def test_more_gpus_than_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="devices is 4, but this machine has 1 GPU"):
        train(tmp_path / "run", accelerator="cuda", devices=4)


def test_a_batch_that_processes_cannot_share(tmp_path):
    with pytest.raises(UsageError, match="expected a multiple of 3"):
        train(tmp_path / "run", devices=3)


@pytest.mark.parametrize("when", ["safetensors", "state", "metrics"])
def test_a_full_disk_is_said_and_leaves_whole_files(tmp_path, monkeypatch, when):
    import mien.files

    written, write = [], mien.files.write_atomically

    def full(path, content):
        written.append(path.name)
        if when in path.name and len(written) > 12:
            raise OSError(28, "No space left on device")
        write(path, content)

    for module in ("mien.train.state", "mien.train.folder", "mien.train.curves", "tests.train.toy"):
        monkeypatch.setattr(sys.modules[module], "write_atomically", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(tmp_path / "run", epochs=8)
    assert weights_of(tmp_path / "run" / "last.safetensors")
    assert weights_of(tmp_path / "run" / "state.safetensors")
    assert not list((tmp_path / "run").glob(".*.part"))


def test_loggers_are_closed_where_a_run_cannot_begin(tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    from mien.train.folder import RunFolder

    def full(*_):
        raise OSError(28, "No space left on device")

    closed, close = [], SummaryWriter.close
    monkeypatch.setattr(SummaryWriter, "close", lambda self: closed.append(self) or close(self))
    monkeypatch.setattr(RunFolder, "write_record", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(tmp_path / "run", loggers=("tensorboard",))
    assert len(closed) == 1


@pytest.mark.parametrize("when", ["add_scalar", "close"])
def test_a_disk_that_is_full_for_tensorboard_is_said(tmp_path, monkeypatch, when):
    from torch.utils.tensorboard import SummaryWriter

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, when, full)
    with pytest.raises(OutputError, match="cannot write the run .No space left on device"):
        train(tmp_path / "run", loggers=("tensorboard",), epochs=1)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_logger_without_its_library_is_said_before_the_run(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"The logger '{name}' needs the library '{name}'"):
        train(tmp_path / "run", loggers=(name,))
    assert not (tmp_path / "run").exists()


def fake_mlflow(calls):
    module = types.ModuleType("mlflow")
    info = types.SimpleNamespace(info=types.SimpleNamespace(run_id="abc"))
    module.start_run = lambda **said: calls.append(("start", said)) or info
    module.log_params = lambda values: calls.append(("params", values))
    module.log_metrics = lambda values, step: calls.append(("metrics", step, values))
    module.end_run = lambda: calls.append(("end",))
    return module


def fake_wandb(calls):
    class Run:
        id = "xyz"

        def log(self, values, step):
            calls.append(("metrics", step, values))

        def finish(self):
            calls.append(("end",))

    module = types.ModuleType("wandb")
    module.init = lambda **said: calls.append(("start", said)) or Run()
    return module


@pytest.mark.parametrize(("name", "fake"), [("mlflow", fake_mlflow), ("wandb", fake_wandb)])
def test_loggers_by_name_get_every_epoch(tmp_path, monkeypatch, name, fake):
    calls = []
    monkeypatch.setitem(sys.modules, name, fake(calls))
    result = train(tmp_path / "run", loggers=("csv", name), epochs=2)
    metrics = [call for call in calls if call[0] == "metrics"]
    assert [step for _, step, _ in metrics] == [1, 2]
    assert metrics[0][2]["validation_accuracy"] == result.history[0]["validation_accuracy"]
    assert calls[0][0] == "start"
    assert calls[-1] == ("end",)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["loggers"][name] in ("abc", "xyz")


def test_decay_may_spare_norms_and_biases_and_rates_differ_by_name():
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    rates = {"0.weight": 0.1}
    options = OptimizerOptions(weight_decay=0.5, decay_norms=False)
    optimizer = make_optimizer(network, options, lambda name: rates.get(name, 1.0), torch.device("cpu"))
    groups = [(group["factor"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
    assert sorted(groups) == [(0.1, 0.5, 1), (1.0, 0.0, 3)]
    network.requires_grad_(False)
    with pytest.raises(UsageError, match="all are frozen"):
        make_optimizer(network, options, lambda name: 1.0, torch.device("cpu"))


def test_an_average_moves_weights_and_statistics_once_also_where_weights_are_tied():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.BatchNorm1d(2))
    network.append(torch.nn.Linear(2, 2, bias=False))
    network[2].weight = network[0].weight
    average = MovingAverage(network, 0.9)
    before = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight.add_(1.0)
        network[1].running_mean.add_(1.0)
        network[1].num_batches_tracked.add_(5)
    average.update(10_000)
    assert torch.allclose(average.network[0].weight, before + 0.1)
    assert average.network[0].weight is average.network[2].weight
    assert torch.allclose(average.network[1].running_mean, torch.full((2,), 0.1))
    assert int(average.network[1].num_batches_tracked) == 5


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_what_is_saved_may_lie_between_the_first_weights_and_the_last(tmp_path, ema_decay):
    from safetensors.torch import load_file

    shares = (0.0, 0.25, 1.0)
    changes = {"epochs": 2, "ema_decay": ema_decay}
    last, between, first = (
        load_file(train(tmp_path / str(share), keep_start=share, **changes).last_path) for share in shares
    )
    for name, value in between.items():
        if value.is_floating_point():
            assert torch.allclose(value, 0.75 * last[name] + 0.25 * first[name], atol=1e-5), name
    assert any(not torch.allclose(last[name], first[name]) for name in last)


def test_a_young_average_follows_quickly():
    network = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0.999)
    with torch.no_grad():
        network.weight.fill_(8.0)
    for step in range(1, 60):
        average.update(step)
    assert float(average.network.weight) == pytest.approx(8.0, abs=0.01)
