"""Headers are read without decoding, and never raise."""

import io
import struct
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from mien.source.header import read_header

FORMATS = [
    "JPEG",
    "PNG",
    "GIF",
    "WebP",
    "BMP",
    "TIFF",
    "JPEG2000",
    "PPM",
    *(["AVIF"] if features.check("avif") else []),
]


def encode(image, name, **options):
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


@given(st.sampled_from(FORMATS), st.integers(1, 70), st.integers(1, 70))
def test_size_and_format_of_whole_files(name, width, height):
    header = read_header(encode(Image.new("RGB", (width, height), (9, 120, 200)), name))
    known_as = {"JPEG2000": "JPEG 2000", "PPM": "PNM"}.get(name, name)
    assert (header.format, header.size_wh, header.frames, header.truncated) == (known_as, (width, height), 1, False)


def test_lossless_webp_and_progressive_jpeg():
    image = Image.effect_noise((33, 21), 80).convert("RGB")
    assert read_header(encode(image, "WebP", lossless=True)).size_wh == (33, 21)
    assert read_header(encode(image, "JPEG", progressive=True)).size_wh == (33, 21)


def test_an_embedded_thumbnail_does_not_hide_a_missing_end():
    thumbnail = encode(Image.effect_noise((32, 32), 80).convert("RGB"), "JPEG")
    exif = b"Exif\x00\x00" + thumbnail
    whole = encode(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = whole[:2] + segment + whole[2:]
    assert not read_header(data).truncated
    assert read_header(data[:-200]).truncated
    assert read_header(data).size_wh == (64, 64)


def test_a_jpeg_in_the_segment_of_a_marker_that_has_none_is_the_picture():
    """Decoders go on right behind such a marker, and read no further than to the end of the first picture."""
    large, small = (encode(Image.new("L", (side, side)), "JPEG") for side in (900, 9))
    data = large[:2] + b"\xff\xd0" + len(large).to_bytes(2, "big") + large[2:] + small[2:]
    assert read_header(small).size_wh == (9, 9)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE).shape == (900, 900)
    assert read_header(data).size_wh == (900, 900)


def test_a_file_of_very_many_parts_is_given_up_soon():
    """Each takes a step of Python, and a service reads headers of 20 MB."""
    start = b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"
    comments = b"\xff\xfe\x00\x02" * 500_000
    begun_s = time.process_time()
    assert read_header(start + comments).size_wh is None
    assert read_header(start + b"\xff\xda\x00\x02" + comments).scans > 1000
    assert read_header(b"\xff\xd8\xff\xe0\x00\x02" + bytes(2_000_000)).truncated
    assert read_header(b"P6\n" + b"#\n" * 1_000_000).size_wh is None
    assert time.process_time() - begun_s < 0.5


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_tiff_are_counted_and_smaller_copies_are_none(order):
    def directory(kind, following):
        """With two tags, the kind of the picture and its width."""
        return struct.pack(order + "H HHII HHII I", 2, 254, 4, 1, kind, 256, 4, 1, 8, following)

    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    step = len(directory(0, 0))
    assert read_header(head + directory(0, 0)).frames == 1
    data = head + directory(0, 8 + step) + directory(1, 8 + 2 * step) + directory(2, 0)
    assert read_header(data).frames == 2
    assert read_header(data[:-step]).frames == 1  # the rest is not there
    assert read_header(head + directory(0, 8)).frames == 1  # it goes on with itself


@pytest.mark.parametrize("name", ["GIF", "WebP", "PNG", *(["AVIF"] if features.check("avif") else [])])
def test_animations_say_how_many_frames(name):
    frames = [Image.effect_noise((20, 10), 80).convert("RGB") for _ in range(4)]
    data = encode(frames[0], name, save_all=True, append_images=frames[1:])
    assert (read_header(data).frames, read_header(data).size_wh) == (4, (20, 10))
    assert not read_header(data).truncated


def test_pictures_that_have_no_transparent_pixels_say_so():
    """They are decoded once; of the others, OpenCV gives the colours and the transparency only one after the other."""
    picture = Image.effect_noise((40, 30), 90).convert("RGB")
    for mode in ("L", "LA", "P", "RGB", "RGBA", "1"):
        assert read_header(encode(picture.convert(mode), "PNG")).opaque == (mode not in ("LA", "RGBA")), mode
    for mode, color in (("P", 0), ("RGB", (1, 2, 3))):
        assert not read_header(encode(picture.convert(mode), "PNG", transparency=color)).opaque
    half = picture.copy()
    half.putalpha(100)
    exif = Image.Exif()
    exif[274] = 3
    for options in ({}, {"lossless": True}, {"exif": exif}, {"exif": exif, "lossless": True}):
        assert read_header(encode(picture, "WebP", **options)).opaque, options
        assert not read_header(encode(half, "WebP", **options)).opaque, options
    assert not any(read_header(encode(picture, name)).opaque for name in ("GIF", "TIFF"))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WebP", "BMP"])
def test_every_truncation_is_noticed_or_harmless(name):
    data = encode(Image.effect_noise((48, 48), 90).convert("RGB"), name)
    for length in range(30, len(data) - 12, 97):
        header = read_header(data[:length])
        assert header.truncated, length


def test_a_comment_in_a_pnm_is_where_opencv_sees_one():
    assert read_header(b"P6\n# by hand\n 60 # wide\n40\n255\n").size_wh == (60, 40)
    # OpenCV takes the '#' for the end of the number, and the 30000 for the height.
    assert read_header(b"P6\n60#30000\n40 255\n").size_wh is None
    assert read_header(b"P5\n" + b"9" * 5000 + b" 1 ").size_wh is None


_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_STARTS = [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xda\x00\x02", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"P6\n", _JP2]
_STARTS += [b"II*\x00", b"II+\x00\x08\x00\x00\x00\x10" + bytes(7), b"II+\x00\x08\x00\x00\x00" + b"\xff" * 8]
_STARTS += [b"\xff\x4f\xff\x51", _JP2 + b"\x00\x00\x00\x01free" + b"\xff" * 8]


@given(st.binary(max_size=200), st.sampled_from(_STARTS))
def test_never_raises(noise, start):
    read_header(start + noise)
    read_header(b"RIFF" + noise[:4].ljust(4, b"\x00") + b"WEBP" + noise)
    read_header(noise[:4].ljust(4, b"\x00") + b"ftypavif" + b"ispe" + noise)
