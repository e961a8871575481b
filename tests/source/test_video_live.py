"""Cameras and network streams: nothing falls behind, and what breaks off comes back or is said."""

import _thread
import contextlib
import itertools
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from mien.errors import InputError, UsageError
from mien.source import VideoSource
from tests.clips import plain, write_clip


class FakeCamera:
    """Gives a picture each few milliseconds, for so many pictures."""

    def __init__(self, count=1000, interval_s=0.005):
        self.left = count
        self.interval_s = interval_s
        self.released = False

    def grab(self):
        time.sleep(self.interval_s)
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.full((12, 16, 3), self.left % 256, np.uint8)

    def get(self, number):
        return 0.0

    def release(self):
        self.released = True


@pytest.mark.parametrize(("platform", "listed"), [("linux", r" \(.*here.*\)"), ("win32", ""), ("darwin", "")])
def test_no_camera_is_said(platform, listed, monkeypatch):
    """And which there are, where that is known."""
    monkeypatch.setattr("mien.source.capture.sys.platform", platform)
    with pytest.raises(InputError, match=rf"camera:0: no camera of number 0 can be opened{listed}; is it plugged in"):
        VideoSource("camera:0")
    with pytest.raises(UsageError, match="camera's number"):
        VideoSource("camera:front")


def test_a_slow_reader_gets_new_frames_and_the_rest_are_counted():
    source = VideoSource("camera:0", opener=lambda _: FakeCamera())
    assert source.info.live
    assert source.info.duration_s is None
    seen = []
    for frame in source:
        seen.append(frame)
        dropped = source.dropped
        time.sleep(0.05)
        if len(seen) == 10:
            break
    index = [frame.index for frame in seen]
    assert index == sorted(set(index))
    # About ten pictures come while one is read; at most the two newest wait.
    assert source.dropped >= 10
    assert index[-1] >= 20
    # Every frame was read, dropped or still waits.
    assert abs(index[-1] + 1 - len(seen) - dropped) <= 3
    times_s = [frame.time_s for frame in seen]
    assert times_s[0] == 0.0
    assert all(b > a for a, b in itertools.pairwise(times_s))


def test_a_quick_reader_loses_nothing():
    source = VideoSource("camera:0", give_up_s=0, opener=lambda _: FakeCamera(count=50))
    items = list(source)
    assert [item.index for item in items[:-1]] == list(range(50))
    assert source.dropped == 0
    assert "the camera stopped giving pictures after 50 frames" in items[-1].problem


def plugged(*cameras):
    """Opens one camera after the other; in the place of an error there is none at the time."""
    waiting = iter(cameras)

    def opener(name):
        camera = next(waiting, None)
        if camera is None:
            raise InputError(name, "no camera")
        return camera

    return opener


def test_a_camera_that_is_unplugged_and_comes_back_goes_on():
    """Reading it ended for good."""
    first, told = FakeCamera(count=5), []
    opener = plugged(first, None, FakeCamera(count=5))
    source = VideoSource("camera:0", give_up_s=2.0, opener=opener, tell=told.append)
    *frames, problem = source
    assert first.released
    assert source.reconnects == 1
    assert [frame.index for frame in frames] == list(range(10))
    times_s = [frame.time_s for frame in frames]
    assert times_s == sorted(times_s)
    assert times_s[5] - times_s[4] > 1.4
    assert "did not come back within 2 s" in problem.problem
    away, back, for_good = told
    assert away == for_good == "camera:0: no pictures any more; trying again for 2 s"
    assert re.fullmatch(r"camera:0: pictures again, after [12]\.\d s", back)


def test_a_server_that_gives_one_picture_a_connection_is_no_news(monkeypatch):
    """Each picture cost two lines."""
    told = []
    cameras = [FakeCamera(count=1) for _ in range(3)]
    source = VideoSource("http://camera/shot", give_up_s=0.7, opener=plugged(*cameras), tell=told.append)
    *frames, _ = source
    assert len(frames) == 3
    assert told == ["http://camera/shot: no pictures any more; trying again for 1 s"]  # when it was gone for good
    told.clear()
    monkeypatch.setattr("mien.source.video._STEADY_S", 0.0)
    cameras = [FakeCamera(count=5) for _ in range(2)]
    list(VideoSource("camera:0", give_up_s=0.7, opener=plugged(*cameras), tell=told.append))
    assert ["again, after" in line for line in told] == [False, True, False]


