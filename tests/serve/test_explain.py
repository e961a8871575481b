"""What an answer rests on, asked of the service: the route through the whole application, and its thread with fakes."""

import asyncio
import base64
import http.client
import json
import threading
import time

import cv2
import numpy as np
import pytest

import mien
from mien.recognizer import Recognizer
from mien.serve import explainer as explain_thread
from mien.serve.engine import Engine
from mien.serve.explainer import Explainer
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem
from tests.fakes import FakeClassifier, FakeDetector, paint_face
from tests.serve.conftest import open_client, run_server
from tests.serve.test_api import blank, code_of

CALLS = 1 + 256 // 8  # of the model for a face: once for the whole crop, and 256 ways in small steps


def post(client, *files, **query):
    return client.post("/v1/explain", files=[("images", file) for file in files], params={"model": "tiny", **query})


@pytest.fixture(scope="module")
def two_faces(photo) -> bytes:
    face = cv2.imdecode(np.frombuffer(photo, np.uint8), 1)[30:210, 130:320]
    return cv2.imencode(".png", np.hstack([face, face[:, ::-1]]))[1].tobytes()


@pytest.fixture(scope="module")
def expected(two_faces):
    """What the library says of two faces: their reading, and an explanation of each."""
    recognizer = Recognizer(model="tiny", threads=1)
    reading = recognizer.recognize(two_faces)
    assert len(reading.faces) == 2
    return reading, recognizer.explain(two_faces, reading)


def test_an_explanation_is_that_of_the_library(client, two_faces, expected):
    reading, found = expected
    answer = post(client, ("two.png", two_faces))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "model": "tiny",
        "labels": "fer7",
        "reading": {**reading.to_dict(), "source": "two.png"},
        "explanations": [{"face": number, **one.to_dict()} for number, one in enumerate(found, 1)],
    }


def test_json_lines_have_a_record_each_and_their_pictures(client, two_faces, expected):
    reading, found = expected
    answer = post(client, ("two.png", two_faces), format="jsonl", picture="png")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for line, one in zip(lines, found, strict=True):
        drawn = cv2.imdecode(np.frombuffer(base64.b64decode(line.pop("picture")), np.uint8), 1)
        np.testing.assert_array_equal(drawn, mien.draw_explanations(two_faces, [one], [line["face"]]))
    records = [{**record, "source": "two.png"} for record in reading.to_records()]
    assert lines == [{**record, **one.to_dict()} for record, one in zip(records, found, strict=True)]


def test_the_picture_of_all_faces(client, two_faces, expected):
    answer = post(client, ("two.png", two_faces), format="png")
    assert answer.headers["content-type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1)
    np.testing.assert_array_equal(drawn, mien.draw_explanations(two_faces, expected[1]))
    second = post(client, ("two.png", two_faces), format="png", faces="2")
    drawn = cv2.imdecode(np.frombuffer(second.content, np.uint8), 1)
    np.testing.assert_array_equal(drawn, mien.draw_explanations(two_faces, expected[1][1:], [2]))


def test_faces_labels_and_the_expression_are_chosen(client, two_faces, expected):
    reading, _ = expected
    answer = post(client, ("two.png", two_faces), faces="2", labels="basic3", expression="Sadness").json()
    assert len(answer["reading"]["faces"]) == 2
    (one,) = answer["explanations"]
    assert (one["face"], one["explained"]) == (2, "sad")
    assert one["probability"] < 0.5 < reading.faces[1].confidence
    assert np.shape(one["drop"]) == (8, 8)
    ordered = post(client, ("two.png", two_faces), faces="2,1,2").json()["explanations"]
    assert [one["face"] for one in ordered] == [1, 2]


def test_a_photo_without_a_face(client):
    assert post(client, ("none.png", blank())).json()["explanations"] == []
    assert post(client, ("none.png", blank()), format="jsonl").text == ""
    assert code_of(post(client, ("none.png", blank()), format="png")) == (422, "no_face")
    answer = post(client, ("none.png", blank()), faces="1")
    assert code_of(answer) == (422, "invalid_parameter")
    assert "none.png has no face" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ({"model": "giant"}, "unknown_model", "giant"),
        ({"labels": "happy"}, "unknown_labels", ""),
        ({"expression": "hapy"}, "invalid_parameter", "'happy'?"),
        ({"expression": "positive", "labels": "basic3"}, "invalid_parameter", "happy, sad, neutral"),
        ({"faces": "0"}, "invalid_parameter", "faces"),
        ({"faces": "1,,2"}, "invalid_parameter", "faces"),
        ({"faces": "2"}, "invalid_parameter", "faces names face 2; a.jpg has 1 face"),
        ({"format": "gif"}, "invalid_parameter", "format"),
        ({"format": "png", "picture": "png"}, "invalid_parameter", "a picture already"),
        ({"face": "1"}, "invalid_parameter", "unknown parameter 'face'; expected model, labels, expression, faces"),
    ],
)
def test_wrong_choices_are_422(client, photo, query, code, said):
    answer = post(client, ("a.jpg", photo), **query)
    assert code_of(answer) == (422, code)
    assert said in answer.json()["error"]["message"]


