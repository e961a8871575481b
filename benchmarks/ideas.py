"""Ideas for better networks, each against one baseline: the same network, data, epochs and seed, one thing changed.

    python benchmarks/ideas.py --data FER2013.parquet --out DIR [--epochs 4] [--aligned FER2013-ALIGNED.parquet]
        [--without-doubtful FEWER.parquet] [--relabelled RELABELLED.parquet]

The last two come from out-of-fold predictions: `mien train --folds 5`, `mien evaluate --faces`, `mien data audit
--probabilities --plan`, and `mien data clean` of the plan's wrong labels, dropped or replaced.

Each is trained by `mien train`, several side by side; its **last** weights are measured on the split ``validation`` by
`mien evaluate`. DIR/table.md is written anew whenever one is done; the same command goes on with what is missing, and
with runs that were cut. A few epochs say what an idea brings at the start, and not what it brings in the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mien.metrics.paired import holm, paired_test
from mien.parallel import usable_cores

BASELINE = "baseline"
MAX_POOLS = ["--architecture-options", "blur_pools=0"]
IDEAS: dict[str, list[str]] = {
    BASELINE: MAX_POOLS,
    "SAM": [*MAX_POOLS, "--sam-radius", "0.05"],
    "RepVGG's branches": ["--architecture-options", "blur_pools=0,repvgg=true"],
    "blur pools": ["--architecture-options", "blur_pools=3"],
    "aligned faces": MAX_POOLS,
    "aligned faces and blur pools": ["--architecture-options", "blur_pools=3"],
    "weighted by the votes": [*MAX_POOLS, "--vote-weighting", "1"],
    "labels half-way to the votes": [*MAX_POOLS, "--relabel", "0.5"],
    "doubtful labels left out": MAX_POOLS,
    "doubtful labels replaced": MAX_POOLS,
    "CutMix in place of mixup": [*MAX_POOLS, "--mixup", "0", "--cutmix", "1"],
    "no FER+ head": [*MAX_POOLS, "--ferplus-weight", "0"],
    "another seed": [*MAX_POOLS, "--seed", "1"],
    "another seed, blur pools": ["--architecture-options", "blur_pools=3", "--seed", "1"],
    "another seed, aligned faces": [*MAX_POOLS, "--seed", "1"],
}

OTHER_DATA = {"aligned": "aligned", "left out": "without_doubtful", "replaced": "relabelled"}
"""The argument that gives the data of an idea, by a part of its name. What they are measured on is the same split."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="FER2013 with FER+ votes")
    parser.add_argument(
        "--aligned", type=Path, help="the same, by 'mien data align'; without it those ideas are left out"
    )
    parser.add_argument("--without-doubtful", type=Path, help="the same without doubtful training labels")
    parser.add_argument("--relabelled", type=Path, help="the same with doubtful training labels replaced")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--architecture", default="mien-tiny")
    parser.add_argument("--precision", default="auto", choices=("auto", "bf16", "32"))
    parser.add_argument("--side-by-side", type=int, default=2)
    parser.add_argument("--ideas", type=lambda text: text.split(","), default=list(IDEAS), help="with commas")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in arguments.ideas if data_of(name, arguments) is not None]
    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        for _ in pool.map(lambda name: try_out(name, arguments), names):
            write_table(names, arguments)
    print((arguments.out / "table.md").read_text(encoding="utf-8"))


def try_out(name: str, arguments: argparse.Namespace) -> None:
    """Train and measure one, unless that is done."""
    run = folder(name, arguments)
    if (run / "faces.csv").is_file():
        return
    data = data_of(name, arguments)
    threads = ["--threads", str(max(1, usable_cores() // arguments.side_by_side))]
    if (run / "state.safetensors").is_file():
        train = ["train", "--resume", "--out", run]
    elif (run / "last.safetensors").is_file():
        train = []
    else:
        train = [
            "train", "--data", data, "--architecture", arguments.architecture, "--epochs", arguments.epochs,
            "--batch-size", 128, "--precision", arguments.precision, "--loggers", "csv", "--out", run, *threads,
            *IDEAS[name],
        ]  # fmt: skip
    faces = ["--faces", run / "faces.csv"]
    commands = [
        train,
        ["evaluate", run / "last.safetensors", "--data", data, "--split", "validation", *faces, *threads, "--json"],
    ]
    with run.with_suffix(".log").open("a") as log:
        for command in filter(None, commands):
            words = [sys.executable, "-m", "mien", *map(str, command)]
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=log, text=True)
            if done.returncode:
                raise SystemExit(f"{name}: 'mien {command[0]}' ended with {done.returncode}; see {log.name}")
    (run / "evaluate.json").write_text(done.stdout, encoding="utf-8")
    print(f"{name}: {json.loads(done.stdout)['one_pass']['accuracy']:.1%}", flush=True)


def data_of(name: str, arguments: argparse.Namespace) -> Path | None:
    """What an idea learns from and is measured on; None where that was not given."""
    found: Path | None = next(
        (getattr(arguments, option) for part, option in OTHER_DATA.items() if part in name), arguments.data
    )
    return found


def folder(name: str, arguments: argparse.Namespace) -> Path:
    return arguments.out / "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def write_table(names: list[str], arguments: argparse.Namespace) -> None:
    """Of those that are done: accuracy, and the paired difference from the baseline."""
    done = [name for name in names if (folder(name, arguments) / "evaluate.json").is_file()]
    if BASELINE not in done:
        return
    right = {name: answers_right(folder(name, arguments) / "faces.csv") for name in done}
    tests = {name: paired_test(right[name], right[BASELINE]) for name in done if name != BASELINE}
    p_values = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    lines = ["| | one pass | ten views | difference, in points | p | minutes |", "| --- |" + " --- |" * 5]
    for name in done:
        found = json.loads((folder(name, arguments) / "evaluate.json").read_text(encoding="utf-8"))
        result = json.loads((folder(name, arguments) / "run.json").read_text(encoding="utf-8"))["result"]
        cells = [f"{found[views]['accuracy']:.1%}" for views in ("one_pass", "ten_views")]
        if name in tests:
            low, high = tests[name].interval_95
            cells += [f"{100 * low:+.1f} to {100 * high:+.1f}", f"{p_values[name]:.2g}"]
        else:
            cells += ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} | {result['seconds'] / 60:.0f} |")
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def answers_right(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([row["label"] == row["answer"] for row in csv.DictReader(file)])


if __name__ == "__main__":
    main()
