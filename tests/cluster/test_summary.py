"""The counts of a batch, as text and as a page."""

from mien.cluster.destination import Manifest
from mien.cluster.page import summary_page
from mien.cluster.rows import Tally
from mien.cluster.summary import Summary


def make_summary(**changes):
    manifest = Manifest(
        source="/photos/<b>&co",
        job={},
        models={"expression": {"name": "base", "sha256": "0"}, "detector": {"name": "mien"}},
        labels=["happy", "sad"],
        parts=4,
        photos=100,
        plan_sha256="0",
    )
    total = Tally(inputs=75, ok=50, no_face=20, unreadable=5, frames=70, faces=80, expressions={"happy": 60, "sad": 20})
    total.reasons = {"is not <an> image": 4, "crashed the reader": 1}
    total.examples = {"is not <an> image": "a/<i>.jpg", "crashed the reader": "b.jpg"}
    workers = {f"host:{n}": Tally(frames=35, seconds=7.0) for n in range(2)}
    return Summary("out", manifest, parts_done=3, total=total, workers=workers, **changes)


def test_the_text_says_what_matters():
    text = make_summary().to_text()
    assert "out: not finished: 3 of 4 parts" in text
    assert "75 inputs: 50 ok, 20 no face, 5 unreadable" in text
    assert "80 faces: 60 happy, 20 sad" in text
    assert "4 x is not <an> image (such as a/<i>.jpg)\n" in text
    assert "1 x crashed the reader (b.jpg)\n" in text
    assert "5.0 images a second a worker (2 workers)" in text


def test_the_page_escapes_what_others_wrote_and_loads_nothing():
    page = summary_page(make_summary())
    assert "<b>&co" not in page
    assert "<an>" not in page
    assert "<i>.jpg" not in page
    assert "/photos/&lt;b&gt;&amp;co" in page
    assert page.count('class="bars"') == 4
    assert not any(word in page for word in ("http", "src=", "@import", "url("))


def test_a_page_of_very_many_workers_stays_short():
    summary = make_summary()
    summary.workers = {f"host{n:04d}:1": Tally(frames=10, seconds=1.0) for n in range(2000)}
    page = summary_page(summary)
    assert "the first 24 of 2,000 workers" in page
    assert len(page) < 40_000
