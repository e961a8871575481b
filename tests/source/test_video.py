"""Video files, as they are found: whole, turned, uneven, cut off, and no videos at all."""

import itertools
import os
import struct
import subprocess
import sys
import threading
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from mien.errors import InputError, UsageError
from mien.source import Frame, FrameSource, VideoSource, expand_inputs, is_video, load_image
from mien.source.buffer import Buffer
from mien.source.container import read_container
from mien.source.name import shown_name
from tests.clips import plain, stand_still, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds at 30 frames a second; each frame has its own gray."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", plain(60))


def frames_of(path, **options):
    items = list(VideoSource(str(path), **options))
    problem = items.pop() if isinstance(items[-1], InputError) else None
    assert all(isinstance(item, Frame) for item in items)
    return items, problem


def test_every_frame_comes_once_in_order_with_its_time(clip):
    frames, problem = frames_of(clip)
    assert problem is None
    assert [frame.index for frame in frames] == list(range(60))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 30 for n in range(60)], abs=1e-3)
    grays = [float(frame.image.mean()) for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(grays))
    assert frames[0].source == str(clip)


def test_what_the_file_says_of_itself(clip):
    info = VideoSource(str(clip)).info
    assert info.size_wh == (160, 120)
    assert info.frame_rate == pytest.approx(30)
    assert info.duration_s == pytest.approx(2.0)
    assert not info.live


def test_slides_are_a_video_with_a_frame_in_many_seconds(tmp_path):
    """Its rate was not believed: 15 seconds were said to be 0.12, and the last slide to be shown for 0.04."""
    source = VideoSource(str(write_clip(tmp_path / "slides.mp4", plain(3), rate=0.2)))
    assert (source.info.frame_rate, source.info.duration_s) == (pytest.approx(0.2), pytest.approx(15))
    assert [(frame.time_s, frame.until_s) for frame in source] == [(0, 5), (5, 10), (10, 15)]


def test_time_stamps_are_true_where_the_frame_rate_varies(tmp_path):
    times_s = np.cumsum([0, *itertools.islice(itertools.cycle([0.02, 0.05, 0.1, 0.033]), 29)]).tolist()
    path = write_clip(tmp_path / "uneven.mp4", plain(30), times_s=times_s)
    frames, _ = frames_of(path)
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=1e-3)


@pytest.mark.parametrize(
    ("every_s", "expected"), [(0.5, [0, 15, 30, 45]), (0.1, list(range(0, 60, 3))), (1 / 60, list(range(60)))]
)
def test_thinning_goes_by_time(clip, every_s, expected):
    frames, _ = frames_of(clip, every_s=every_s)
    assert [frame.index for frame in frames] == expected


def test_thinning_keeps_its_pace_where_the_frame_rate_varies(tmp_path):
    times_s = np.cumsum([0, *([0.01] * 50), *([0.1] * 10)]).tolist()
    frames, _ = frames_of(write_clip(tmp_path / "uneven.mp4", plain(61), times_s=times_s), every_s=0.25)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.25, 0.5, 0.8, 1.0, 1.3, 1.5], abs=0.011)


def test_a_frame_stands_until_the_next_is_due_or_the_video_ends(clip, tmp_path):
    frames, _ = frames_of(clip)
    assert [frame.until_s for frame in frames] == pytest.approx([n / 30 for n in range(1, 61)], abs=1e-3)
    frames, _ = frames_of(clip, every_s=0.75)
    assert [frame.until_s for frame in frames] == pytest.approx([0.75, 1.5, 2.0], abs=1e-3)
    frames, _ = frames_of(clip, every_s=30)
    assert [frame.until_s for frame in frames] == pytest.approx([2.0], abs=1e-3)
    times_s = [0, 0.033, 0.066, 0.5, 1.5, 1.6, 3.0]
    frames, _ = frames_of(write_clip(tmp_path / "uneven.mp4", plain(7), times_s=times_s))
    assert frames[-1].until_s == pytest.approx(3.0, abs=0.05)


def turned(data: bytes) -> bytes:
    """The MP4 file with a track matrix that says: show it turned by 90 degrees, clockwise."""
    place = data.index(b"tkhd") + 4 + 40
    matrix = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    return data[:place] + b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in matrix) + data[place + 36 :]


