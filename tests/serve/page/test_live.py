"""The live view: the camera, the cards of the people, the last minute."""

import itertools
import json
import re

import pytest

from tests.serve.conftest import run_server
from tests.serve.page.conftest import painted, start_camera

playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
expect = playwright.expect


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
