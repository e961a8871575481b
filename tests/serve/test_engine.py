"""Micro-batching with fakes in the place of the models."""

import asyncio
import threading
import time

import cv2
import pytest

from mien.recognizer import Recognizer
from mien.serve.engine import Engine
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem
from tests.fakes import FakeClassifier, FakeDetector, paint_face


class SlowClassifier(FakeClassifier):
    """Waits until it is let go, so that images gather."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def logits(self, batch):
        assert self.go.wait(10)
        return super().logits(batch)


def png(said):
    return cv2.imencode(".png", paint_face(said))[1].tobytes()


def run(test, classifier=None, threads=2, **options):
    """Run a coroutine function with an engine and a recognizer of fakes."""
    recognizer = Recognizer(model=classifier or FakeClassifier(), detector=FakeDetector(), threads=1)

    async def main():
        engine = Engine(ServeOptions(**options), Metrics(), threads)
        engine.start()
        try:
            return await asyncio.wait_for(test(engine, recognizer), 20)
        finally:
            await asyncio.to_thread(engine.stop)

    return asyncio.run(main())


def test_everybody_gets_their_own_answer():
    async def test(engine, recognizer):
        return await asyncio.gather(*[engine.read(png(n % 7), f"{n}", recognizer) for n in range(60)])

    readings = [reading for reading, _ in run(test)]
    labels = recognizer_labels()
    assert [r.source for r in readings] == [str(n) for n in range(60)]
    assert [r.faces[0].expression for r in readings] == [labels[n % 7] for n in range(60)]


def recognizer_labels():
    return Recognizer(model=FakeClassifier(), detector=FakeDetector()).scheme.labels


def test_faces_of_several_requests_share_a_run_of_the_network():
    classifier = SlowClassifier()

    async def test(engine, recognizer):
        tasks = [asyncio.create_task(engine.read(png(1), str(n), recognizer)) for n in range(9)]
        await asyncio.sleep(0.3)
        classifier.go.set()
        await asyncio.gather(*tasks)

    run(test, classifier)
    assert sum(classifier.batches) == 9
    assert max(classifier.batches) >= 5


def test_models_are_not_mixed_in_a_batch():
    first, second = SlowClassifier(), SlowClassifier()

    async def test(engine, recognizer):
        other = recognizer.replace(model=second)
        tasks = [asyncio.create_task(engine.read(png(n % 7), str(n), (recognizer, other)[n % 2])) for n in range(12)]
        await asyncio.sleep(0.2)
        first.go.set()
        second.go.set()
        return await asyncio.gather(*tasks)

    readings = [reading for reading, _ in run(test, first)]
    assert [r.faces[0].expression for r in readings] == [recognizer_labels()[n % 7] for n in range(12)]
    assert (sum(first.batches), sum(second.batches)) == (6, 6)


def test_a_full_queue_refuses_at_once():
    classifier = SlowClassifier()

    async def test(engine, recognizer):
        tasks = [asyncio.create_task(engine.read(png(1), str(n), recognizer)) for n in range(4)]
        await asyncio.sleep(0.05)
        start_s = time.monotonic()
        with pytest.raises(Problem) as refused:
            await engine.read(png(1), "late", recognizer)
        assert time.monotonic() - start_s < 1.0  # nothing is read before `go`
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert refused.value.headers["retry-after"] == "1"
        classifier.go.set()
        await asyncio.gather(*tasks)
        return await engine.read(png(1), "later", recognizer)

    assert run(test, classifier, max_queue=4)[0].source == "later"


def test_a_long_wait_is_refused_before_it_begins():
    classifier = SlowClassifier()

    async def test(engine, recognizer):
        engine._image_s = 10.0
        task = asyncio.create_task(engine.read(png(1), "first", recognizer))
        await asyncio.sleep(0.05)
        with pytest.raises(Problem, match="waiting"):
            engine.check_room()
        classifier.go.set()
        await task

    run(test, classifier, threads=1, max_wait_s=5)


def test_live_frames_go_first_but_photos_get_their_turn():
    order = []

    class Noting(FakeDetector):
        def detect(self, image):
            time.sleep(0.005)
            return super().detect(image)

    async def test(engine, recognizer):
        recognizer = recognizer.replace(detector=Noting())

        async def read(name, live):
            await engine.read(png(1), name, recognizer, live=live)
            order.append(name[0])

        photos = [asyncio.create_task(read(f"photo {n}", False)) for n in range(8)]
        frames = [asyncio.create_task(read(f"live {n}", True)) for n in range(8)]
        await asyncio.gather(*photos, *frames)

    run(test, threads=1)
    assert order.index("l") <= 2
    assert order[:8].count("l") >= 5
    assert order[:8].count("p") >= 1


def test_who_goes_away_is_not_read():
    go = threading.Event()

    class Waiting(FakeDetector):
        def detect(self, image):
            assert go.wait(10)
            return super().detect(image)

    detector = Waiting()

    async def test(engine, recognizer):
        recognizer = recognizer.replace(detector=detector)
        first = asyncio.create_task(engine.read(png(1), "first", recognizer))
        await asyncio.sleep(0.05)  # the one worker is busy with it now
        gone = [asyncio.create_task(engine.read(png(1), str(n), recognizer)) for n in range(20)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        go.set()
        await first
        await engine.read(png(2), "stays", recognizer)
        assert engine._pending == 0

    run(test, threads=1)
    assert detector.calls == 2


def test_a_fault_costs_one_image_and_no_thread(caplog):
    class Faulty(FakeDetector):
        def detect(self, image):
            if self.calls == 0:
                self.calls += 1
                raise ZeroDivisionError("a fault of ours")
            return super().detect(image)

    async def test(engine, recognizer):
        recognizer = recognizer.replace(detector=Faulty())
        with pytest.raises(Problem) as told:
            await engine.read(png(1), "bad", recognizer)
        assert (told.value.status, told.value.code) == (500, "internal")
        return await engine.read(png(1), "good", recognizer)

    assert run(test, threads=1)[0].source == "good"
    assert "a fault of ours" in caplog.text


def test_only_frames_keep_their_pixels():
    async def test(engine, recognizer):
        photo = await engine.read(png(1), "photo", recognizer)
        frame = await engine.read(png(1), "live", recognizer, live=True, index=7, time_s=0.5)
        return photo, frame

    (_, nothing), (reading, frame) = run(test)
    assert nothing is None
    assert frame.image.shape == (100, 120, 3)
    assert (reading.frame, reading.time_s) == (7, 0.5)
