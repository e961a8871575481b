"""Measure the reading of videos: frames a second, CPU time, memory, and what a rarer detector would lose.

    python benchmarks/video_speed.py [--parts speed stages ...] [--frames 20000] [--rounds 3]

The video is made from the photo in `examples/`: 1280 x 720, two faces that move and turn, noise of a sensor, H.264.
All figures of a table come from one run; the sides of a comparison alternate. CPU time counts all threads, and is what
one can compare where other programs run beside. Needs the extras `video` and `supervision`.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

import mien
from mien.classify import OnnxClassifier, face_batch
from mien.classify.class_scaling import calibrated
from mien.detect import Detections, open_detector
from mien.detect.mien import MienDetector
from mien.detect.second_look import look_again
from mien.recognizer import Recognizer
from mien.sink import JsonLinesSink, VideoSink
from mien.source import VideoSource
from mien.zoo import find_model

ROOT = Path(__file__).parent.parent
LOOP = 300
RATE = 30


def pictures(count: int) -> Iterator[np.ndarray]:
    """Two heads that move, turn and grow over a still background."""
    rng = np.random.default_rng(0)
    head = cv2.imread(str(ROOT / "examples" / "astronaut.jpg"))[0:230, 110:340]
    behind = cv2.resize(rng.integers(90, 170, (6, 10, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((230, 230), np.float32)
    cv2.ellipse(mask, (115, 115), (96, 108), 0, 0, 360, 1.0, cv2.FILLED)
    mask = cv2.GaussianBlur(mask, (0, 0), 7)
    for number in range(count):
        angle = 2 * np.pi * number / LOOP
        canvas = behind.astype(np.float32)
        for x, y, size, turn in (
            (
                360 + 160 * np.sin(angle),
                360 + 90 * np.cos(angle),
                1.3 + 0.2 * np.sin(2 * angle),
                12 * np.sin(3 * angle),
            ),
            (
                900 + 190 * np.sin(angle + 2),
                330 + 70 * np.sin(2 * angle),
                0.9 + 0.15 * np.cos(angle),
                8 * np.cos(angle),
            ),
        ):
            matrix = cv2.getRotationMatrix2D((115, 115), turn, size)
            matrix[:, 2] += (x - 115, y - 115)
            share = cv2.warpAffine(mask, matrix, (1280, 720))[..., None]
            canvas += share * (cv2.warpAffine(head, matrix, (1280, 720)) - canvas)
        grain = rng.normal(0, 3, (720, 1280, 1)).astype(np.float32)
        yield np.clip(canvas + grain, 0, 255).astype(np.uint8)


def write_loop(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "bf": "0"}
        for picture in pictures(LOOP):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def repeat(loop: Path, path: Path, frames: int) -> None:
    """The loop again and again, without coding it anew."""
    with av.open(str(loop)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        step = round(1 / (RATE * packets[0].time_base))
        for number in range(frames):
            packet = packets[number % LOOP]
            packet.stream = stream
            packet.pts = packet.dts = number * step
            target.mux(packet)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Wall and CPU milliseconds a frame."""
    wall, cpu = time.perf_counter(), cpu_s()
    frames = work()
    return (time.perf_counter() - wall) / frames * 1e3, (cpu_s() - cpu) / frames * 1e3


def read_all(clip: Path, recognizer: Recognizer, folder: Path, draw: bool = False, **options: float) -> int:
    count = 0
    with (folder / "rows.jsonl").open("w") as file, JsonLinesSink(file) as rows:
        stream = recognizer.stream(clip, **options)
        if not draw:
            for reading in stream:
                rows.write(reading)
                count += 1
            return count
        with VideoSink(folder / "seen.mp4", clip) as sink:
            for frame, reading in stream.frames():
                rows.write(reading)
                sink.write(reading, frame)
                count += 1
    return count


def one_by_one(clip: Path, recognizer: Recognizer) -> int:
    """The loop that one would write by hand: no threads beside, no batches, no persons."""
    capture = cv2.VideoCapture(str(clip))
    count = 0
    while True:
        done, image = capture.read()
        if not done:
            return count
        recognizer.recognize(image)
        count += 1


