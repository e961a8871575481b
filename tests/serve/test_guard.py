import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mien.serve.app import create_app
from mien.serve.guard import SECURITY_HEADERS, Rate, check_token
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem
from tests.serve.conftest import open_client


@pytest.fixture(scope="module")
def guarded():
    with open_client(
        token="open sesame", allow_origin="https://app.example", allow_host="face.example", max_requests_per_s=1e6
    ) as client:
        yield client


KEY = {"authorization": "Bearer open sesame"}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "192.0.2.7:80", "[::1]:8000", "face.example"]
)
def test_known_hosts(guarded, host):
    assert guarded.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "a b"]
)
def test_other_hosts_are_refused(guarded, host):
    """A page that rebinds its own name to this address gets nothing."""
    answer = guarded.get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "unknown_host")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost", 200),
        ("https://localhost", 200),  # behind a proxy with TLS
        ("https://app.example", 200),
        ("http://app.example", 403),
        ("https://app.example.evil", 403),
        ("http://localhost:1", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
def test_origins(guarded, origin, status):
    headers = KEY if origin is None else {**KEY, "origin": origin}
    answer = guarded.get("/v1/models", headers=headers)
    assert answer.status_code == status
    shared = answer.headers.get("access-control-allow-origin")
    assert shared == ("https://app.example" if origin == "https://app.example" else None)


def test_preflight_is_answered_for_allowed_origins_only(guarded):
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    good = guarded.options("/v1/recognize", headers={**ask, "origin": "https://app.example"})
    assert (good.status_code, good.headers["access-control-allow-headers"]) == (204, "authorization, content-type")
    assert guarded.options("/v1/recognize", headers={**ask, "origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Bearer open sesame!", "Basic open sesame", "open sesame"]
)
def test_a_wrong_token_is_401(guarded, authorization):
    headers = {} if authorization is None else {"authorization": authorization}
    for path in ("/v1/models", "/metrics", "/openapi.json"):
        answer = guarded.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert guarded.post("/v1/recognize", headers=headers).status_code == 401


def test_the_right_token_opens_and_the_page_needs_none(guarded):
    assert guarded.get("/v1/models", headers=KEY).status_code == 200
    assert guarded.get("/v1/models", headers={"authorization": "bearer open sesame"}).status_code == 200
    for path in ("/", "/page/main.js", "/healthz"):
        assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/v1/models"])
def test_every_answer_has_the_security_headers(guarded, path):
    answer = guarded.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_a_fast_client_gets_429_with_retry_after():
    with open_client(max_requests_per_s=2) as client:
        statuses = [client.get("/v1/models").status_code for _ in range(6)]
        assert statuses == [200] * 4 + [429] * 2
        assert int(client.get("/v1/models").headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.5, 20))
def test_no_more_pass_than_the_rate_allows(pauses_s, per_s):
    rate, now_s, passed = Rate(per_s), 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        wait_s = rate.take("client", now_s)
        passed += wait_s == 0
        assert wait_s >= 0
    assert passed <= max(1, 2 * per_s) + now_s * per_s + 1e-6


def test_clients_do_not_share_a_rate():
    rate = Rate(1)
    assert [rate.take("a", 0.0), rate.take("a", 0.0)] == [0, 0]
    assert rate.take("a", 0.0) > 0
    assert rate.take("b", 0.0) == 0
    assert rate.take("a", 1.0) == 0


def test_the_token_also_guards_a_service_inside_another_application(photo):
    """There the path has the prefix before it, and the service is not told that the server starts."""
    app = FastAPI()
    app.mount("/faces", create_app(ServeOptions(token="sesame", threads=1)))
    client = TestClient(app, base_url="http://localhost")
    for path in ("v1/models", "metrics", "openapi.json", "nothing"):
        assert client.get(f"/faces/{path}").status_code == 401, path
    assert client.get("/faces/healthz").status_code == 200
    key = {"authorization": "Bearer sesame"}
    answer = client.post("/faces/v1/recognize", headers=key, files={"images": photo})
    assert [face["expression"] for face in answer.json()["readings"][0]["faces"]] == ["happy"]
    counted = client.get("/faces/metrics", headers=key).text
    assert 'mien_requests_total{route="/v1/recognize",status="200"} 1.0' in counted


def test_the_token_also_guards_a_service_below_a_path_of_its_server():
    """As with `uvicorn --root-path /faces`; some servers put the prefix before the path, and some do not."""
    app = create_app(ServeOptions(token="sesame", threads=1))
    client = TestClient(app, base_url="http://localhost", root_path="/faces")
    for path in ("/faces/v1/models", "/v1/models"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer sesame"}).status_code == 200


def test_without_a_token_everything_passes():
    check_token(None, None)
    check_token(None, "Bearer whatever")
    with pytest.raises(Problem):
        check_token("x", "Bearer schön")
