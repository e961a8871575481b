"""One image from whatever the caller has; bad ones get a clear line."""

import errno
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import typing
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, features

from mien.errors import InputError, UsageError
from mien.source import ImageLike, load_image
from mien.source.image import array_to_image, decode_image


@pytest.fixture(scope="module")
def picture():
    """A colour picture with structure, not square."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, 255 - x * 4], axis=-1).astype(np.uint8)  # RGB


def encode(image, name, **options):
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, name, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "GIF", "WebP", "JPEG"])
def test_formats_give_bgr(picture, name):
    options = {"lossless": True} if name == "WebP" else {"quality": 95} if name == "JPEG" else {}
    frame = load_image(encode(picture, name, **options))
    assert frame.image.dtype == np.uint8
    assert frame.size_wh == (60, 40)
    assert np.abs(frame.image[:, :, ::-1].astype(int) - picture).mean() < 6


def test_path_bytes_array_and_pil_are_the_same_image(picture, tmp_path):
    data = encode(picture, "PNG")
    path = tmp_path / "bild äöü 写真.png"
    path.write_bytes(data)
    images = [load_image(x).image for x in (path, str(path), data, bytearray(data), picture[:, :, ::-1])]
    images.append(load_image(Image.open(path)).image)
    for image in images:
        np.testing.assert_array_equal(image, picture[:, :, ::-1])
    assert load_image(path).source == str(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP"])
def test_exif_orientation_is_applied_alike_for_files_and_pil(picture, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(picture, name, exif=exif)
    from_file = load_image(data)
    assert from_file.size_wh == ((60, 40) if orientation <= 4 else (40, 60))
    from_pil = load_image(Image.open(io.BytesIO(data)))
    assert np.abs(from_file.image.astype(int) - from_pil.image).mean() < 3


@pytest.mark.parametrize("name", ["PNG", "WebP", "AVIF"])
@pytest.mark.parametrize("size", [40, 60])
def test_a_transparent_picture_is_turned_as_a_whole(picture, name, size):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    opacity = np.zeros(picture.shape[:2], np.uint8)
    opacity[:10, :20] = 255
    rgba = np.dstack([picture, opacity])[:, :size]
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        data = encode(rgba, name, exif=exif)
        from_pil = load_image(Image.open(io.BytesIO(data)))
        assert np.abs(load_image(data).image.astype(int) - from_pil.image).mean() < 3


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_a_damaged_file_that_pillow_opened_costs_itself_only(picture):
    """Pillow decodes when the pixels are asked for, and its plugin for AVIF raises a SyntaxError then."""
    data = encode(picture, "AVIF")
    opened = Image.open(io.BytesIO(data[: len(data) * 4 // 5]))
    with pytest.raises(InputError, match=r"<PIL image>: cannot be decoded \(.*[Tt]runcated"):
        load_image(opened)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned(picture, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(picture, "AVIF", exif=exif)
    from_pil = load_image(Image.open(io.BytesIO(data)))
    assert from_pil.size_wh == ((60, 40) if orientation <= 4 else (40, 60))
    for name in (b"avif", b"mif1"):
        from_file = load_image(data[:8] + name + data[12:])
        assert np.abs(from_file.image.astype(int) - from_pil.image).mean() < 3


def test_sixteen_bits_cmyk_palette_bilevel_and_gray(picture):
    gray = np.asarray(Image.fromarray(picture).convert("L"))
    deep = load_image(encode(Image.fromarray(gray.astype(np.uint16) * 257), "PNG"))
    assert np.abs(deep.gray.astype(int) - gray).max() <= 1
    palette = load_image(encode(Image.fromarray(picture).quantize(64), "PNG"))
    assert np.abs(palette.image[:, :, ::-1].astype(int) - picture).mean() < 12
    cmyk = load_image(encode(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk.image[:, :, ::-1].astype(int) - picture).mean() < 8
    assert set(np.unique(load_image(encode(Image.fromarray(picture).convert("1"), "PNG")).image)) == {0, 255}


@pytest.mark.parametrize("name", ["PNG", "WebP"])
def test_transparency_is_laid_over_white(name):
    rgba = np.zeros((10, 10, 4), np.uint8)
    rgba[:, :5] = (10, 20, 30, 255)
    frame = load_image(encode(Image.fromarray(rgba), name, **({"lossless": True} if name == "WebP" else {})))
    assert frame.image[0, 0].tolist() == [30, 20, 10]
    assert frame.image[0, 9].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(load_image(Image.fromarray(rgba)).image, frame.image)
    np.testing.assert_array_equal(load_image(rgba[:, :, [2, 1, 0, 3]]).image, frame.image)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("kind", "stored"), [(0, 200), (1, 100), (2, 200)])
def test_half_transparent_tiff(bits, kind, stored):
    """Colours are stored as they are, or (1) multiplied by their share already."""
    pixels = np.full((4, 6, 4), (stored, stored, stored, 128), "<u1" if bits == 8 else "<u2")
    pixels *= 1 if bits == 8 else 257
    facts = [
        (256, 6), (257, 4), (258, 158), (259, 1), (262, 2), (273, 166), (277, 4), (278, 4), (279, pixels.nbytes),
        (338, kind), (274, 6), (284, 1),
    ]  # fmt: skip
    entries = [struct.pack("<HHII", tag, 3, 4 if tag == 258 else 1, value) for tag, value in sorted(facts)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    data = struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<4H", *[bits] * 4) + pixels.tobytes()
    image = load_image(data).image
    assert image.shape == (6, 4, 3)
    assert np.abs(image.astype(int) - 227).max() <= 1


@pytest.mark.parametrize("name", ["GIF", "WebP"])
def test_of_an_animation_the_first_frame_is_read_and_said(name):
    frames = [Image.new("RGB", (20, 20), (v, 0, 0)) for v in (250, 100, 10)]
    frame = load_image(encode(frames[0], name, save_all=True, append_images=frames[1:]))
    assert frame.note == f"animated {name}: read the first of 3 frames"
    assert frame.image[5, 5, 2] > 200


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_of_a_tiff_of_several_pages_the_first_is_read_and_said(mode):
    """The others were left out without a word."""
    pages = [Image.new("RGB", (20, 20), (v, 0, 0)).convert(mode) for v in (250, 100, 10)]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert load_image(data).note == "TIFF of 3 pages: read the first"
    assert load_image(Image.open(io.BytesIO(data))).note == "TIFF of 3 pages: read the first"
    assert load_image(encode(pages[0], "TIFF")).note is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"Dear diary, today", "is not an image .text"),
        (bytes(range(200)), "is not an image .unknown data"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40, "HEIC file is damaged"),
    ],
)
def test_what_is_no_image_is_said_so(data, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_image(path)
    assert caught.value.source == str(path)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WebP", "BMP"])
def test_a_truncated_file_is_refused(picture, name, capfd):
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(noisy, name)
    with pytest.raises(InputError, match="truncated"):
        load_image(data[: len(data) * 2 // 3])
    assert capfd.readouterr() == ("", "")  # OpenCV's own remarks stay away


def encode_heic(image, **options):
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95, **options)
    return file.getvalue()


def test_heic_is_read_upright_over_white():
    """What iPhones save."""
    image = Image.new("RGB", (120, 80), (200, 30, 30))
    image.paste((30, 30, 200), (0, 0, 60, 80))  # blue to the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what is at the left comes to the top
    frame = decode_image(encode_heic(image, exif=exif.tobytes()), "photo.HEIC")
    assert (frame.source, frame.note, frame.image.shape) == ("photo.HEIC", None, (120, 80, 3))
    assert frame.image[20, 40, 0] > 180
    assert frame.image[100, 40, 2] > 180
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert load_image(encode_heic(clear)).image.min() > 250


def test_of_a_heic_of_several_pictures_the_main_one_is_read_and_said():
    pages = pillow_heif.from_pillow(Image.new("RGB", (64, 64), (250, 0, 0)))
    pages.add_from_pillow(Image.new("RGB", (64, 64), (0, 0, 250)))
    file = io.BytesIO()
    pages.save(file, primary_index=1)
    frame = load_image(file.getvalue())
    assert frame.note == "HEIC of 2 pictures: read the main one"
    assert frame.image[5, 5, 0] > 200


def test_what_heic_can_be_wrong(monkeypatch):
    data = encode_heic(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    with pytest.raises(InputError, match="limit is 0.001"):
        load_image(data, max_megapixels=0.001)
    with pytest.raises(InputError, match="cannot be decoded") as cut:
        load_image(data[: len(data) * 2 // 3])
    assert "\n" not in cut.value.problem
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r'pip install "mien\[heic\]"; or save it as JPEG or PNG'):
        load_image(data)


def test_damaged_inside_is_refused(picture):
    data = bytearray(encode(picture, "PNG"))
    data[60:90] = bytes(30)
    with pytest.raises(InputError, match="damaged"):
        load_image(bytes(data))


def test_a_decompression_bomb_is_refused_before_decoding():
    header = encode(Image.new("1", (1, 1)), "PNG")
    bomb = header[:16] + (50000).to_bytes(4, "big") * 2 + header[24:]
    with pytest.raises(InputError, match=r"2500 megapixels.*--max-megapixels"):
        load_image(bomb)
    with pytest.raises(InputError, match="megapixels"):
        load_image(encode(Image.new("L", (2000, 1000)), "PNG"), max_megapixels=1)


@pytest.mark.parametrize("suffix", [".pgm", ".ppm", ".pbm", ".jp2", ".j2k", ".tif"])
def test_the_limit_holds_for_every_format_before_anything_is_decoded(suffix, monkeypatch):
    image = np.zeros((1000, 1100) if suffix in (".pbm", ".pgm") else (1000, 1100, 3), np.uint8)
    data = cv2.imencode(suffix.replace("2k", "p2"), image)[1].tobytes()
    if suffix == ".j2k":
        data = data[data.index(b"\xff\x4f\xff\x51") :]
    if suffix == ".tif":
        data = encode(Image.new("L", (1100, 1000)), "TIFF", big_tiff=True)
    assert load_image(data, max_megapixels=1.1).size_wh == (1100, 1000)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match=r"1100 x 1000 pixels are 1.1 megapixels; the limit is 1 "):
        load_image(data, max_megapixels=1)


def test_what_may_be_of_any_size_is_not_decoded(monkeypatch):
    """OpenCV takes more formats than mien, and of a file that contradicts itself other numbers than mien."""
    radiance = cv2.imencode(".hdr", np.zeros((9, 9, 3), np.float32))[1].tobytes()
    twice = b"".join(struct.pack("<HHII", tag, 4, 1, size) for tag in (256, 257) for size in (30_000, 9))
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 4) + twice + bytes(100)
    long = encode(Image.new("RGB", (9, 9)), "WebP", lossless=True)
    webp = long[:12] + long[20:]  # without the header of its only chunk
    monkeypatch.setattr(cv2, "imdecode", None)
    for data, problem in (
        (radiance, "is not an image"),
        (tiff, "the TIFF file is damaged"),
        (webp, "the WebP file is"),
    ):
        with pytest.raises(InputError, match=problem):
            load_image(data)


def test_a_jpeg_of_very_many_scans_is_not_decoded(picture):
    """Each takes as long as the picture: a quarter of a megabyte took a minute."""
    data = encode(picture, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert load_image(data).size_wh == (60, 40)
    comment = b"\xff\xfe\x00\x04\xff\xd9"  # looks like the end
    with pytest.raises(InputError, match="the JPEG file has 1,0.. scans"):
        load_image(data[:last] + (comment + data[last:-2]) * 1000 + b"\xff\xd9")


def test_a_large_transparent_picture_takes_little_more_memory_than_its_pixels():
    data = cv2.imencode(".png", np.full((2000, 2000, 4), 100, np.uint8))[1].tobytes()
    tracemalloc.start()
    try:
        assert load_image(data).image[0, 0].tolist() == [194, 194, 194]
        assert tracemalloc.get_traced_memory()[1] < 80e6  # 28 MB are decoded
    finally:
        tracemalloc.stop()


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_image(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="fetches nothing"):
        load_image("https://example.org/photo.jpg")
    for stream in ("camera:0", "rtsp://example.org/door"):
        with pytest.raises(InputError, match="Recognizer.stream"):
            load_image(stream)
    with pytest.raises(InputError, match="cannot be read"):
        load_image("a\0b")


@pytest.mark.skipif(sys.platform == "win32", reason="needs sparse files and links to devices")
def test_what_never_ends_is_not_read(tmp_path):
    """A folder that somebody else packed may hold such files; they took all memory, and the other photos with them."""
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="has 1,099,512 MB; expected an image file"):
        load_image(tmp_path / "large.jpg")
    with pytest.raises(InputError, match="is a device"):
        load_image(tmp_path / "device.jpg")


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_no_permission_is_said(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(np.zeros((4, 4), np.uint8), "PNG"))
    path.chmod(0)
    tmp_path.chmod(0o755)
    # Root may read everything, so a child process gives its rights away first.
    code = (
        "import os, sys\nfrom mien.source.image import read_file\nfrom mien.errors import InputError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: read_file(sys.argv[1])\nexcept InputError as error: print(error.problem)"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.owner() == path.owner() and str(folder) != "/":
            folder.chmod(folder.stat().st_mode | 0o055)
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "no permission to read it"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((4, 4), np.int64),
        np.full((4, 4), 2.0),
        np.full((4, 4), np.nan),
        np.array([["a", "b"]]),
        np.full((4, 4), 255, np.uint16),  # it was read as black, and nobody was found
    ],
)
def test_arrays_that_are_no_images(array):
    with pytest.raises(InputError, match="no image"):
        load_image(array)


def test_a_name_out_of_an_array_is_a_name(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    (name,) = np.array([str(tmp_path / "a.png")])
    assert type(load_image(name).source) is str


def test_channels_first_are_told_to_be_turned(picture):
    with pytest.raises(InputError, match=r"\(3, 40, 60\) is no image; .*channels first array.transpose\(1, 2, 0\)"):
        load_image(picture.transpose(2, 0, 1))


def test_array_dtypes(picture):
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    deep = gray.astype(np.uint16) * 256
    for array in (gray[:, :, None], deep, deep.astype(">u2"), gray / 255.0, (gray / 255.0).astype(np.float32)):
        np.testing.assert_array_equal(array_to_image(array, ""), gray)
    assert array_to_image(gray > 100, "").max() == 255
    for kind in (np.float16, np.float64):  # what errors of rounding leave; it was "in [1, 1], expected [0, 1]"
        rounded = np.array([[-0.0004, 1.0004]], kind)
        assert array_to_image(rounded, "").tolist() == [[0, 255]]
    assert load_image(gray).bgr.shape == (40, 60, 3)


@pytest.mark.parametrize(("bits", "factor"), [(8, 256), (10, 64), (12, 16)])
def test_16_bits_that_are_not_all_used_are_told(picture, bits, factor):
    """They are black to the detector; "no face" was all that was said."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint16)
    gray[0, 0] = 255
    deep = gray << (bits - 8)
    said = f"nearly black: at most {deep.max()} of 65535; multiply {bits}-bit pixels by {factor} first"
    assert load_image(encode(Image.fromarray(deep), "PNG")).note == said
    assert load_image(cv2.imencode(".tiff", cv2.merge([deep] * 3))[1].tobytes()).note == said
    assert load_image(cv2.imencode(".pgm", deep)[1].tobytes()).note == said
    if bits > 8:  # of an array, 8 bits are an error
        assert load_image(deep).note == load_image(Image.fromarray(deep)).note == said
    for enough in (deep * factor, np.zeros_like(deep), (gray >> 5).astype(np.uint8)):
        assert load_image(encode(Image.fromarray(enough), "PNG")).note is None


