"""The recognizer composes the stages; fakes stand in for the slow ones where only the composition is tested."""

import dataclasses
import doctest
import gc
import inspect
import io
import json
import pickle
import re
import subprocess
import sys
import threading
import time
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

import mien
from mien.classify import OnnxClassifier, take_views
from mien.classify.class_scaling import calibrated
from mien.errors import InputError, MienWarning, ModelError, UsageError
from mien.labels import FER7
from mien.opencv import turned
from mien.recognizer import Recognizer
from mien.recognizer_options import RecognizerKeywords
from mien.source import Frame, load_image
from mien.video_options import VideoKeywords
from mien.zoo import Head, find_model, list_models
from mien.zoo.session import open_session
from tests.conftest import ROOT
from tests.fakes import FakeClassifier, FakeDetector, make_card, paint_face


def fake_recognizer(**options):
    values = {"model": FakeClassifier(), "detector": FakeDetector(), "threads": 1, **options}
    return Recognizer(**values)


def expressions(reading):
    return [face.expression for face in reading.faces]


def test_one_input_gives_one_reading_and_a_list_gives_a_list():
    recognizer = fake_recognizer()
    reading = recognizer.recognize(paint_face(3))
    assert expressions(reading) == ["happy"]
    assert reading.size_wh == (120, 100)
    assert recognizer.recognize([]) == []
    (same,) = recognizer.recognize([paint_face(3)])
    assert same == reading
    assert recognizer.recognize((paint_face(3),)) == [reading]


def test_box_landmarks_and_score_are_the_detectors():
    (face,) = fake_recognizer().recognize(paint_face(1, place_xy=(30, 20))).faces
    assert face.box_xyxy == (30.0, 20.0, 70.0, 60.0)
    assert face.score == pytest.approx(0.9)
    assert len(face.landmarks_xy) == 5
    assert face.track_id is None


def test_no_face_is_an_empty_list_and_never_the_whole_frame():
    reading = fake_recognizer().recognize(np.full((50, 60, 3), 90, np.uint8))
    assert reading.faces == []
    assert reading.size_wh == (60, 50)
    assert reading.labels == FER7


def test_a_photo_on_its_side_is_read_as_an_upright_one(astronaut_bgr):
    (upright,) = mien.recognize(astronaut_bgr).faces
    for clockwise_deg in (90, 180, 270):
        photo = turned(astronaut_bgr, clockwise_deg)
        reading = mien.recognize(photo)
        (face,) = reading.faces
        assert face.probabilities == pytest.approx(upright.probabilities, abs=0.02)
        assert reading.turned_deg == 360 - clockwise_deg
        assert reading.note == f"upright when turned by {360 - clockwise_deg} degrees clockwise"
        assert reading.size_wh == photo.shape[1::-1]
        as_it_is = mien.recognize(photo, upright=True)
        assert (as_it_is.note, as_it_is.turned_deg) == (None, 0)
    as_it_is = mien.recognize(astronaut_bgr)
    assert (as_it_is.note, as_it_is.turned_deg) == (None, 0)


def test_what_is_dropped_as_no_face_shows_no_way_up(astronaut_bgr):
    reading = mien.recognize(turned(astronaut_bgr, 90), max_not_face=0)
    assert (reading.faces, reading.note, reading.turned_deg) == ([], None, 0)


def test_the_frames_of_a_video_are_taken_as_they_stand(astronaut_bgr):
    """All of a video lies the same way, and is turned by `rotate_deg`; a look at each turn would take its time."""
    frames = [turned(astronaut_bgr, 90)] * 2
    for reading in Recognizer().stream(frames, frame_rate=1):
        assert (reading.faces, reading.note, reading.turned_deg) == ([], None, 0)


def test_what_else_is_to_be_said_of_a_turned_photo_stays(astronaut_bgr):
    kinds = [Image.fromarray(turned(astronaut_bgr, 90)[..., ::-1]), Image.new("RGB", (512, 512))]
    file = io.BytesIO()
    kinds[0].save(file, "GIF", save_all=True, append_images=kinds[1:])
    reading = mien.recognize(file.getvalue())
    assert reading.note == "animated GIF: read the first of 2 frames; upright when turned by 270 degrees clockwise"


