"""The tab of photos: chosen or dropped, read, tried again, saved."""

import json
import re
import shutil

import cv2
import pytest

from tests.serve.conftest import run_server

playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs the library playwright")
expect = playwright.expect


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
