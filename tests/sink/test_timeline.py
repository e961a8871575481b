"""The page of a video, and the seconds behind it."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from mien.errors import OutputError, UsageError
from mien.labels import FER7, find_scheme
from mien.sink.history import MOST_BINS, MOST_PERSONS, History
from mien.sink.summary import SummarySink, clock
from mien.sink.timeline import TimelineSink
from mien.source import Frame
from tests.fakes import make_face, make_reading

SCHEME = find_scheme("fer7")
PICTURE = np.full((100, 120, 3), 128, np.uint8)


def readings(plan, rate=10, **changes):
    """`plan` gives for each frame the expression of each person: ``{track_id: label}``."""
    for number, persons in enumerate(plan):
        faces = [make_face(label, track_id=track_id) for track_id, label in persons.items()]
        yield make_reading(*faces, frame=number, time_s=number / rate, **{"source": "clip.mp4", **changes})


PLAN = [{1: "happy"}] * 20 + [{1: "sad", 2: "neutral"}] * 10 + [{2: "neutral"}] * 5 + [{}] * 5


def page_of(path, plan=PLAN, **changes):
    with TimelineSink(path, SCHEME) as sink:
        for reading in readings(plan, **changes):
            sink.write(reading, Frame(reading.source, PICTURE, reading.frame, reading.time_s))
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks that what opens also closes, and gathers what is loaded from elsewhere."""

    EMPTY = ("meta", "img", "line", "path", "i", "b")

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.scripts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    text = page_of(tmp_path / "page.html")
    page = Page(text)
    assert page.loaded == []
    assert "http" not in text.replace("http-equiv", "")
    assert "<!--" not in text
    assert "Person 1" in text
    assert "Person 2" in text
    assert text.count("<article") == 2
    assert "happy 2.0 s, sad 1.0 s" in text
    assert text.count("data:image/jpeg;base64,") >= 3


def test_the_plot_stacks_to_one_and_is_empty_where_nobody_is(tmp_path):
    page = Page(page_of(tmp_path / "page.html"))
    first = json.loads(page.scripts[0])
    assert all(97 <= sum(values) <= 103 for values in first.values())
    bin_s = 1 / 15
    assert max(int(place) for place in first) == int(2.9 / bin_s)
    assert FER7[int(np.argmax(first["0"]))] == "happy"


def test_names_cannot_break_out(tmp_path):
    text = page_of(tmp_path / "page.html", source="<script>alert('x')</script>&\".mp4")
    assert "<script>alert" not in text
    Page(text)


def test_labels_of_ones_own_are_allowed(tmp_path):
    from mien.labels import LabelScheme

    scheme = LabelScheme.of(["very <glad>", "été"])
    with TimelineSink(tmp_path / "page.html", scheme) as sink:
        face = make_face(probabilities={"very <glad>": 0.7, "été": 0.3}, track_id=1)
        sink.write(make_reading(face, time_s=0.0, frame=0))
        sink.write(make_reading(face, time_s=0.1, frame=1))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    Page(text)
    assert "<glad>" not in text
    assert not re.search(r"var\(--[^)]*[<> é]", text)


def test_a_video_without_a_face_has_a_page_too(tmp_path):
    assert "No face was seen" in page_of(tmp_path / "page.html", [{}] * 5)
    assert "No video was read" in page_of(tmp_path / "page.html", [])


def test_an_error_elsewhere_keeps_the_page(tmp_path):
    with pytest.raises(ZeroDivisionError), TimelineSink(tmp_path / "page.html", SCHEME) as sink:
        for reading in readings(PLAN):
            sink.write(reading)
        raise ZeroDivisionError
    assert "Person 1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"written as \.html"):
        TimelineSink(tmp_path / "page.pdf", SCHEME)
    with pytest.raises(UsageError, match="no folder"):
        TimelineSink(tmp_path / "nowhere" / "page.html", SCHEME)
    with pytest.raises(OutputError, match="cannot be written"), TimelineSink(tmp_path / "page.html", SCHEME):
        (tmp_path / "page.html").mkdir()


def history_of(plan, rate=10):
    history = History(FER7, with_pictures=False)
    for reading in readings(plan, rate):
        history.add(reading)
    history.finish()
    return history


def test_seconds_by_expression():
    persons = history_of(PLAN).persons
    assert persons[1].seconds == pytest.approx({"happy": 2.0, "sad": 1.0})
    assert persons[2].seconds == pytest.approx({"neutral": 1.5})
    assert (persons[2].first_s, persons[2].last_s) == pytest.approx((2.0, 3.4))


def test_seconds_do_not_depend_on_the_frame_rate():
    slow = history_of([{1: "happy"}] * 10, rate=0.2)
    quick = history_of([{1: "happy"}] * 3000, rate=60)
    assert slow.persons[1].seen_s == pytest.approx(50)
    assert quick.persons[1].seen_s == pytest.approx(50)


def test_memory_stays_flat_and_shares_are_kept():
    """An hour and a second in which a person is first happy and then sad."""
    history = History(FER7, with_pictures=False)
    for reading in readings([{1: "happy"}] * 9000 + [{1: "sad"}] * 9000, rate=5):
        history.add(reading)
    person = history.persons[1]
    assert person.sums.shape == (MOST_BINS, 7)
    assert person.counts.sum() == 18000
    assert history.bin_s * MOST_BINS >= 3600
    used = person.counts > 0
    assert used.sum() >= MOST_BINS // 2 - 1
    assert person.sums[used].sum(axis=1) == pytest.approx(person.counts[used], rel=1e-4)
    best = person.sums[used].argmax(axis=1)
    assert best[0] == FER7.index("happy")
    assert best[-1] == FER7.index("sad")
    assert np.count_nonzero(np.diff(best)) == 1


def test_of_very_many_persons_the_lasting_ones_are_kept():
    """One who stays, and thousands who pass by."""
    history = history_of([{1: "happy", n + 2: "neutral"} for n in range(3000)])
    assert len(history.persons) == MOST_PERSONS
    assert history.persons[1].seen_s == pytest.approx(300)
    assert history.forgotten == 3001 - MOST_PERSONS


def test_the_summary_has_a_row_a_person():
    console = Console(record=True, width=100, force_terminal=False)
    plan = [{1: "happy", **({7: "sad"} if n == 3 else {})} for n in range(100)]
    with SummarySink(console, SCHEME) as sink:
        for reading in readings(plan):
            sink.write(reading)
    text = console.export_text()
    assert "    1  0:00 to 0:09        10.0  happy 10.0" in text
    assert "and 1 seen for less than 0.5 s" in text


def test_a_video_of_one_frame_has_its_expression():
    console = Console(record=True, width=100, force_terminal=False)
    with SummarySink(console, SCHEME) as sink:
        sink.write(next(readings([{1: "happy"}])))
    assert console.export_text().splitlines()[-1] == "    1  0:00 to 0:00         0.0  happy 0.0"


def test_clock():
    assert [clock(t) for t in (0, 65.9, 7209)] == ["0:00", "1:05", "2:00:09"]
