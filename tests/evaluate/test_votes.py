from __future__ import annotations

import numpy as np

from mien.data.ferplus import VOTE_LABELS
from mien.evaluate.votes import ferplus_plurality, ferplus_protocols
from mien.labels import EXPRESSIONS, FER7


def test_majority_leaves_out_what_has_none() -> None:
    votes = np.zeros((4, 10), np.uint8)
    votes[0, 1] = 9  # happy
    votes[1, [2, 3]] = 5  # a tie
    votes[2, 9] = 8  # not a face
    votes[3, 4] = 6  # angry
    logits = np.zeros((4, 10), np.float32)
    logits[:, 1], logits[:, 9] = 1, 5
    found = ferplus_plurality(logits, VOTE_LABELS, votes)
    assert (found["images"], found["accuracy"]) == (2, 0.5)


def test_both_protocols_count_their_own_rows() -> None:
    votes = np.zeros((5, 10), np.uint8)
    votes[0, 0] = 10  # neutral
    votes[1, [1, 2, 3]] = 4, 3, 3  # happy leads, but has no majority
    votes[2, [4, 5]] = 6, 4  # angry
    votes[3, [8, 0]] = 6, 4  # unknown
    # row 4 has no votes
    head = ("contempt", *FER7, "unknown", "not_face")
    logits = np.zeros((5, 10))
    logits[:, head.index("neutral")] = 1
    logits[1:3, head.index("angry")] = 2
    logits[:, head.index("unknown")] = 9  # is no answer
    found = ferplus_protocols(logits, head, votes)
    assert (found["majority"]["images"], found["majority"]["accuracy"]) == (2, 1.0)
    assert (found["plurality"]["images"], found["plurality"]["accuracy"]) == (3, 0.66667)
    assert "Barsoum" in found["majority"]["protocol"]
    # The order of the classes is by name.
    order = np.random.default_rng(0).permutation(10)
    assert ferplus_protocols(logits[:, order], tuple(head[i] for i in order), votes) == found


def test_without_votes_no_row_counts() -> None:
    nobody = ferplus_protocols(np.zeros((2, 8)), EXPRESSIONS, np.zeros((2, 10), np.uint8))
    assert nobody["majority"]["images"] == nobody["plurality"]["images"] == 0