def test_the_end_that_was_asked_for_comes_although_the_camera_does_not():
    source = VideoSource("camera:0", end_s=0.6, opener=plugged(FakeCamera(count=5)))
    assert [frame.index for frame in source] == list(range(5))


def test_the_first_pictures_of_a_camera_may_be_damaged():
    camera = FakeCamera()
    good, camera.retrieve = camera.retrieve, lambda: good() if camera.left < 995 else (False, None)
    assert VideoSource("camera:0", opener=lambda _: camera).info.size_wh == (16, 12)
    blind, empty = FakeCamera(), FakeCamera(count=0)
    blind.retrieve = lambda: (False, None)
    for camera in (blind, empty):
        with pytest.raises(InputError, match="holds no video frames"):
            VideoSource("camera:0", opener=lambda _, camera=camera: camera)
        assert camera.released


def test_opencv_is_quiet_while_a_live_source_is_read():
    """It remarks on every stall, on stderr; also on that of a stream which was left while it hung."""
    logging = cv2.utils.logging
    before, within = logging.getLogLevel(), []
    camera, quick = FakeCamera(count=20), FakeCamera.grab
    camera.grab = lambda: (within.append(logging.getLogLevel()), quick(camera))[1]
    list(VideoSource("camera:0", give_up_s=0, opener=lambda _: camera))
    assert set(within[1:]) == {logging.LOG_LEVEL_SILENT}
    assert logging.getLogLevel() == before != logging.LOG_LEVEL_SILENT


def test_the_clock_of_a_live_source_can_be_told_from_its_times():
    before = datetime.now(timezone.utc)
    source = VideoSource("camera:0", give_up_s=0, opener=lambda _: FakeCamera(count=20))
    last_s = [item.time_s for item in source if not isinstance(item, InputError)][-1]
    assert (
        before <= source.info.started <= source.info.started + timedelta(seconds=last_s) <= datetime.now(timezone.utc)
    )


def test_live_sources_are_thinned_by_the_clock():
    source = VideoSource("camera:0", every_s=0.1, give_up_s=0, opener=lambda _: FakeCamera(count=100))
    times_s = [item.time_s for item in source if not isinstance(item, InputError)]
    assert len(times_s) >= 4
    # A frame each tenth of a second by the clock: two may be closer than that, three not.
    assert np.diff(times_s[::2]).min() > 0.09


def test_a_live_source_stops_at_its_end_and_has_no_start():
    source = VideoSource("camera:0", end_s=0.2, opener=lambda _: FakeCamera(count=10_000))
    times_s = [item.time_s for item in source]
    assert 0 < max(times_s) < 0.2
    camera = FakeCamera()
    with pytest.raises(UsageError, match="camera:0: a camera or stream begins when it is opened"):
        VideoSource("camera:0", start_s=1, opener=lambda _: camera)
    assert camera.released


def test_the_camera_is_released():
    camera = FakeCamera()
    source = VideoSource("camera:0", opener=lambda _: camera)
    next(iter(source))
    source.close()
    wait_until(lambda: camera.released)


def wait_until(true):
    deadline_s = time.monotonic() + 5
    while not true() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert true()


class Server:
    """A network camera that sends JPEG pictures one after the other, and can be taken away, or says nothing more."""

    def __init__(self, port=0, pictures=10**9):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not server.gone.is_set():
                        if server.sent >= pictures:
                            server.gone.wait(60)
                            break
                        server.sent += 1
                        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), server.sent % 200, np.uint8))[1].tobytes()
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg + b"\r\n")
                        time.sleep(0.01)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.gone = threading.Event()
        self.sent = 0
        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.gone.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def camera():
    server = Server()
    yield server
    server.stop()


def test_a_stream_that_dies_and_comes_back_goes_on(camera):
    source = VideoSource(f"http://127.0.0.1:{camera.port}/video", give_up_s=10.0)
    assert source.info.live
    again = None
    started = []
    frames = []
    for item in source:
        frames.append(item)
        if len(frames) == 20:
            camera.stop()
            threading.Timer(0.3, lambda: started.append(Server(camera.port))).start()
        if source.reconnects and again is None:
            again = len(frames)
        if again is not None and len(frames) >= again + 20:
            break
    started[0].stop()
    assert source.reconnects == 1
    index = [frame.index for frame in frames]
    assert index == sorted(set(index))
    times_s = [frame.time_s for frame in frames]
    # The clock goes on through the gap.
    assert times_s == sorted(times_s)
    assert times_s[-1] > 0.5


