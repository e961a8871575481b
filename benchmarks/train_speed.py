"""Measure how long an epoch of training takes: mien's own engine, on whatever device is there.

    python benchmarks/train_speed.py [--data FER2013_FOLDER] [--networks mien-base] [--batch-sizes 256,512]
        [--compile none,network,graphs]

Without --data, made-up faces of the same number and size stand in (the pixels make no difference). Every combination
runs in a process of its own; its epoch is the median of those after the first two, in which kernels are chosen and
compiled. An epoch is training alone, by the engine's own clock; "with validation" is what a person waits from one
epoch's end to the next. "augmentation" is what making the batches alone would take, "network" forward, backward and
optimizer alone, uncompiled: where time can be won.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRAIN_FACES, VALIDATION_FACES, SIDE_PX = 28_709, 3_589, 48


def made_faces(path: Path, faces: int) -> None:
    """A dataset of smooth noise, of the size and number of FER2013's."""
    import cv2
    import numpy as np

    from mien.data import DatasetInfo
    from mien.data.ferplus import VOTE_LABELS
    from mien.data.writer import DatasetWriter, Row
    from mien.labels import FER7
    from mien.opencv import encode_png

    rng = np.random.default_rng(0)
    validation = max(1, round(faces * VALIDATION_FACES / TRAIN_FACES))
    with DatasetWriter(path, DatasetInfo(labels=FER7, name="made", vote_labels=VOTE_LABELS, columns=("votes",))) as out:
        for number in range(faces + validation):
            coarse = rng.integers(0, 256, (8, 8)).astype(np.uint8)
            image = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
            split = "train" if number < faces else "validation"
            row = Row(encode_png(image), number % len(FER7), split, "made", number)
            row.votes = rng.multinomial(10, [0.1] * 10).tolist()
            out.write(row)


def measure(arguments: argparse.Namespace, name: str, batch_size: int, compiled: str) -> dict[str, Any]:
    """One combination, in this process."""
    import torch

    from mien.train import ExpressionRecipe, change_recipe, train_model

    recipe = change_recipe(
        ExpressionRecipe(),
        {
            "architecture": name, "dataset": arguments.data, "batch_size": batch_size,
            "compile": compiled, "precision": arguments.precision, "epochs": arguments.epochs, "loggers": ("csv",),
            "accelerator": arguments.accelerator, "save_every_s": 600.0, "threads": arguments.threads,
            "channels_last": not arguments.channels_first,
        },
    )  # fmt: skip
    gpu = arguments.accelerator != "cpu" and torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        history = train_model(recipe, Path(folder) / "run").history
    steps = arguments.faces // batch_size
    warm = history[2:] or history[-1:]
    waits = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(history[1:])]
    peak_mb = torch.cuda.max_memory_allocated() / 2**20 if gpu else None
    return {
        "network": name,
        "batch": batch_size,
        "compile": compiled,
        "steps": steps,
        "images_per_s": statistics.median(row["images_per_s"] for row in warm),
        "epoch_s": statistics.median(steps * batch_size / row["images_per_s"] for row in warm),
        "epoch_with_validation_s": statistics.median(waits or [history[-1]["seconds"]]),
        "first_epoch_s": history[0]["seconds"],
        **parts(recipe, steps, gpu),
        "gpu_memory_mb": peak_mb,
        "device": torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }


def parts(recipe: Any, steps: int, gpu: bool) -> dict[str, float]:
    """What an epoch of making batches alone takes, and one of forward, backward and optimizer alone, uncompiled."""
    from mien.train.machine import in_memory_format, open_fabric, torch_settings
    from mien.train.optimizer import make_optimizer
    from mien.train.run import make_task
    from mien.train.task import Place, Step

    fabric = open_fabric(recipe.run)
    task = make_task(recipe)
    rounds = min(steps, 30 if gpu else 3)

    def timed(work: Any) -> float:
        for number in range(3 if gpu else 1):
            work(number)
        synchronise(gpu)
        start_s = time.perf_counter()
        for number in range(rounds):
            work(number)
        synchronise(gpu)
        return (time.perf_counter() - start_s) * steps / rounds

    with torch_settings(recipe.run, fabric.device):
        network = in_memory_format(task.setup(Place(fabric.device)).to(fabric.device), recipe.run, fabric.device)
        optimizer = make_optimizer(network, recipe.optimizer, task.rate_of, fabric.device)
        network, optimizer = fabric.setup(network, optimizer)
        batch = task.batch(Step(0, 0, 0.0, 1))

        def learn(_: int) -> None:
            fabric.backward(task.losses(network, batch)["loss"])
            optimizer.step()
            optimizer.zero_grad()

        return {
            "augmentation_s": timed(lambda number: task.batch(Step(0, number, 0.0, number))),
            "network_s": timed(learn),
        }


def synchronise(gpu: bool) -> None:
    """Wait for the device."""
    import torch

    if gpu:
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=TRAIN_FACES, help="made-up training faces")
    parser.add_argument("--networks", type=lambda text: text.split(","), default=["mien-base"], help="with commas")
    parser.add_argument("--batch-sizes", type=lambda text: [int(part) for part in text.split(",")], default=[256, 512])
    parser.add_argument("--compile", type=lambda text: text.split(","), default=["none", "network", "graphs"])
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "32"))
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--channels-first", action="store_true", help="the layout NCHW in place of NHWC")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--timeout-s", type=float, default=180.0, help="of one combination")
    parser.add_argument("--out", type=Path, help="also write JSON there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, batch_size, compiled = arguments.one.split("/")
        print(json.dumps(measure(arguments, name, int(batch_size), compiled)))
        return
    with tempfile.TemporaryDirectory() as folder:
        given = sys.argv[1:]
        if arguments.data is None:
            made_faces(Path(folder) / "made.parquet", arguments.faces)
            given = [*given, "--data", str(Path(folder) / "made.parquet")]
        rows = []
        print(
            "| network | batch | compile | images a second | s an epoch | with validation | first epoch | augmentation "
            "| network | MB |"
        )
        print("| --- |" + " --- |" * 9)
        for name, batch_size, compiled in itertools.product(
            arguments.networks, arguments.batch_sizes, arguments.compile
        ):
            command = [sys.executable, __file__, *given, "--one", f"{name}/{batch_size}/{compiled}"]
            head = f"| {name} | {batch_size} | {compiled} |"
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout_s)
            except subprocess.TimeoutExpired:
                print(f"{head} took too long |" + " |" * 6, flush=True)
                continue
            if done.returncode:
                why = (done.stderr.strip().splitlines() or ["?"])[-1].replace("|", "/")[:100]
                print(f"{head} failed: {why} |" + " |" * 6, flush=True)
                continue
            row = json.loads(done.stdout.strip().splitlines()[-1])
            rows.append(row)
            memory = "" if row["gpu_memory_mb"] is None else f"{row['gpu_memory_mb']:,.0f}"
            print(
                f"{head} {row['images_per_s']:,.0f} | {row['epoch_s']:.3f} | {row['epoch_with_validation_s']:.3f} | "
                f"{row['first_epoch_s']:.1f} | {row['augmentation_s']:.3f} | {row['network_s']:.3f} | {memory} |",
                flush=True,
            )
        if rows:
            print(f"\n{rows[0]['device']}, torch {rows[0]['torch']}, load {os.getloadavg()[0]:.1f}")
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        if not rows:
            sys.exit(1)


if __name__ == "__main__":
    main()
