"""What a detector of one's own gives is looked at where it is made."""

import numpy as np
import pytest

from mien.detect import Detections

GOOD = {
    "box_xyxy": np.float32([[10, 10, 50, 60]]),
    "score": np.float32([0.9]),
    "landmarks_xy": np.float32([[[20, 30], [40, 30], [30, 40], [22, 50], [38, 50]]]),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box_xyxy": [[10, 10, 50, 60]]}, "box_xyxy is list; expected float32"),
        ({"score": np.float64([0.9])}, r"score is float64\(1,\); expected float32\(1,\)"),
        ({"landmarks_xy": np.zeros((1, 10), np.float32)}, r"landmarks_xy is float32\(1, 10\); expected .*\(1, 5, 2\)"),
        ({"landmarks_xy": np.full((1, 5, 2), np.nan, np.float32)}, "landmarks_xy holds NaN or infinity"),
        ({"box_xyxy": np.float32([[0, 0, np.inf, 1]])}, "box_xyxy holds NaN or infinity"),
    ],
)
def test_what_is_no_find_is_refused(changes, message):
    assert len(Detections(**GOOD)) == 1
    with pytest.raises(ValueError, match=message):
        Detections(**{**GOOD, **changes})
