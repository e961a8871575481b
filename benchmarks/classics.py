"""Train each classic of the field for a short budget, all alike, and write a table.

    python benchmarks/classics.py --data FER2013_FOLDER --out DIR [--minutes 1.8] [--total-minutes 9.5]

Each network is trained by mien's own `train_model` in a process of its own, several side by side on one GPU, on the
split ``train``; its **last** weights (not those of its best epoch, so that nothing is chosen on the rows it is measured
on) are measured on the other split. DIR/table.md and DIR/table.json are written anew whenever a network is done: a run
that is cut still gives a table, and the same command goes on with what is missing. The recipes are mien's defaults,
with the optimizer or the regularisation changed where a network cannot learn with them (CHANGES); nothing was tuned.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mien.parallel import usable_cores

CLASSICS = (
    "cnn2", "simple_cnn", "cnn4", "mini_xception", "mien-tiny", "mien-small", "mien-base", "mien-wide", "mobilenet_v2",
    "vgg16", "densenet169", "resnet101", "vit_small", "inception_resnet_v2",
)  # fmt: skip
ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3}
CHANGES: dict[str, dict[str, Any]] = {
    # Without batch norm, and a transformer: the rate of 0.1 that suits the others breaks them.
    "simple_cnn": ADAMW,
    "vit_small": {**ADAMW, "learning_rate": 5e-4},
    # Too small for so much: what makes large networks better only keeps these from learning.
    "cnn2": {"dropout": 0.0, "mixup": 0.0, "erasing": 0.0},
    "mini_xception": {"dropout": 0.0, "mixup": 0.0, "erasing": 0.0},
}
START_UP_S = 45.0


def train_one(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one network, in this process."""
    import torch

    from mien.evaluate import evaluate_model
    from mien.train import ExpressionRecipe, change_recipe, train_model
    from mien.train.machine import processor_name

    budget = {"epochs": arguments.epochs} if arguments.epochs else {"minutes": arguments.minutes}
    recipe = change_recipe(
        ExpressionRecipe(),
        {
            "architecture": name, "dataset": arguments.data, "accelerator": arguments.accelerator,
            "batch_size": arguments.batch_size, "max_faces": arguments.max_faces, "loggers": ("csv",),
            "threads": arguments.threads, "save_every_s": 600.0, **budget, **CHANGES.get(name, {}),
        },
    )  # fmt: skip
    run = arguments.out / "runs" / name
    shutil.rmtree(run, ignore_errors=True)  # of a run that was cut
    result = train_model(recipe, run)
    views = not arguments.one_pass
    found = evaluate_model(result.last_path, arguments.data, ten_views=views, threads=arguments.threads).to_dict()
    leaks = (found["leaks"] or {}).get("without_leaks", {})
    return {
        "network": name,
        "parameters": found["model"]["parameters"],
        "changes": CHANGES.get(name, {}),
        "epochs": result.epochs,
        "minutes": round(result.seconds / 60, 2),
        "split": found["data"]["split"],
        "faces": found["data"]["images"],
        "accuracy": found["one_pass"]["accuracy"],
        "interval_95": found["one_pass"]["accuracy_interval_95"],
        "ten_views": found["ten_views"] and found["ten_views"]["accuracy"],
        "faces_without_leaks": leaks.get("images"),
        "without_leaks": leaks.get("one_pass", {}).get("accuracy"),
        "device": torch.cuda.get_device_name() if recipe_on_gpu(arguments.accelerator) else processor_name(),
        "torch": torch.__version__,
        "ms_a_face": None,
    }


def recipe_on_gpu(accelerator: str) -> bool:
    """Whether it is trained on a GPU."""
    import torch

    return accelerator != "cpu" and torch.cuda.is_available()