@pytest.mark.parametrize("threads", [1, 3])
def test_a_list_is_batched_and_keeps_its_order(threads):
    recognizer = fake_recognizer(threads=threads)
    wanted = [number % 7 for number in range(50)]
    photos = [paint_face(said) for said in wanted]
    photos.insert(10, np.zeros((20, 20), np.uint8))
    readings = recognizer.recognize(photos)
    assert [expressions(reading) for reading in readings] == [[FER7[said]] for said in wanted[:10]] + [[]] + [
        [FER7[said]] for said in wanted[10:]
    ]
    batches = recognizer.model.batches
    assert sum(batches) == 50
    assert max(batches) >= 10


def test_path_bytes_array_gray_array_and_pil_agree(tmp_path):
    gray = paint_face(4)
    data = cv2.imencode(".png", gray)[1].tobytes()
    path = tmp_path / "x.png"
    path.write_bytes(data)
    inputs = [path, str(path), data, gray, cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), Image.open(io.BytesIO(data))]
    readings = fake_recognizer().recognize(inputs)
    assert all(reading.faces == readings[0].faces for reading in readings)
    assert [reading.source for reading in readings] == [
        str(path), str(path), "<bytes>", "<array>", "<array>", "<PIL image>",
    ]  # fmt: skip


def test_a_bad_input_raises_alone_and_is_recorded_in_a_list():
    recognizer = fake_recognizer()
    with pytest.raises(InputError, match="missing.jpg: no such file"):
        recognizer.recognize("missing.jpg")
    with pytest.warns(MienWarning, match="missing.jpg: no such file"):
        readings = recognizer.recognize([paint_face(0), "missing.jpg", paint_face(1)])
    assert [expressions(reading) for reading in readings] == [["angry"], [], ["disgust"]]
    assert [reading.error for reading in readings] == [None, "no such file or folder", None]
    with pytest.raises(InputError, match="missing"):
        recognizer.recognize([paint_face(0), "missing.jpg"], on_error="raise")
    assert recognizer.recognize("missing.jpg", on_error="record").error
    with pytest.raises(UsageError, match="on_error"):
        recognizer.recognize(paint_face(0), on_error="ignore")


def test_wrong_types_raise_even_in_a_list():
    with pytest.raises(UsageError, match="from int"):
        fake_recognizer(threads=2).recognize([paint_face(0), 3])


def test_what_could_not_be_read_is_told_at_the_callers_line():
    for recognize in (fake_recognizer().recognize, mien.recognize):
        with pytest.warns(MienWarning, match="cv2.imread gives None") as told:
            recognize([cv2.imread("missing.jpg")])
        assert told[0].filename == __file__
    with pytest.raises(InputError, match="missing"):
        mien.recognize(["missing.jpg"], on_error="raise")


def test_a_pickled_recognizer_takes_its_options_along(astronaut_path):
    recognizer = Recognizer(model="tiny", labels=["happy", "sad"])
    reading = recognizer.recognize(astronaut_path)
    other = pickle.loads(pickle.dumps(recognizer))
    assert other.recognize(astronaut_path) == reading


def test_the_docstring_tells_what_each_option_means():
    for kind in (Recognizer, mien.RecognizerOptions, mien.VideoOptions):
        documented = re.findall(r"^(\w+) : .*\n    \w", inspect.getdoc(kind), re.MULTILINE)
        assert documented == [item.name for item in dataclasses.fields(kind)]


def test_type_checkers_know_all_options():
    """They cannot see into `**options` otherwise; `typed_use.py` is what they make of it."""
    for keywords, kind in ((RecognizerKeywords, mien.RecognizerOptions), (VideoKeywords, mien.VideoOptions)):
        known = {name: reference.__forward_arg__ for name, reference in keywords.__annotations__.items()}
        assert known == {item.name: item.type for item in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    "documented",
    [mien.recognize, Recognizer, Recognizer.stream, Recognizer.replace, Recognizer.explain],
    ids=lambda it: it.__qualname__,
)
def test_examples_in_docstrings_are_right(documented, monkeypatch):
    monkeypatch.chdir(ROOT)
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder(recurse=False).find(documented):
        assert example.examples
        said = io.StringIO()
        assert runner.run(example, out=said.write).failed == 0, said.getvalue()


