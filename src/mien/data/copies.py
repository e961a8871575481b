"""Copies of one picture within a dataset: exact, near (scaled, cropped, recompressed, retouched) and mirrored.

All pairs are compared. Each image becomes 63 low frequencies of its cosine transform, freed of the mean face and
brought to equal variance: without that all faces look alike, with it two pictures that are not the same hardly
correlate. One matrix product a block gives the correlation of all pairs; those above a low bar are then compared pixel
by pixel, shifted and scaled against each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mien.data.options import COPY_CORRELATION
from mien.parallel import usable_cores

__all__ = ["COPY_KINDS", "CopyPairs", "RowGroups", "copied_rows", "copy_groups", "find_copies"]

COPY_KINDS = ("exact", "near", "mirror")

FREQUENCIES = 8
CANDIDATE_CORRELATION = 0.65
_SIDE_PX = 48
_BLOCK = 2048  # rows of a matrix product
_PATCH_PX = 34  # the middle of one image, which is looked for in the other
_SCALES = (1.0, 0.94, 1.06, 0.88, 1.12)
_HOPELESS = 0.45  # below this correlation at the first scale, the others are not tried
_FLAT_STD = 2.0
_AT_ONCE = 4096  # pairs that are compared by their pixels at a time
_MANY = 20  # near copies of an image, after which pairs that are connected already are not compared
_MOST_BANDS = 20_000  # images whose band-passed pixels are kept

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CopyPairs:
    """Pairs of rows that show the same picture.

    Attributes
    ----------
    first, second : int64 arrays of shape (P,)
        Rows, ``first < second``. Of exact copies, each row is paired with the first of its kind only.
    kind : int8 array of shape (P,)
        Index into `COPY_KINDS`.
    correlation : float32 array of shape (P,)
        Of the band-passed pixels in the best position, in [-1, 1]; 1 for exact copies.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int8]
    correlation: Floats

    def __len__(self) -> int:
        return len(self.first)


class RowGroups:
    """Rows that pairs connect, each group called by its first row."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def join(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> None:
        """Connect rows, one by one."""
        for pair in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted(map(self._root, pair))
            self._parent[high] = low

    def of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The group of each row."""
        found = self._parent[rows]
        while (found != self._parent[found]).any():
            found = self._parent[found]
        return np.asarray(found)

    def _root(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row


def find_copies(
    images: Images,
    *,
    threshold: float = COPY_CORRELATION,
    near: bool = True,
    threads: int | None = None,
    of_last: int | None = None,
) -> CopyPairs:
    """Find all pairs of exact, near and mirrored copies.

    Of a picture with more than 20 near copies, such as a frame of a film, pairs that others connect are left out.

    Parameters
    ----------
    images : uint8 array of shape (N, 48, 48)
        As `Dataset.images` gives them.
    threshold : float
        The least correlation of near and mirrored copies.
    near : bool
        Also find near and mirrored copies; else exact ones only.
    threads : int, optional
        Number of threads; all cores by default. The result does not depend on it.
    of_last : int, optional
        Look for near and mirrored copies of the last so many images only, which is quicker: of an evaluation split
        after a training split, say. By default for those of all images.

    Returns
    -------
    CopyPairs
        Sorted by first and second row.
    """
    original = _originals(images)
    exact = np.flatnonzero(original != np.arange(len(images)))
    parts: list[tuple[npt.NDArray[Any], ...]] = [(original[exact], exact, np.zeros(len(exact)), np.ones(len(exact)))]
    # Flat images are alike without being copies; of exact copies one stands for all.
    kept = np.flatnonzero((original == np.arange(len(images))) & (images.std(axis=(1, 2)) > _FLAT_STD))
    if near and len(kept) > 1:
        from_row = 0 if of_last is None else int(np.searchsorted(kept, len(images) - of_last))
        with ThreadPoolExecutor(threads or usable_cores()) as pool:
            for pairs, correlations in _near(images[kept], from_row, threshold, pool):
                parts.append((kept[pairs[:, 0]], kept[pairs[:, 1]], 1 + pairs[:, 2], correlations))
    first, second, kind, correlation = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((kind, second, first))
    return CopyPairs(
        first[order].astype(np.int64),
        second[order].astype(np.int64),
        kind[order].astype(np.int8),
        correlation[order].astype(np.float32),
    )


def copy_groups(count: int, pairs: CopyPairs) -> npt.NDArray[np.int64]:
    """Number the groups of copies: rows with the same number are connected by pairs.

    Parameters
    ----------
    count : int
        Rows of the dataset.
    pairs : CopyPairs
        What `find_copies` found among these rows.

    Returns
    -------
    int64 array of shape (count,)
        For each row the first row of its group; its own number where it has no copy.
    """
    groups = RowGroups(count)
    groups.join(pairs.first, pairs.second)
    return groups.of(np.arange(count))


def copied_rows(images: Images, others: Images, *, threads: int | None = None) -> npt.NDArray[np.int8]:
    """Which images have a copy among others: evaluation faces that leaked into training, say.

    Rows count like those of a whole audit: a copy of an image that has a copy among the others has one too.

    Parameters
    ----------
    images : uint8 array of shape (N, 48, 48)
    others : uint8 array of shape (M, 48, 48)
    threads : int, optional
        All cores by default.

    Returns
    -------
    int8 array of shape (N,)
        Index into `COPY_KINDS` of the surest copy; -1 for none.
    """
    count = len(others)
    pairs = find_copies(np.concatenate([others, images]), threads=threads, of_last=len(images))
    none, exact = len(COPY_KINDS), COPY_KINDS.index("exact")
    kind = np.full(count + len(images), none, np.int8)
    across = (pairs.first < count) & (pairs.second >= count)
    np.minimum.at(kind, pairs.second[across], pairs.kind[across])
    # Only the first of exact copies was compared.
    same = (pairs.kind == exact) & (pairs.first >= count)
    kind[pairs.second[same]] = kind[pairs.first[same]]
    # A chain of copies from an image to one of `others` goes over images only, and all their pairs are known.
    groups = copy_groups(len(kind), pairs)
    reached = np.isin(groups, groups[:count])
    kind[reached & (kind == none)] = COPY_KINDS.index("near")
    kind[kind == none] = -1
    return kind[count:]


def _originals(images: Images) -> npt.NDArray[np.int64]:
    """For each image the first one with the same pixels."""
    first: dict[bytes, int] = {}
    return np.array(
        [
            first.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), i)
            for i, image in enumerate(images)
        ],
        np.int64,
    )


