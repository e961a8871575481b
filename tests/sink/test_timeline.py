"""The page of a video, and the seconds behind it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
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


def readings(plan, rate=10, times_s=None, **changes):
    """`plan` gives for each frame the expression of each person: ``{track_id: label}``."""
    for number, persons in enumerate(plan):
        faces = [make_face(label, track_id=track_id) for track_id, label in persons.items()]
        time_s = number / rate if times_s is None else times_s[number]
        yield make_reading(*faces, frame=number, time_s=time_s, **{"source": "clip.mp4", **changes})


PLAN = [{1: "happy"}] * 20 + [{1: "sad", 2: "neutral"}] * 10 + [{2: "neutral"}] * 5 + [{}] * 5


def page_of(path, plan=PLAN, **changes):
    with TimelineSink(path, SCHEME) as sink:
        for reading in readings(plan, **changes):
            sink.write(reading, Frame(reading.source, PICTURE, reading.frame, reading.time_s))
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks that what opens also closes, and gathers what is loaded from elsewhere."""

    EMPTY = ("meta", "img", "line", "path", "i", "b", "br")

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
    assert text.count('role="img" tabindex="0" aria-label="Expressions of person') == 2  # the keyboard reads them, too
    assert "happy 2.0 s, sad 1.0 s" in text.replace("\u00a0", " ")
    assert text.count("data:image/jpeg;base64,") >= 3


def test_a_flash_is_counted_and_not_shown(tmp_path):
    text = page_of(tmp_path / "page.html", [{1: "happy", **({7: "sad"} if n == 3 else {})} for n in range(100)])
    assert "10.0 s · 100 frames read · " in text
    assert " · 1 person · 1 more seen for a shorter time<" in text
    assert text.count("<article") == 1


def test_a_page_is_called_by_its_video_or_their_number(tmp_path):
    assert ": clip.mp4</title>" in page_of(tmp_path / "page.html")
    text = page_of(tmp_path / "page.html", source="rtsp://door.local/live")  # as other cameras are called, too
    assert ">rtsp://door.local/live</h2>" in text
    assert ": rtsp://door.local/live</title>" in text
    assert ">clip.mp4</h2>" in page_of(tmp_path / "page.html", source="videos/clip.mp4")
    with TimelineSink(tmp_path / "page.html", SCHEME) as sink:
        for reading in (*readings(PLAN), *readings(PLAN, source="other.mp4")):
            sink.write(reading)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ": 2 videos</title>" in text
    assert text.count('<section class="video">') == 2


def test_a_source_that_begins_anew_is_another_video(tmp_path):
    """A camera that was opened again: its times count from there, and were added to those before."""
    with TimelineSink(tmp_path / "page.html", SCHEME) as sink:
        for reading in (*readings([{1: "happy"}] * 20), *readings([{1: "sad"}] * 10)):
            sink.write(reading)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('<section class="video">') == 2
    assert re.findall(r'class="seconds">(.*?)</p>', text) == ["happy\u00a02.0\u00a0s", "sad\u00a01.0\u00a0s"]


def test_two_readings_of_one_video_at_once_are_no_end_of_videos(tmp_path):
    with TimelineSink(tmp_path / "page.html", SCHEME) as sink:
        for pair in zip(readings([{1: "happy"}] * 20), readings([{1: "happy"}] * 20), strict=True):
            for reading in pair:
                sink.write(reading)
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count('<section class="video">') == 1


def test_each_expression_that_the_seconds_name_has_its_picture(tmp_path):
    """Also of moments that lie close together, as neutral and happy at the start do."""
    plan = [{1: "neutral"}, {1: "happy"}, {1: "fear"}, *[{1: "happy"}] * 57]
    text = page_of(tmp_path / "page.html", plan)
    moments = re.findall(r"<figcaption>(\w+)<br>([\d.]+) s</figcaption>", text)
    assert moments == [("neutral", "0.0"), ("happy", "0.1"), ("fear", "0.2")]


def areas(text):
    """The stretches of time of each plot, in shares of its width, by label."""
    stretches = set()
    for path in re.findall(r'<path style="fill:var\(--x-happy\)" d="M(.*?)Z"/>', text):
        x = [float(point.split()[0]) / 1000 for point in path.split("L")]
        stretches.add((round(min(x), 2), round(max(x), 2)))
    return sorted(stretches)


