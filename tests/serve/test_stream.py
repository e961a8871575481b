"""The live stream, through the whole application."""

import asyncio
import json

import cv2
import numpy as np
import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from mien.serve.engine import Engine
from tests.serve.conftest import open_client

STREAM = "ws://localhost/v1/stream"


@pytest.fixture(scope="module")
def frames(astronaut_bgr):
    """A short walk of the photo through the picture."""
    shifted = [np.roll(astronaut_bgr, 6 * n, axis=1)[:400] for n in range(5)]
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in shifted]


def read(socket, frame):
    socket.send_bytes(frame)
    return socket.receive_json()


def test_frames_in_readings_out(client, frames):
    with client.websocket_connect(STREAM) as socket:
        answers = [read(socket, frame) for frame in frames]
    assert [answer["type"] for answer in answers] == ["reading"] * 5
    readings = [answer["reading"] for answer in answers]
    assert [reading["frame"] for reading in readings] == [0, 1, 2, 3, 4]
    times = [reading["time_s"] for reading in readings]
    assert times[0] == 0
    assert times == sorted(times)
    assert {reading["faces"][0]["track_id"] for reading in readings} == {1}
    assert readings[-1]["faces"][0]["expression"] == "happy"
    assert all(answer["server_s"] > 0 for answer in answers)


def test_tracks_belong_to_a_connection(client, frames):
    for _ in range(2):
        with client.websocket_connect(STREAM) as socket:
            assert read(socket, frames[0])["reading"]["faces"][0]["track_id"] == 1


def test_model_and_labels_are_chosen_and_changed(client, frames):
    with client.websocket_connect(STREAM) as socket:
        socket.send_json({"type": "start", "model": "small", "labels": "valence3", "smooth_s": 0})
        assert socket.receive_json() == {
            "type": "ready",
            "model": "small",
            "labels": ["positive", "neutral", "negative"],
        }
        assert read(socket, frames[0])["reading"]["faces"][0]["expression"] == "positive"
        socket.send_json({"type": "start"})
        assert socket.receive_json()["model"] == "base"
        assert read(socket, frames[1])["reading"]["faces"][0]["expression"] == "happy"


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("not json", "bad_request", "is no JSON"),
        ("[" * 100_000, "bad_request", "is no JSON"),
        ("[]", "bad_request", "expected"),
        ('{"type": "stop"}', "bad_request", "expected"),
        ('{"type": "start", "url": "http://x"}', "bad_request", "unknown key 'url'"),
        ('{"type": "start", "model": 7}', "bad_request", "expected a text"),
        ('{"type": "start", "smooth_s": "a"}', "bad_request", "expected a number"),
        ('{"type": "start", "smooth_s": -1}', "bad_request", "at least 0"),
        ('{"type": "start", "model": "giant"}', "unknown_model", "giant"),
        ('{"type": "start", "labels": "silly,happy"}', "unknown_labels", "silly"),
    ],
)
def test_wrong_messages_are_told_and_cost_nothing(client, frames, text, code, part):
    with client.websocket_connect(STREAM) as socket:
        socket.send_text(text)
        answer = socket.receive_json()
        assert (answer["type"], answer["error"]["code"]) == ("error", code)
        assert part in answer["error"]["message"]
        assert read(socket, frames[0])["type"] == "reading"


def test_an_answer_is_text_whatever_it_repeats(client):
    with client.websocket_connect(STREAM) as socket:
        socket.send_text('{"type": "start", "labels": "\\ud800,happy"}')
        assert "unknown_labels" in socket.receive_text().encode().decode()


@pytest.mark.parametrize("garbage", [b"", b"garbage", bytes(range(256)) * 50])
def test_a_bad_frame_is_told_and_the_next_one_is_read(client, frames, garbage):
    with client.websocket_connect(STREAM) as socket:
        answer = read(socket, garbage)
        assert (answer["type"], answer["frame"], answer["error"]["code"]) == ("error", 0, "unreadable_image")
        assert read(socket, frames[0])["reading"]["frame"] == 1


def test_a_fast_client_loses_frames_not_time(client, frames):
    """Every frame is answered once: read, or passed over for a newer one."""
    with client.websocket_connect(STREAM) as socket:
        for _ in range(4):
            for frame in frames:
                socket.send_bytes(frame)
        answers = [socket.receive_json() for _ in range(20)]
    numbers = [a["frame"] if a["type"] == "dropped" else a["reading"]["frame"] for a in answers]
    assert sorted(numbers) == list(range(20))
    read_ones = [a["reading"]["frame"] for a in answers if a["type"] == "reading"]
    assert read_ones == sorted(read_ones)
    assert read_ones[-1] == 19


def test_no_more_streams_than_allowed(frames):
    with open_client(max_streams=1) as client:
        with client.websocket_connect(STREAM) as socket:
            with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(STREAM):
                pass
            assert refused.value.status_code == 503
            assert refused.value.json()["error"]["code"] == "overloaded"
            assert refused.value.headers["retry-after"]
            assert read(socket, frames[0])["type"] == "reading"
        with client.websocket_connect(STREAM) as socket:
            assert read(socket, frames[0])["type"] == "reading"


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}])
def test_foreign_pages_get_no_socket(client, headers):
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(STREAM, headers=headers):
        pass
    assert refused.value.status_code == 403


def test_a_silent_stream_is_closed(frames):
    with open_client(stream_idle_s=0.2) as client, client.websocket_connect(STREAM) as socket:
        assert read(socket, frames[0])["type"] == "reading"
        assert socket.receive_json()["error"]["code"] == "timeout"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1000


def test_a_stream_that_waits_for_its_answer_is_not_silent(frames, monkeypatch):
    quick = Engine.read

    async def slow(*arguments, **keywords):
        await asyncio.sleep(0.7)
        return await quick(*arguments, **keywords)

    monkeypatch.setattr(Engine, "read", slow)
    with open_client(stream_idle_s=0.2) as client, client.websocket_connect(STREAM) as socket:
        assert read(socket, frames[0])["type"] == "reading"


@pytest.fixture(scope="module")
def locked():
    with open_client(token="sesame", client_timeout_s=0.3) as client:
        yield client


class TestToken:
    def test_in_the_header(self, locked, frames):
        with locked.websocket_connect(STREAM, headers={"authorization": "Bearer sesame"}) as socket:
            assert read(socket, frames[0])["type"] == "reading"

    def test_a_wrong_header_is_401(self, locked):
        headers = {"authorization": "Bearer wrong"}
        with pytest.raises(WebSocketDenialResponse) as refused, locked.websocket_connect(STREAM, headers=headers):
            pass
        assert refused.value.status_code == 401

    def test_in_the_first_message(self, locked, frames):
        with locked.websocket_connect(STREAM) as socket:
            socket.send_json({"type": "start", "token": "sesame"})
            assert socket.receive_json()["type"] == "ready"
            assert read(socket, frames[0])["type"] == "reading"

    @pytest.mark.parametrize(
        "first",
        [
            b"frame",
            '{"type": "start", "token": "wrong"}',
            '{"type": "start", "token": "\\ud800"}',
            '{"type": "start"}',
            None,
        ],
    )
    def test_without_it_the_socket_is_closed(self, locked, first):
        with locked.websocket_connect(STREAM) as socket:
            if first is not None:
                socket.send({"type": "websocket.receive", "bytes" if isinstance(first, bytes) else "text": first})
            code = json.loads(socket.receive_text())["error"]["code"]
            assert code == ("timeout" if first is None else "unauthorized")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == (1000 if first is None else 1008)
