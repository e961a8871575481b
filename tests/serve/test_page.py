"""The page, in a real Chromium with a fake camera that shows a made video of the free photo.

`scripts/install-browser` installs what this needs; where no Chromium can be had, the tests here skip.
"""

import contextlib
import itertools
import json
import re
import shutil
import socket
import threading

import cv2
import pytest
import uvicorn
from fastapi import FastAPI

from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from tests.serve.conftest import WAIT_MS, run_server

playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
expect = playwright.expect

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def server(chromium_path):
    with run_server("--max-upload-mb", 0.5, "--max-requests-per-s", 10_000) as started:
        yield started


def painted(page, canvas):
    """How many pixels of a canvas are not transparent."""
    return page.evaluate(
        """(name) => { const c = document.getElementById(name);
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }""",
        canvas,
    )


def start_camera(page):
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#people .person").first).to_be_visible()


def test_live_view(open_page):
    page = open_page()
    expect(page.get_by_text("go to this server only")).to_have_count(2)
    start_camera(page)
    card = page.locator("#people .person").first
    expect(card.locator("b")).to_have_text("happy")
    expect(card.locator(".bars li")).to_have_count(7)
    expect(card.locator(".bars li[data-top=true]")).to_contain_text(re.compile(r"happy\s*\d+ %"))
    expect(page.locator("#fps")).to_have_text(re.compile(r"\d+"))
    expect(page.locator("#delay")).to_have_text(re.compile(r"\d+ ms"))
    expect(page.locator("#count")).to_have_text("1")
    assert int(page.inner_text("#fps")) >= 1  # a busy machine is slow
    assert painted(page, "overlay") > 500
    page.wait_for_timeout(2500)
    assert painted(page, "timeline") > 1000
    expect(page.locator("#say")).to_have_text(re.compile(r"1 person: happy \d+ %"))
    with page.expect_download() as download:
        page.locator("#live-csv").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("source,frame,time_s,turned_deg,face,track_id,box_x1,")
    assert len(lines) > 5
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start the camera")).to_be_focused()
    assert page.evaluate("document.getElementById('video').srcObject") is None
    assert painted(page, "overlay") == 0


def test_what_is_seen_for_a_blink_now_and_then_has_no_card(open_page):
    page = open_page()
    shown = page.evaluate(
        """async () => {
          const { Live } = await import("/page/live.js");
          const probabilities = { happy: 0.9, sad: 0.1 };
          const face = (track_id) => ({ track_id, expression: "happy", confidence: 0.9, probabilities });
          const watch = (intervalMs, frames) => {
            const page = { people: document.createElement("ul"), nobody: document.createElement("p") };
            const live = Object.assign(Object.create(Live.prototype), { cards: new Map(), times: [], page });
            const counts = frames.map((ids, number) => {
              live.updateCards({ faces: ids.map(face) }, number * intervalMs);
              live.times.push(number * intervalMs);
              return [...live.cards.keys()].filter((id) => live.isSure(id)).length;
            });
            return [page.people.textContent.match(/person \\d/g), counts];
          };
          const blinks = Array.from({ length: 24 }, (_, n) => (n === 0 || n === 23 ? [1, 2] : [1]));
          const away = Array.from({ length: 24 }, (_, n) => (n < 8 || n === 23 ? [1] : []));
          const crowd = Array.from({ length: 12 }, (_, n) => (n < 3 ? [2] : n < 8 ? [4, 2, 1] : [3, 1, 2, 4]));
          return {
            blinks: watch(33, blinks), away: watch(33, away), slow: watch(500, [[1], [1]]), crowd: watch(100, crowd),
          };
        }"""
    )
    assert shown["blinks"] == [["person 1"], [0] * 5 + [1] * 19]
    assert shown["away"] == [["person 1"], [0] * 5 + [1] * 19]  # who was known stays known
    assert shown["slow"] == [["person 1"], [0, 1]]
    assert shown["crowd"][0] == ["person 1", "person 2", "person 4"]  # by their numbers