def test_a_stream_that_stays_away_is_given_up(camera):
    source = VideoSource(f"http://127.0.0.1:{camera.port}/video", give_up_s=1.2)
    items = []
    start_s = None
    for item in source:
        items.append(item)
        if len(items) == 10:
            camera.stop()
            start_s = time.monotonic()
    assert isinstance(items[-1], InputError)
    assert "did not come back within 1.2 s" in items[-1].problem
    assert not any(isinstance(item, InputError) for item in items[:-1])
    assert 1.0 < time.monotonic() - start_s < 8.0


@pytest.mark.parametrize(("last", "status"), [("", 0), ("sys.exit('of the program')", 1)])
def test_a_program_may_end_without_closing_its_stream(camera, last, status):
    """Its decoding thread, within FFmpeg at that time, aborted the process."""
    program = "import sys; from mien.source import VideoSource; frames = iter(VideoSource(sys.argv[1])); next(frames)"
    address = f"http://127.0.0.1:{camera.port}/video"
    done = subprocess.run([sys.executable, "-c", f"{program}; {last}", address], stderr=subprocess.PIPE, text=True)
    assert done.returncode == status
    assert done.stderr.split() == (["of", "the", "program"] if last else [])


@pytest.fixture
def silent():
    """The port of a server that takes every connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def ctrl_c_after(seconds):
    threading.Timer(seconds, _thread.interrupt_main).start()


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_ctrl_c_while_a_stream_is_opened_is_heard_at_once(silent, scheme):
    """FFmpeg waits for ten seconds."""
    ctrl_c_after(0.3)
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        VideoSource(f"{scheme}://127.0.0.1:{silent}/live")
    assert time.monotonic() - start_s < 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a camera belongs to the thread that opens it")
def test_a_camera_that_opens_after_ctrl_c_is_released():
    plugged, camera = threading.Event(), FakeCamera()

    def hang(_):
        plugged.wait(30)
        return camera

    ctrl_c_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        VideoSource("camera:0", opener=hang)
    assert not camera.released
    plugged.set()
    wait_until(lambda: camera.released)


def test_who_leaves_a_stream_that_hangs_does_not_wait():
    """The camera is released when the call that it hangs in returns."""
    plugged, camera = threading.Event(), FakeCamera(interval_s=0.0)
    grab, camera.grab = camera.grab, lambda: (camera.left > 990 or plugged.wait(30)) and grab()
    source = VideoSource("camera:0", opener=lambda _: camera)
    ctrl_c_after(0.3)
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in source:
            pass
    assert time.monotonic() - start_s < 5
    assert not camera.released
    plugged.set()
    wait_until(lambda: camera.released)


def test_an_address_where_nobody_is():
    with pytest.raises(InputError, match="cannot connect"):
        VideoSource("rtsp://127.0.0.1:9/nothing")


@contextlib.contextmanager
def file_server(data, reachable):
    """The address of a file of which only the first bytes can be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0] or 0)
            self.send_response(206)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Connection", "close")
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data[start:reachable])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/clip.mp4"
    finally:
        server.shutdown()
        server.server_close()


def test_a_file_behind_an_address_is_read_whole(tmp_path):
    """It has an end, so nothing of it is dropped."""
    data = write_clip(tmp_path / "clip.mp4", plain(40)).read_bytes()
    with file_server(data, len(data)) as address:
        source = VideoSource(address)
        assert not source.info.live
        seen = []
        for frame in source:
            seen.append(frame.index)
            time.sleep(0.003)
    assert seen == list(range(40))
    assert source.dropped == 0


def test_a_file_behind_an_address_that_breaks_off_is_said(tmp_path):
    """Half a video was read without a word."""
    noise = [np.random.default_rng(n).integers(0, 255, (120, 160, 3), np.uint8) for n in range(90)]
    data = write_clip(tmp_path / "clip.mkv", noise).read_bytes()
    with file_server(data, len(data) // 2) as address:
        *frames, problem = VideoSource(address)
    assert 30 <= len(frames) <= 60
    assert isinstance(problem, InputError)
    assert f"of 3.0 s: the connection broke off, or only the sound goes on ({len(frames)} frames" in problem.problem
