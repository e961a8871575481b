"""Measure what a user waits for, as ratios in one run.

    python benchmarks/recognize_speed.py [--out table.md] [--quick]

Pictures are made from the photo in `examples/`, so that everybody can run it. Every comparison alternates its two
sides, takes medians, and stays inside one run: machines are noisy, ratios travel better than milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import mien
from mien.classify import OnnxClassifier, face_batch
from mien.detect import open_detector
from mien.recognizer import Recognizer
from mien.zoo import find_model

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
BASELINE = [sys.executable, "-c", "import numpy, cv2, onnxruntime"]


def five_faces() -> np.ndarray:
    """A photo of 600 x 604 pixels with five faces of different sizes, tilts and brightness."""
    head = cv2.imread(str(ASTRONAUT))[20:250, 110:340]
    canvas = np.full((604, 600, 3), (150, 140, 120), np.uint8)
    places = [
        ((10, 20), 210, 0),
        ((220, 10), 170, 8),
        ((395, 30), 190, -10),
        ((60, 280), 230, 5),
        ((320, 270), 260, -4),
    ]
    for (x, y), size_px, angle_deg in places:
        turn = cv2.getRotationMatrix2D((115, 115), angle_deg, 1.0)
        turned = cv2.warpAffine(head, turn, (230, 230), borderMode=cv2.BORDER_REFLECT)
        canvas[y : y + size_px, x : x + size_px] = cv2.resize(turned, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return canvas


def photo_folder(folder: Path, count: int) -> None:
    """JPEG photos of 2048 x 1536 pixels (3 megapixels), each with one to three faces, no two alike."""
    rng = np.random.default_rng(0)
    head = cv2.imread(str(ASTRONAUT))[20:250, 110:340]
    for number in range(count):
        canvas = cv2.resize(rng.integers(60, 200, (9, 12, 3), np.uint8), (2048, 1536), interpolation=cv2.INTER_CUBIC)
        for slot in range(int(rng.integers(1, 4))):
            size_px = int(rng.integers(140, 640))
            x = 20 + 665 * slot
            y = int(rng.integers(0, 1536 - size_px))
            face = cv2.resize(head, (size_px, size_px), interpolation=cv2.INTER_AREA)
            canvas[y : y + size_px, x : x + size_px] = cv2.convertScaleAbs(face, alpha=float(rng.uniform(0.6, 1.2)))
        cv2.imwrite(str(folder / f"photo{number:04d}.jpg"), canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])


def process(command: list[str], cores: set[int] | None = None) -> tuple[float, float]:
    """Run a command; returns seconds and peak memory in MB."""
    start_s = time.perf_counter()
    child = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command} ended with status {child.returncode}")
    return time.perf_counter() - start_s, usage.ru_maxrss / 1024


def median_ms(call: Callable[[], object], seconds: float = 2.0) -> float:
    call()
    times: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(times) < 5:
        start_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - start_s)
    return statistics.median(times) * 1e3


def row(what: str, measured: str, wanted: str = "") -> None:
    LINES.append(f"| {what} | {measured} | {wanted} |")
    print(LINES[-1], flush=True)


LINES: list[str] = []


def first_answer(rounds: int) -> None:
    command = [sys.executable, "-m", "mien", "recognize", str(ASTRONAUT), "--json"]
    library = [sys.executable, "-c", f"import mien; mien.recognize({str(ASTRONAUT)!r})"]
    sides: dict[str, list[tuple[float, float]]] = {"baseline": [], "command": [], "library": []}
    for _ in range(rounds):
        for name, line in (("baseline", BASELINE), ("command", command), ("library", library)):
            sides[name].append(process(line))
    seconds = {name: statistics.median(s for s, _ in runs) for name, runs in sides.items()}
    memory = {name: statistics.median(m for _, m in runs) for name, runs in sides.items()}
    base = seconds["baseline"]
    row("bare import of numpy, cv2, onnxruntime", f"{base * 1e3:.0f} ms, peak {memory['baseline']:.0f} MB")
    for name, what in (("command", "`mien recognize photo.jpg --json`"), ("library", "`mien.recognize(...)`")):
        row(
            f"first answer of a new process: {what}",
            f"{seconds[name] * 1e3:.0f} ms ({seconds[name] / base:.2f}x the bare import), peak {memory[name]:.0f} MB",
            "at most 3x, under 200 MB",
        )


def five_face_photo() -> None:
    photo = five_faces()
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    for threads in (1, 2):
        recognizer = Recognizer(threads=threads)
        found = len(recognizer.recognize(photo).faces)
        total = median_ms(lambda r=recognizer: r.recognize(photo))
        detector = open_detector("mien", threads, None)
        model = find_model("base", "expression")
        classifier = OnnxClassifier(model, threads)
        detections = detector.detect(gray)
        batch = face_batch(gray, detections.landmarks_xy, model.card.input)
        parts = {
            "detector": median_ms(lambda d=detector: d.detect(gray)),
            "alignment": median_ms(lambda d=detections: face_batch(gray, d.landmarks_xy, model.card.input)),
            "classifier": median_ms(lambda c=classifier, b=batch: c.logits(b)),
        }
        shown = ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items())
        row(
            f"600 x 604 photo, {found} faces, decoded in memory, {threads} thread{'s' * (threads > 1)}",
            f"{total:.1f} ms ({shown})",
            "10 ms" if threads == 2 else "",
        )


def one_face() -> None:
    for name in ("tiny", "small", "base", "wide"):
        model = find_model(name, "expression")
        classifier = OnnxClassifier(model, 1)
        rng = np.random.default_rng(0)
        faces = rng.integers(0, 256, (32, 1, 48, 48), np.uint8)
        single = [median_ms(lambda: classifier.logits(faces[:1]), 1.0)]
        batch = [median_ms(lambda: classifier.logits(faces), 1.0) / 32]
        for _ in range(4):
            single.append(median_ms(lambda: classifier.logits(faces[:1]), 0.5))
            batch.append(median_ms(lambda: classifier.logits(faces), 0.5) / 32)
        one, many = statistics.median(single), statistics.median(batch)
        row(
            f"`{name}`, one thread",
            f"{one:.2f} ms a face; in batches of 32 {many:.2f} ms a face ({many / one:.2f}x)",
            "1.2 ms, batches no slower" if name == "base" else "",
        )


def folder(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        photo_folder(Path(name), count)
        command = [sys.executable, "-m", "mien", "recognize", name, "-q", "--out", str(Path(name) / "faces.jsonl")]
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            row(f"a folder of {count} photos", "this machine has one core")
            return
        ratios, rates = [], []
        for _ in range(rounds):
            one, _ = process(command, {cores[0]})
            two, _ = process(command, set(cores[:2]))
            ratios.append(one / two)
            rates.append(count / two)
        row(
            f"a folder of {count} photos of 2048 x 1536, two cores against one",
            f"{statistics.median(ratios):.2f}x, {statistics.median(rates):.0f} photos a second on two",
            "at least 1.7x",
        )
        code = (
            "import glob, json, itertools, mien\n"
            "def rss():\n"
            "    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
            f"photos = itertools.islice(itertools.cycle(sorted(glob.glob({name!r} + '/*.jpg'))), {count * 10})\n"
            "seen = {}\n"
            "for number, _ in enumerate(mien.Recognizer(threads=2).stream(photos), 1):\n"
            f"    if number in (50, {count}, {count * 10}): seen[number] = rss()\n"
            "print(json.dumps(seen))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seen = {int(k): v for k, v in json.loads(done.stdout).items()}
        shown = ", ".join(f"{mb:.0f} MB after {number:,}" for number, mb in seen.items())
        row("memory while a list is read", f"{shown} photos ({seen[count * 10] / seen[50]:.2f}x)", "flat")


def large_photo() -> None:
    canvas = cv2.resize(five_faces(), (8192, 6144), interpolation=cv2.INTER_LINEAR)
    data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    recognizer = Recognizer(threads=2)
    decode = median_ms(lambda: cv2.imdecode(data, cv2.IMREAD_COLOR), 3.0)
    whole = median_ms(lambda: recognizer.recognize(data.tobytes()), 3.0)
    row(
        "a 50 megapixel photo, two threads",
        f"{whole:.0f} ms, of which decoding alone {decode:.0f} ms ({whole / decode:.2f}x decoding)",
        "at most 2x decoding",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table and its conditions to this file")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer photos")
    arguments = parser.parse_args()
    print("| what | measured | target |\n| --- | --- | --- |")
    first_answer(5 if arguments.quick else 15)
    one_face()
    five_face_photo()
    large_photo()
    folder(60 if arguments.quick else 500, 2 if arguments.quick else 5)
    if arguments.out:
        conditions = (
            f"mien {mien.__version__}, Python {platform.python_version()}, OpenCV {cv2.__version__}, "
            f"ONNX Runtime {__import__('onnxruntime').__version__}, "
            f"{processor()}, {len(os.sched_getaffinity(0))} cores"
        )
        text = [f"Conditions: {conditions}.", "", "| what | measured | target |", "| --- | --- | --- |", *LINES]
        arguments.out.write_text("\n".join(text) + "\n", encoding="utf-8")


def processor() -> str:
    """The processor's name, with the vector instructions that int8 models profit from."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    vnni = [flag for flag in ("avx512_vnni", "avx_vnni", "avx2") if flag in flags][:1]
    return f"{name} ({vnni[0]})" if vnni else name


if __name__ == "__main__":
    main()
