"""The reader: the process in which images are decoded and read, so that one that crashes or hangs costs only itself.

Started by `mien.cluster.guard.GuardedReader` as ``python -m mien.cluster.child``. It says on which image it is before
it starts on it, and ends when the worker that started it does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

from mien.cluster.wire import receive, send
from mien.errors import InputError, MienError
from mien.result import Reading

if TYPE_CHECKING:
    from mien.recognizer import Recognizer

__all__ = ["main"]

_VIDEO_ROWS = 500


def main() -> None:
    """Read what comes on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get among the messages.
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[tuple[dict[str, Any], list[bytes]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, waiting), daemon=True).start()
    head, _ = waiting.get()
    try:
        recognizer = _open(head["recognizer"], head["gpu"])
    except MienError as error:
        send(answers, {"failed": str(error)})
        return
    send(answers, {"ready": True})
    while True:
        head, blobs = waiting.get()
        if "video" in head:
            _video(answers, recognizer, head)
        else:
            _photos(answers, recognizer, head["images"], blobs)


def _listen(stream: IO[bytes], waiting: queue.SimpleQueue[tuple[dict[str, Any], list[bytes]]]) -> None:
    while (message := receive(stream)) is not None:
        waiting.put(message)
    # The worker has gone; a reader that hangs in the middle of an image must not stay behind.
    os._exit(0)


def _open(options: dict[str, Any], gpu: bool) -> Recognizer:
    import cv2

    from mien.classify import OnnxClassifier
    from mien.recognizer import Recognizer
    from mien.zoo import find_model

    # A reader has one core. OpenCV would start a thread for each core of the machine, which wait by turning round.
    cv2.setNumThreads(1)
    if gpu:
        options["model"] = OnnxClassifier(find_model(options["model"], "expression"), 1, gpu=True)
    return Recognizer(**options, threads=1)


def _photos(answers: IO[bytes], recognizer: Recognizer, images: list[dict[str, Any]], blobs: list[bytes]) -> None:
    """Read a few photos in one batch."""
    from mien.source.image import decode_image

    prepared, errors = [], {}
    for number, (image, data) in enumerate(zip(images, blobs, strict=True)):
        if image["skip"] is not None:
            errors[number] = image["skip"]
            continue
        send(answers, {"at": number})
        try:
            prepared.append(recognizer.prepare(decode_image(data, image["source"], recognizer.max_megapixels)))
        except InputError as error:
            errors[number] = error.problem
        except MemoryError:
            errors[number] = "too little memory to read it"
        except Exception as error:  # noqa: BLE001 - what no one foresaw costs this image only
            errors[number] = f"reading failed ({type(error).__name__}: {error})"
    send(answers, {"at": None})
    readings = iter(recognizer.classify(prepared))
    told = [{"error": errors[n]} if n in errors else _told(next(readings)) for n in range(len(images))]
    send(answers, {"readings": told})


def _told(reading: Reading) -> dict[str, Any]:
    if reading.error is not None:
        return {"error": reading.error}
    return {"rows": reading.to_rows(), "size_wh": reading.size_wh, "note": reading.note, "error": None}


def _video(answers: IO[bytes], recognizer: Recognizer, head: dict[str, Any]) -> None:
    """Read a segment of a video, and send its rows as they come."""
    from mien.cluster.segment import read_segment

    rows: list[dict[str, Any]] = []
    frames, size_wh, error = 0, (0, 0), None
    try:
        for reading in read_segment(
            recognizer, head["video"], head["source"], head["start"], head["stop"], head["options"]
        ):
            send(answers, {"at": 0})
            frames, size_wh = frames + 1, reading.size_wh
            rows += reading.to_rows()
            if len(rows) >= _VIDEO_ROWS:
                send(answers, {"rows": rows})
                rows = []
    except InputError as problem:
        error = problem.problem
    except Exception as problem:  # noqa: BLE001 - likewise
        error = f"reading failed ({type(problem).__name__}: {problem})"
    send(answers, {"rows": rows})
    send(answers, {"readings": [{"frames": frames, "size_wh": size_wh, "note": None, "error": error}]})


if __name__ == "__main__":
    main()