def test_a_request_has_one_image_that_is_one(client, photo):
    answer = post(client, ("a.jpg", photo), ("b.jpg", photo))
    assert code_of(answer) == (413, "too_many_images")
    assert "more than one image" in answer.json()["error"]["message"]
    assert code_of(post(client, ("notes.txt", b"hello"))) == (422, "unreadable_image")
    assert code_of(client.post("/v1/explain", content=b"x")) == (415, "unsupported_media_type")
    assert "mien_held_bytes 0.0" in client.get("/metrics").text


def test_more_faces_than_the_limit_are_explained_in_parts(two_faces):
    with open_client(max_explained_faces=1, model="tiny") as client:
        assert client.get("/v1/models").json()["limits"]["max_explained_faces"] == 1
        answer = post(client, ("two.png", two_faces))
        assert code_of(answer) == (413, "too_many_faces")
        assert "two.png: 2 faces; the limit of a request is 1" in answer.json()["error"]["message"]
        assert len(post(client, ("two.png", two_faces), faces="2").json()["explanations"]) == 1
        text = client.get("/metrics").text
        assert "mien_explained_faces_total 1.0" in text
        assert "mien_queue_explanations 0.0" in text
        assert "mien_held_bytes 0.0" in text
        assert 'mien_requests_total{route="/v1/explain",status="200"}' in text


def test_the_token_is_asked_for(photo):
    with open_client(token="sesame", model="tiny") as client:
        assert code_of(post(client, ("a.jpg", photo))) == (401, "unauthorized")


@pytest.mark.parametrize("query", ["format=jsonl", ""])
def test_a_client_that_goes_leaves_no_work(two_faces, query):
    """With lines it goes after the first, of whose faces the last is not explained; without, before its answer."""
    image = cv2.imdecode(np.frombuffer(two_faces, np.uint8), 1)
    crowd = cv2.imencode(".png", np.vstack([image] * 4))[1].tobytes()
    body = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + crowd + b"\r\n--b--\r\n"
    with run_server() as server:

        def metric(name):
            asking = http.client.HTTPConnection(server.host, server.port, timeout=20)
            asking.request("GET", "/metrics")
            text = asking.getresponse().read().decode()
            asking.close()
            return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))

        client = http.client.HTTPConnection(server.host, server.port, timeout=60)
        client.request("POST", f"/v1/explain?{query}", body, {"Content-Type": "multipart/form-data; boundary=b"})
        if query:
            answer = client.getresponse()
            assert json.loads(answer.readline())["face"] == 1
            answer.close()
        else:
            until_s = time.monotonic() + 20
            while metric("mien_queue_explanations") == 0 and time.monotonic() < until_s:
                time.sleep(0.02)
        client.close()
        until_s = time.monotonic() + 20
        while metric("mien_queue_explanations") > 0 and time.monotonic() < until_s:
            time.sleep(0.02)
        assert metric("mien_explained_faces_total") < 8
        assert metric("mien_queue_explanations") == metric("mien_held_bytes") == 0
        assert server.stop()[0] == 0


class Stepwise(FakeClassifier):
    """Answers one call for each time that it is let."""

    def __init__(self):
        super().__init__()
        self.let = threading.Semaphore(0)
        self.asked = threading.Event()

    def logits(self, batch):
        self.asked.set()
        assert self.let.acquire(timeout=10)
        return super().logits(batch)


def png(said):
    return cv2.imencode(".png", paint_face(said))[1].tobytes()


def run(test, model, **options):
    """Run a coroutine function with an engine and an explainer, and a recognizer whose model is `model`."""

    async def main():
        engine = Engine(ServeOptions(**options), Metrics(), 1)
        explainer = Explainer(ServeOptions(**options), Metrics(), engine)
        engine.start()
        explainer.start()
        try:
            return await asyncio.wait_for(test(engine, explainer), 20)
        finally:
            await asyncio.to_thread(explainer.stop)
            await asyncio.to_thread(engine.stop)

    return asyncio.run(main())


