"""Measure `mien batch`: against one core, against `mien recognize`, its memory; and kill it twenty times.

    python benchmarks/batch_speed.py speed [--photos 20000] [--width 640] [--rounds 1]
    python benchmarks/batch_speed.py kills [--photos 8000] [--kills 20]

Photos are made from the one in `examples/`: JPEG files of 640 x 480 pixels with up to two faces, no two alike. The
sides of each comparison alternate inside one run. Beside the time on the clock stands the processor time of all
processes, which other work on the machine disturbs less. "One core" is the whole command, Ray's own processes
included, kept on one core, as on a machine that has no second one. What two cores can give at most is measured too:
two processes that share nothing, against one of them alone.

`speed` takes about six minutes and ends with the rows of the table in docs/batch.md.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
MIEN = [sys.executable, "-m", "mien"]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CEILING_S = 10.0
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def make_photos(folder: Path, count: int, width_px: int) -> None:
    """JPEG files of 4 to 3 with no, one or two faces."""
    height_px, scale = width_px * 3 // 4, width_px / 320
    rng = np.random.default_rng(0)
    head = cv2.imread(str(ASTRONAUT))[20:250, 110:340]
    for number in range(count):
        below = folder / f"{number // 1000:03d}"
        below.mkdir(parents=True, exist_ok=True)
        canvas = cv2.resize(
            rng.integers(60, 200, (4, 5, 3), np.uint8), (width_px, height_px), interpolation=cv2.INTER_CUBIC
        )
        for slot in range(int(rng.integers(0, 3))):
            size_px = int(scale * rng.integers(60, 150))
            x, y = int(scale * (5 + 160 * slot)), int(rng.integers(0, height_px - size_px))
            face = cv2.resize(head, (size_px, size_px), interpolation=cv2.INTER_AREA)
            canvas[y : y + size_px, x : x + size_px] = cv2.convertScaleAbs(face, alpha=float(rng.uniform(0.6, 1.2)))
        cv2.imwrite(str(below / f"{number:06d}.jpg"), canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])


@dataclass
class Watch:
    """What all processes of one run use: those that have its mark in their environment."""

    mark: str
    first: int = 0
    cpu_s: dict[int, float] = field(default_factory=dict)
    strangers: set[int] = field(default_factory=set)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    reader_mb: list[tuple[float, float]] = field(default_factory=list)

    def pids(self) -> list[int]:
        """The processes of the run."""
        numbers = {int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()} - self.strangers
        return [number for number in numbers if self.mark.encode() in read(f"/proc/{number}/environ")]

    def look(self, since_s: float) -> None:
        """Note what they use now."""
        total = readers = 0.0
        ours = self.pids()
        # Looking must cost nothing: who was there before the command has nothing to do with it.
        if not self.memory_mb:
            self.strangers = {int(n.name) for n in Path("/proc").iterdir() if n.name.isdigit()} - {*ours, self.first}
        for pid in ours:
            fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            private_pages = [int(n) for n in read(f"/proc/{pid}/statm").split()]
            if not fields or not private_pages:
                continue
            self.cpu_s[pid] = (int(fields[11]) + int(fields[12])) * TICK_S
            mb = (private_pages[1] - private_pages[2]) * PAGE_MB
            total += mb
            if b"mien.cluster.child" in command(pid):
                readers += mb
        now_s = time.perf_counter() - since_s
        self.memory_mb.append((now_s, total))
        self.reader_mb.append((now_s, readers))


def read(name: str) -> bytes:
    """A file of /proc; nothing where the process has gone."""
    try:
        return Path(name).read_bytes()
    except OSError:
        return b""


def command(pid: int) -> bytes:
    return read(f"/proc/{pid}/cmdline")


def run(arguments: list[str], cores: set[int]) -> tuple[float, Watch]:
    """Run a command on some cores; returns seconds and what its processes used."""
    watch = Watch(f"mien-benchmark-{random.getrandbits(64):x}")
    start_s = time.perf_counter()
    child = subprocess.Popen(
        [*MIEN, *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "MIEN_MARK": watch.mark},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    watch.first = child.pid
    over = threading.Event()

    def looking() -> None:
        while not over.wait(0.5):
            watch.look(start_s)

    thread = threading.Thread(target=looking)
    thread.start()
    status = child.wait()
    seconds = time.perf_counter() - start_s
    over.set()
    thread.join()
    if status not in (0, 1):
        raise SystemExit(f"{arguments} ended with status {status}")
    return seconds, watch


def measure_ceiling(photos: Path, cores: list[int]) -> float:
    """How much faster two processes are that read photos and share nothing, than one of them alone."""
    rates = []
    for chosen in (cores[:1], cores):
        readers = [
            subprocess.Popen(
                [sys.executable, __file__, "read", "--folder", str(photos)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in chosen
        ]
        for reader, core in zip(readers, chosen, strict=True):
            os.sched_setaffinity(reader.pid, {core})
            reader.stdout.readline()  # it has read some
        for reader in readers:
            reader.stdin.write(b"go\n")
            reader.stdin.flush()
        rates.append(sum(float(reader.communicate()[0]) for reader in readers))
    return rates[1] / rates[0]


def read_alone(photos: Path) -> None:
    """Read photos in one thread for some seconds; prints how many a second."""
    import mien

    recognizer = mien.Recognizer(threads=1)
    files = [str(path) for path in sorted(photos.rglob("*.jpg"))[:512]]
    batches = [files[start : start + 16] for start in range(0, len(files), 16)]
    for batch in batches[:8]:
        recognizer.recognize(batch)
    print("ready", flush=True)
    sys.stdin.readline()
    start_s, count = time.perf_counter(), 0
    while time.perf_counter() - start_s < CEILING_S:
        recognizer.recognize(batches[count // 16 % len(batches)])
        count += 16
    print(count / (time.perf_counter() - start_s))


def measure_speed(photos: Path, work: Path, count: int, rounds: int) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    few = work / "few"
    few.mkdir()
    for path in sorted(photos.rglob("*.jpg"))[:20]:
        (few / path.name).write_bytes(path.read_bytes())
    load = os.getloadavg()[0]
    ceiling = measure_ceiling(photos, cores)
    print(f"two processes that share nothing: {ceiling:.2f}x one of them (load before: {load:.1f})", flush=True)
    sides = {"recognize": [], "batch": [], "one core": []}
    fixed = {"batch": [], "one core": []}
    for number in range(rounds):
        lines = {
            "recognize": (["recognize", "-r", "-q", str(photos), "--out", str(work / "rows.parquet")], cores),
            "batch": (["batch", str(photos), str(work / f"batch{number}")], cores),
            "one core": (["batch", str(photos), str(work / f"one{number}")], cores[:1]),
        }
        for name, (line, chosen) in lines.items():
            load = os.getloadavg()[0]
            seconds, watch = run(line, set(chosen))
            cpu_s = sum(watch.cpu_s.values())
            sides[name].append((seconds, cpu_s, watch))
            idle_s = seconds - cpu_s / len(chosen)
            print(
                f"{name}: {seconds:.1f} s, {count / seconds:.0f} photos a second, {cpu_s:.1f} s of processor time, "
                f"{idle_s:.1f} s idle on each core (load before: {load:.1f})",
                flush=True,
            )
            if name in fixed:
                seconds, watch = run(["batch", str(few), str(work / f"few-{name}{number}")], set(chosen))
                fixed[name].append((seconds, sum(watch.cpu_s.values())))
                print(f"  20 photos: {seconds:.1f} s, {fixed[name][-1][1]:.1f} s of processor time", flush=True)
        rows = same_rows(work / "rows.parquet", work / f"batch{number}" / "faces")

    def median(name: str, index: int) -> float:
        return statistics.median(values[index] for values in sides[name])

    def ratio(above: str, below: str, index: int) -> str:
        value = statistics.median(a[index] / b[index] for a, b in zip(sides[above], sides[below], strict=True))
        return f"{value:.2f}x ({median(above, index):.1f} s, {median(below, index):.1f} s)"

    start_s, start_cpu_s = (statistics.median(values[index] for values in fixed["batch"]) for index in (0, 1))
    reading_cpu_s = median("batch", 1) - start_cpu_s
    table = {
        "`mien batch` against `mien recognize`, on the clock": ratio("batch", "recognize", 0),
        "the same in processor time": ratio("batch", "recognize", 1),
        "the same a photo, without starting and stopping": f"{reading_cpu_s / median('recognize', 1):.2f}x",
        "starting and stopping (20 photos)": f"{start_s:.1f} s, {start_cpu_s:.1f} s of processor time",
        "two cores against one, on the clock": ratio("one core", "batch", 0),
        "two processes that share nothing against one": f"{ceiling:.2f}x",
    }
    watch = sides["batch"][-1][2]
    for what, samples in (("all processes, Ray's included", watch.memory_mb), ("the readers", watch.reader_mb)):
        length = samples[-1][0]
        early = statistics.median(mb for s, mb in samples if 0.2 * length < s < 0.4 * length)
        late = statistics.median(mb for s, mb in samples if 0.7 * length < s < 0.9 * length)
        table[f"memory of {what}"] = f"{early:,.0f} MB early, {late:,.0f} MB late"
    table["rows"] = f"{rows:,} faces, equal to those of `mien recognize` to the last digit"
    print("\nFor docs/batch.md:\n")
    for name, value in table.items():
        print(f"| {name} | {value} |")


def same_rows(plain: Path, batch: Path) -> int:
    """The rows of `mien recognize` and of `mien batch` must be equal, to the last digit."""
    columns = ["source", "box_x1", "box_y1"]
    one = pandas.read_parquet(plain).sort_values(columns).reset_index(drop=True)
    two = pandas.read_parquet(batch).drop(columns="key").sort_values(columns).reset_index(drop=True)
    pandas.testing.assert_frame_equal(one, two, check_exact=True)
    return len(one)


def kill_again_and_again(photos: Path, work: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    line = ["batch", str(photos), str(work / "killed"), "--part-size", "32"]
    watch = Watch(f"mien-benchmark-{random.getrandbits(64):x}")
    environment = {**os.environ, "MIEN_MARK": watch.mark}
    quiet = {"stdout": subprocess.DEVNULL, "env": environment}
    done = work / "killed" / "inputs"
    kinds = {"driver": b"-m\0mien\0batch", "worker": b"ray::mien_part", "reader": b"mien.cluster.child"}
    counts = dict.fromkeys(kinds, 0)
    starts = 1
    driver = subprocess.Popen([*MIEN, *line], **quiet)
    for number in range(kills):
        kind = rng.choice(list(kinds))
        before, end_s = parts(done), time.monotonic() + 300
        while parts(done) == before and driver.poll() is None:  # something was done since the last kill
            if time.monotonic() > end_s:
                raise SystemExit("no part was done for five minutes")
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.6))
        victims = [pid for pid in watch.pids() if kinds[kind] in command(pid)]
        if driver.poll() is not None:
            raise SystemExit(f"it ended with status {driver.returncode} after {number} kills: make more photos?")
        if not victims:
            kind, victims = "driver", [driver.pid]
        os.kill(rng.choice(victims), signal.SIGKILL)
        counts[kind] += 1
        print(f"kill {number + 1}: {kind}, {parts(done)} parts are done", flush=True)
        if kind == "driver":
            driver.wait()  # and started again at once, while workers of the one before may still write
            driver = subprocess.Popen([*MIEN, *line], **quiet)
            starts += 1
    status = driver.wait()
    while watch.pids():
        time.sleep(0.1)
    seconds, _ = run(["batch", str(photos), str(work / "clean"), "--part-size", "32"], os.sched_getaffinity(0))
    for name in ("faces", "inputs"):
        one, two = (
            pandas.read_parquet(work / which / name).sort_values("key", kind="stable").reset_index(drop=True)
            for which in ("killed", "clean")
        )
        pandas.testing.assert_frame_equal(one, two, check_exact=True)
        if name == "inputs" and one["key"].duplicated().any():
            raise SystemExit("an input has two rows")
        print(f"{name}: {len(one):,} rows, equal to those of one clean run of {seconds:.0f} s")
    print(f"killed {sum(counts.values())} times ({counts}), started {starts} times, last status {status}")


def parts(folder: Path) -> int:
    return len(list(folder.glob("*.parquet")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "kills", "read"], help="read is for speed itself")
    parser.add_argument("--photos", type=int, help="20,000 for speed, 8,000 for kills")
    parser.add_argument("--width", type=int, default=640, help="of the photos, in pixels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="photos that a run before made are taken from here")
    arguments = parser.parse_args()
    if arguments.what == "read":
        read_alone(arguments.folder)
        return
    count = arguments.photos or (20_000 if arguments.what == "speed" else 8_000)
    with tempfile.TemporaryDirectory(prefix="mien-") as name:
        work = Path(name)
        photos = (arguments.folder or work) / f"photos{count}-{arguments.width}"
        if not photos.is_dir():
            make_photos(photos, count, arguments.width)
        if arguments.what == "speed":
            measure_speed(photos, work, count, arguments.rounds)
        else:
            kill_again_and_again(photos, work, arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
