"""How long a model takes for one face, measured fairly against others on a machine that may be busy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.classify import Classifier, whole_batch

__all__ = ["ms_a_face"]

_WARM_UP = 10


def ms_a_face(
    models: Sequence[Classifier], images: Sequence[npt.NDArray[np.uint8]], faces: int
) -> list[dict[str, float]]:
    """Time the networks on one face at a time, without decoding and preprocessing.

    The models take turns face by face, so that whatever else the machine does meets all of them alike.

    Parameters
    ----------
    models : sequence of Classifier
        Opened with one thread for figures a thread.
    images : sequence of uint8 arrays
        Faces, used in turn; at least one.
    faces : int
        How many to time each model with, above 0.

    Returns
    -------
    list of dict
        For each model ``median``, and the quartiles ``low`` and ``high``, in milliseconds.
    """
    batches = [[whole_batch([image], model.card.input) for image in images] for model in models]
    for model, inputs in zip(models, batches, strict=True):
        for _ in range(_WARM_UP):
            model.logits(inputs[0])
    times_ms = np.empty((faces, len(models)))
    for turn in range(faces):
        # The order changes from turn to turn, so that none always runs on the cache that the same other one left.
        for place in range(len(models)):
            number = (turn + place) % len(models)
            batch: Any = batches[number][turn % len(images)]
            start_s = time.perf_counter()
            models[number].logits(batch)
            times_ms[turn, number] = 1000 * (time.perf_counter() - start_s)
    quartiles = np.quantile(times_ms, (0.25, 0.5, 0.75), axis=0).T
    return [
        {"median": round(median, 4), "low": round(low, 4), "high": round(high, 4)}
        for low, median, high in quartiles.tolist()
    ]
