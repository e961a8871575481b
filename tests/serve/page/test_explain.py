"""What a photo's answers rest on, in the page: in a real Chromium, with a real service."""

import base64
import re

import cv2
import numpy as np
import pytest

from mien.align import align_faces
from mien.explain.draw import heat_bgr, largest_change
from mien.opencv import as_gray
from mien.recognizer import Recognizer
from tests.serve.conftest import run_server

playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
expect = playwright.expect

ASK, STOP, HIDE, SHOW = "What does this rest on?", "Stop", "Hide what it rests on", "Show what it rests on"


@pytest.fixture(scope="module")
def server(chromium_path):
    with run_server("--model", "tiny", "--max-explained-faces", 1, "--max-requests-per-s", 10_000) as started:
        yield started


@pytest.fixture(scope="module")
def two_path(astronaut_bgr, tmp_path_factory):
    face = astronaut_bgr[30:210, 130:320]
    path = tmp_path_factory.mktemp("photos") / "two.png"
    cv2.imwrite(str(path), np.hstack([face, face[:, ::-1]]))
    return path


def read_photo(page, path):
    """The photo's card, when it is read."""
    page.get_by_role("tab", name="Photos").click()
    expect(page.get_by_label("Model")).to_be_enabled()
    page.locator("#files").set_input_files([path])
    expect(page.get_by_role("button", name=ASK)).to_be_visible()
    return page.locator(".photo").first