def test_a_picture_shows_the_pixels_of_its_face():
    """Half a pixel aside, two were mixed into each: of stripes nothing was left."""
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, 1::2] = 255
    history = History(FER7, with_pictures=True)
    # With the margin that pictures have, 104 pixels: they are not scaled.
    face = make_face(box_xyxy=(100.0, 100.0, 164.0, 166.0), track_id=1)
    history.add(make_reading(face, frame=0, time_s=0.0), Frame("clip.mp4", stripes, 0, 0.0))
    picture = cv2.imdecode(np.frombuffer(history.persons[1].pictures["happy"].jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (104, 104)
    assert np.abs(picture.astype(int) - stripes[81:185, 80:184, 0]).max() < 60


def test_a_reading_holds_until_the_next_frame_that_was_read(tmp_path):
    """Two frames a second: nothing is known of what is between them, and nobody is away."""
    path = tmp_path / "page.html"
    assert areas(page_of(path, [{1: "happy"}] * 20, rate=2)) == [(0, 1)]
    assert areas(page_of(path, [{1: "happy"}] * 20, rate=0.5)) == [(0, 1)]
    plan = [{1: "happy"}] * 5 + [{}] + [{1: "happy"}] * 14
    assert areas(page_of(path, plan, rate=2)) == [(0, 0.25), (0.3, 1)]
    values = json.loads(Page(path.read_text(encoding="utf-8")).scripts[0])
    bin_s = 1 / 15
    assert [place for place in range(150) if str(place) not in values] == list(range(round(2.5 / bin_s), 45))


def test_the_plot_stacks_to_one_and_is_empty_where_nobody_is(tmp_path):
    page = Page(page_of(tmp_path / "page.html"))
    first = json.loads(page.scripts[0])
    assert all(97 <= sum(values) <= 103 for values in first.values())
    bin_s = 1 / 15
    assert max(int(place) for place in first) == round(3.0 / bin_s) - 1
    assert FER7[int(np.argmax(first["0"]))] == "happy"


def test_the_areas_lie_on_each_other_from_bottom_to_top(tmp_path):
    """In percent from above; each outline goes to the right along its upper edge, and back along its lower one."""
    text = page_of(tmp_path / "page.html", [{1: "happy"}] * 10 + [{1: "sad"}] * 10)
    below = 100.0
    outlines = re.findall(r'<path style="fill:var\(--x-(\w+)\)" d="M(.*?)Z"/>', text)
    assert [label for label, _ in outlines] == list(FER7)
    for _, outline in outlines:
        points = np.array([point.split() for point in outline.split("L")], float)
        there, back = np.split(points, 2)
        np.testing.assert_array_equal(there[:, 0], back[::-1, 0])
        np.testing.assert_allclose(back[::-1, 1], below)
        below = there[:, 1]
    np.testing.assert_allclose(below, 0)


def test_the_page_of_a_part_has_its_clock(tmp_path):
    plan = [{1: "happy"}] * 20 + [{1: "sad"}] * 10
    times_s = [3605.5 + number / 10 for number in range(30)]
    text = page_of(tmp_path / "page.html", plan, times_s=times_s)
    assert "3.5 s · 30 frames read" in text
    assert 'data-start="3605" data-span="3.500"' in text
    axis = re.search(r'<div class="axis">(.*?)</div>', text)[1]
    assert re.findall(r"left:([0-9.]+)%\">([^<]+)<", axis)[:2] == [("0.000", "1:00:05"), ("28.571", "1:00:06")]
    areas = [float(x) for x in re.findall(r'd="M([0-9.]+) ', text)]
    assert min(areas) == pytest.approx(1000 * 0.5 / 3.5, abs=12)


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


def test_readings_of_another_scheme_are_refused(tmp_path):
    """A KeyError did not say why."""
    page = TimelineSink(tmp_path / "page.html", find_scheme("valence3"))
    with pytest.raises(UsageError, match=r"labels angry, .*; this output is for positive, neutral, negative"):
        page.write(make_reading(make_face(track_id=1), frame=0, time_s=0.0))


def test_a_video_without_a_face_has_a_page_too(tmp_path):
    assert "No face was seen" in page_of(tmp_path / "page.html", [{}] * 5)


def test_an_older_page_stays_where_no_video_was_read(tmp_path):
    (tmp_path / "page.html").write_text("of yesterday", encoding="utf-8")
    assert page_of(tmp_path / "page.html", []) == "of yesterday"


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
    with pytest.raises(UsageError, match="File name too long"):
        TimelineSink(tmp_path / f"{300 * 'a'}.html", SCHEME)
    (tmp_path / "page.html").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        TimelineSink(tmp_path / "page.html", SCHEME)
    (tmp_path / "page.html").rmdir()
    with pytest.raises(OutputError, match="cannot be written"), TimelineSink(tmp_path / "page.html", SCHEME) as sink:
        for reading in readings(PLAN):
            sink.write(reading)
        (tmp_path / "page.html").mkdir()  # only now


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write into")
def test_where_nothing_can_be_written_is_told_before_anything_is_read():
    with pytest.raises(UsageError, match="cannot be written"):
        TimelineSink("/proc/page.html", SCHEME)


def history_of(plan, rate=10, until_s=None, **changes):
    """`until_s` gives for each frame how long it stands, as the frames of files do."""
    history = History(FER7, with_pictures=False)
    for number, reading in enumerate(readings(plan, rate, **changes)):
        known = None if until_s is None else until_s[number]
        history.add(reading, Frame("clip.mp4", PICTURE, number, reading.time_s, until_s=known))
    history.finish()
    return history


def test_seconds_by_expression():
    persons = history_of(PLAN).persons
    assert persons[1].seconds == pytest.approx({"happy": 2.0, "sad": 1.0})
    assert persons[2].seconds == pytest.approx({"neutral": 1.5})
    assert (persons[2].first_s, persons[2].last_s) == pytest.approx((2.0, 3.5))


def test_nobody_is_seen_for_longer_than_the_video():
    """One frame a second of 15.5 s, then one of a whole minute, and a variable rate."""
    history = history_of([{1: "happy"}] * 16, rate=1, until_s=[*range(1, 16), 15.5])
    assert (history.persons[1].seen_s, history.persons[1].last_s, history.end_s) == pytest.approx((15.5, 15.5, 15.5))
    assert history_of([{1: "happy"}], until_s=[15.5]).persons[1].seen_s == pytest.approx(15.5)
    times_s = [0, 0.033, 0.066, 0.5, 1.5, 1.6, 3.0]
    plan = [{1: "happy"}] * 4 + [{1: "sad"}] * 3
    history = history_of(plan, times_s=times_s, until_s=[t + 0.43 for t in times_s[:-1]] + [3.03])
    assert history.persons[1].seconds == pytest.approx({"happy": 1.5, "sad": 1.53})
    assert history.persons[1].held_s.sum() == pytest.approx(3.03)


def test_a_stream_that_stalls_is_nobodys_time():
    history = history_of([{1: "happy"}] * 4, times_s=[0, 0.1, 60.1, 60.2])
    assert history.persons[1].seen_s == pytest.approx(0.1 + 1.0 + 2 * 0.1)
    slow = history_of([{1: "happy"}] * 4, times_s=[0, 5, 10, 15])
    assert slow.persons[1].seen_s == pytest.approx(20)


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
    history.finish()
    person = history.persons[1]
    assert person.sums.shape == (MOST_BINS, 7)
    assert person.held_s.sum() == pytest.approx(3600)
    assert history.bin_s * MOST_BINS >= 3600
    used = person.held_s > 1e-6
    assert used.sum() >= MOST_BINS // 2 - 1
    assert person.sums[used].sum(axis=1) == pytest.approx(person.held_s[used], rel=1e-4)
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


def summary_of(plan, width=100, **changes):
    """The lines on the terminal."""
    console = Console(record=True, width=width, force_terminal=False)
    with SummarySink(console, SCHEME) as sink:
        for reading in readings(plan, **changes):
            sink.write(reading)
    return console.export_text().splitlines()


def test_the_summary_has_a_row_a_person():
    _, row, flash = summary_of([{1: "happy", **({7: "sad"} if n == 3 else {})} for n in range(100)])
    assert row == "    1  0.0 to 10.0 s       10.0  happy 10.0"
    assert flash == "and 1 seen for less than 0.5 s"
    _, *rows, more = summary_of([dict.fromkeys(range(1, 43), "happy")] * 20)
    assert [int(row.split()[0]) for row in rows] == list(range(1, 31))
    assert more == "and 12 more"


def test_a_summary_of_nobody_says_so():
    assert summary_of([{}] * 20) == ["no face (if the picture lies on its side: --rotate 90, or 270)"]
    assert summary_of([{1: "happy"}, *[{}] * 19]) == ["no face for longer than a moment"]


def test_a_video_of_one_frame_has_its_expression():
    assert summary_of([{1: "happy"}])[-1] == "    1  0.0 to 0.0 s         0.0  happy 0.0"


@pytest.mark.parametrize(
    ("width", "count"), [(40, 7), (80, 2), (200, 1), *((width, None) for width in range(70, 130, 3))]
)
def test_no_expression_is_cut_off_at_the_end_of_the_line(width, count):
    _, *rows = summary_of([{1: label} for number, label in enumerate(FER7) for _ in range(16 - number)], width)
    assert " ".join(rows).split()[6:] == [
        word for n, label in enumerate(FER7) for word in (label, f"{1.6 - n / 10:.1f}")
    ]
    assert count in (None, len(rows))
    assert width < 80 or max(map(len, rows)) <= width


def test_a_long_video_is_told_in_minutes():
    assert summary_of([{}] * 62 + [{1: "happy"}] * 10, rate=1)[1] == "    1  1:02 to 1:12        10.0  happy 10.0"


def test_the_page_rounds_lengths_and_times_alike(tmp_path):
    text = page_of(tmp_path / "page.html", [{1: "happy"}] * 796)
    assert "1:20 min" in text
    assert "0:00 to 1:20, seen for 79.6" in text


def test_clock():
    assert [clock(t) for t in (0, 65.9, 7209)] == ["0:00", "1:05", "2:00:09"]
