"""A real reader in a real process, which is really crashed."""

import os
import signal
import struct
import time
import zlib

import pytest

import mien
from mien.cluster.guard import GuardedReader, Image, ReaderError
from mien.cluster.options import BatchOptions


def read(reader, *images):
    reader.start([image if isinstance(image, Image) else Image("k", "s.jpg", image) for image in images])
    return reader.finish()


def rows(readings):
    return [reading.get("rows") for reading in readings]


def test_readings_are_those_of_the_recognizer(jpegs, crashing_reader):
    readings = read(crashing_reader, *jpegs[:5])
    recognizer = mien.Recognizer(threads=1)
    for data, reading in zip(jpegs, readings, strict=False):
        expected = recognizer.recognize(data)
        assert [{**row, "source": "<bytes>"} for row in reading["rows"]] == expected.to_rows()
        assert tuple(reading["size_wh"]) == expected.size_wh


@pytest.mark.parametrize(("poison", "said"), [(b"CRASH", "SIGSEGV"), (b"HANG", "longer than 3 s"), (b"x", "no image")])
def test_a_poisoned_image_costs_only_itself(jpegs, crashing_reader, poison, said):
    clean = read(crashing_reader, jpegs[1], jpegs[2], jpegs[3])
    readings = read(crashing_reader, jpegs[1], jpegs[2], poison, jpegs[3])
    assert said in readings[2]["error"].replace("is not an image", "no image")
    assert rows([*readings[:2], readings[3]]) == rows(clean)


def test_several_poisons_in_one_batch(jpegs, crashing_reader):
    readings = read(crashing_reader, b"CRASH", jpegs[1], b"CRASH", Image("k", "s", error="not there"), jpegs[2])
    errors = [reading["error"] for reading in readings]
    assert errors == ["crashed the reader (SIGSEGV)", None, "crashed the reader (SIGSEGV)", "not there", None]


def test_an_image_that_crashed_once_is_read_the_second_time(jpegs, crashing_reader, tmp_path):
    once = b"ONCE " + os.fsencode(tmp_path / "marker") + b"\n" + jpegs[1]
    readings = read(crashing_reader, once, jpegs[2])
    assert (tmp_path / "marker").exists()
    assert rows(readings) == rows(read(crashing_reader, jpegs[1], jpegs[2]))


def test_a_crash_in_the_model_is_traced_to_its_image(jpegs, crashing_reader):
    images = [Image("a", "a", jpegs[1]), Image("b", "in-the-model", jpegs[2]), Image("c", "c", jpegs[3])]
    readings = read(crashing_reader, *images)
    assert [reading["error"] is None for reading in readings] == [True, False, True]
    assert "SIGSEGV" in readings[1]["error"]


def test_a_reader_that_is_killed_from_outside_goes_on(jpegs, crashing_reader):
    clean = read(crashing_reader, *jpegs[:8])
    crashing_reader.start([Image("k", "s.jpg", data) for data in jpegs[:8]])
    os.kill(crashing_reader.process_id, signal.SIGKILL)
    assert crashing_reader.finish() == clean


def test_a_reader_that_cannot_start_blames_no_image():
    options = {**BatchOptions().recognizer_options(), "model": "nonsense"}
    with GuardedReader(options, 5.0, 1) as reader, pytest.raises(ReaderError, match="unknown expression model"):
        read(reader, b"")


def test_the_reader_ends_with_its_worker(jpegs, crashing_command):
    reader = GuardedReader(BatchOptions().recognizer_options(), 60.0, 0, command=crashing_command)
    read(reader, jpegs[1])
    reader.start([Image("k", "s", b"HANG")])
    process = reader._process
    process.stdin.close()  # as when the worker is gone
    assert process.wait(timeout=10) == 0
    reader.close()
    time.sleep(0.05)
    assert reader.process_id is None


def test_a_photo_of_400_megapixels_is_refused_before_it_is_decoded(jpegs, crashing_reader):
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    bomb += struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
    readings = read(crashing_reader, jpegs[1], bomb)
    assert "20000 x 20000 pixels are 400 megapixels; the limit is 200" in readings[1]["error"]
    assert readings[0]["error"] is None
