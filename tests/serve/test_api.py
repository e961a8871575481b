"""The routes, through the whole application."""

import io
import json
import struct
import zlib

import cv2
import numpy as np
import pytest

import mien
from tests.serve.conftest import open_client


def post(client, *files, **query):
    return client.post("/v1/recognize", files=[("images", file) for file in files], params=query)


def code_of(answer):
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    return answer.status_code, body["error"]["code"]


def png_that_claims(width, height):
    """A small file that would decode to a huge picture."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_photo_gives_what_the_library_gives(client, photo, astronaut_path):
    answer = post(client, ("astronaut.jpg", photo))
    assert answer.status_code == 200
    expected = mien.Recognizer(threads=1).recognize(photo).to_dict()
    (reading,) = answer.json()["readings"]
    assert reading == {**expected, "source": "astronaut.jpg"}
    assert answer.headers["cache-control"] == "no-store"


def test_json_lines_are_those_of_the_command_line(client, photo):
    from tests.cli.test_recognize import run

    answer = post(client, ("a.jpg", photo), ("b.jpg", photo), format="jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["source"] for line in lines] == ["a.jpg", "b.jpg"]
    said = json.loads(run("recognize", "examples/astronaut.jpg", "--json", "--threads", 1).stdout)
    assert lines[0] == {**said, "source": "a.jpg"}


def test_several_photos_keep_their_order_and_the_bad_one_is_told(client, photo):
    answer = post(client, ("one.jpg", photo), ("bad.txt", b"hello"), ("none.png", blank()))
    readings = answer.json()["readings"]
    assert [reading["source"] for reading in readings] == ["one.jpg", "bad.txt", "none.png"]
    assert [len(reading["faces"]) for reading in readings] == [1, 0, 0]
    assert [reading["error"] is None for reading in readings] == [True, False, True]
    assert readings[1]["error"].startswith("is not an image")


def test_json_lines_tell_which_photo_is_bad(client, photo):
    answer = post(client, ("one.jpg", photo), ("bad.txt", b"hello"), ("none.png", blank()), format="jsonl")
    assert answer.status_code == 200
    face, bad = [json.loads(line) for line in answer.text.splitlines()]
    assert (face["source"], face["expression"]) == ("one.jpg", "happy")
    assert list(bad) == ["source", "frame", "time_s", "error"]
    assert bad["source"] == "bad.txt"
    assert bad["error"].startswith("is not an image")
    assert code_of(post(client, ("bad.txt", b"hello"), format="jsonl")) == (422, "unreadable_image")


def blank():
    return cv2.imencode(".png", np.full((60, 80, 3), 128, np.uint8))[1].tobytes()


def test_model_and_labels_are_chosen_by_the_client(client, photo):
    answer = post(client, ("a.jpg", photo), model="small", labels="happy, sad")
    body = answer.json()
    assert (body["model"], body["labels"]) == ("small", "happy,sad")
    assert list(body["readings"][0]["faces"][0]["probabilities"]) == ["happy", "sad"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"model": "giant"}, "unknown_model"),
        ({"model": "/etc/passwd"}, "unknown_model"),
        ({"model": "x.onnx"}, "unknown_model"),
        ({"model": "mien"}, "unknown_model"),  # a detector
        ({"labels": "happy,silly"}, "unknown_labels"),
        ({"labels": "happy"}, "unknown_labels"),
        ({"format": "xml"}, "invalid_parameter"),
        ({"label": "valence3"}, "invalid_parameter"),
        ({"model": "m" * 200}, "invalid_parameter"),
    ],
)
def test_wrong_choices_are_422(client, photo, query, code):
    assert code_of(post(client, ("a.jpg", photo), **query)) == (422, code)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"hello, I am a text", 422, "unreadable_image"),
        (b"", 422, "unreadable_image"),
        (b"\xff\xd8\xff\xe0 not a jpeg", 422, "unreadable_image"),
        (bytes(range(256)) * 100, 422, "unreadable_image"),
        (png_that_claims(20_000, 10_000), 413, "too_many_pixels"),
        (png_that_claims(100, 100), 422, "unreadable_image"),
        (b"x" * 2_100_000, 413, "too_large"),
    ],
)
def test_bad_images_have_clear_answers(client, data, status, code):
    assert code_of(post(client, ("bad", data))) == (status, code)


def test_half_a_photo_is_named(client, photo):
    answer = post(client, ("half.jpg", photo[: len(photo) // 2]))
    assert code_of(answer) == (422, "unreadable_image")
    assert "half.jpg" in answer.json()["error"]["message"]
    assert "truncated" in answer.json()["error"]["message"]


def test_too_many_images(client, photo):
    assert code_of(post(client, *[(f"{n}.png", blank()) for n in range(5)])) == (413, "too_many_images")


def test_too_many_faces(photo):
    with open_client(max_faces=3, max_megapixels=40) as client:
        image = cv2.imdecode(np.frombuffer(photo, np.uint8), 1)[30:210, 130:320]
        crowd = cv2.imencode(".jpg", np.tile(image, (2, 3, 1)))[1].tobytes()
        assert code_of(post(client, ("crowd.jpg", crowd))) == (413, "too_many_faces")
        assert post(client, ("one.jpg", photo)).status_code == 200


def crowd_of(photo, rows, side_px=36):
    face = cv2.imdecode(np.frombuffer(photo, np.uint8), 1)[45:195, 150:300]
    field = np.tile(cv2.resize(face, (side_px, side_px)), (rows, rows, 1))
    return cv2.imencode(".jpg", field)[1].tobytes()


def test_a_crowd_over_the_limit_is_refused(photo):
    with open_client(min_face_px=20) as client:
        answer = post(client, ("field.jpg", crowd_of(photo, 30)))
        assert code_of(answer) == (413, "too_many_faces")
        assert "the limit is 500" in answer.json()["error"]["message"]


def test_ten_thousand_faces_harm_nobody(client, photo):
    with open_client() as client:
        assert post(client, ("field.jpg", crowd_of(photo, 100))).status_code in (200, 413)
        assert post(client, ("one.jpg", photo)).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": "application/json"}, 415, "unsupported_media_type"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "bad_request"),
        (b"x", {"content-type": "multipart/form-data; boundary=" + "b" * 100}, 400, "bad_request"),
        (b"garbage", {"content-type": "multipart/form-data; boundary=b"}, 400, "bad_request"),
        (b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}, 400, "bad_request"),
        (b"", {"content-type": "multipart/form-data; boundary=b"}, 400, "bad_request"),
        (
            b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\nabc',
            {"content-type": "multipart/form-data; boundary=b"},
            400,
            "bad_request",
        ),
    ],
)
def test_requests_that_are_no_upload(client, content, headers, status, code):
    answer = client.post("/v1/recognize", content=content, headers=headers)
    assert code_of(answer) == (status, code)


def test_no_address_is_fetched(client):
    answer = client.post("/v1/recognize", data={"url": "http://127.0.0.1:1/x.jpg"}, files={"x": b"y"})
    assert code_of(answer) == (400, "bad_request")
    assert "mien fetches no addresses" in answer.json()["error"]["message"]


def test_names_come_without_folders_and_control_characters(client):
    answer = post(client, ("../../etc/pass\x07wd", blank()))
    assert answer.json()["readings"][0]["source"].startswith("pass")


def test_nothing_is_written_to_disk(client, photo, monkeypatch, tmp_path):
    import tempfile

    def forbidden(*_, **__):
        raise AssertionError("a temporary file was opened")

    for name in ("SpooledTemporaryFile", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, forbidden)
    big = cv2.imencode(".bmp", np.zeros((700, 900, 3), np.uint8))[1].tobytes()
    assert len(big) > 1_500_000
    assert post(client, ("big.bmp", big)).status_code == 200


def test_models_say_what_there_is_to_choose(client):
    body = client.get("/v1/models").json()
    assert body["default"] == {"model": "base", "labels": "fer7"}
    names = [model["name"] for model in body["models"]]
    assert "base" in names
    assert "mien" not in names
    assert body["colors"]["happy"].startswith("#")
    assert body["limits"]["max_images"] == 4


def test_health_and_unknown_paths(client):
    assert client.get("/healthz").json() == {"status": "ok", "version": mien.__version__}
    assert code_of(client.get("/nothing")) == (404, "not_found")
    assert code_of(client.get("/page/../app.py")) == (404, "not_found")
    assert code_of(client.get("/page/%2e%2e%2fapp.py")) == (404, "not_found")
    answer = client.delete("/v1/models")
    assert code_of(answer) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_metrics_count(client, photo):
    post(client, ("a.jpg", photo))
    post(client, ("a.txt", b"text"))
    text = client.get("/metrics").text
    assert "mien_faces_total" in text
    assert 'mien_requests_total{route="/v1/recognize",status="200"}' in text
    assert 'mien_refused_total{code="unreadable_image"}' in text
    assert "mien_held_bytes 0.0" in text
    assert "mien_queue_images 0.0" in text
    client.get("/some/unknown/path")
    assert "unknown/path" not in client.get("/metrics").text


def test_the_page_and_its_files_come_from_here_only(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    names = [part.split('"')[0] for part in page.text.split('"page/')[1:]]
    assert set(names) >= {"page.css", "main.js", "icon.svg"}
    scripts = ("api.js", "draw.js", "explain.js", "live.js", "main.js", "photos.js", "table.js", "timeline.js")
    for name in (*names, *scripts):
        answer = client.get(f"/page/{name}")
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("https://", "").replace(
            "://${location.host}", ""
        ) or name.endswith(".js"), name
    assert "http" not in page.text
    tag = page.headers["etag"]
    assert client.get("/", headers={"if-none-match": tag}).status_code == 304


def test_openapi_has_examples_and_every_error(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/v1/recognize", "/v1/explain", "/v1/models", "/healthz", "/metrics"}
    for path, most in (("/v1/recognize", 4), ("/v1/explain", 1)):
        operation = document["paths"][path]["post"]
        assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} <= set(operation["responses"])
        body = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert body["properties"]["images"]["maxItems"] == most
    schemas = document["components"]["schemas"]
    assert schemas["RecognizeAnswer"]["example"]["readings"][0]["faces"]
    assert len(schemas["ExplainAnswer"]["example"]["explanations"][0]["drop"]) == 8


def test_too_much_at_a_time_is_503_with_retry_after(photo):
    with open_client(max_held_mb=0.02, max_upload_mb=0.02, max_queue=1) as client:
        image = blank()
        answer = post(client, ("a.png", image), ("b.png", image))
        assert code_of(answer) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert post(client, ("a.png", image)).status_code == 200
        assert "mien_held_bytes 0.0" in client.get("/metrics").text


def test_a_large_photo_of_noise_is_no_harm(client):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    buffer = io.BytesIO(cv2.imencode(".png", noise)[1].tobytes())
    assert post(client, ("noise.png", buffer)).json()["readings"][0]["error"] is None