def test_floats_up_to_255_are_told_what_to_become(picture):
    with pytest.raises(InputError, match=r"if 255 is white, pass array.clip\(0, 255\).astype\('uint8'\)$"):
        load_image(picture.astype(np.float32))
    with pytest.raises(InputError, match=r"or uint8 in \[0, 255\]$"):
        load_image(picture / 127.5 - 1)


@pytest.mark.parametrize(
    ("thing", "hint"),
    [
        (3, "or a list of them$"),
        (object(), "or a list of them$"),
        (io.BytesIO(), r"file\.read\(\)"),
        ((name for name in "ab"), "make a list"),
        (cv2.VideoCapture(), "of a camera or video give its name to Recognizer.stream"),
    ],
)
def test_other_types_are_wrong_usage(thing, hint):
    with pytest.raises(UsageError, match=f"expected a path.*{hint}"):
        load_image(thing)


@pytest.mark.parametrize(
    ("thing", "hint"),
    [
        (None, "cv2.imread gives None"),
        ("shots/*.jpg", "no such file or folder; in Python .* glob.glob"),
        ("~/shot.jpg", "no such file or folder; .* os.path.expanduser"),
        ("file:///home/me/shot.jpg", "is an address; give the path alone"),
        (np.array(["a.jpg", "b.jpg"]), r"shape \(2,\) is no image; .*list\(array\)"),
        (".", "is a folder; expected an image file, or a list"),
        ("", "^<empty>: is no name of a file"),
        ("0", "no such file or folder; a camera is camera:0$"),
        ("webcam", "; a camera is camera:0$"),
        ("/dev/video42", "; a camera is camera:42$"),
    ],
)
def test_common_slips_are_told_what_to_do(thing, hint):
    with pytest.raises(InputError, match=hint):
        load_image(thing)