def test_labels_in_a_crowd_cover_neither_faces_nor_each_other(open_page):
    page = open_page()
    boxes = [[70 * x + 20, 80 * y + 20, 70 * x + 50, 80 * y + 55] for y in range(3) for x in range(5)]
    drawn = page.evaluate(
        """async (boxes) => {
          const { drawFaces } = await import("/page/draw.js");
          const context = Object.assign(document.createElement("canvas"), { width: 360, height: 240 }).getContext("2d");
          const places = [], texts = [];
          context.roundRect = (x, y, w, h) => places.push([x, y, x + w, y + h]);
          context.fillText = (text) => texts.push(text);
          const faces = boxes.map((box_xyxy) => ({ box_xyxy, expression: "happy", confidence: 0.9 }));
          drawFaces(context, { size_wh: [360, 240], faces }, { scale: 1, x: 0, y: 0 });
          return { places, texts };
        }""",
        boxes,
    )
    assert {text.split()[0] for text in drawn["texts"]} == {str(number) for number in range(1, 16)}
    assert any(text.endswith("happy 90 %") for text in drawn["texts"])
    everything = [*boxes, *drawn["places"]]
    for one, other in itertools.combinations(everything, 2):
        assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


def test_a_camera_that_is_allowed_too_late_stays_off(open_page):
    """Who goes to the photos while the browser still asks must not be filmed there."""
    page = open_page(
        before="""const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.given = [];
        navigator.mediaDevices.getUserMedia = async (wanted) => {
          await new Promise((done) => { window.allow = done; });
          given.push(await ask(wanted));
          return given.at(-1);
        };"""
    )
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_role("tab", name="Photos").click()
    page.evaluate("allow()")
    page.evaluate(
        """async () => {
          const off = () => given.length && given[0].getTracks().every((track) => track.readyState === "ended");
          while (!off()) await new Promise((done) => setTimeout(done, 20));
        }"""
    )
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the camera").click()
    page.evaluate("allow()")
    expect(page.locator("#people .person").first).to_be_visible()


def test_model_and_labels_change_while_live(open_page):
    page = open_page()
    start_camera(page)
    page.get_by_label("Labels").select_option("valence3")
    expect(page.locator("#people .person .bars li")).to_have_count(3)
    expect(page.locator("#people .person b").first).to_have_text("positive")
    expect(page.locator("#legend li")).to_have_text(["positive", "neutral", "negative"])
    page.get_by_label("Model").select_option("small")
    expect(page.locator("#people .person b").first).to_have_text("positive")


def test_photos_are_read_and_the_table_saved(open_page, astronaut_path, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Photos").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="choose files").click()
    chooser.value.set_files([astronaut_path])
    photo = page.locator(".photo").first
    expect(photo.locator(".person b")).to_have_text("happy")
    expect(photo.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"1 person: happy \d+ %"))
    with page.expect_download() as download:
        page.locator("#photo-csv").click()
    head, row = download.value.path().read_text(encoding="utf-8").splitlines()
    from mien.labels import FER7
    from mien.result import columns

    assert head.split(",") == list(columns(FER7))
    assert row.startswith("astronaut.jpg,,,0,1,,")
    with page.expect_download() as download:
        page.locator("#photo-json").click()
    (record,) = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert record["expression"] == "happy"
    page.get_by_label("Labels").select_option("basic3")
    expect(photo.locator(".bars li")).to_have_count(3)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".photo")).to_have_count(0)