def test_a_part_of_a_video_has_the_numbers_and_times_of_the_whole(clip):
    frames, problem = frames_of(clip, start_s=0.5, end_s=1.0)
    assert problem is None
    assert [frame.index for frame in frames] == list(range(15, 30))
    assert frames[0].time_s == pytest.approx(0.5, abs=1e-3)
    assert frames[-1].until_s == pytest.approx(1.0, abs=1e-3)
    whole, _ = frames_of(clip)
    assert (frames[0].image == whole[15].image).all()
    thinned, _ = frames_of(clip, start_s=0.3, end_s=1.7, every_s=0.5)
    assert [frame.index for frame in thinned] == [9, 15, 30, 45]
    assert thinned[-1].until_s == pytest.approx(1.7)
    assert len(frames_of(clip, start_s=1.5, end_s=90)[0]) == 15


def test_a_part_that_is_not_there_is_said(clip, tmp_path):
    with pytest.raises(InputError, match=r"ends at 2\.0 s, and was to be read from 2 s on"):
        VideoSource(str(clip), start_s=2)
    frames, problem = frames_of(clip, start_s=1.98)  # behind the last frame's beginning
    assert (frames, problem.problem) == ([], "holds no frame from 1.98 s on")


def test_an_end_that_is_missing_is_no_trouble_where_a_part_ends_before_it(tmp_path):
    noise = [np.random.default_rng(n).integers(0, 255, (120, 160, 3), np.uint8) for n in range(45)]
    cut = write_clip(tmp_path / "cut.mkv", noise)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert frames_of(cut)[1] is not None
    frames, problem = frames_of(cut, end_s=0.5)
    assert (len(frames), problem) == (15, None)


def test_a_turned_recording_is_shown_upright(tmp_path):
    picture = np.full((120, 160, 3), 200, np.uint8)
    picture[:, :40] = 20  # dark on the left: upright it is dark at the top
    path = write_clip(tmp_path / "phone.mp4", [picture] * 5)
    path.write_bytes(turned(path.read_bytes()))
    source = VideoSource(str(path))
    assert source.info.size_wh == (120, 160)
    frame = next(iter(source))
    assert frame.image[:30].mean() < 60 < 150 < frame.image[-100:].mean()
    source.close()


@pytest.mark.skipif(sys.platform == "win32", reason="such names are no names there")
def test_a_camera_that_hangs_wrongly_is_turned(clip):
    whole, _ = frames_of(clip)
    assert VideoSource(str(clip), rotate_deg=270).info.size_wh == (120, 160)
    for degrees, code in [(90, cv2.ROTATE_90_CLOCKWISE), (180, cv2.ROTATE_180), (270, cv2.ROTATE_90_COUNTERCLOCKWISE)]:
        frames, _ = frames_of(clip, rotate_deg=degrees)
        assert (frames[7].image == cv2.rotate(whole[7].image, code)).all()


@pytest.mark.parametrize("name", ["http:127.0.0.1:9?clip.mp4", "concat:one.mp4|two.mp4"])
def test_a_file_that_is_called_as_an_address_is_a_file(clip, tmp_path, monkeypatch, name):
    """FFmpeg would fetch it, though nobody asked for anything but the files of a folder."""
    (tmp_path / name).symlink_to(clip)
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(name)[0]) == 60


@pytest.mark.parametrize("name", ["bad\udcff.mp4", "rtsp://bad\udcff/1"])
def test_a_name_that_is_no_utf8_costs_that_video_only(clip, tmp_path, name):
    """In a process of its own: this one would be gone with it."""
    if "://" not in name:
        (tmp_path / name).symlink_to(clip)
        name = str(tmp_path / name)
    code = "import sys, mien; mien.Recognizer().stream(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, os.fsencode(name)], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"its name holds bytes that are no Unicode" in done.stderr


@pytest.mark.parametrize(
    ("pixel_shape", "lies", "size_wh"),
    [
        (Fraction(64, 45), False, (228, 120)),
        (Fraction(8, 9), False, (142, 120)),
        (Fraction(64, 45), True, (84, 160)),
        (Fraction(120, 121), False, (160, 120)),  # square but for rounding
        (Fraction(50, 1), False, (160, 120)),  # a mistake
    ],
)
def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(tmp_path, pixel_shape, lies, size_wh):
    path = write_clip(tmp_path / "tape.mp4", plain(5, (160, 120)), pixel_shape=pixel_shape)
    if lies:
        path.write_bytes(turned(path.read_bytes()))
    source = VideoSource(str(path))
    assert source.info.size_wh == size_wh
    assert {frame.size_wh for frame in source} == {size_wh}


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "libx264"), (".mov", "libx264"), (".avi", "mpeg4"), (".ts", "libx264")]
)
def test_other_containers(tmp_path, suffix, codec):
    path = write_clip(tmp_path / f"clip{suffix}", plain(30), codec=codec)
    frames, problem = frames_of(path)
    assert problem is None
    assert len(frames) == 30
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([1 / 30] * 29, abs=2e-3)