def test_cropped_images_are_read_whole():
    crop = np.full((40, 40), 35, np.uint8)
    (face,) = fake_recognizer(detector="none").recognize(crop).faces
    assert face.expression == "happy"
    assert (face.score, face.landmarks_xy, face.box_xyxy) == (None, (), (0.0, 0.0, 40.0, 40.0))


def test_a_find_that_is_no_face_is_dropped_unless_told_otherwise():
    card = make_card(heads=(Head("fer7", FER7), Head("ferplus", ("neutral", "happy", "not_face", "unknown"))))
    photo = paint_face(2, size_px=60)  # the fake says class 2 in both heads: fear, and "not a face"
    assert fake_recognizer(model=FakeClassifier(card)).recognize(photo).faces == []
    (kept,) = fake_recognizer(model=FakeClassifier(card), max_not_face=1.0).recognize(photo).faces
    assert kept.not_face == pytest.approx(1.0, abs=1e-3)
    assert fake_recognizer(model=FakeClassifier(card)).recognize(paint_face(2, size_px=24)).faces  # too small to tell
    (cropped,) = fake_recognizer(model=FakeClassifier(card), detector="none").recognize(photo).faces
    assert cropped.not_face is not None  # the caller said that it is a face


def test_label_schemes():
    photo = paint_face(3)
    (face,) = fake_recognizer(labels="valence3").recognize(photo).faces
    assert list(face.probabilities) == ["positive", "neutral", "negative"]
    assert face.expression == "positive"
    (face,) = fake_recognizer(labels=["joy", "contempt"]).recognize(photo).faces
    assert list(face.probabilities) == ["happy", "contempt"]
    (face,) = fake_recognizer(labels="ferplus8").recognize(photo).faces
    assert set(face.probabilities) == {*FER7, "contempt"}


def test_a_scheme_itself_is_one_of_labels(astronaut_path):
    mine = mien.LabelScheme("mine", {"up": ("happy", "surprise"), "down": ("sad", "angry")})
    recognizer = fake_recognizer(labels=mine)
    assert list(recognizer.recognize(paint_face(3)).faces[0].probabilities) == ["up", "down"]
    (face,) = mien.recognize(astronaut_path, model="tiny", labels=mien.find_scheme("valence3")).faces
    assert face.expression == "positive"
    again = pickle.loads(pickle.dumps(Recognizer(model="tiny", labels=mine)))
    assert again.scheme == mine
    three = FakeClassifier(make_card(heads=(Head("out", ("happy", "sad", "neutral")),)))
    with pytest.raises(ModelError, match="labels 'mine' need the classes angry, surprise"):
        fake_recognizer(model=three, labels=mine)


def test_none_is_no_way_to_say_the_default(astronaut_path):
    """`detector=None` read the whole picture as a face."""
    with pytest.raises(UsageError, match=r"detector is None; leave it out for its default, 'mien', or give 'none'"):
        mien.recognize(astronaut_path, detector=None)
    for name in ("model", "labels", "views", "max_not_face", "max_megapixels"):
        with pytest.raises(UsageError, match=f"{name} is None; leave it out for its default"):
            Recognizer(**{name: None})
    assert Recognizer(threads=None, min_face_px=None).threads is None
    with pytest.raises(UsageError, match="min_face_px is inf; expected a number of at least 1"):
        Recognizer(min_face_px=float("inf"))


def test_numbers_of_numpy_are_options(astronaut_path):
    plain = Recognizer(threads=2, min_face_px=30.0, views=2, model="tiny")
    numpy = Recognizer(threads=np.int64(2), min_face_px=np.float32(30), views=np.int32(2), model="tiny")
    assert numpy.recognize(astronaut_path) == plain.recognize(astronaut_path)
    assert vars(mien.RecognizerOptions(threads=np.int64(2))) == vars(mien.RecognizerOptions(threads=2))


