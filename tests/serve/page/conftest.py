"""The page in a real Chromium, with a fake camera that shows a made video of the free photo.

`scripts/install-browser` installs what this needs; where no Chromium can be had, the tests here skip.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.serve.conftest import FLAGS, run_server

WAIT_MS = 20_000
"""For what a page shows, on a busy machine."""


@pytest.fixture(scope="module")
def server(chromium_path):
    with run_server("--max-upload-mb", 0.5, "--max-requests-per-s", 10_000) as started:
        yield started


@pytest.fixture(scope="module")
def camera_path(tmp_path_factory, astronaut_bgr):
    """Three seconds of the photo, moving a little."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with path.open("wb") as file:
        for turn in np.linspace(0, 2 * np.pi, 90, endpoint=False):
            scale = 1.2 + 0.1 * np.sin(turn)
            matrix = np.array([[scale, 0, 40 + 30 * np.sin(2 * turn)], [0, scale, -10]])
            frame = cv2.warpAffine(astronaut_bgr, matrix, (640, 480), borderMode=cv2.BORDER_REFLECT)
            file.write(cv2.imencode(".jpg", frame)[1].tobytes())
    return path


@pytest.fixture(scope="module")
def browsers(chromium_path, camera_path):
    """One browser that lets pages use its camera, and one that asks, which nobody answers with yes."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as driver:
        camera = ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={camera_path}"]
        opened = {
            "allowing": driver.chromium.launch(executable_path=chromium_path, args=[*FLAGS, *camera]),
            "denying": driver.chromium.launch(
                executable_path=chromium_path, args=[*FLAGS, "--deny-permission-prompts"]
            ),
        }
        yield opened
        for browser in opened.values():
            browser.close()


@pytest.fixture
def open_page(browsers, server):
    """Opens the page; in the end holds it against its promises: no foreign request, no script error."""
    contexts, requests, errors = [], [], []

    def open_it(url=None, browser="allowing", before=None, **context_options):
        context = browsers[browser].new_context(**context_options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        if before:
            page.add_init_script(before)
        page.goto(url or server.url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:"))] == []


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
    page.locator("#people .person").first.wait_for()