def run_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train what is missing, several at a time; rewrite the table whenever one is done."""
    rows = read_rows(arguments)
    start_s = time.monotonic()
    each_s = 60 * arguments.minutes if not arguments.epochs else 0.0
    waiting = [name for name in arguments.networks if name not in rows]
    running: dict[str, subprocess.Popen[bytes]] = {}

    def left_s() -> float:
        return 60 * arguments.total_minutes - (time.monotonic() - start_s)

    def stop(*_: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, stop)
    try:
        work_off(arguments, rows, waiting, running, left_s, each_s)
    finally:
        for process in running.values():
            process.kill()
    if left_s() > 10:
        measure_times(arguments, rows)
    write_table(arguments, rows)
    return list(rows.values())


def work_off(
    arguments: argparse.Namespace,
    rows: dict[str, dict[str, Any]],
    waiting: list[str],
    running: dict[str, subprocess.Popen[bytes]],
    left_s: Callable[[], float],
    each_s: float,
) -> None:
    """Start and collect the workers."""
    while waiting or running:
        while waiting and len(running) < arguments.side_by_side:
            if left_s() < each_s + START_UP_S:
                for name in waiting:
                    print(f"{name}: no time left; the same command goes on with it", flush=True)
                waiting.clear()
                break
            name = waiting.pop(0)
            command = [sys.executable, __file__, *sys.argv[1:], "--worker", name]
            # Its output goes to a file, that no full pipe stops it.
            with (arguments.out / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(command, stdout=log, stderr=log)
        time.sleep(0.2)
        for name, process in list(running.items()):
            late = left_s() < 5
            if process.poll() is None and not late:
                continue
            if late and process.poll() is None:
                process.kill()
            process.wait()
            del running[name]
            path = arguments.out / f"{name}.json"
            if path.is_file():
                rows[name] = json.loads(path.read_text(encoding="utf-8"))
                print(f"{name}: {rows[name]['accuracy']:.1%}", flush=True)
                write_table(arguments, rows)
            else:
                said = (arguments.out / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip()
                why = "cut: no time left" if late else (said.splitlines() or ["it ended without a word"])[-1]
                print(f"{name}: FAILED: {why}", flush=True)


def read_rows(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What earlier calls have done."""
    paths = {name: arguments.out / f"{name}.json" for name in arguments.networks}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def measure_times(arguments: argparse.Namespace, rows: dict[str, dict[str, Any]]) -> None:
    """Milliseconds a face as float32 ONNX, one thread, one face at a time; the networks take turns."""
    import numpy as np

    from mien.classify import OnnxClassifier
    from mien.data.faces import open_faces
    from mien.evaluate.speed import ms_a_face
    from mien.export.graph import canonical_bytes, to_onnx
    from mien.train.checkpoint import load_checkpoint
    from mien.train.classifier import TorchClassifier
    from mien.zoo.store import StoredModel

    names, models = [], []
    for name in rows:
        path = arguments.out / "runs" / name / "last.safetensors"
        if not path.is_file():
            continue
        content = canonical_bytes(to_onnx(load_checkpoint(path)))
        onnx = path.with_suffix(".onnx")
        onnx.write_bytes(content)
        card = TorchClassifier(path).card
        card = dataclasses.replace(card, file=onnx.name, sha256=hashlib.sha256(content).hexdigest())
        names.append(name)
        models.append(OnnxClassifier(StoredModel(card, onnx), 1))
    if not models:
        return
    faces = open_faces(arguments.data)
    images = faces.images(np.arange(min(8, len(faces))))
    for name, timing in zip(names, ms_a_face(models, images, arguments.timed_faces), strict=True):
        rows[name]["ms_a_face"] = timing["median"]


def write_table(arguments: argparse.Namespace, rows: dict[str, dict[str, Any]]) -> None:
    """Write the table as Markdown and JSON."""
    from mien.train.machine import processor_name

    done = [rows[name] for name in arguments.networks if name in rows]
    if not done:
        return
    budget = f"{arguments.epochs} epochs" if arguments.epochs else f"{arguments.minutes:g} minutes"
    first = done[0]
    conditions = {
        "budget of each": budget,
        "side by side": arguments.side_by_side,
        "device": first["device"],
        "processor": processor_name(),
        "torch": first["torch"],
        "batch": arguments.batch_size,
        "training faces at most": arguments.max_faces,
        "seed": 0,
    }
    lines = [
        f"Each {budget}, {arguments.side_by_side} side by side on one {first['device']}; batch {arguments.batch_size}, "
        f"mien's default recipe but for the optimizer of some, one seed, nothing tuned. Last weights, measured on "
        f"{first['split']} ({first['faces']:,} faces). ms a face: float32 ONNX on one thread of {processor_name()}.",
        "",
        "| network | parameters | epochs | minutes | accuracy (95 %) | ten views | without leaks | ms a face |",
        "| --- |" + " --- |" * 7,
    ]
    for row in sorted(done, key=lambda row: -row["accuracy"]):
        low, high = row["interval_95"]
        optional = [
            "" if row[key] is None else form.format(row[key])
            for key, form in (("ten_views", "{:.1%}"), ("without_leaks", "{:.1%}"), ("ms_a_face", "{:.2f}"))
        ]
        lines.append(
            f"| `{row['network']}` | {row['parameters']:,} | {row['epochs']} | {row['minutes']:.1f} | "
            f"{row['accuracy']:.1%} ({100 * low:.1f} to {100 * high:.1f}) | {' | '.join(optional)} |"
        )
    write(arguments.out / "table.md", "\n".join(lines) + "\n")
    write(arguments.out / "table.json", json.dumps({"conditions": conditions, "rows": done}, indent=2) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(f".{path.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder or file with the splits train and validation")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(CLASSICS), help="with commas")
    parser.add_argument("--minutes", type=float, default=1.8, help="of training, each")
    parser.add_argument("--epochs", type=int, help="of training, each, in place of minutes")
    parser.add_argument("--total-minutes", type=float, default=9.5)
    parser.add_argument("--side-by-side", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--max-faces", type=int, help="learn from that many only")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--timed-faces", type=int, default=100)
    parser.add_argument("--one-pass", action="store_true", help="leave the ten views out")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.threads = max(1, usable_cores() // arguments.side_by_side)
    if arguments.worker:
        row = train_one(arguments.worker, arguments)
        write(arguments.out / f"{arguments.worker}.json", json.dumps(row, indent=2) + "\n")
        return
    (arguments.out / "runs").mkdir(parents=True, exist_ok=True)
    run_all(arguments)
    print((arguments.out / "table.md").read_text(encoding="utf-8") if (arguments.out / "table.md").is_file() else "-")


if __name__ == "__main__":
    main()
