"""Small datasets made in the test."""

from __future__ import annotations

import numpy as np

from mien.data import Dataset, DatasetInfo
from mien.data.ferplus import VOTE_LABELS
from mien.data.writer import DatasetWriter, Row
from mien.labels import FER7
from mien.opencv import encode_png


def make_dataset(path, images, label, split=None, votes=None, labels=FER7, **columns):
    """A dataset of gray images; `columns` are further columns of `Row`."""
    info = DatasetInfo(
        labels=labels,
        name="made",
        vote_labels=VOTE_LABELS if votes is not None else (),
        attribute_names=tuple({name for told in columns.get("attributes", ()) for name in told}),
        columns=(*columns, *(("votes",) if votes is not None else ())),
    )
    with DatasetWriter(path, info) as writer:
        for i, image in enumerate(images):
            extra = {name: values[i] for name, values in columns.items()}
            row = Row(
                encode_png(np.asarray(image, np.uint8)),
                int(label[i]),
                split[i] if split else "train",
                "made",
                i,
                **extra,
            )
            row.votes = None if votes is None else votes[i]
            writer.write(row)
    return Dataset(path)