def speed(clip: Path, folder: Path, rounds: int) -> None:
    recognizer = Recognizer(threads=2)
    sides: dict[str, Callable[[], int]] = {
        "decoding alone, in its thread": lambda: sum(1 for _ in VideoSource(str(clip))),
        "reading every frame, rows as JSON lines": lambda: read_all(clip, recognizer, folder),
        "the same, drawn as H.264": lambda: read_all(clip, recognizer, folder, draw=True),
        "a loop of `cv2.read` and `recognize`": lambda: one_by_one(clip, recognizer),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            times[name].append(timed(work))
    base = statistics.median(wall for wall, _ in times["reading every frame, rows as JSON lines"])
    print("\n| what | frames a second | time, of reading every frame | CPU ms a frame |\n| --- | --- | --- | --- |")
    for name, runs in times.items():
        wall = statistics.median(wall for wall, _ in runs)
        best = min(wall for wall, _ in runs)
        cpu = statistics.median(cpu for _, cpu in runs)
        print(
            f"| {name} | {1e3 / wall:.0f} (best of {rounds}: {1e3 / best:.0f}) | {wall / base:.2f} | {cpu:.1f} |",
            flush=True,
        )


def stages(clip: Path) -> None:
    """CPU time of each stage by itself, one thread."""
    frames = [frame for frame in VideoSource(str(clip)) if frame.index < 120]
    detector = open_detector("mien", 1, None)
    model = find_model("base", "expression")
    classifier = OnnxClassifier(model, 1)
    from mien.track import Steady, Tracker

    recognizer = Recognizer(threads=1)
    readings = [reading for _, reading in recognizer.stream_frames(frames)]
    found = [detector.detect(frame.gray) for frame in frames]
    batches = [face_batch(f.gray, d.landmarks_xy, model.card.input) for f, d in zip(frames, found, strict=True)]
    tracker, steady = Tracker(), Steady(0.2)

    def follow(n: int) -> None:
        ids = tracker.update(readings[n].faces, frames[n].image, frames[n].time_s)
        for face, track_id in zip(readings[n].faces, ids, strict=True):
            steady.update(mien.Face(**{**vars(face), "track_id": track_id}), frames[n].time_s)

    parts: dict[str, Callable[[int], object]] = {
        "gray": lambda n: cv2.cvtColor(frames[n].image, cv2.COLOR_BGR2GRAY),
        "detect": lambda n: detector.detect(frames[n].gray),
        "align": lambda n: face_batch(frames[n].gray, found[n].landmarks_xy, model.card.input),
        "classify two faces": lambda n: classifier.logits(batches[n]),
        "track and average": follow,
    }
    print("\n| stage | CPU ms a frame |\n| --- | --- |")
    print(f"| decode to BGR | {timed(lambda: sum(1 for _ in VideoSource(str(clip))))[1]:.2f} |")
    for name, work in parts.items():
        start = cpu_s()
        for n in range(len(frames)):
            work(n)
        print(f"| {name} | {(cpu_s() - start) / len(frames) * 1e3:.2f} |", flush=True)


def with_pyav(clip: Path) -> int:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 2
        return sum(1 for frame in container.decode(stream) if frame.to_ndarray(format="bgr24") is not None)


def with_opencv(clip: Path) -> int:
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 2])
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def decoding(clip: Path, rounds: int) -> None:
    """OpenCV and PyAV, both to BGR."""
    times: dict[str, list[tuple[float, float]]] = {"OpenCV": [], "PyAV": []}
    for _ in range(rounds):
        times["OpenCV"].append(timed(lambda: with_opencv(clip)))
        times["PyAV"].append(timed(lambda: with_pyav(clip)))
    print("\n| decoding to BGR | wall ms a frame | CPU ms a frame |\n| --- | --- | --- |")
    for name, runs in times.items():
        wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |", flush=True)


def imports(rounds: int) -> None:
    """What a tracker costs before it has seen a frame."""
    base = "import numpy, cv2, onnxruntime"
    sides = {"alone": base, "and mien.track": f"{base}, mien.track", "and supervision": f"{base}, supervision"}
    code = "import time; print(time.process_time(), open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(max(3, rounds)):
        for name, statement in sides.items():
            run = subprocess.run(
                [sys.executable, "-c", f"{statement}; {code}"], capture_output=True, text=True, check=True
            )
            seconds, kilobytes = map(float, run.stdout.split())
            seen[name].append((seconds, kilobytes / 1024))
    first = statistics.median(seconds for seconds, _ in seen["alone"])
    print("\n| numpy, cv2, onnxruntime | CPU s to import | ratio | MB |\n| --- | --- | --- | --- |")
    for name, runs in seen.items():
        seconds, mb = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"| {name} | {seconds:.2f} | {seconds / first:.1f} | {mb:.0f} |", flush=True)


def sparse(detector: MienDetector, grays: list[np.ndarray], every: int) -> list[Detections]:
    """Detect in every n-th frame; in between look again only where the faces of the frame before were."""
    found: list[Detections] = []
    for n, gray in enumerate(grays):
        if n % every == 0:
            found.append(detector.detect(gray))
            continue
        # The face has moved since: only the new look tells where it is.
        looked = look_again(gray, found[-1], np.zeros(len(found[-1]), np.bool_), detector._find)
        found.append(looked.select(looked.score >= detector._settings.score_threshold))
    return found