def test_a_broken_tail_costs_the_tail_only(tmp_path):
    noise = [np.random.default_rng(n).integers(0, 255, (120, 160, 3), np.uint8) for n in range(90)]
    path = write_clip(tmp_path / "whole.mkv", noise)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    frames, problem = frames_of(cut)
    assert 20 <= len(frames) <= 40
    assert "breaks off at 0.9" in problem.problem or "breaks off at 1.0" in problem.problem
    assert "of 3.0 s" in problem.problem


@pytest.mark.parametrize("left", [0.6, 0.9])
def test_a_short_piece_that_is_missing_is_told_too(tmp_path, left):
    """Less than a second was never told, and of an hour not even a minute."""
    noise = [np.random.default_rng(n).integers(0, 255, (120, 160, 3), np.uint8) for n in range(45)]
    cut = write_clip(tmp_path / "cut.mkv", noise)
    cut.write_bytes(cut.read_bytes()[: int(left * cut.stat().st_size)])
    frames, problem = frames_of(cut)
    assert len(frames) == pytest.approx(45 * left, abs=4)
    assert "of 1.5 s: the file is cut" in problem.problem


def test_a_last_frame_that_stands_for_long_is_no_broken_tail(tmp_path):
    """A recorded screen on which nothing moved any more was called cut."""
    even = write_clip(tmp_path / "even.mp4", plain(30), codec="mpeg4")
    path = stand_still(even, tmp_path / "screen.mp4", 30, 20)
    frames, problem = frames_of(path)
    assert (len(frames), problem) == (30, None)
    assert frames[-1].until_s == pytest.approx(29 / 30 + 20, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_video_that_was_trimmed_by_its_index_alone_is_whole(tmp_path, suffix):
    """As telephones and quick cutters do it: all frames stay in the file. It was called cut, its length was wrong."""
    path = write_clip(tmp_path / f"trimmed{suffix}", plain(60))
    data = bytearray(path.read_bytes())
    edit = data.index(b"elst") + 4  # version; number of edits; length in ms, start in ticks
    assert struct.unpack(">IIIi", data[edit : edit + 16])[:3] == (0, 1, 2000)
    data[edit + 8 : edit + 12] = struct.pack(">I", 700)
    path.write_bytes(data)
    frames, problem = frames_of(path)
    assert (len(frames), problem) == (21, None)
    assert VideoSource(str(path)).info.duration_s == pytest.approx(0.7)
    assert frames[-1].until_s == pytest.approx(0.7)


def test_frames_that_are_damaged_cost_no_others(tmp_path):
    """Reading ended at the first one."""
    noise = [np.random.default_rng(n).integers(0, 255, (120, 160, 3), np.uint8) for n in range(60)]
    path = write_clip(tmp_path / "clip.mp4", noise)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    frames, problem = frames_of(path)
    assert 45 <= len(frames) <= 55
    assert frames[-1].time_s == pytest.approx(59 / 30, abs=1e-3)
    assert f"{60 - len(frames)} frames could not be decoded, the first after 0." in problem.problem
    assert f"(the other {len(frames)} were read)" in problem.problem


def test_sound_that_goes_on_longer_is_no_broken_tail(tmp_path):
    import av

    from tests.clips import add_tone

    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        tone = container.add_stream("aac", rate=48000, layout="mono")
        for picture in plain(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
        add_tone(container, tone, 5.0)
    frames, problem = frames_of(path)
    assert (len(frames), problem) == (30, None)


def test_what_is_no_video_is_said(tmp_path, clip):
    import av

    text, empty, cut, blank, alone = (
        tmp_path / name for name in ("text.mp4", "empty.mp4", "cut.mp4", "none.mp4", "sound.mp4")
    )
    text.write_text("this is a letter, not a film\n")
    empty.touch()
    cut.write_bytes(clip.read_bytes()[:-800])  # the index is at the end
    with av.open(str(blank), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        container.start_encoding()
    write_clip(tmp_path / "with.mp4", plain(10), sound="aac")
    with av.open(str(tmp_path / "with.mp4")) as source, av.open(str(alone), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    for path, reason in [
        (text, "is not a video (text: it starts with 'this is a letter'"),
        (empty, "0 bytes"),
        (cut, "index (moov) is missing"),
        (blank, "holds no video"),
        (alone, "holds sound alone, and no pictures"),
        (tmp_path / "missing.mp4", "no such file"),
        (tmp_path, "is a folder; expected a video file; of a folder of photos pass a list of them"),
        ("https://example.com/still.jpg", "is an address; mien fetches nothing"),
        ("clips/*.mp4", "no such file or folder; in Python list what a pattern names"),
    ]:
        with pytest.raises(InputError, match=__import__("re").escape(reason)) as caught:
            VideoSource(str(path))
        assert str(path) in str(caught.value)


def test_the_cover_of_an_album_is_no_video(tmp_path, astronaut_bgr):
    """OpenCV gives it as the only frame, and the file was said to break off there."""
    import av

    from tests.clips import add_tone

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=48000, layout="mono")
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = astronaut_bgr.shape[:2]
        stream.pix_fmt, stream.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        packets = [*stream.encode(av.VideoFrame.from_ndarray(astronaut_bgr, format="bgr24")), *stream.encode()]
        container.start_encoding()
        for packet in packets:
            container.mux(packet)
        add_tone(container, tone, 3.0)
    with pytest.raises(InputError, match="holds sound alone, and no pictures"):
        VideoSource(str(path))


def test_an_animation_that_ffmpeg_does_not_know_is_left_to_pillow(tmp_path):
    """Nothing said what to do."""
    frames = [Image.new("RGB", (64, 48), (80 * number, 0, 0)) for number in range(3)]
    frames[0].save(tmp_path / "waving.webp", save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(InputError, match=r"waving\.webp: holds no video frames .*ImageSequence\.Iterator"):
        VideoSource(str(tmp_path / "waving.webp"))
    with Image.open(tmp_path / "waving.webp") as opened:
        seen = list(FrameSource(ImageSequence.Iterator(opened), 10))
    assert [round(frame.image[..., 2].mean() / 80) for frame in seen] == [0, 1, 2]


def test_a_file_that_is_cut_off_within_its_first_frame(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    path = write_clip(tmp_path / "noise.mkv", [noise] * 3)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match="holds no video frames that can be decoded: the file is cut off"):
        VideoSource(str(path))


def test_a_codec_that_is_missing_is_said(tmp_path, clip):
    """A sample description of an unknown kind: what FFmpeg finds in a file of a codec it lacks."""
    path = tmp_path / "odd.mp4"
    path.write_bytes(clip.read_bytes().replace(b"avc1", b"zzz9"))
    with pytest.raises(InputError, match="codec"):
        VideoSource(str(path))
    # One that is known by name alone, as AV1 is to OpenCV's FFmpeg.
    path.write_bytes(clip.read_bytes().replace(b"avc1", b"av01").replace(b"avcC", b"zzzC"))
    with pytest.raises(InputError, match=r"FFmpeg lacks their codec \(AV01\)"):
        VideoSource(str(path))


def test_a_program_that_reads_photos_keeps_the_remarks_on_its_own_videos(tmp_path):
    """Importing mien silenced FFmpeg for the whole process."""
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x08ftyp" + bytes(200))
    code = "import cv2, mien; mien.Recognizer(); cv2.VideoCapture('cut.mp4')"
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_FFMPEG_LOGLEVEL"}
    run = [sys.executable, "-c", code]
    assert b"mov,mp4" in subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, check=True).stderr


def test_leaving_early_stops_the_thread(clip):
    source = VideoSource(str(clip))
    for frame in source:
        assert frame.index == 0
        break
    source.close()
    assert not [
        thread
        for thread in threading.enumerate()
        if thread.name == "mien-decode" and not thread.join(5.0) and thread.is_alive()
    ]
    with pytest.raises(UsageError, match="read once"):
        next(iter(source))


def test_decoding_is_never_far_ahead(clip):
    """The buffer is bounded: a slow reader holds the decoder back."""
    held = 0
    lock = threading.Lock()

    class Counting:
        def __init__(self, name):
            self.inner = cv2.VideoCapture(name)
            self.taken = 0

        def grab(self):
            nonlocal held
            with lock:
                held += 1
            return self.inner.grab()

        def retrieve(self):
            return self.inner.retrieve()

        def get(self, number):
            return self.inner.get(number)

        def release(self):
            self.inner.release()

    most = 0
    for number, _ in enumerate(VideoSource(str(clip), opener=Counting)):
        threading.Event().wait(0.002)
        most = max(most, held - number)
    assert most <= 20


def test_which_inputs_are_videos(tmp_path, clip):
    odd = tmp_path / "clip.data"
    odd.write_bytes(clip.read_bytes())
    for name in ("a.mp4", "B.MKV", "camera:0", "rtsp://cam/1?x=[a]", "http://cam:8080/video", str(odd)):
        assert is_video(name), name
    for name in ("a.jpg", "folder", "http://x.org/photo.jpg", "ftp://x/y.bin", "camera.png", "notes.txt"):
        assert not is_video(name), name


def test_what_is_hardly_a_name_ends_no_program():
    """Brackets that are amiss were an error of urllib's, and text in place of a file one of the file system's."""
    assert is_video("rtsp://[::1/live")
    for name in ("http://[x/photo.jpg", "aGVsbG8" * 800, "a\0b"):
        assert not is_video(name), name
    with pytest.raises(InputError, match="cannot connect"):
        VideoSource("http://[x/clip.mp4")


def test_a_photo_given_as_a_video_is_said(tmp_path):
    """FFmpeg takes it for a video of one frame, and leaves out how its EXIF data say that it is turned."""
    photo, animation = Image.new("L", (64, 48)), Image.new("L", (64, 48), 255)
    for suffix, kind in ((".JPG", "JPEG"), (".png", "PNG"), (".webp", "WebP"), (".gif", "GIF")):
        path = tmp_path / f"photo{suffix}"
        photo.save(path)
        with pytest.raises(InputError, match=rf"is a photo \({kind}\), not a video; Recognizer.recognize reads photos"):
            VideoSource(str(path))
    photo.save(path, save_all=True, append_images=[animation])
    assert len(list(VideoSource(str(path)))) == 2


def test_a_video_given_as_a_photo_is_said(clip):
    with pytest.raises(InputError, match=r"is a video \(MP4\), not an image"):
        load_image(clip)


def test_a_folder_of_videos_says_how_to_read_them(clip):
    (problem,) = expand_inputs([str(clip.parent)])
    assert "it holds videos" in problem.problem
    (found,) = expand_inputs([str(clip.parent / "*.mp4")])
    assert found.path == str(clip)
    (stream,) = expand_inputs(["rtsp://me:s3cret@cam/1?x=[a]*"])
    assert stream.path == "rtsp://me:s3cret@cam/1?x=[a]*"


def test_passwords_are_not_shown():
    assert shown_name("rtsp://me:s3cret@cam:554/1") == "rtsp://me:***@cam:554/1"
    assert shown_name("rtsp://me:s3cret@cam/a@b") == "rtsp://me:***@cam/a@b"
    assert shown_name("rtsp://me:p@ss@cam/1") == "rtsp://me:***@cam/1"
    assert shown_name("rtsp://cam/1") == "rtsp://cam/1"
    assert shown_name("http://cam/video.cgi?user=me&PWD=s3cret&n=1") == "http://cam/video.cgi?user=me&PWD=***&n=1"
    assert shown_name("rtsp://cam/user=me&password=s3cret&channel=1") == "rtsp://cam/user=me&password=***&channel=1"
    assert shown_name("album/pwd=1.jpg") == "album/pwd=1.jpg"
    with pytest.raises(InputError) as caught:
        VideoSource("http://me:s3cret@127.0.0.1:9/video")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00\x00\x08ftyp", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00" * 3, b"RIFF", b"\x00" * 400]
)
def test_a_few_bytes_of_a_container_are_no_trouble(tmp_path, data):
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    read_container(str(path))


def test_a_buffer_that_drops_keeps_the_newest():
    buffer = Buffer(2, drop_old=True)
    for number in range(10):
        assert buffer.put(number)
    buffer.end()
    assert [buffer.get(), buffer.get(), buffer.get()] == [8, 9, None]
    assert buffer.dropped == 8
