"""The page as a whole: how it is reached, looks and is worked with."""

import contextlib
import itertools
import socket
import threading

import pytest
import uvicorn
from fastapi import FastAPI

from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from tests.serve.conftest import run_server
from tests.serve.page.conftest import start_camera

playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
expect = playwright.expect


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


def test_the_page_works_below_a_path_of_another_application(open_page, astronaut_path):
    app = FastAPI()
    app.mount("/tools/faces", create_app(ServeOptions(threads=1)))
    with serve_in_a_thread(app) as url:
        page = open_page(f"{url}/tools/faces")
        start_camera(page)
        page.get_by_role("tab", name="Photos").click()
        page.locator("#files").set_input_files([astronaut_path])
        expect(page.locator(".photo .person").first).to_contain_text("happy")


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