def test_the_map_of_a_face_is_that_of_the_library(open_page, astronaut_path, astronaut_bgr):
    page = open_page()
    photo = read_photo(page, astronaut_path)
    photo.get_by_role("button", name=ASK).focus()
    page.keyboard.press("Enter")
    hide = photo.get_by_role("button", name=HIDE)
    expect(hide).to_be_focused()
    expect(hide).to_have_attribute("aria-expanded", "true")
    said = re.compile(r"What happy \d+ % rests on: the lower (left|middle|right) speaks for it most \(\d+ points\)")
    expect(photo.locator("figcaption")).to_have_text(said)
    expect(page.locator("#say")).to_have_text(re.compile(f"astronaut.jpg: {said.pattern}"))
    expect(photo.locator(".meaning")).to_contain_text("Orange parts speak for the expression, blue ones against it")
    expect(photo.locator(".meaning")).to_have_text(re.compile(r"half of a face.s 8\s.\s8 squares were hidden in 256"))
    for name in ("The face as it is read", "The map over the face"):
        expect(photo.get_by_role("img", name=name)).to_be_visible()
    expect(photo.get_by_role("progressbar")).to_be_hidden()

    (one,) = Recognizer(model="tiny", threads=1).explain(astronaut_path)
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    (crop,) = align_faces(astronaut_bgr, np.array([one.corners_xy]), square, (320, 320))
    heat = heat_bgr(as_gray(crop), one.drop, largest_change(one.drop), 320)
    for canvas, wanted in zip(photo.locator(".pair canvas").all(), (crop, heat), strict=True):
        encoded = base64.b64decode(canvas.evaluate("(c) => c.toDataURL('image/png').split(',')[1]"))
        shown = cv2.imdecode(np.frombuffer(encoded, np.uint8), 1)
        assert shown.shape == wanted.shape
        assert np.abs(shown - wanted.astype(float)).mean() < 3

    page.keyboard.press("Enter")
    show = photo.get_by_role("button", name=SHOW)
    expect(show).to_have_attribute("aria-expanded", "false")
    expect(photo.locator("figure")).to_be_hidden()
    expect(photo.locator(".meaning")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(photo.locator("figure")).to_be_visible()


# Requests for explanations are noted; those from number `hangFrom` on get no answer.
ASKED = """window.asked = []; window.hangFrom = Infinity;
    const real = window.fetch;
    window.fetch = (address, options) => {
      const url = new URL(address);
      if (!url.pathname.endsWith("v1/explain")) return real(address, options);
      asked.push(url.searchParams.get("faces"));
      if (asked.length <= hangFrom) return real(address, options);
      return new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(options.signal.reason)));
    };"""


def test_faces_come_one_by_one_and_can_be_stopped(open_page, two_path):
    page = open_page(before=ASKED)
    photo = read_photo(page, two_path)
    page.evaluate("hangFrom = 1")
    photo.get_by_role("button", name=ASK).click()
    expect(photo.locator("figure")).to_have_count(1)
    expect(photo.locator(".basis .hint").first).to_have_text("Face 2 of 2 is read 256 times, half hidden …")
    expect(photo.get_by_role("progressbar", name="Faces explained")).to_have_attribute("value", "1")
    photo.get_by_role("button", name=STOP).click()
    expect(photo.get_by_role("button", name=ASK)).to_be_focused()
    expect(photo.locator("figure")).to_be_visible()
    expect(photo.locator(".basis .error")).to_be_hidden()
    page.evaluate("hangFrom = Infinity")
    photo.get_by_role("button", name=ASK).click()
    expect(photo.get_by_role("button", name=HIDE)).to_be_focused()
    expect(photo.locator(".person figure")).to_have_count(2)
    assert page.evaluate("asked") == ["1", "2", "2"]


def test_other_labels_end_what_is_under_way(open_page, two_path):
    page = open_page(before=ASKED)
    photo = read_photo(page, two_path)
    page.evaluate("hangFrom = 1")
    photo.get_by_role("button", name=ASK).click()
    expect(photo.locator("figure")).to_have_count(1)
    page.get_by_label("Labels").select_option("valence3")
    expect(photo.locator(".bars li")).to_have_count(6)
    expect(photo.get_by_role("button", name=ASK)).to_be_visible()
    expect(photo.locator("figure")).to_have_count(0)
    page.evaluate("hangFrom = Infinity")
    photo.get_by_role("button", name=ASK).click()
    expect(photo.locator("figcaption").first).to_contain_text("What positive")


def test_a_photo_that_only_the_server_can_show_has_its_picture(open_page, astronaut_bgr, tmp_path):
    path = tmp_path / "scan.tiff"
    cv2.imwrite(str(path), cv2.resize(astronaut_bgr, (320, 320), interpolation=cv2.INTER_AREA))
    page = open_page()
    photo = read_photo(page, path)
    photo.get_by_role("button", name=ASK).click()
    picture = photo.get_by_role("img", name="The face, and the map over it")
    expect(picture).to_be_visible()
    page.wait_for_function("() => document.querySelector('figure img').naturalWidth > 500")
    expect(photo.locator("figcaption")).to_contain_text("What happy")


def test_what_goes_wrong_is_told_and_can_be_tried_again(open_page, astronaut_path):
    with run_server("--model", "tiny") as first:
        page = open_page(first.url)
        photo = read_photo(page, astronaut_path)
        first.stop()
        photo.get_by_role("button", name=ASK).click()
        expect(photo.locator(".basis .error")).to_contain_text("The server does not answer")
        expect(photo.get_by_role("button", name=ASK)).to_be_focused()
    with run_server("--model", "tiny", "--port", first.port):
        photo.get_by_role("button", name=ASK).click()
        expect(photo.locator("figure")).to_be_visible()
        expect(photo.locator(".basis .error")).to_be_hidden()


def test_a_photo_without_a_face_is_not_asked_about(open_page, tmp_path):
    path = tmp_path / "blank.png"
    cv2.imwrite(str(path), np.full((60, 80, 3), 128, np.uint8))
    page = open_page()
    page.get_by_role("tab", name="Photos").click()
    page.locator("#files").set_input_files([path])
    expect(page.locator(".photo .hint")).to_have_text("No face found in this photo.")
    expect(page.get_by_role("button", name=ASK)).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390])
def test_maps_fit_on_a_phone(open_page, width, two_path):
    page = open_page(viewport={"width": width, "height": 740}, has_touch=True, reduced_motion="reduce")
    photo = read_photo(page, two_path)
    photo.get_by_role("button", name=ASK).click()
    assert page.evaluate("getComputedStyle(document.querySelector('.basis progress')).animationName") == "none"
    expect(photo.get_by_role("button", name=HIDE)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = [canvas.bounding_box() for canvas in photo.locator(".pair canvas").all()]
    assert all(box["width"] > 90 and box["width"] == pytest.approx(box["height"], abs=1) for box in boxes)