def _descriptors(images: Images) -> Floats:
    """The whitened low frequencies of the cosine transform, of unit length, shape (N, 63)."""
    side = np.arange(_SIDE_PX)
    basis = np.cos(np.pi * (side[None] + 0.5) * np.arange(FREQUENCIES)[:, None] / _SIDE_PX).astype(np.float32)
    parts = []
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK].astype(np.float32)
        parts.append((basis @ block @ basis.T).reshape(len(block), -1)[:, 1:])
    values = np.concatenate(parts)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-3)
    # The mean and spread of a handful of images mean nothing: there the plain transform is used.
    if len(values) >= 4 * values.shape[1]:
        values -= values.mean(axis=0)
        values /= np.maximum(values.std(axis=0), 1e-6)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return np.asarray(values, np.float32)


def _near(
    images: Images, from_row: int, threshold: float, pool: ThreadPoolExecutor
) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """Pairs (first, second, mirrored) of shape (P, 3) and their correlations, some at a time."""
    groups, partners = RowGroups(len(images)), np.zeros(len(images), np.int64)
    bands: dict[int, Floats] = {}
    for block in _candidates(images, from_row):
        for start in range(0, len(block), _AT_ONCE):
            pairs = block[start : start + _AT_ONCE]
            # Frames of a film are alike by the thousand, and the pairs of them by the million.
            known = np.asarray((partners[pairs[:, :2]] >= _MANY).all(axis=1), np.bool_)
            known[known] = groups.of(pairs[known, 0]) == groups.of(pairs[known, 1])
            pairs = pairs[~known]
            if not len(pairs):
                continue
            if len(bands) > _MOST_BANDS:
                bands.clear()
            for row in set(np.unique(pairs[:, :2]).tolist()) - bands.keys():
                bands[row] = _band(images[row])
            check = partial(_verify, images, bands, max(threshold, COPY_CORRELATION))
            found = np.concatenate(list(pool.map(check, np.array_split(pairs, -(-len(pairs) // 256)))))
            pairs, found = pairs[found >= threshold], found[found >= threshold]
            groups.join(pairs[:, 0], pairs[:, 1])
            np.add.at(partners, pairs[:, :2], 1)
            yield pairs, found


def _candidates(images: Images, from_row: int) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs (first, second, mirrored) whose descriptors correlate, of shape (P, 3); second is `from_row` or above."""
    values = _descriptors(images)
    # A mirrored picture changes the sign of the odd horizontal frequencies, and nothing else.
    sign = np.where(np.arange(1, FREQUENCIES * FREQUENCIES) % FREQUENCIES % 2, -1.0, 1.0).astype(np.float32)
    mirrored = values * sign
    # A block's product takes 256 MB at most, however many images there are.
    rows_at_once = max(64, min(_BLOCK, (1 << 26) // len(values)))
    for start in range(0, len(values), rows_at_once):
        from_column = max(start, from_row)
        for flip, source in ((0, values), (1, mirrored)):
            block = source[start : start + rows_at_once]
            rows, columns = np.nonzero(block @ values[from_column:].T > CANDIDATE_CORRELATION)
            rows, columns = rows + start, columns + from_column
            upper = columns > rows
            rows, columns = rows[upper], columns[upper]
            yield np.stack([rows, columns, np.full(len(rows), flip)], axis=1).astype(np.int64)


def _band(image: Images) -> Floats:
    """Without the finest and the coarsest detail: neither compression nor lighting counts."""
    pixels = image.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.8) - cv2.GaussianBlur(pixels, (0, 0), 4.0), np.float32)


def _verify(images: Images, bands: dict[int, Floats], enough: float, candidates: npt.NDArray[np.int64]) -> Floats:
    return np.array([_best_correlation(images, bands, enough, *row) for row in candidates.tolist()], np.float32)


def _best_correlation(
    images: Images, bands: dict[int, Floats], enough: float, first: int, second: int, mirrored: int
) -> float:
    """The correlation of the first image's middle with the second image, over shifts and scales until it is enough."""
    image = np.ascontiguousarray(images[first][:, ::-1]) if mirrored else images[first]
    best = -1.0
    for scale in _SCALES:
        if scale == 1.0:
            band = np.ascontiguousarray(bands[first][:, ::-1]) if mirrored else bands[first]
        else:
            band = _band(np.asarray(cv2.resize(image, None, fx=scale, fy=scale), np.uint8))
        edge = (len(band) - _PATCH_PX) // 2
        patch = band[edge : edge + _PATCH_PX, edge : edge + _PATCH_PX]
        best = max(best, float(cv2.matchTemplate(bands[second], patch, cv2.TM_CCOEFF_NORMED).max()))
        if best >= enough or (scale == 1.0 and best < _HOPELESS):
            break
    return min(best, 1.0)
