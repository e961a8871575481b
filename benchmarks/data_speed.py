"""Measure `mien data` on FER2013: how long import, report, audit and cleaning take, and what the audit finds.

    python benchmarks/data_speed.py FOLDER [--rounds 3]

FOLDER holds ``fer2013-train.parquet`` and ``fer2013-valid.parquet``. A CSV in the form of ``fer2013.csv`` is rebuilt
from them (same pixels), with the votes as ``fer2013new.csv``. Every part runs in a process of its own, so that its peak
memory is its own. Wall time is what a person waits; CPU time counts all threads, and is what one can compare where
other programs run beside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mien.data import Dataset, import_dataset
from mien.data.ferplus import majority
from mien.labels import EXPRESSIONS

USAGE = {"train": "Training", "validation": "PublicTest"}
HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def rebuild_csv(dataset: Dataset, folder: Path) -> None:
    """Write the dataset as fer2013.csv and fer2013new.csv."""
    words = [str(value) for value in range(256)]
    votes = dataset.votes
    assert votes is not None
    with (folder / "fer2013.csv").open("w") as pixels, (folder / "fer2013new.csv").open("w") as ballots:
        pixels.write("emotion,pixels,Usage\n")
        ballots.write(HEADER + "\n")
        rows = zip(dataset.label.tolist(), dataset.images(), dataset.split.tolist(), votes.tolist(), strict=True)
        for row, (label, image, split, vote) in enumerate(rows):
            pixels.write(f"{label},{' '.join(words[value] for value in image.ravel().tolist())},{USAGE[split]}\n")
            ballots.write(f"{USAGE[split]},fer{row:07d}.png,{','.join(map(str, vote))}\n")


def run(*arguments: str, folder: Path) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak MB and output of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start_s = time.monotonic()
    # The peak of this child only: RUSAGE_CHILDREN keeps the largest of all.
    code = (
        "import resource, sys; from mien.cli import main; sys.argv = ['mien', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start_s, cpu_s, float(done.stderr.split()[-1]), done.stdout


def flagged_labels(folder: Path) -> None:
    """How often the votes' majority contradicts the labels that the audit calls wrong, and all labels."""
    from mien.data import read_plan

    dataset = Dataset(folder / "fer2013.parquet")
    votes = dataset.votes
    assert votes is not None
    voted = majority(votes)
    names = [EXPRESSIONS.index(name) for name in dataset.labels]
    other = [voted[row] >= 0 and voted[row] != names[dataset.label[row]] for row in range(len(dataset))]
    plan = read_plan(folder / "plan.parquet", dataset.labels)
    for split in dataset.splits:
        rows = [finding.index for finding in plan if finding.check == "wrong_label" and finding.split == split]
        every = [value for value, own in zip(other, dataset.split.tolist(), strict=True) if own == split]
        share = sum(other[row] for row in rows) / max(len(rows), 1)
        print(
            f"wrong labels, {split}: {len(rows)} found; the votes' majority is another class on {share:.1%} of them, "
            f"on {sum(every) / len(every):.1%} of all"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    parts = {
        "import of the CSV, with votes": ("import", "fer2013.csv", "fer2013.parquet", "--votes", "fer2013new.csv"),
        "import of the Parquet files": ("import", str(arguments.folder.resolve()), "again.parquet"),
        "report": ("report", "fer2013.parquet", "--out", "report.html"),
        "audit": ("audit", "fer2013.parquet", "--plan", "plan.parquet", "--out", "audit.html", "--json"),
        "clean": ("clean", "fer2013.parquet", "plan.parquet", "clean.parquet", "--leak-free"),
        "split in 5 folds": ("split", "fer2013.parquet", "folds.parquet", "--folds", "5"),
    }
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset, _ = import_dataset(arguments.folder, folder / "source.parquet")
        rebuild_csv(dataset, folder)
        print("| part | wall s (median, range) | CPU s (median) | peak MB |\n| --- | --- | --- | --- |")
        for part, command in parts.items():
            runs = [run("data", *command, folder=folder) for _ in range(arguments.rounds)]
            wall = [wall_s for wall_s, *_ in runs]
            print(
                f"| {part} | {statistics.median(wall):.1f} ({min(wall):.1f} to {max(wall):.1f}) "
                f"| {statistics.median(cpu_s for _, cpu_s, *_ in runs):.1f} | {max(mb for *_, mb, _ in runs):.0f} |",
                flush=True,
            )
            if part == "audit":
                found = json.loads(runs[-1][-1])
        print(json.dumps(found))
        flagged_labels(folder)


if __name__ == "__main__":
    main()
