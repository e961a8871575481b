"""Annotated copies: drawn on a copy, legible, never over the photo itself."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.errors import InputError, UsageError
from mien.sink import DrawSink, draw_reading
from mien.sink.lettering import text_size
from mien.sink.palette import color_rgb, text_rgb
from mien.source import Frame, load_image
from tests.fakes import make_face, make_reading


def face_in(width, height, share=0.4, **changes):
    w, h = width * share, height * share
    return make_face(box_xyxy=(width * 0.3, height * 0.3, width * 0.3 + w, height * 0.3 + h), **changes)


@pytest.mark.parametrize("size", [(300, 200), (640, 480), (6000, 4000)])
def test_box_and_label_are_drawn_in_the_colour_of_the_expression(size):
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    drawn = draw_reading(image, make_reading(face_in(*size)))
    assert (image == 90).all()
    assert drawn.shape == image.shape
    coloured = (drawn == color_rgb("happy")[::-1]).all(axis=-1)
    rows, columns = np.nonzero(coloured)
    assert abs(columns.min() - size[0] * 0.3) < 0.02 * size[0]
    assert abs(columns.max() - size[0] * 0.7) < 0.02 * size[0]
    # The label above the box is at least a thirtieth of the picture's height: legible when it is shown small.
    label_px = size[1] * 0.3 - rows.min()
    assert label_px >= max(14, size[1] / 40)


def test_it_takes_what_recognize_takes(tmp_path):
    image = np.full((200, 300, 3), 90, np.uint8)
    image[:, :150] = (200, 30, 60)
    reading = make_reading(face_in(300, 200))
    wanted = draw_reading(image, reading)
    path = tmp_path / "photo.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    clear = np.dstack([image, np.full((200, 300), 255, np.uint8)])
    for same in (path, str(path), path.read_bytes(), Image.open(path), clear, image / 255.0):
        assert (draw_reading(same, reading) == wanted).all()
    with pytest.raises(InputError, match="missing.jpg: no such file"):
        draw_reading(tmp_path / "missing.jpg", reading)
    with pytest.raises(UsageError, match="from Reading; expected a path"):
        draw_reading(reading, image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda reading: reading.faces, "is given list; expected a mien.Reading, as recognize gives it, not its faces"),
        (lambda reading: [reading], "is given list; .*: of a list of photos, one for each"),
        (lambda reading: None, "is given NoneType; expected a mien.Reading"),
    ],
)
def test_what_is_no_reading_is_refused_by_name(given, message):
    """It was an AttributeError on `faces`, a name that whoever called had not written."""
    with pytest.raises(UsageError, match=message):
        draw_reading(np.zeros((100, 100, 3), np.uint8), given(make_reading(make_face())))


def test_a_small_face_in_a_large_picture_keeps_a_small_label():
    image = np.zeros((4000, 6000, 3), np.uint8)
    drawn = draw_reading(image, make_reading(make_face(box_xyxy=(3000, 2000, 3050, 2060))))
    rows, columns = np.nonzero(drawn.any(axis=-1))
    assert np.ptp(rows) < 120
    assert np.ptp(columns) < 200


@pytest.mark.parametrize(
    "box", [(0, 0, 300, 200), (-50, -50, 40, 40), (280, 180, 400, 300), (10, 2, 30, 22), (5, 5, 5, 5), (0, 0, 1, 1)]
)
@pytest.mark.parametrize("shape", [(200, 300), (200, 300, 3), (3, 2, 3)])
def test_boxes_at_and_past_the_border(box, shape):
    drawn = draw_reading(np.zeros(shape, np.uint8), make_reading(make_face(box_xyxy=box)))
    assert drawn.shape == (*shape[:2], 3)
    inside = box[0] < shape[1] and box[1] < shape[0]
    assert drawn.any() == inside or shape[0] == 3


def test_letters_grow_with_their_size_with_and_without_a_truetype_font(monkeypatch):
    for _ in range(2):
        widths = [text_size("surprise 87%", px)[0] for px in (12, 24, 96)]
        assert widths == sorted(widths)
        assert 4 < widths[2] / widths[0] < 14
        image = np.zeros((200, 300, 3), np.uint8)
        assert (draw_reading(image, make_reading(face_in(300, 200))) == 0).all(axis=-1).any()
        monkeypatch.delattr(cv2, "FontFace", raising=False)


def test_the_rim_of_a_small_face_covers_nothing_of_it():
    image = np.full((200, 300, 3), 120, np.uint8)
    drawn = draw_reading(image, make_reading(make_face(box_xyxy=(100.0, 80.0, 114.0, 96.0))))
    assert (drawn[82:95, 102:113] == 120).all()
    assert (drawn[85:92, 99] == 32).all()


def test_text_reads_on_every_colour():
    for label in ("angry", "happy", "sad", "neutral", "something else"):
        assert text_rgb(color_rgb(label)) in ((0, 0, 0), (255, 255, 255))
    assert text_rgb((255, 255, 255)) == (0, 0, 0)
    assert text_rgb((0, 0, 0)) == (255, 255, 255)


@pytest.fixture
def photos(tmp_path):
    paths = {}
    for name in ("in/a/x.jpg", "in/b/x.jpg", "in/y.gif", "in/写真.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix if path.suffix != ".gif" else ".png"
        path.write_bytes(cv2.imencode(suffix, np.full((80, 120, 3), 60, np.uint8))[1].tobytes())
        paths[name] = path
    return paths


def draw_all(photos, folder, relative):
    with DrawSink(folder, relative) as sink:
        for path in photos.values():
            sink.write(make_reading(make_face(), source=str(path)), load_image(path))


def test_copies_keep_their_place_below_the_folder(photos, tmp_path):
    draw_all(photos, tmp_path / "out", {str(path): name[3:] for name, path in photos.items()})
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a/x.jpg", "b/x.jpg", "y.gif.png", "写真.png"}


def test_equal_names_do_not_overwrite_each_other(photos, tmp_path):
    draw_all(photos, tmp_path / "out", {})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"x.jpg", "x-2.jpg", "y.gif.png", "写真.png"}


def test_two_names_of_one_place_do_not_overwrite_each_other(photos, tmp_path):
    """As A.jpg and a.jpg are on Windows and macOS; here by a link."""
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "b").symlink_to("a")
    draw_all(photos, tmp_path / "out", {str(path): name[3:] for name, path in photos.items()})
    assert {path.name for path in (tmp_path / "out" / "a").iterdir()} == {"x.jpg", "x-2.jpg"}


def test_the_photo_itself_is_never_overwritten(photos, tmp_path):
    path = photos["in/a/x.jpg"]
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would overwrite the photo itself"):
        draw_all({"x": path}, path.parent, {})
    assert path.read_bytes() == before


def test_another_photo_of_the_same_name_is_never_overwritten(photos, tmp_path):
    """As by ``mien recognize a/x.jpg b/x.jpg --draw b``: told before anything is read."""
    paths = [photos["in/a/x.jpg"], photos["in/b/x.jpg"]]
    with pytest.raises(UsageError, match=r"b.x\.jpg: --draw would overwrite the photo itself"):
        DrawSink(paths[1].parent, {str(path): path.name for path in paths})


def test_a_numbered_copy_overwrites_no_photo_either(photos, tmp_path):
    paths = [photos["in/a/x.jpg"], photos["in/b/x.jpg"]]
    other = tmp_path / "here" / "x-2.jpg"
    other.parent.mkdir()
    other.write_bytes(b"a photo that is read later")
    with pytest.raises(UsageError, match=r"x-2\.jpg: --draw would overwrite the photo itself"):
        draw_all(dict(enumerate(paths)), other.parent, {**{str(p): "x.jpg" for p in paths}, str(other): "y.jpg"})
    assert other.read_bytes() == b"a photo that is read later"


def test_an_unreadable_input_is_passed_over_and_a_bad_folder_told(tmp_path):
    with DrawSink(tmp_path / "out") as sink:
        sink.write(make_reading(error="broken"), None)
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make this folder"):
        DrawSink(tmp_path / "file")


def test_gray_frames_are_drawn_in_colour(tmp_path):
    with DrawSink(tmp_path) as sink:
        sink.write(make_reading(make_face(), source="g.png"), Frame("g.png", np.zeros((100, 120), np.uint8)))
    assert cv2.imread(str(tmp_path / "g.png")).std(axis=-1).max() > 0
