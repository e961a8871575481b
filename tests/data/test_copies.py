"""Copies among pictures that are alike but not the same: what is found, and that nothing else is."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import copy_groups, find_copies, import_dataset
from mien.data.copies import COPY_KINDS, CopyPairs, copied_rows


def picture(seed):
    """Three sizes of detail over one common shape, as faces have."""
    rng = np.random.default_rng(seed)
    common = cv2.resize(np.random.default_rng(0).normal(0, 40, (4, 4)), (48, 48), interpolation=cv2.INTER_CUBIC)
    own = sum(cv2.resize(rng.normal(0, 30, (n, n)), (48, 48), interpolation=cv2.INTER_CUBIC) for n in (6, 12, 24))
    return np.clip(128 + common + own, 0, 255).astype(np.uint8)


def recompressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)


def zoomed(image):
    return cv2.resize(image[1:46, 2:47], (48, 48), interpolation=cv2.INTER_LINEAR)


def shifted(image):
    return cv2.warpAffine(image, np.float32([[1, 0, 2], [0, 1, 1]]), (48, 48), borderMode=cv2.BORDER_REFLECT)


def relit(image):
    return np.clip(image * 0.7 + 40, 0, 255).astype(np.uint8)


CHANGES = {
    "exact": lambda image: image.copy(),
    "recompressed": recompressed,
    "zoomed": zoomed,
    "shifted": shifted,
    "relit": relit,
    "mirrored": lambda image: recompressed(image[:, ::-1]),
}
KIND = {"exact": "exact", "mirrored": "mirror"}


def test_frames_of_a_film_are_one_group_without_all_their_pairs():
    """A thousand frames have half a million pairs; looked at one by one, these 1,200 took a minute."""
    rng = np.random.default_rng(0)
    films = [[np.clip(picture(seed) + rng.normal(0, 4, (48, 48)), 0, 255) for _ in range(600)] for seed in (1, 2)]
    images = np.concatenate(films).astype(np.uint8)
    pairs = find_copies(images)
    assert copy_groups(1200, pairs).tolist() == [0] * 600 + [600] * 600
    assert np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=1200).min() >= 20
    assert len(pairs) < 30_000


def test_a_high_threshold_still_looks_for_the_best_scale():
    images = [picture(seed) for seed in range(40)]
    zooms = [cv2.resize(image[2:46, 2:46], (48, 48), interpolation=cv2.INTER_CUBIC) for image in images]
    pairs = find_copies(np.stack([*images, *zooms]), threshold=0.97)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {(i, i + 40) for i in range(40)}


def test_every_kind_of_copy_is_found_and_nothing_else():
    images = [picture(seed) for seed in range(400)]
    expected = set()
    for number, (name, change) in enumerate(CHANGES.items()):
        for seed in range(number * 10, number * 10 + 10):
            expected.add((seed, len(images), KIND.get(name, "near")))
            images.append(change(images[seed]))
    pairs = find_copies(np.stack(images))
    found = {
        (a, b, COPY_KINDS[kind])
        for a, b, kind in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.kind.tolist(), strict=True)
    }
    assert found == expected


def test_copies_of_one_set_in_another_are_those_that_a_whole_search_finds():
    others = [picture(seed) for seed in range(400)]
    images = [change(others[seed]) for seed, change in enumerate(CHANGES.values())]
    images += [picture(900), zoomed(picture(900)), images[1], zoomed(zoomed(images[3]))]
    kind = copied_rows(np.stack(images), np.stack(others))
    names = [COPY_KINDS[value] if value >= 0 else "" for value in kind.tolist()]
    assert names == ["exact", "near", "near", "near", "near", "mirror", "", "", "near", "near"]
    pairs = find_copies(np.stack(others + images))
    groups = copy_groups(410, pairs)
    assert np.isin(groups[400:], groups[:400]).tolist() == [name != "" for name in names]
    assert copied_rows(np.stack(images)[:0], np.stack(others)).shape == (0,)


def test_the_result_does_not_depend_on_threads_and_small_sets_work():
    images = np.stack([picture(0), picture(1), recompressed(picture(0)), picture(2), picture(1)])
    one, two = find_copies(images, threads=1), find_copies(images, threads=2)
    assert [vars(one)[name].tolist() for name in vars(one)] == [vars(two)[name].tolist() for name in vars(two)]
    assert list(zip(one.first.tolist(), one.second.tolist(), strict=True)) == [(0, 2), (1, 4)]
    assert len(find_copies(images[:1])) == len(find_copies(images[:0])) == 0


def test_flat_images_are_copies_only_where_they_are_equal():
    images = np.stack([np.full((48, 48), value, np.uint8) for value in (0, 0, 1, 200)])
    pairs = find_copies(images)
    assert list(zip(pairs.first, pairs.second, pairs.kind, strict=True)) == [(0, 1, 0)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_the_connected_rows(edges):
    edges = sorted({(min(a, b), max(a, b)) for a, b in edges if a != b})
    pairs = CopyPairs(
        np.array([a for a, _ in edges], np.int64),
        np.array([b for _, b in edges], np.int64),
        np.zeros(len(edges), np.int8),
        np.ones(len(edges), np.float32),
    )
    groups = copy_groups(20, pairs)
    reached = {row: {row} for row in range(20)}
    for _ in range(20):
        for a, b in edges:
            joined = reached[a] | reached[b]
            for row in joined:
                reached[row] |= joined
    assert groups.tolist() == [min(reached[row]) for row in range(20)]


def test_the_280_copies_between_the_splits_of_fer2013(fer2013_dir, tmp_path):
    dataset, _ = import_dataset(fer2013_dir, tmp_path / "f.parquet")
    images = dataset.images()
    groups = copy_groups(len(images), find_copies(images, near=False))
    training = set(groups[dataset.split == "train"].tolist())
    assert sum(group in training for group in groups[dataset.split == "validation"].tolist()) == 280
