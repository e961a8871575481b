"""What the answers to a dataset's faces rest on, class by class."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mien.data.faces import open_faces
from mien.evaluate import evaluate_model, evaluation_page
from mien.evaluate.occlusion import EDGE_SHARE, class_maps
from mien.labels import LabelScheme
from tests.explain.models import looking_at
from tests.sets import smooth_faces, write_dataset

IMAGES = smooth_faces(21)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "made.parquet", IMAGES)


@pytest.mark.parametrize(("rows", "least", "most"), [(slice(0, 6), 0.75, 1), (slice(6, 12), 0, 0.4)])
def test_a_model_that_looks_at_the_border_is_found_out(
    dataset: Path, tmp_path: Path, rows: slice, least: float, most: float
) -> None:
    faces = open_faces(dataset, "validation")
    scheme = LabelScheme.of(("up", "down"))
    ups = np.arange(len(faces)) % 3 == 0
    said = np.where(ups[:, None], (0.6, 0.4), (0.3, 0.7))
    model = looking_at(tmp_path, slice(0, 48), rows)
    steps: list[tuple[int, int]] = []
    served = scheme, model.card.heads[0]
    values, mean_faces = class_maps(model, served, faces, said, 3, lambda *now: steps.append(now[:2]))
    assert steps == [(done, 6) for done in range(1, 7)]
    assert values["edge_share"] == EDGE_SHARE == 28 / 64
    assert {name: one["faces"] for name, one in values["classes"].items()} == {"up": 3, "down": 3}
    assert np.array(values["classes"]["up"]["drop"]).shape == (8, 8)
    assert mean_faces["down"].shape == (48, 48)
    assert all(least < one["edge"] < most for one in values["classes"].values())


def test_a_class_that_is_never_answered_has_no_map(dataset: Path, tmp_path: Path) -> None:
    model = looking_at(tmp_path, slice(0, 48), slice(0, 48))
    faces = open_faces(dataset, "validation")
    served = LabelScheme.of(("up", "down")), model.card.heads[0]
    values, mean_faces = class_maps(model, served, faces, np.tile((0.9, 0.1), (len(faces), 1)), 2)
    assert list(values["classes"]) == list(mean_faces) == ["up"]


def test_a_report_has_maps_where_they_are_asked_for(dataset: Path) -> None:
    plain = evaluate_model("tiny", dataset, threads=1, ten_views=False)
    assert plain.to_dict()["occlusion"] is None
    assert "rest on" not in evaluation_page(plain)
    found = evaluate_model("tiny", dataset, threads=1, ten_views=False, occlusion=1)
    values = json.loads(json.dumps(found.to_dict()))
    assert list(values)[-1] == "seconds"
    read_as = [
        name
        for name, column in zip(
            values["data"]["classes"], zip(*values["one_pass"]["confusion"], strict=True), strict=True
        )
        if sum(column)
    ]
    assert list(values["occlusion"]["classes"]) == read_as
    page = evaluation_page(found)
    assert page.count('alt="what the answer ') == len(read_as)
    assert "4. What the answers rest on" in page
    assert "5. Most confidently wrong" in page
    assert "Figure 4." in page
    # A mean of many faces is pale; it is shown from black to white.
    checks = np.indices((48, 48)).sum(axis=0) % 2
    pale, full = (
        dataclasses.replace(found, mean_faces=dict.fromkeys(found.mean_faces, (low + span * checks).astype(np.uint8)))
        for low, span in ((110, 20), (0, 255))
    )
    assert evaluation_page(pale) == evaluation_page(full)