def test_labels_on_photos_are_as_large_whatever_the_size_of_the_photo(open_page, astronaut_bgr, tmp_path):
    face = astronaut_bgr[:320, 60:380]
    for name, image in {
        "small": cv2.resize(face, (110, 110), interpolation=cv2.INTER_AREA),
        "tall": cv2.copyMakeBorder(face, 0, 900, 0, 0, cv2.BORDER_REPLICATE),
        "large": cv2.resize(face, (1700, 1700)),
    }.items():
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 70])
    page = open_page(
        before="""window.said = [];
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
          said.push({ canvas: this.canvas, px: parseFloat(this.font.split(" ").find((word) => word.endsWith("px"))) });
          write.call(this, text, ...place);
        };"""
    )
    page.get_by_role("tab", name="Photos").click()
    page.locator("#files").set_input_files(sorted(tmp_path.glob("*.jpg")))
    expect(page.locator(".photo canvas")).to_have_count(3)
    expect(page.locator(".photo .person")).to_have_count(3)
    sizes = page.evaluate(
        """said.filter(({ canvas }) => canvas.closest(".photo")).map(({ canvas, px }) =>
        px * Math.min(canvas.clientWidth / canvas.width, canvas.clientHeight / canvas.height))"""
    )
    assert len(sizes) == 3
    assert all(12 <= size <= 16 for size in sizes), sizes  # a little smaller on a small face