def test_a_model_without_the_classes_is_told():
    three = FakeClassifier(make_card(heads=(Head("out", ("happy", "sad", "neutral")),)))
    with pytest.raises(ModelError, match=r"angry.*fake.*happy, sad, neutral"):
        fake_recognizer(model=three, labels="fer7")
    assert fake_recognizer(model=three).scheme.labels == ("happy", "sad", "neutral")
    own = FakeClassifier(make_card(heads=(Head("out", ("awake", "asleep")),)))
    (face,) = fake_recognizer(model=own).recognize(paint_face(1)).faces
    assert face.expression == "asleep"


def test_a_model_without_a_framing_reads_cropped_faces_alone():
    model = FakeClassifier(make_card(input=dataclasses.replace(make_card().input, framing_xy=())))
    with pytest.raises(ModelError, match=r"'fake' only reads cropped faces: .*; give detector 'none'"):
        fake_recognizer(model=model)
    (face,) = fake_recognizer(model=model, detector="none").recognize(np.full((40, 40), 35, np.uint8)).faces
    assert face.expression == "happy"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "giant"}, ModelError),
        ({"model": "missing.onnx"}, ModelError),
        ({"detector": "haar"}, (ModelError, UsageError)),
        ({"labels": "fer9"}, UsageError),
        ({"threads": 0}, UsageError),
        ({"min_face_px": -3}, UsageError),
        ({"max_not_face": 2}, UsageError),
        ({"min_score": 0}, UsageError),
    ],
)
def test_wrong_options_are_told_when_it_is_built(options, error):
    with pytest.raises(error, match="expected|no such file"):
        Recognizer(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "skip"}, r"unknown detector 'skip'; expected one of mien, yunet.* recognition takes 'none'"),
        ({"detector": object()}, r"detector is <object.*expected 'mien', .*'none'.*mien\.detect\.Detector"),
        ({"detector": FakeDetector}, r"detector is <class.*expected .*wants_gray and detect"),
        ({"model": object()}, r"model is <object.*expected a name.*mien\.classify\.Classifier"),
        ({"model": 3}, "model is 3; expected"),
        ({"model": list_models()}, "model is an object of type dict; expected"),  # and not two thousand letters
        ({"labels": 3}, "labels is 3; expected the name of a scheme"),
        ({"labels": [3, 4]}, r"labels is \[3, 4\]; expected"),
        ({"labels": {"happy", "sad"}}, "labels is {.*; expected .* or a list of them"),  # columns in any order
        ({"labels": {"up": ("happy",), "down": ("sad",)}}, r"labels is {'up': .*or a mien\.LabelScheme"),
        ({"threads": 100_000}, "threads is 100000; expected a number of at least 1 and at most 1024"),
    ],
)
def test_what_no_stage_can_be_is_told_at_once(options, message):
    with pytest.raises((UsageError, ModelError), match=message):
        Recognizer(**options)


def test_a_stream_is_lazy_and_gives_frames():
    recognizer = fake_recognizer(threads=2)
    taken = []

    def photos():
        for number in range(1000):
            taken.append(number)
            yield Frame("clip", paint_face(number % 7), index=number, time_s=number / 10)

    stream = recognizer.stream_frames(photos())
    frame, reading = next(stream)
    assert len(taken) < 60
    assert (reading.frame, reading.time_s, frame.index) == (0, 0.0, 0)
    stream.close()
    assert all(frame is None for frame, _ in recognizer.stream_frames([paint_face(1)], keep_frames=False))


