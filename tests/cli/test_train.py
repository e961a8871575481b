import dataclasses
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mien.train.options import RECIPES
from mien.train.recipe import read_recipe, recipe_sections, recipe_text
from tests.cli.mien_in_process import runner

QUICK = ("--architecture", "cnn2", "--size-px", 16, "--threads", 1, "--loggers", "csv", "--accelerator", "cpu")
LEARN = ("--epochs", 6, "--batch-size", 16, "--optimizer", "adamw", "--learning-rate", 0.01, "--mixup", 0)


@pytest.fixture
def mien(monkeypatch, capsys):
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders of three kinds of pictures: bright at the top, at the bottom, or in the middle."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 12)):
        for number, name in enumerate(("happy", "sad", "neutral")):
            place = root / split / name
            place.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 90, (24, 24), np.uint8)
                image[(2, 16, 9)[number] :][:6] += 140
                cv2.imwrite(str(place / f"{i}.png"), image)
    return root


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A run of the defaults, but for size and time."""
    out = tmp_path_factory.mktemp("runs") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["mien", "train", *map(str, ("--data", folder, "--out", out, *QUICK, *LEARN))])
    from mien.cli import main

    with pytest.raises(SystemExit) as ended:
        main()
    patch.undo()
    assert ended.value.code == 0
    return out


def test_a_folder_of_class_folders_is_learned(trained):
    record = json.loads((trained / "run.json").read_text())
    assert record["kind"] == "expression"
    assert record["data"]["training"]["faces"] == 96
    assert record["data"]["validation"]["faces"] == 36
    assert record["result"]["best"] > 0.9
    assert read_recipe(trained / "recipe.yaml").model.architecture == "cnn2"


def test_what_was_trained_is_evaluated(mien, trained, folder):
    done = mien(
        "evaluate", trained / "best.safetensors", "--data", folder, "--split", "val", "--no-ten-views", "--json"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)["one_pass"]["accuracy"]
    assert found == pytest.approx(json.loads((trained / "run.json").read_text())["result"]["best"], abs=0.03)


def test_its_own_recipe_with_flags_on_top_gives_the_same_run_again(mien, trained, tmp_path):
    done = mien(
        "train", trained / "recipe.yaml", "--out", tmp_path / "run", "--epochs", 1, "--schedule", "constant", "--json"
    )
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert (values["epochs"], values["stopped_by"]) == (1, "budget")
    assert values["best_path"] == str(tmp_path / "run" / "best.safetensors")
    assert len(values["history"]) == 1


def test_without_a_terminal_there_is_a_line_an_epoch(mien, folder, tmp_path):
    done = mien("train", "--data", folder, "--out", tmp_path / "run", *QUICK, "--epochs", 2, "--batch-size", 16)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert re.match(r"trains on [\d,]+ faces \(\w+ \d+, .*\), validates on [\d,]+ of '\w+'; on ", lines[0])
    assert [line.split("  ")[0] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
    assert "images/s" in lines[1]
    assert "accuracy" in lines[1]
    assert f"wrote {tmp_path / 'run' / 'best.safetensors'}" in done.out
    assert f"mien export {tmp_path / 'run' / 'best.safetensors'} --data {folder} --split val" in done.out


def next_steps(mien, out):
    """Run what the end of a run says comes next, as it is printed."""
    found = [line.partition("mien ")[2] for line in out.splitlines() if line.startswith(("measure it:", "use it:"))]
    assert len(found) == 2
    evaluated, exported = (mien(*shlex.split(line)) for line in found)
    assert (evaluated.code, exported.code) == (0, 0), (evaluated.err, exported.err)
    return evaluated, exported


def test_what_was_held_out_of_the_only_split_measures_the_model(mien, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = "two words"  # a shell needs it in quotation marks
    shutil.copytree(folder / "train", tmp_path / place)
    done = mien("train", "--data", place, "--out", "run", *QUICK, *LEARN)
    assert done.code == 0, done.err
    held_out = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["validation"]["faces"]
    assert f"validates on {held_out} that are held out; on " in done.out
    what = f"the tenth of {place} that training held out"
    evaluated, exported = next_steps(mien, done.out)
    assert f"on {what}: {held_out} faces" in evaluated.out
    assert f"on {held_out} faces of {what}" in exported.out
    assert evaluated.err == ""
    card = json.loads((tmp_path / "run" / "best-int8.json").read_text())
    assert card["scores"]["split"] == what
    assert card["learned_from"]["held_out"] == held_out
    assert card["scores"]["basic3"]["one_pass"]["images"] == held_out
    # The exported model, and a comparison, know it too.
    best = "run/best.safetensors"
    again = json.loads(mien("evaluate", "run/best-int8.onnx", "--data", place, "--no-ten-views", "--json").out)
    assert (again["data"]["held_out"], again["one_pass"]["images"]) == (what, held_out)
    done = mien("compare", best, "run/best-int8.onnx", "--data", place, "--timed-faces", 0, "--page", "both.html")
    assert f"{what}: {held_out} faces, the same for all" in done.out
    assert what in (tmp_path / "both.html").read_text()
    # And what was learned from, for the training accuracy.
    done = mien("evaluate", best, "--data", place, "--learned", "--no-ten-views", "--page", "one.html")
    learned = f"what training did not hold out of {place}"
    assert f"on {learned}: {len(list((tmp_path / place).rglob('*.png'))) - held_out} faces" in done.out
    assert done.err == ""
    assert learned in (tmp_path / "one.html").read_text()
    # Faces that are not quite the same.
    next((tmp_path / place / "sad").iterdir()).unlink()
    done = mien("evaluate", best, "--data", place, "--no-ten-views", "--json", "--page", "one.html")
    assert "may be on faces that it learned from" in done.err
    values = json.loads(done.out)
    assert (values["data"]["held_out"], values["one_pass"]["images"]) == (None, 95)
    assert values["data"]["warning"] in done.err
    assert "may be on faces that it learned from" in (tmp_path / "one.html").read_text()


def test_the_next_steps_name_the_faces_that_chose(mien, folder, tmp_path):
    """A split among several, a fold, or faces elsewhere."""
    three = shutil.copytree(folder, tmp_path / "three")
    shutil.copytree(folder / "val", three / "test")
    once = ("--epochs", 1, "--batch-size", 16)
    done = mien("train", "--data", three, "--validation-split", "val", "--out", tmp_path / "a", *QUICK, *once)
    evaluated, _ = next_steps(mien, done.out)
    assert "on three, validation: 36 faces" in evaluated.out

    for arguments in (("import", three, "plain.parquet"), ("split", "plain.parquet", "folds.parquet", "--folds", 4)):
        paths = [tmp_path / part if str(part).endswith(".parquet") else part for part in arguments]
        done = mien("data", *paths)
        assert done.code == 0, done.err
    folds = tmp_path / "folds.parquet"
    done = mien("train", "--data", folds, "--fold", 2, "--out", tmp_path / "b", *QUICK, *once)
    evaluated, exported = next_steps(mien, done.out)
    assert "on fold 2 of folds.parquet, which training held out: " in evaluated.out
    assert "of fold 2 of folds.parquet, which training held out" in exported.out

    done = mien(
        "train", "--data", folder / "train", "--validation-data", folder / "val", "--out", tmp_path / "c", *QUICK, *once
    )
    evaluated, _ = next_steps(mien, done.out)
    assert "on val, train: 36 faces" in evaluated.out


def test_a_run_is_named_after_its_recipe_or_data(mien, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = (*QUICK, "--epochs", 1, "--batch-size", 32, "--json")
    assert mien("train", "--data", folder, *flags).code == 0
    assert (tmp_path / "runs" / folder.name / "best.safetensors").is_file()
    (tmp_path / "mine.yaml").write_text(f"data:\n  dataset: {folder}\n")
    assert mien("train", "mine.yaml", *flags).code == 0
    assert (tmp_path / "runs" / "mine" / "best.safetensors").is_file()
    done = mien("train", "mine.yaml", *flags)
    assert done.code == 2
    assert "holds a run; continue it with --resume, or name another folder with --out" in done.err


def test_resume_needs_only_the_folder(mien, trained):
    done = mien("train", "--resume", "--out", trained, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["best"] == json.loads((trained / "run.json").read_text())["result"]["best"]
    assert f"the run in {trained} is complete: nothing was left to train" in mien(
        "train", "--resume", "--out", trained
    ).out.replace("\n", " ")


def test_one_process_of_a_larger_job_speaks_and_checks_as_any_other(mien, trained, tmp_path):
    """Slurm, torchrun and Kubeflow number the tasks of a job, also where each trains by itself."""
    done = mien("train", "--resume", "--out", trained, SLURM_PROCID="3")
    assert "nothing was left to train" in done.out.replace("\n", " ")
    done = mien("train", "--data", tmp_path / "none", "--out", tmp_path / "run", *QUICK, RANK="1")
    assert (done.code, "none" in done.err) == (1, True), done.err
    done = mien("train", "--data", tmp_path, "--out", trained, *QUICK, LOCAL_RANK="1")
    assert (done.code, "holds a run; continue it with --resume" in done.err.replace("\n", " ")) == (2, True), done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume",), "--resume needs the run folder: --out DIR"),
        (("--resume", "--out", "none"), "holds no run to resume"),
        (("--epochs", "many"), "epochs is 'many'; expected a whole number"),
        (("--optimizer", "sdg"), "optimizer is 'sdg'; expected one of sgd, adam, adamw"),
        (("--kind", "detecter"), "kind is 'detecter'; expected one of expression, detector; did you mean 'detector'?"),
        (("--mosaic-px", "64"), "a recipe of kind 'expression' has no field 'mosaic_px'; it is one of kind 'detector'"),
        (("--kind", "detector", "--mirror", "0"), "it is one of kind 'expression'"),
        (("--learning-rat", "1"), "No such option"),
        (("--accelerator", "cuda", "--data", "x"), "finds no GPU; use --accelerator cpu"),
    ],
)
def test_wrong_usage_is_said_before_any_work(mien, tmp_path, monkeypatch, arguments, said):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    done = mien("train", *arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "said"), [("none.yaml", "No such file"), ("torn.yaml", "is not YAML in line 2")])
def test_a_recipe_that_cannot_be_read_is_wrong_usage(mien, tmp_path, name, said):
    """Exit status 1 is for faces alone."""
    (tmp_path / "torn.yaml").write_text("model: [1\n")
    done = mien("train", tmp_path / name, "--out", tmp_path / "run")
    assert (done.code, said in done.err) == (2, True), done.err


def test_data_that_cannot_be_read_leave_no_folder(mien, tmp_path):
    done = mien("train", "--data", tmp_path / "none", "--out", tmp_path / "run", *QUICK)
    assert done.code == 1
    assert "none" in done.err
    assert not (tmp_path / "run").exists()


def test_without_data_the_flag_is_named(mien, tmp_path):
    done = mien("train", "--out", tmp_path / "run", *QUICK)
    assert done.code in (1, 2)
    assert "--data" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("library", ["torch", "yaml"])
def test_a_missing_library_names_the_extra(mien, folder, tmp_path, library):
    code = f"import sys\nsys.modules['{library}'] = None\nfrom mien.cli import main\nmain()"
    (tmp_path / "x.yaml").write_text("kind: expression\n")
    run = subprocess.run(
        [sys.executable, "-c", code, "train", str(tmp_path / "x.yaml"), "--data", str(folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 2
    assert f"'{library}', which is not installed" in run.stderr
    assert 'pip install "mien[train]"' in run.stderr


def test_a_recipe_of_another_kind_than_asked_for(mien, tmp_path):
    (tmp_path / "x.yaml").write_text("kind: expression\n")
    done = mien("train", tmp_path / "x.yaml", "--kind", "detector")
    assert done.code == 2
    assert "is a recipe of kind 'expression', not 'detector'" in done.err


@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_to_start_from_is_printed_and_read_back(mien, tmp_path, kind):
    done = mien("train", "--kind", kind, "--print-recipe", "--epochs", 7)
    assert done.code == 0
    (tmp_path / "mine.yaml").write_text(done.out)
    recipe = read_recipe(tmp_path / "mine.yaml")
    assert recipe.schedule.epochs == 7
    assert recipe_text(recipe, explained=True) == done.out
    assert "# Budget: how often every training" in done.out


def test_ctrl_c_says_how_to_go_on(mien, folder, tmp_path, monkeypatch):
    from mien.train.expression.task import ExpressionTask

    batch = ExpressionTask.batch

    def stopped(self, step):
        if (step.epoch, step.index) == (1, 2):
            signal.raise_signal(signal.SIGINT)
        return batch(self, step)

    flags = ("--data", folder, *QUICK, *LEARN)
    whole = mien("train", "--out", tmp_path / "whole", *flags, "--json")
    assert whole.code == 0, whole.err
    with monkeypatch.context() as patch:
        patch.setattr(ExpressionTask, "batch", stopped)
        done = mien("train", "--out", tmp_path / "run", *flags)
    assert done.code == 130
    assert f"mien train --resume --out {tmp_path / 'run'}" in done.err
    resumed = mien("train", "--resume", "--out", tmp_path / "run", "--json")
    assert resumed.code == 0, resumed.err
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (
        tmp_path / "whole" / "last.safetensors"
    ).read_bytes()
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == (
        tmp_path / "whole" / "best.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train",), "no dataset to learn from; name one with --data PATH"),
        (("train", "--kind", "detector"), "no photos to learn from; give --photos FILE"),
        (("export", "none.safetensors", "--data", "x"), "none.safetensors: no such file; expected a checkpoint"),
    ],
)
def test_what_is_missing_is_said_before_torch_is_loaded(arguments, said, tmp_path):
    code = (
        "import sys\n"
        f"sys.argv = ['mien', *{arguments!r}]\n"
        "from mien.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 2\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert said in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_field_is_a_flag_and_help_loads_no_torch():
    code = (
        "import sys\n"
        "sys.argv = ['mien', 'train', '--help']\n"
        "from mien.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "assert not {'torch', 'lightning', 'cv2', 'pyarrow', 'yaml', 'jinja2'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": ""}
    )
    for kind in RECIPES.values():
        for section, options in recipe_sections(kind).items():
            assert section in run.stdout
            for item in dataclasses.fields(options):
                flag = "--data" if item.name == "dataset" else "--" + item.name.replace("_", "-")
                assert flag in run.stdout, flag


def test_fer2013_is_learned_far_beyond_chance(mien, fer2013_dir, tmp_path):
    """A quarter of the validation faces are happy, which is what no knowledge of faces gets."""
    done = mien(
        "train", "--data", fer2013_dir, "--out", tmp_path / "run", "--architecture", "cnn2", "--size-px", 24,
        "--max-faces", 6000, "--epochs", 2, "--batch-size", 64, "--optimizer", "adamw", "--learning-rate", 0.003,
        "--schedule", "one-cycle", "--ema-decay", 0.99, "--mixup", 0, "--erasing", 0, "--dropout", 0,
        "--rotation-deg", 5, "--shift", 0.05, "--scale", 0.05, "--label-smoothing", 0, "--ferplus-weight", 0,
        "--loggers", "csv", "--accelerator", "cpu", "--threads", 1, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["best"] > 0.37
    assert result["history"][-1]["validation_balanced_accuracy"] > 0.3


def test_on_a_terminal_there_is_a_bar_that_goes_away(folder, tmp_path):
    from rich.console import Console

    from mien.cli.train import _Bar
    from mien.train import train_model
    from tests.train.toy import toy_recipe

    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, highlight=False)
    with _Bar(console, json=False) as bar:
        train_model(toy_recipe(epochs=2), tmp_path / "run", progress=bar.show)
    assert "reading the data" in shown.getvalue()
    assert "epoch 2/2  loss" in shown.getvalue()
    assert "left" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize(("width", "shown"), [(80, ()), (140, ("accuracy 0.6346", "12,143 images/s"))])
def test_the_time_that_is_left_is_seen_on_any_terminal(width, shown):
    from rich.console import Console

    from mien.cli.train import _Bar
    from mien.train import Report

    report = Report(
        epoch=100, epochs=120, step=1, steps=2, progress=0.8, loss=0.7196, images_per_s=12143.0, seconds=1.0,
        seconds_left=36_061.0, metrics={"validation_accuracy": 0.6346}, metric="validation_accuracy", best=0.6346,
        best_epoch=100,
    )  # fmt: skip
    screen = io.StringIO()
    with _Bar(Console(file=screen, force_terminal=True, width=width, highlight=False), json=False) as bar:
        bar.show(report)
    for part in ("epoch 100/120", "loss 0.7196", "best 0.6346 in 100", "10:01:01 left", *shown):
        assert part in screen.getvalue()
    assert "\u2026" not in screen.getvalue()
