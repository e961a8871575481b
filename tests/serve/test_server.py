"""The service as a process: real sockets, bad clients, signals."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from mien.errors import UsageError
from mien.serve.options import ServeOptions
from mien.serve.server import run as run_in_process
from tests.serve.conftest import run_server

UPLOAD = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n%b\r\n--b--\r\n'


def post(server, photo, timeout=30):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout)
    try:
        connection.request("POST", "/v1/recognize", UPLOAD % photo, {"content-type": "multipart/form-data; boundary=b"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def get(server, path):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def open_raw(server, data):
    raw = socket.create_connection((server.host, server.port), timeout=10)
    raw.sendall(data)
    return raw


def read_all(raw):
    """What comes until the server closes."""
    parts = []
    with raw:
        while part := raw.recv(65536):
            parts.append(part)
    return b"".join(parts)


HEAD = b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",  # connects and says nothing
        b"GET / HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    ],
)
def test_half_a_head_is_cut_off(server, sent):
    start_s = time.monotonic()
    assert read_all(open_raw(server, sent)) == b""
    assert time.monotonic() - start_s < 3


def test_a_second_head_that_never_ends_is_cut_off_too(server):
    raw = open_raw(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
    assert read_all(raw).count(b"HTTP/1.1 ") == 1


def test_half_an_image_is_told_and_cut_off(server, photo):
    raw = open_raw(server, HEAD + b"Content-Length: 100000\r\n\r\n" + (UPLOAD % photo)[:5000])
    head, _, body = read_all(raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body)["error"]["code"] == "timeout"


def test_a_trickle_ends_some_time_too(server, photo):
    """It never stays silent for long, but it would take for ever."""
    raw = open_raw(server, HEAD + b"Content-Length: 100000\r\n\r\n" + (UPLOAD % photo)[:5000])
    raw.settimeout(0.2)
    end_s = time.monotonic() + 10
    answer = b""
    while not answer and time.monotonic() < end_s:
        with contextlib.suppress(TimeoutError):
            raw.sendall(b"x")
            answer = raw.recv(1000)
    raw.close()
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_asks_and_never_reads_is_cut_off(server):
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(20)
    raw.connect((server.host, server.port))
    with raw, pytest.raises(ConnectionError):
        for _ in range(100_000):
            raw.sendall(b"GET /page/live.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
    assert get(server, "/healthz")[0] == 200


def test_a_client_that_goes_away_in_the_middle_harms_nobody(server, photo):
    for _ in range(5):
        open_raw(server, HEAD + b"Content-Length: 100000\r\n\r\n" + photo[:3000]).close()
    assert post(server, photo)[0] == 200


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 5000, b"hello\r\n\r\n"])
def test_garbage_is_no_harm(server, garbage):
    answer = read_all(open_raw(server, garbage))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert get(server, "/healthz")[0] == 200


def test_an_announced_monster_is_refused_before_it_comes(server):
    raw = open_raw(server, HEAD + b"Content-Length: 5000000000\r\n\r\n")
    assert b'"code": "too_large"' in read_all(raw)


def test_a_monster_that_is_not_announced_is_cut_off(server):
    raw = open_raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with raw:
        raw.sendall(b"5a\r\n" + (UPLOAD % b"")[:-9].ljust(0x5A, b"x")[:0x5A] + b"\r\n")
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the system likes
            for _ in range(64):
                raw.sendall(chunk)
                time.sleep(0.01)
    assert get(server, "/healthz")[0] == 200


def test_connections_are_limited_and_free_again(server):
    held = [socket.create_connection((server.host, server.port), timeout=10) for _ in range(20)]
    try:
        time.sleep(0.1)
        status, body = get(server, "/healthz")
        assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
    finally:
        for raw in held:
            raw.close()
    time.sleep(0.2)
    assert get(server, "/healthz")[0] == 200


def stream_url(server):
    return f"ws://{server.host}:{server.port}/v1/stream"


def test_a_frame_over_the_limit_closes_that_socket_only(server, photo):
    """Refused at the length that it announces: what follows would meet a closed socket, and now and then a reset."""
    with connect(stream_url(server), max_size=None) as socket_:
        socket_.socket.sendall(b"\x82\xff" + (2_100_000).to_bytes(8, "big") + b"mask")
        with pytest.raises(ConnectionClosed) as closed:
            socket_.recv(timeout=10)
    assert closed.value.rcvd.code == 1009
    assert post(server, photo)[0] == 200


def test_a_whole_frame_over_the_limit_closes_that_socket_only(server, photo):
    with connect(stream_url(server), max_size=None) as socket_, pytest.raises(ConnectionClosed):
        socket_.send(b"x" * 2_100_000)
        socket_.recv(timeout=10)
    assert post(server, photo)[0] == 200


def test_a_stream_client_that_reads_nothing_is_cut_off(server, photo):
    """It sends and never reads: its answers pile up in its own buffers, then it is cut; others do not notice."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(20)
    raw.connect((server.host, server.port))
    raw.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    text = b'{"type": "start", "model": "' + b"x" * 60 + b'"}'
    frame = b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text
    with raw, pytest.raises(ConnectionError):
        for _ in range(100_000):
            raw.sendall(frame * 200)
    assert post(server, photo)[0] == 200
    assert b"mien_streams 0.0" in get(server, "/metrics")[1]