@pytest.mark.parametrize("options", [{}, {"frame_rate": 10, "smooth_s": 0}])
@pytest.mark.parametrize("kind", [np.ndarray, memoryview])
def test_a_generator_may_fill_one_array_again_and_again(kind, options):
    """As a program does that reads a camera into it: what was still to be read was overwritten, without a word."""
    picture = paint_face(0)
    encoded = np.frombuffer(cv2.imencode(".bmp", picture)[1], np.uint8).copy()

    def photos():
        for said in range(7):
            if kind is np.ndarray:
                picture[:] = paint_face(said)
                yield picture
            else:
                encoded[:] = cv2.imencode(".bmp", paint_face(said))[1].ravel()
                yield memoryview(encoded)

    read = [expressions(reading) for reading in fake_recognizer(threads=2).stream(photos(), **options)]
    assert read == [[label] for label in FER7]


@pytest.mark.parametrize("options", [{}, {"frame_rate": 10, "smooth_s": 0}])
def test_the_frames_of_an_animation_are_read_each_as_it_comes(options):
    """Pillow gives one object again and again; it was read after it had gone on, by several threads at once."""
    frames = [Image.fromarray(paint_face(said)) for said in range(7)]
    stream = io.BytesIO()
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    readings = fake_recognizer(threads=2).stream(ImageSequence.Iterator(Image.open(stream)), **options)
    read = [(*expressions(reading), reading.note) for reading in readings]
    assert read == [(FER7[0], "TIFF of 7 pages: read the first"), *((label, None) for label in FER7[1:])]


@pytest.mark.parametrize(
    "thing", [0, b"bytes", io.BytesIO(b"lines\n"), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8), None]
)
def test_a_stream_of_what_is_no_stream_is_told_at_once(thing):
    with pytest.raises(UsageError, match="expected a video's path, 'camera:0'.* goes to recognize"):
        fake_recognizer().stream(thing)
    assert len(list(fake_recognizer().stream(np.zeros((3, 8, 8, 3), np.uint8)))) == 3


def test_a_column_of_names_is_a_stream(astronaut_path):
    """Such as ``frame["path"]``; it was taken for an image of one dimension."""
    pd = pytest.importorskip("pandas")
    names = [str(astronaut_path)] * 2
    for column in (pd.Series(names), pd.DataFrame({"path": names})["path"], np.array(names)):
        assert [reading.source for reading in fake_recognizer().stream(column)] == names


def test_threads_end_when_the_consumer_stops():
    before = threading.active_count()
    stream = fake_recognizer(threads=4).stream(paint_face(1) for _ in range(500))
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (lambda batch: {"logits": np.zeros((len(batch), 7))}, "none for the output 'fer7'"),
        (lambda batch: {"fer7": np.zeros((len(batch), 8))}, r"those of shape \(2, 8\)"),
        (lambda batch: {"fer7": np.zeros((1, 7))}, r"those of shape \(1, 7\)"),  # counted for all faces
        (lambda batch: {"fer7": np.full((len(batch), 7), np.nan)}, "NaN or infinity"),
        (lambda batch: np.zeros((len(batch), 7)), "none"),
    ],
)
def test_an_answer_that_is_not_that_of_its_card_is_told(answer, came):
    model = FakeClassifier(make_card(heads=(Head("fer7", FER7),)))
    model.logits = answer
    with pytest.raises(ModelError, match=rf"gives {came}.*expected finite logits of shape \(2, 7\): one row a face"):
        fake_recognizer(model=model).recognize([paint_face(1), paint_face(2)])


@pytest.mark.parametrize("options", [{}, {"threads": 3}, {"frame_rate": 10}])
def test_what_came_before_an_iterable_failed_is_read(options):
    """Up to a batch of readings was lost with the error of the caller's own generator."""

    def images():
        for _ in range(5):
            yield paint_face(3)
        raise ConnectionError("the store is gone")

    read = []
    with pytest.raises(ConnectionError, match="the store is gone"):
        read.extend(fake_recognizer().stream(images(), **options))
    assert len(read) == 5


