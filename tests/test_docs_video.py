"""The snippets of docs/video.md run as they stand."""

import re
from pathlib import Path

from tests.clips import head_of, moving, write_clip

CAMERAS = ("VideoCapture(0)", "picamera2")
"""What tells the snippets that need a camera."""
PAGE = Path(__file__).parent.parent / "docs" / "video.md"


def test_the_snippets_run(tmp_path, monkeypatch, astronaut_bgr, capsys):
    monkeypatch.chdir(tmp_path)
    write_clip(
        tmp_path / "clip.mp4", moving(head_of(astronaut_bgr), 30, lambda share: (200 + 200 * share, 180)), sound="aac"
    )
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    here = [snippet for snippet in snippets if not any(need in snippet for need in CAMERAS)]
    assert (len(snippets), len(here)) == (6, 4)
    exec("\n".join(here).replace('("camera:0", "rtsp://camera.local/stream")', '2 * ["clip.mp4"]'), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "(640, 360) 30.0 1.0"
    assert [line.split()[:4:3] for line in printed[1:3]] == [["0", "happy"], ["15", "happy"]]
    assert printed[3:5] == ["<frames> 0 0.0 [1]", "<frames> 15 0.5 [1]"]
    assert "".join(printed[5:]).count("clip.mp4") == 60  # of two threads, whose lines may run into each other
    assert {"faces.csv", "seen.mp4", "page.html"} <= {path.name for path in tmp_path.iterdir()}