async def begin(engine, explainer, model, source="photo"):
    # Read by another model than the one whose calls are counted.
    reading, _ = await engine.read(png(3), source, Recognizer(model=FakeClassifier(), detector=FakeDetector()))
    recognizer = Recognizer(model=model, detector=FakeDetector(), threads=1)
    return explainer.begin(png(3), reading, [1], recognizer, None, "none")


async def asked(model):
    assert await asyncio.to_thread(model.asked.wait, 10)
    model.asked.clear()


def test_frames_of_live_streams_pass_before_each_call(monkeypatch):
    model, slow = Stepwise(), Stepwise()

    async def test(engine, explainer):
        monkeypatch.setattr(explain_thread, "_MOST_PAUSE_S", 10.0)
        work = await begin(engine, explainer, model)
        await asked(model)
        live = Recognizer(model=slow, detector=FakeDetector(), threads=1)
        frame = asyncio.create_task(engine.read(png(1), "live", live, live=True))
        await asked(slow)
        model.let.release()  # the call that was under way when the frame came
        await asyncio.sleep(0.1)
        assert not model.asked.is_set()
        slow.let.release()
        await frame
        await asked(model)
        # Another frame, whose reading takes longer than an explanation waits for it.
        monkeypatch.setattr(explain_thread, "_MOST_PAUSE_S", 0.05)
        frame = asyncio.create_task(engine.read(png(1), "live", live, live=True))
        await asked(slow)
        model.let.release()
        await asked(model)
        slow.let.release()
        await frame
        model.let.release(CALLS)
        assert [one.number async for one in work] == [1]

    run(test, model)
    assert sum(model.batches) == 257


def test_who_goes_away_is_not_explained():
    model = Stepwise()

    async def test(engine, explainer):
        first, second = [await begin(engine, explainer, model, name) for name in ("first", "second")]
        await asked(model)
        explainer.end(first)
        explainer.end(second)
        last = await begin(engine, explainer, model, "last")
        model.let.release(CALLS + 1)
        assert [one.number async for one in last] == [1]

    run(test, model)
    assert len(model.batches) == CALLS + 1


def test_a_long_wait_is_refused_before_it_begins():
    model = Stepwise()

    async def test(engine, explainer):
        explainer._face_s = 10.0
        work = await begin(engine, explainer, model)
        with pytest.raises(Problem, match="waiting take 10 s") as refused:
            explainer.check_room()
        assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "5")
        explainer.end(work)
        explainer.check_room()
        model.let.release()

    run(test, model, max_wait_s=5)


def test_a_fault_costs_one_photo_and_no_thread(caplog):
    class Faulty(FakeClassifier):
        def logits(self, batch):
            raise ZeroDivisionError("a fault of ours")

    async def test(engine, explainer):
        bad = await begin(engine, explainer, Faulty())
        with pytest.raises(Problem) as told:
            [one async for one in bad]
        assert (told.value.status, told.value.code) == (500, "internal")
        good = await begin(engine, explainer, FakeClassifier())
        return [one.explanation.expression async for one in good]

    assert run(test, None) == [Recognizer(model=FakeClassifier(), detector=FakeDetector()).scheme.labels[3]]
    assert "a fault of ours" in caplog.text


def test_an_end_of_the_service_refuses_what_is_left():
    model = Stepwise()

    async def test(engine, explainer):
        works = [await begin(engine, explainer, model, name) for name in ("under way", "waiting")]
        await asked(model)
        ending = asyncio.create_task(asyncio.to_thread(explainer.stop))
        await asyncio.sleep(0.05)
        model.let.release()
        await ending
        for work in works:
            with pytest.raises(Problem, match="shutting down"):
                [one async for one in work]
        with pytest.raises(Problem, match="shutting down"):
            await begin(engine, explainer, model)

    run(test, model)
    assert len(model.batches) == 1


def test_a_failure_after_the_first_line_is_the_last_line(two_faces, monkeypatch):
    real, calls = Recognizer.explain, []

    def explain(self, *given, **options):
        calls.append(given)
        if len(calls) == 2:
            raise ZeroDivisionError
        return real(self, *given, **options)

    monkeypatch.setattr(Recognizer, "explain", explain)
    with open_client(model="tiny") as client:
        first, last = map(json.loads, post(client, ("two.png", two_faces), format="jsonl").text.splitlines())
        assert first["face"] == 1
        assert last["error"]["code"] == "internal"
        assert "mien_held_bytes 0.0" in client.get("/metrics").text
        calls[:] = []
        assert code_of(post(client, ("two.png", two_faces))) == (500, "internal")