def test_dropped_photos_and_what_cannot_be_read(open_page, astronaut_path, server):
    page = open_page()
    expect(page.get_by_label("Model")).to_be_enabled()  # it knows the limits by then
    page.evaluate(
        """async () => {
          const data = new DataTransfer();
          data.items.add(new File(["hello"], "notes.txt", { type: "text/plain" }));
          data.items.add(new File([new Uint8Array(600_000)], "huge.jpg", { type: "image/jpeg" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.get_by_role("tab", name="Photos")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".photo .error").nth(0)).to_have_text(re.compile("^It is not an image"))
    expect(page.locator(".photo .error").nth(1)).to_contain_text("takes 0.5 MB at most")
    expect(page.locator("#photo-rows")).to_have_text("0 faces in 0 photos; 2 could not be read")
    page.locator("#files").set_input_files([astronaut_path])
    expect(page.locator(".photo .person b")).to_have_text("happy")


def test_labels_that_change_while_photos_are_read(open_page, astronaut_path, tmp_path):
    """What was under way for the labels before must not spoil the newer reading of a photo."""
    paths = [tmp_path / f"{number}.jpg" for number in range(11)]
    for path in paths:
        shutil.copy(astronaut_path, path)
    # Slower pictures, so that the labels change while an answer is there and its picture is not painted yet.
    page = open_page(
        before="""const real = window.createImageBitmap; window.painting = 0;
        window.createImageBitmap = async (file) => { window.painting += 1;
          await new Promise((done) => setTimeout(done, 300)); return real(file); };"""
    )
    page.get_by_role("tab", name="Photos").click()
    expect(page.get_by_label("Labels")).to_be_enabled()
    page.locator("#files").set_input_files(paths)
    for scheme in ("valence3", "basic3"):
        page.wait_for_function("(before) => window.painting > before", arg=page.evaluate("window.painting"))
        page.get_by_label("Labels").select_option(scheme)
    expect(page.locator(".photo[aria-busy=false]")).to_have_count(11)
    expect(page.locator(".photo .bars li")).to_have_count(33)
    expect(page.locator(".photo canvas")).to_have_count(11)
    expect(page.locator("#photo-rows")).to_have_text("11 faces in 11 photos")
    with page.expect_download() as download:
        page.locator("#photo-json").click()
    records = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert {tuple(record["probabilities"]) for record in records} == {("happy", "sad", "neutral")}


def test_a_blocked_camera_is_explained(open_page):
    page = open_page(browser="denying")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.get_by_role("heading", name="The camera is blocked")).to_be_visible()
    expect(page.locator("#curtain-text")).to_contain_text("Allow the camera for this page")
    expect(page.get_by_role("button", name="Try again")).to_be_enabled()


@pytest.mark.parametrize(
    ("error", "title"), [("NotFoundError", "No camera found"), ("NotReadableError", "The camera is busy")]
)
def test_no_camera_is_explained_and_can_be_tried_again(open_page, error, title):
    script = f"""const real = MediaDevices.prototype.getUserMedia; let first = true;
        MediaDevices.prototype.getUserMedia = function (wanted) {{
          if (first) {{ first = false; return Promise.reject(new DOMException("no", "{error}")); }}
          return real.call(this, wanted); }};"""
    page = open_page(before=script)
    page.get_by_role("button", name="Start the camera").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#people .person b").first).to_have_text("happy")


# Sockets are counted; and frames do not come while `hidden` is set, as in a tab that nobody sees.
HIDING = """window.sockets = 0; window.hidden = false; window.frames = 0;
    const Socket = window.WebSocket;
    window.WebSocket = class extends Socket { constructor(url) { super(url); window.sockets += 1; } };
    const next = HTMLVideoElement.prototype.requestVideoFrameCallback;
    HTMLVideoElement.prototype.requestVideoFrameCallback = function (call) {
      window.frames += 1;
      const come = () => (window.hidden ? setTimeout(come, 50) : call());
      return next.call(this, come); };"""


# Cameras A and B, which are one to the browser, and can be unplugged and plugged in.
TWO_CAMERAS = """window.present = ["A", "B"];
    const changed = () => navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
    const real = MediaDevices.prototype.getUserMedia;
    MediaDevices.prototype.enumerateDevices = async () => present.map((deviceId) => (
      { kind: "videoinput", deviceId, label: `Camera ${deviceId}` }));
    MediaDevices.prototype.getUserMedia = async function ({ video: { deviceId, ...video } }) {
      const id = deviceId?.exact ?? present[0];
      if (!present.length) throw new DOMException("none", "NotFoundError");
      if (!present.includes(id)) throw new DOMException("gone", "OverconstrainedError");
      const media = await real.call(this, { video });
      const [track] = media.getVideoTracks();
      window.track = track;
      track.getSettings = () => ({ deviceId: id });
      return media; };
    window.plug = (id) => { present.push(id); changed(); };
    window.unplug = (id) => { present = present.filter((other) => other !== id); changed();
      track.stop(); track.dispatchEvent(new Event("ended")); };"""


def test_in_the_place_of_a_camera_that_was_unplugged_another_one_is_taken(open_page):
    """It was asked for again and again, also where the only other one could not be chosen."""
    page = open_page(before=TWO_CAMERAS)
    cameras = page.locator("#camera option")
    start_camera(page)
    expect(cameras).to_have_text(["Camera A", "Camera B"])
    page.evaluate("unplug('A')")
    expect(page.get_by_role("heading", name="The camera has gone")).to_be_visible()
    expect(cameras).to_have_text(["Camera B"])
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#people .person b").first).to_have_text("happy")
    page.evaluate("plug('C')")
    expect(cameras).to_have_text(["Camera B", "Camera C"])
    expect(page.locator("#camera")).to_have_value("B")
    # Nothing tells of this one.
    page.evaluate("present = ['C']")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#people .person b").first).to_have_text("happy")
    expect(page.locator("#camera")).to_have_value("C")


def test_a_camera_that_pauses_is_said(open_page):
    page = open_page(before=f"{TWO_CAMERAS} {HIDING}")
    start_camera(page)
    page.evaluate("hidden = true; track.dispatchEvent(new Event('mute'))")
    expect(page.locator("#notice")).to_have_text("The camera sends no pictures now.")
    page.evaluate("hidden = false; track.dispatchEvent(new Event('unmute'))")
    expect(page.locator("#notice")).to_be_hidden()


def test_the_screen_stays_on_while_the_camera_runs(open_page):
    """That of a phone went dark after half a minute in which nobody touched it."""
    page = open_page(
        before="""window.held = 0; Object.defineProperty(navigator, "wakeLock", { value: {
          request: async (kind) => { held += 1; return { kind, release: async () => { held -= 1; } }; } } });"""
    )
    start_camera(page)
    assert page.evaluate("held") == 1
    page.get_by_role("button", name="Stop").click()
    assert page.evaluate("held") == 0


def test_where_browsers_allow_no_camera_it_says_so(open_page):
    page = open_page(before="Object.defineProperty(navigator, 'mediaDevices', { value: undefined });")
    page.get_by_role("button", name="Start the camera").click()
    expect(page.locator("#curtain-text")).to_contain_text("https:// addresses and on localhost only")


def test_a_server_that_goes_and_comes_back(open_page):
    with run_server() as first:
        page = open_page(first.url)
        start_camera(page)
        first.stop()
        expect(page.locator("#notice")).to_contain_text("The server is gone. Trying again")
        before = saved_rows(page)
    with run_server("--port", first.port):
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#people .person b").first).to_have_text("happy")
        rows = saved_rows(page)
        assert len(rows) > len(before)
        hold_together(rows)
        assert rows[len(before)]["time_s"] > before[-1]["time_s"]
        numbers = [{row["track_id"] for row in part} for part in (before, rows[len(before) :])]
        assert not set.intersection(*numbers)


def test_a_tab_that_nobody_sees_pauses(open_page):
    with run_server("--stream-idle-s", 1.5) as patient:
        page = open_page(patient.url, before=HIDING)
        start_camera(page)
        page.evaluate("""window.notices = []; new MutationObserver(() => notices.push(notice.textContent))
            .observe(notice, { childList: true });""")
        page.evaluate("window.hidden = true")
        expect(page.locator("#people .person")).to_have_count(0)  # the server has closed the connection
        page.wait_for_timeout(2000)
        assert (page.evaluate("sockets"), page.evaluate("notices.filter(Boolean)")) == (1, [])
        before = saved_rows(page)
        page.evaluate("window.hidden = false")
        expect(page.locator("#people .person b").first).to_have_text("happy")
        assert (page.evaluate("sockets"), page.evaluate("notices.filter(Boolean)")) == (2, [])
        hold_together(saved_rows(page))
        assert len(saved_rows(page)) > len(before)


def test_a_frame_is_looked_at_once_however_often_the_camera_is_started(open_page):
    page = open_page(before=HIDING)
    for _ in range(4):
        start_camera(page)
        page.get_by_role("button", name="Stop").click()
    start_camera(page)
    one_s = "new Promise((done) => { const from = frames; setTimeout(() => done(frames - from), 1000); })"
    assert page.evaluate(one_s) <= 45  # of a camera with 30 frames a second


def test_a_choice_that_changes_before_the_socket_is_open_holds(open_page):
    page = open_page(
        before="""const listen = WebSocket.prototype.addEventListener;
        WebSocket.prototype.addEventListener = function (kind, call) {
          listen.call(this, kind, kind !== "open" ? call : (event) => { window.open_it = () => call(event); }); };
        Object.defineProperty(WebSocket.prototype, "readyState", { get() { return window.opened ? 1 : 0; } });"""
    )
    expect(page.get_by_label("Labels")).to_be_enabled()
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function("() => window.open_it")
    page.get_by_label("Labels").select_option("valence3")
    page.evaluate("window.opened = true; open_it()")
    expect(page.locator("#people .person .bars li")).to_have_count(3)


def saved_rows(page):
    with page.expect_download() as download:
        page.locator("#live-json").click()
    return json.loads(download.value.path().read_text(encoding="utf-8"))


def hold_together(rows):
    """Whether they are one recording: frames and times only go forward, and a frame has a person once."""
    assert all(a["frame"] <= b["frame"] and a["time_s"] <= b["time_s"] for a, b in itertools.pairwise(rows))
    places = [(row["frame"], row["track_id"]) for row in rows]
    assert len(set(places)) == len(places)


def test_what_was_recorded_goes_on_over_stop_start_and_another_choice(open_page):
    page = open_page()
    start_camera(page)
    page.get_by_role("button", name="Stop").click()
    first = saved_rows(page)
    start_camera(page)
    page.get_by_label("Labels").select_option("valence3")
    expect(page.locator("#people .person .bars li")).to_have_count(3)
    page.get_by_role("button", name="Stop").click()
    rows = saved_rows(page)
    assert rows[: len(first)] == first
    hold_together(rows)
    assert rows[len(first)]["time_s"] > first[-1]["time_s"]
    persons = [
        {row["track_id"] for row in part}
        for part in (
            first,
            [row for row in rows[len(first) :] if len(row["probabilities"]) == 7],
            [row for row in rows[len(first) :] if len(row["probabilities"]) == 3],
        )
    ]
    assert all(persons)
    assert sum(map(len, persons)) == len(set.union(*persons))
    page.locator("#live-clear").click()
    expect(page.locator("#live-rows")).to_have_text("Nothing recorded yet")
    expect(page.locator("#live-csv")).to_be_disabled()


def test_a_token_is_asked_for_or_taken_from_the_address(open_page):
    with run_server(MIEN_TOKEN="sesame") as locked:
        page = open_page(locked.url)
        expect(page.get_by_role("heading", name="This server wants a token")).to_be_visible()
        expect(page.locator("#ask-problem")).to_be_empty()
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("The token is not right.")
        expect(page.get_by_role("textbox", name="Token")).to_have_value("")
        expect(page.get_by_role("heading", name="This server wants a token")).to_be_visible()
        page.get_by_role("textbox", name="Token").fill("sesame")
        page.keyboard.press("Enter")
        start_camera(page)

        page = open_page(f"{locked.url}/#token=sesame")
        start_camera(page)
        assert "sesame" not in page.url
        assert "sesame" not in page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        )


def test_the_page_works_below_a_path_of_another_application(open_page, astronaut_path):
    app = FastAPI()
    app.mount("/tools/faces", create_app(ServeOptions(threads=1)))
    with serve_in_a_thread(app) as url:
        page = open_page(f"{url}/tools/faces")
        start_camera(page)
        page.get_by_role("tab", name="Photos").click()
        page.locator("#files").set_input_files([astronaut_path])
        expect(page.locator(".photo .person").first).to_contain_text("happy")


@contextlib.contextmanager
def serve_in_a_thread(app):
    """Somebody's own application under Uvicorn; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def test_photos_that_had_no_token_are_read_once_it_is_right(open_page, astronaut_path):
    with run_server(MIEN_TOKEN="sesame") as locked:
        page = open_page(locked.url)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("tab", name="Photos").click()
        page.locator("#files").set_input_files([astronaut_path])
        expect(page.locator(".photo .error")).to_have_text("This server wants a token.")
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The token is not right.")
        page.get_by_role("textbox", name="Token").fill("sesame")
        page.keyboard.press("Enter")
        expect(page.locator(".photo .person b")).to_have_text("happy")
        expect(page.locator("#photo-rows")).to_have_text("1 face in 1 photo")
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_photos_that_found_no_server_can_be_tried_again(open_page, astronaut_path, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("hello", encoding="utf-8")
    with run_server() as first:
        page = open_page(first.url)
        page.get_by_role("tab", name="Photos").click()
        page.get_by_label("Labels").select_option("basic3")
        page.locator("#files").set_input_files([notes])
        expect(page.locator(".photo .error")).to_contain_text("is not an image")
        first.stop()
        page.locator("#files").set_input_files([astronaut_path, astronaut_path])
        again = page.get_by_role("button", name="Try again")
        expect(again).to_have_count(2)  # none for the text: that would fail again
        again.first.click()
        expect(page.locator(".photo .error").first).to_contain_text("The server does not answer")
        expect(again).to_have_count(2)
    with run_server("--port", first.port):
        again.first.click()
        expect(page.locator(".photo .bars li")).to_have_count(6)
        expect(page.locator(".photo").first).to_be_focused()
        expect(page.locator("#photo-rows")).to_have_text("2 faces in 2 photos; 1 could not be read")


def test_the_keyboard_reaches_everything(open_page):
    page = open_page()
    expect(page.get_by_label("Model")).to_be_enabled()
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert seen[:6] == ["Skip to the content", "tab-live", "model", "labels", "theme", "curtain-button"]
    page.locator("#tab-live").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Photos")).to_be_focused()
    expect(page.get_by_role("heading", name="Drop photos here")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.locator("#curtain-button").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    expect(page.locator("#toggle")).to_have_css("border-radius", "999px")  # the frame around it leaves its shape
    expect(page.locator("#live-clear")).to_be_enabled()
    page.locator("#live-clear").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()


def test_a_photo_that_only_the_server_can_show(open_page, astronaut_bgr, tmp_path):
    path = tmp_path / "scan.tiff"
    cv2.imwrite(str(path), cv2.resize(astronaut_bgr, (320, 320), interpolation=cv2.INTER_AREA))
    page = open_page()
    page.get_by_role("tab", name="Photos").click()
    page.locator("#files").set_input_files([path])
    expect(page.locator(".photo .person b")).to_have_text("happy")
    expect(page.locator(".photo .about > .hint")).to_have_text("It was read, but this browser cannot show such a file.")
    page.locator("#clear").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="choose files")).to_be_focused()


def test_every_control_has_a_name_and_changes_are_announced(open_page):
    page = open_page()
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, canvas[role=img], video, [role=tab]')]
        .filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.hidden))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    expect(page.locator("#say")).to_have_attribute("aria-live", "polite")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(open_page, scheme):
    page = open_page(color_scheme=scheme)
    values = page.evaluate(
        "['--paper', '--card', '--ink', '--soft', '--bad', '--on-ink'].map((name) => "
        "getComputedStyle(document.documentElement).getPropertyValue(name).trim())"
    )

    def luminance(text):
        text = text.lstrip("#")
        text = "".join(2 * c for c in text) if len(text) == 3 else text
        linear = [int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper, card, ink, soft, bad, on_ink = map(luminance, values)
    for front, back in [(ink, paper), (ink, card), (soft, paper), (soft, card), (bad, card), (on_ink, ink)]:
        assert (max(front, back) + 0.05) / (min(front, back) + 0.05) >= 4.5


def test_the_open_tab_stands_out_where_the_system_sets_the_colours(open_page):
    page = open_page(forced_colors="active")
    colors = [
        page.evaluate(f"getComputedStyle(document.getElementById('tab-{name}')).backgroundColor")
        for name in ("live", "photos")
    ]
    assert colors[0] != colors[1]


def test_the_theme_is_kept(open_page):
    page = open_page(color_scheme="light")
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 25)"


