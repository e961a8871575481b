"""Load on the service, over loopback: many clients for minutes, and the delay of a live stream at 30 frames a second.

Run it with ``python benchmarks/serve_load.py``. It starts `mien serve` itself on a free port of 127.0.0.1, stops it in
the end whatever happens, and prints one JSON object. Clients and server share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

import mien

ROOT = Path(__file__).parent.parent
BOUNDARY = "mien-load"


def direct(photo: bytes, seconds: float) -> dict[str, float]:
    """Photos a second of the library called directly: in a stream with all threads, and one after the other."""
    recognizer = mien.Recognizer()
    recognizer.recognize(photo)
    rates = {}
    for name in ("stream", "one_at_a_time"):
        end_s = time.monotonic() + seconds
        start_s = time.monotonic()
        if name == "stream":
            photos = itertools.takewhile(lambda _: time.monotonic() < end_s, itertools.repeat(photo))
            count = sum(1 for _ in recognizer.stream(photos))
        else:
            count = 0
            while time.monotonic() < end_s:
                recognizer.recognize(photo)
                count += 1
        rates[name] = count / (time.monotonic() - start_s)
    return rates


class Server:
    """`mien serve` as a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--no-open"]
        # All clients come from one address here; the rate for each client is not what is measured.
        command += ["--max-requests-per-s", "1000000"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise SystemExit(f"the service did not start: {line}")
        self.port = int(found[1])

    def resident_mb(self) -> float:
        """Memory that is in use."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE") / 1e6

    def stop(self) -> int:
        """End it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def request(photo: bytes) -> bytes:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="photo.jpg"\r\n\r\n'
    body = part.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        "POST /v1/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(port: int, message: bytes, end_s: float, outcomes: Counter[str], latencies_s: list[float]) -> None:
    """One request after the other on one connection, until the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.monotonic() < end_s:
            start_s = time.monotonic()
            writer.write(message)
            await writer.drain()
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            status = int(head[9:12])
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            fine = status == 200 and b'"expression":"happy"' in body
            outcomes["answered" if fine else f"failed {status}"] += 1
            latencies_s.append(time.monotonic() - start_s)
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
        outcomes[f"failed {type(error).__name__}"] += 1
    finally:
        writer.close()


async def load(server: Server, photo: bytes, clients: int, seconds: float) -> dict[str, object]:
    """Many clients at a time; what became of their requests, and the server's memory meanwhile."""
    outcomes: Counter[str] = Counter()
    latencies_s: list[float] = []
    start_s = time.monotonic()
    end_s = start_s + seconds
    message = request(photo)
    tasks = [asyncio.create_task(client(server.port, message, end_s, outcomes, latencies_s)) for _ in range(clients)]
    resident_mb = []
    while time.monotonic() < end_s:
        await asyncio.sleep(min(5.0, seconds / 12))
        resident_mb.append(server.resident_mb())
    await asyncio.wait_for(asyncio.gather(*tasks), 90)
    took_s = time.monotonic() - start_s
    quarter = max(1, len(resident_mb) // 4)
    return {
        "clients": clients,
        "seconds": round(took_s, 1),
        "outcomes": dict(outcomes),
        "requests_per_s": round(outcomes["answered"] / took_s, 1),
        "latency_ms": percentiles_ms(latencies_s),
        "memory_mb": {
            "second_quarter": round(float(np.mean(resident_mb[quarter : 2 * quarter])), 1),
            "last_quarter": round(float(np.mean(resident_mb[-quarter:])), 1),
            "most": round(max(resident_mb), 1),
            "over_time": [round(value) for value in resident_mb],
        },
    }


async def live(server: Server, photo: bytes, seconds: float, frames_per_s: float = 30.0) -> dict[str, object]:
    """A live stream that sends frames by the clock, as a camera does, whether answers come or not."""
    sent_s: dict[int, float] = {}
    delays_s: list[float] = []
    outcomes: Counter[str] = Counter()
    count = int(seconds * frames_per_s)
    warm_up = int(frames_per_s)
    async with connect(f"ws://127.0.0.1:{server.port}/v1/stream", max_size=None) as socket:

        async def receive() -> None:
            for _ in range(count):
                message = json.loads(await asyncio.wait_for(socket.recv(), 30))
                outcomes[message["type"]] += 1
                if message["type"] == "reading" and message["reading"]["frame"] >= warm_up:
                    delays_s.append(time.monotonic() - sent_s[message["reading"]["frame"]])

        receiving = asyncio.create_task(receive())
        start_s = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start_s + number / frames_per_s - time.monotonic()))
            sent_s[number] = time.monotonic()
            await socket.send(photo)
        await receiving
    return {"frames_per_s": frames_per_s, "outcomes": dict(outcomes), "delay_ms": percentiles_ms(delays_s)}


def percentiles_ms(values_s: list[float]) -> dict[str, float]:
    """The median and the tail."""
    return {f"p{p}": round(float(np.percentile(values_s, p)) * 1e3, 1) for p in (50, 95, 99)} if values_s else {}


def as_frame(photo: bytes) -> bytes:
    """The photo as the page would send a camera's frame: 640 x 480, JPEG of quality 80."""
    import cv2

    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    wide = cv2.copyMakeBorder(cv2.resize(image, (480, 480)), 0, 0, 80, 80, cv2.BORDER_REFLECT)
    return cv2.imencode(".jpg", wide, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--live-seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "astronaut.jpg")
    options = parser.parse_args()
    photo = options.photo.read_bytes()
    frame = as_frame(photo)
    server = Server()
    try:
        report: dict[str, object] = {
            "cores": len(os.sched_getaffinity(0)),
            "other_load": round(os.getloadavg()[0], 1),
            "photo_kb": round(len(photo) / 1e3),
            "frame_kb": round(len(frame) / 1e3),
        }
        report["live"] = asyncio.run(live(server, frame, options.live_seconds))
        report["beside_the_library"] = compare(server, photo, options.clients, options.rounds)
        report["load"] = asyncio.run(load(server, photo, options.clients, options.seconds))
    finally:
        report["exit_status"] = server.stop()
    print(json.dumps(report, indent=1))


def compare(server: Server, photo: bytes, clients: int, rounds: int) -> dict[str, object]:
    """Service and library in turns, so that what else the machine does meets both."""
    found: dict[str, list[float]] = {"service": [], "stream": [], "one_at_a_time": []}
    for _ in range(rounds):
        for name, rate in direct(photo, 4.0).items():
            found[name].append(rate)
        rate = asyncio.run(load(server, photo, clients, 6.0))["requests_per_s"]
        assert isinstance(rate, float)
        found["service"].append(rate)
    middle = {name: float(np.median(rates)) for name, rates in found.items()}
    return {
        "photos_per_s": {name: round(rate, 1) for name, rate in middle.items()},
        "service_to_stream": round(middle["service"] / middle["stream"], 2),
        "service_to_one_at_a_time": round(middle["service"] / middle["one_at_a_time"], 2),
    }


if __name__ == "__main__":
    main()