def test_the_real_thing_reads_a_smile(astronaut_path, astronaut_bgr):
    reading = mien.recognize(astronaut_path)
    (face,) = reading.faces
    assert face.expression == "happy"
    assert face.confidence > 0.8
    assert face.not_face < 0.1
    left, top, right, bottom = face.box_xyxy
    assert 150 < left < 200 < 250 < right < 320
    assert 40 < top < 110 < 150 < bottom < 230
    assert mien.recognize(astronaut_bgr).faces[0].expression == "happy"
    tilted = cv2.warpAffine(
        astronaut_bgr, cv2.getRotationMatrix2D((224, 120), 30, 1.0), (512, 512), borderMode=cv2.BORDER_REFLECT
    )
    (turned,) = mien.recognize(tilted).faces
    assert abs(turned.probabilities["happy"] - face.probabilities["happy"]) < 0.15


def test_real_lists_and_single_images_agree(astronaut_bgr):
    photos = [astronaut_bgr, np.zeros((64, 64, 3), np.uint8), cv2.flip(astronaut_bgr, 1), astronaut_bgr[:, :, 0].copy()]
    recognizer = Recognizer(threads=2)
    singles = [recognizer.recognize(photo) for photo in photos]
    for one, listed in zip(singles, recognizer.recognize(photos), strict=True):
        assert len(one.faces) == len(listed.faces)
        for a, b in zip(one.faces, listed.faces, strict=True):
            assert a.expression == b.expression
            # int8 kernels may round differently in a batch.
            assert a.probabilities == pytest.approx(b.probabilities, abs=0.02)