@pytest.mark.parametrize(("width", "height"), [(720, 450), (844, 390), (640, 320), (360, 225), (1440, 900)])
def test_the_invitation_fits_where_there_is_little_height(open_page, width, height):
    """Phones on their side, and pages that are zoomed in."""
    page = open_page(viewport={"width": width, "height": height})
    parts = page.evaluate(
        """[...document.querySelectorAll("#stage, #curtain > *")].map((part) => part.getBoundingClientRect())
        .filter((box) => box.height).map(({ top, bottom }) => [top, bottom])"""
    )
    (top, bottom), *parts = parts
    assert len(parts) >= 3
    edges = [top, *itertools.chain(*parts), bottom]
    assert edges == sorted(edges)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_cut_off_on_a_phone(open_page, width, astronaut_path):
    page = open_page(viewport={"width": width, "height": 740}, has_touch=True, reduced_motion="reduce")
    start_camera(page)
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    page.evaluate(
        """() => {
          const name = "A webcam with quite a long name, as most of them have (046d:085e)";
          document.getElementById("camera").replaceChildren(new Option(name), new Option("Another one"));
          document.getElementById("camera-choice").hidden = false;
        }"""
    )
    assert page.evaluate(fits)
    assert page.evaluate("getComputedStyle(document.querySelector('.bars i'), '::after').transitionDuration") == "0s"
    page.get_by_role("tab", name="Photos").click()
    page.locator("#files").set_input_files([astronaut_path])
    expect(page.locator(".photo .person b")).to_have_text("happy")
    assert page.evaluate(fits)