@pytest.mark.parametrize(
    ("thing", "error", "hint"),
    [
        (".", PermissionError(errno.EACCES, "Permission denied"), "is a folder"),
        ("shots/*.jpg", OSError(errno.EINVAL, "Invalid argument"), "no such file or folder; in Python .* glob.glob"),
        ("rtsp://example.org/door", OSError(errno.EINVAL, "Invalid argument"), "is an address.*Recognizer.stream"),
        ("/9j/4AAQSkZJRg" * 100, FileNotFoundError(errno.ENOENT, "No such file or directory"), "base64.b64decode"),
    ],
)
def test_common_slips_are_told_on_windows_too(thing, error, hint, monkeypatch):
    """Where such names raise other errors."""

    def refused(*args, **named):
        raise error

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=hint):
        load_image(thing)


def test_one_pixel_is_an_image():
    assert load_image(encode(np.zeros((1, 1, 3), np.uint8), "PNG")).size_wh == (1, 1)


def test_deep_pil_image(picture):
    gray = np.asarray(Image.fromarray(picture).convert("L")).astype(np.uint16) * 257
    for image in (Image.fromarray(gray), Image.fromarray(gray.astype(np.int32))):  # modes "I;16" and "I"
        np.testing.assert_array_equal(load_image(image).image, (gray >> 8).astype(np.uint8))
    shallow = Image.fromarray(picture).convert("L")
    np.testing.assert_array_equal(load_image(shallow.convert("I")).gray, np.asarray(shallow))


def test_images_of_pil_plugins_are_pil_images(picture):
    plugin = type("HeifImageFile", (Image.Image,), {"__module__": "pillow_heif.as_plugin"})()
    plugin.__dict__.update(Image.fromarray(picture).__dict__)
    np.testing.assert_array_equal(load_image(plugin).image, picture[:, :, ::-1])


def test_a_very_small_webp_is_read():
    data = encode(np.zeros((48, 48, 3), np.uint8), "WebP", lossless=True)
    assert load_image(data).image.max() == 0


def test_a_tensor_is_told_to_become_an_array():
    torch = pytest.importorskip("torch")
    for tensor in (torch.zeros(8, 8, 3, dtype=torch.uint8), torch.zeros(3, 8, 8)):
        with pytest.raises(UsageError, match=r"from Tensor; .*tensor\.numpy\(\), as height x width x 3, BGR, uint8"):
            load_image(tensor)


def test_the_type_of_images_is_of_use_in_annotations_that_are_evaluated():
    assert type(None) in typing.get_args(ImageLike | None)