def test_it_is_safe_to_use_from_several_threads(astronaut_bgr):
    recognizer = Recognizer(threads=1)
    expected = recognizer.recognize(astronaut_bgr)
    results = []
    workers = [threading.Thread(target=lambda: results.append(recognizer.recognize(astronaut_bgr))) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 6


@pytest.mark.parametrize("read", ["recognizer.recognize(image)", "list(recognizer.stream([image], frame_rate=10))"])
def test_python_does_not_end_within_a_reading(read):
    """A daemon thread that was within ONNX Runtime by then aborted the process every second time."""
    program = (
        "import sys, threading, time\n"
        "from mien.recognizer import Recognizer\n"
        "from tests.fakes import *\n"
        "class SlowDetector(FakeDetector):\n"
        "    def detect(self, image):\n"
        "        began.set(), time.sleep(0.5), print('within', flush=True)\n"
        "        return super().detect(image)\n"
        "recognizer = Recognizer(model=FakeClassifier(), detector=SlowDetector(), upright=True, threads=1)\n"
        "began, image = threading.Event(), paint_face(3)\n"
        "def work():\n"
        "    while True:\n"
        f"        {read}\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "began.wait(30)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "within\n", "")


def test_the_module_function_takes_a_detector_that_has_no_hash():
    @dataclasses.dataclass
    class Counting(FakeDetector):
        calls: int = 0

        def __post_init__(self):
            super().__init__()

    detector = Counting()
    for _ in range(2):
        assert len(mien.recognize(paint_face(3), detector=detector, max_not_face=1.0).faces) == 1
    assert detector.calls == 2


def test_the_module_function_notices_that_a_model_file_was_replaced(astronaut_bgr, tmp_path, monkeypatch):
    def put(name, folder):
        model = find_model(name)
        folder.mkdir(exist_ok=True)
        card = {**model.card.to_dict(), "file": "own.onnx"}
        (folder / "own.onnx").write_bytes(model.weights.read_bytes())
        (folder / "own.json").write_text(json.dumps(card))

    def confidence():
        return mien.recognize(astronaut_bgr, model="own.onnx").faces[0].confidence

    right = {name: mien.recognize(astronaut_bgr, model=name).faces[0].confidence for name in ("tiny", "small")}
    assert right["tiny"] != right["small"]
    put("tiny", tmp_path / "here")
    put("small", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    assert confidence() == right["tiny"]
    monkeypatch.chdir(tmp_path / "there")  # another file by the same words
    assert confidence() == right["small"]
    put("tiny", tmp_path / "there")
    assert confidence() == right["tiny"]


def test_the_module_function_keeps_its_recognizer(astronaut_bgr):
    mien.recognize(astronaut_bgr, labels=["happy", "sad"])
    from mien.kept_recognizer import _kept_recognizer

    before = _kept_recognizer.cache_info().hits
    reading = mien.recognize(astronaut_bgr, labels=["happy", "sad"])
    assert _kept_recognizer.cache_info().hits == before + 1
    assert list(reading.faces[0].probabilities) == ["happy", "sad"]
    with pytest.raises(UsageError, match="unknown option 'detektor'.*did you mean 'detector'"):
        mien.recognize(astronaut_bgr, detektor="yunet")


def test_views_are_averaged_after_calibration():
    one = Recognizer(threads=1).recognize("examples/astronaut.jpg")
    photo = load_image("examples/astronaut.jpg").image
    classifier = OnnxClassifier(find_model("base", "expression"))
    head = classifier.card.heads[0]
    prepared = Recognizer(threads=1).prepare(photo)
    for views in (2, 10):
        face = Recognizer(threads=1, views=views).recognize("examples/astronaut.jpg").faces[0]
        each = [
            calibrated(classifier.logits(view)[head.output], head, prepared.sides_px)[0]
            for view in take_views(prepared.batch, views)
        ]
        assert list(face.probabilities.values()) == pytest.approx(np.mean(each, axis=0).tolist(), abs=1e-6)
        assert face.probabilities != one.faces[0].probabilities
    with pytest.raises(UsageError, match="views is 3; expected one of 1, 2, 10"):
        Recognizer(views=3)


def test_the_least_score_of_a_face_can_be_chosen():
    """Asked for more than the portrait's own score, the detector finds nobody; asked for less, as many or more."""
    usual = Recognizer(max_not_face=1.0)
    (face,) = usual.recognize("examples/astronaut.jpg").faces
    above = usual.replace(min_score=(face.score + 1) / 2)
    assert above.recognize("examples/astronaut.jpg").faces == []
    below = usual.replace(min_score=0.05).recognize("examples/astronaut.jpg").faces
    assert below[0].score == pytest.approx(face.score, abs=0.02)
    assert len(below) > 1
    assert [found.score for found in below] == sorted((found.score for found in below), reverse=True)
    assert below[-1].score >= 0.05


@pytest.fixture
def opened(monkeypatch):
    """The names of the models that are opened."""
    names = []

    def opening(model, *arguments):
        names.append(model.card.name)
        time.sleep(0.02)
        return open_session(model, *arguments)

    for user in ("mien.classify.onnx", "mien.detect.mien"):
        monkeypatch.setattr(f"{user}.open_session", opening)
    return names


def test_models_are_opened_once_whoever_asks_first(astronaut_bgr, opened):
    """Eight threads at the first photo opened eight sessions, each with weights of its own."""
    recognizer = Recognizer(threads=1)
    workers = [threading.Thread(target=recognizer.recognize, args=(astronaut_bgr,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(opened) == ["base", "mien"]
    for labels in ("valence3", "happy,sad"):
        recognizer.replace(labels=labels).recognize(astronaut_bgr)
    assert len(opened) == 2


def test_models_go_with_their_recognizer(astronaut_bgr):
    """Without waiting for the garbage collector, which knows nothing of the memory of a session."""
    recognizer = Recognizer(model="tiny", threads=1)
    recognizer.recognize(astronaut_bgr)
    models = [weakref.ref(recognizer._classifier(1)), weakref.ref(recognizer._detector(1))]
    gc.disable()
    try:
        del recognizer
        assert [model() for model in models] == [None, None]
    finally:
        gc.enable()


def test_a_changed_recognizer_shares_what_stays_the_same():
    first = Recognizer(threads=1)
    second = first.replace(labels="valence3")  # before either has read anything
    faces = first.recognize("examples/astronaut.jpg").faces
    assert second._classifier(1) is first._classifier(1)
    assert second._detector(1) is first._detector(1)
    third = first.replace(model="small", min_face_px=400.0)
    assert third._classifier(1) is not first._classifier(1)
    assert third.recognize("examples/astronaut.jpg").faces == []
    again = pickle.loads(pickle.dumps(second))
    assert expressions(again.recognize("examples/astronaut.jpg")) == ["positive"]
    assert len(faces) == 1