def test_many_clients_at_a_time(server, photo):
    statuses = []

    def work():
        statuses.extend(post(server, photo)[0] for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 24


def test_only_a_proxy_that_is_trusted_names_the_client():
    def statuses(server):
        found = []
        for number in range(8):
            connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
            connection.request("GET", "/v1/models", headers={"X-Forwarded-For": f"192.0.2.{number}"})
            found.append(connection.getresponse().status)
            connection.close()
        return found

    with run_server("--max-requests-per-s", 1) as server:
        assert 429 in statuses(server)
    with run_server("--max-requests-per-s", 1, "--behind-proxy") as server:
        assert statuses(server) == [200] * 8


def test_head_is_allowed_wherever_get_is():
    """Load balancers and `curl -I` ask so; they were told 405."""
    with run_server() as server:
        for path in ("/", "/healthz", "/metrics", "/v1/models", "/page/main.js"):
            answers = []
            for method in ("GET", "HEAD"):
                connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
                connection.request(method, path)
                response = connection.getresponse()
                answers.append((response.status, response.getheader("content-type"), response.read()))
                connection.close()
            (status, kind, body), head = answers
            assert status == 200, path
            assert body, path
            assert head == (200, kind, b"")


def test_a_stream_that_is_too_fast_is_slowed_down(photo):
    with run_server("--max-frames-per-s", 20) as server, connect(stream_url(server)) as stream:
        start_s = time.monotonic()
        for _ in range(30):
            stream.send(photo)
        for _ in range(30):
            stream.recv(timeout=10)
        assert time.monotonic() - start_s > 1.0


def test_a_text_that_is_none_closes_its_stream_and_fills_no_log():
    """A traceback for each stood in the log."""
    with run_server() as server:
        with connect(stream_url(server)) as stream:
            stream.socket.sendall(b"\x81\x82\0\0\0\0\xff\xfe")  # final text, two masked bytes
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(timeout=10)
        assert closed.value.rcvd.code == 1007
        assert server.stop() == (0, "mien: stopped\n")


def test_sigterm_finishes_what_is_under_way(photo):
    with run_server() as server:
        post(server, photo)
        raw = open_raw(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(UPLOAD % photo) + (UPLOAD % photo)[:20_000])
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        raw.sendall((UPLOAD % photo)[20_000:])
        assert read_all(raw).startswith(b"HTTP/1.1 200")
        server.process.wait(10)
        assert server.process.returncode == 0
        assert server.process.stderr.read() == "mien: stopped\n"


def test_sigterm_ends_live_streams(photo):
    with run_server() as server, connect(stream_url(server)) as stream:
        stream.send(photo)
        assert json.loads(stream.recv(timeout=10))["type"] == "reading"
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=10)
        assert closed.value.rcvd.code == 1012
        assert server.process.wait(10) == 0


def test_ctrl_c_is_a_clean_end():
    with run_server() as server:
        assert server.stop(signal.SIGINT) == (0, "mien: stopped\n")


def test_the_memory_stays_flat(server, photo):
    def resident_kb():
        pages = Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE") // 1024

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    for _ in range(20):
        post(server, photo)
    before_kb = resident_kb()
    for _ in range(150):
        post(server, photo)
    assert resident_kb() - before_kb < 8_000


def test_where_all_addresses_are_listened_on_it_says_one_for_other_computers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, contextlib.suppress(OSError):
        asked.connect(("192.0.2.1", 9))
        own = asked.getsockname()[0]
    if own == "0.0.0.0":
        pytest.skip("this computer is in no network")
    with run_server("--host", "0.0.0.0", "--token", "sesame") as started:
        assert started.host == "127.0.0.1"
        told = re.search(r"http://(\S+):(\d+)/ \(no camera", started.process.stderr.readline())
        assert told.groups() == (own, str(started.port))
        connection = http.client.HTTPConnection(own, started.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on port {port} of 127.0.0.1: .*in use; choose another"):
            run_in_process(ServeOptions(port=port), print)


def test_a_host_that_is_not_here():
    with pytest.raises(UsageError, match="cannot listen on"):
        run_in_process(ServeOptions(host="192.0.2.1"), print)
    with pytest.raises(UsageError, match="expected an address"):
        run_in_process(ServeOptions(host="no such host"), print)