def rarer_detector(clip: Path) -> None:
    """What a detector in every n-th frame only would save, and what it would lose."""
    detector = open_detector("mien", 1, None)
    recognizer = Recognizer(threads=1)
    grays = [frame.gray for frame in VideoSource(str(clip))]
    # A person who looks in for 20 frames of every 37: what comes late or stays too long.
    empty = np.full_like(grays[0], 128)
    visits = [gray if n % 37 < 20 else empty for n, gray in enumerate(grays)]
    full, full_visits = (sparse(detector, part, 1) for part in (grays, visits))
    print(
        "\n| detector in every n-th frame | CPU ms a frame | faces lost | landmarks off, in sizes of the face | ",
        end="",
    )
    print("labels changed | of faces that come and go: lost |\n| --- | --- | --- | --- | --- | --- |")
    for every in (1, 2, 3, 5, 10):
        start = cpu_s()
        near = sparse(detector, grays, every)
        spent = (cpu_s() - start) / len(grays) * 1e3
        lost, off, changed, total = 0, [], 0, 0
        for gray, all_found, some in zip(grays, full, near, strict=True):
            total += len(all_found)
            said = [labels(recognizer, gray, found) for found in (all_found, some)]
            for i, box in enumerate(all_found.box_xyxy):
                size = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
                gaps = np.linalg.norm(some.landmarks_xy - all_found.landmarks_xy[i], axis=2).mean(axis=1) / size
                if not len(gaps) or gaps.min() > 0.3:
                    lost += 1
                    continue
                off.append(float(gaps.min()))
                changed += said[0][i] != said[1][int(gaps.argmin())]
        there = sum(map(len, full_visits))
        late = sum(max(0, len(a) - len(b)) for a, b in zip(full_visits, sparse(detector, visits, every), strict=True))
        print(
            f"| {every} | {spent:.2f} | {lost} of {total} | {np.mean(off):.3f} | {changed} | {late} of {there} |",
            flush=True,
        )


def labels(recognizer: Recognizer, gray: np.ndarray, found: Detections) -> list[int]:
    classifier = recognizer._classifier(1)
    batch = face_batch(gray, found.landmarks_xy, classifier.card.input)
    head = classifier.card.heads[0]
    return calibrated(classifier.logits(batch)[head.output], head).argmax(axis=1).tolist()


def memory(loop: Path, folder: Path, frames: int) -> None:
    clip = folder / "long.mp4"
    repeat(loop, clip, frames)
    recognizer = Recognizer(threads=2)
    start, seen, faces = time.perf_counter(), [], 0
    with (folder / "rows.jsonl").open("w") as file, JsonLinesSink(file) as rows:
        for reading in recognizer.stream(clip):
            rows.write(reading)
            faces += len(reading.faces)
            if reading.frame % 1000 == 999:
                seen.append(rss_mb())
    seconds = time.perf_counter() - start
    print(f"\n{frames:,} frames in {seconds:.0f} s ({frames / seconds:.0f} a second), {faces:,} faces.")
    print(f"Memory after each 1,000 frames: {', '.join(f'{mb:.0f}' for mb in seen)} MB.")
    half = len(seen) // 2
    if half:
        print(f"Mean of the second half over that of the first: {np.mean(seen[half:]) / np.mean(seen[:half]):.3f}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("imports", "decoding", "speed", "stages", "detector", "memory")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, help="what to measure")
    parser.add_argument("--frames", type=int, default=20_000, help="length of the video for the memory")
    parser.add_argument("--rounds", type=int, default=3, help="how often the sides of the comparison alternate")
    parser.add_argument("--clip", type=Path, help="a video of one's own for the rarer detector, beside the made one")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, OpenCV {cv2.__version__}, {len(os.sched_getaffinity(0))} cores, "
        f"load before {os.getloadavg()[0]:.1f}, mien {mien.__version__}."
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loop, clip = folder / "loop.mp4", folder / "clip.mp4"
        write_loop(loop)
        repeat(loop, clip, 2 * LOOP)
        if "imports" in options.parts:
            imports(options.rounds)
        if "decoding" in options.parts:
            decoding(clip, options.rounds)
        if "speed" in options.parts:
            speed(clip, folder, options.rounds)
        if "stages" in options.parts:
            stages(loop)
        if "detector" in options.parts:
            rarer_detector(loop)
            if options.clip:
                rarer_detector(options.clip)
        if "memory" in options.parts:
            memory(loop, folder, options.frames)
    print(f"\nLoad after: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
