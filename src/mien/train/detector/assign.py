"""Which cells answer for which face: by cost, a number of cells that follows from how well they fit.

After SimOTA (Ge et al. 2021, YOLOX, arXiv:2107.08430), for a whole batch at once. Faces are padded to the largest
number in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mien.detect.mien import STRIDES_PX

__all__ = ["Assignment", "Cells", "assign", "decode_boxes", "intersection_and_union", "make_cells"]

# Cells are asked whose middle is within so many strides of the middle of the face.
_RADIUS_STRIDES = 1.6
_IOU_WEIGHT = 3.0
_FAR = 1e6
# Images whose numbers of faces fall into the same step of this are worked on together.
_ALIKE = 8


@dataclass(frozen=True)
class Cells:
    """The cells of an input: `place` (A, 2), their corners in pixels; `stride` (A,)."""

    place: Tensor
    stride: Tensor


@dataclass(frozen=True)
class Assignment:
    """What each cell answers for.

    Attributes
    ----------
    face : int64 (B, A)
        Index of its face in the padded list, -1 for none.
    overlap : float (B, A)
        IoU of its box with that face's, 0 for none.
    """

    face: Tensor
    overlap: Tensor


def make_cells(height_px: int, width_px: int, device: torch.device) -> Cells:
    """The cells of an input of this size, in the order of the network's output."""
    places, strides = [], []
    for stride in STRIDES_PX:
        row, column = torch.meshgrid(
            torch.arange(height_px // stride, device=device),
            torch.arange(width_px // stride, device=device),
            indexing="ij",
        )
        places.append(torch.stack((column, row), dim=-1).reshape(-1, 2).float() * stride)
        strides.append(torch.full((places[-1].shape[0],), float(stride), device=device))
    return Cells(torch.cat(places), torch.cat(strides))


def decode_boxes(values: Tensor, cells: Cells) -> Tensor:
    """Boxes (B, A, 4) in pixels from the network's output (B, 15, A)."""
    centre = cells.place + values[:, 1:3].transpose(1, 2) * cells.stride[:, None]
    half = values[:, 3:5].transpose(1, 2).clamp(max=8.0).exp() * cells.stride[:, None] / 2
    return torch.cat((centre - half, centre + half), dim=2)


def intersection_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The areas that pairs of boxes share, and that they cover; boxes in the last dimension (..., 4), broadcast."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return inner, areas - inner


@torch.no_grad()
def assign(logit: Tensor, boxes: Tensor, cells: Cells, faces: Tensor, known: Tensor, most_cells: int) -> Assignment:
    """Assign cells to faces.

    Parameters
    ----------
    logit : float (B, A)
        Scores before the sigmoid.
    boxes : float (B, A, 4)
    cells : Cells
    faces : float (B, G, 4)
        Padded at the end, with anything, where not `known`.
    known : bool (B, G)
    most_cells : int
        At most so many cells for one face.
    """
    count = faces.shape[1]
    if not count:
        nobody = torch.full(logit.shape, -1, dtype=torch.int64, device=logit.device)
        return Assignment(nobody, torch.zeros_like(logit))
    if logit.device.type != "cpu":
        return _assign(logit, boxes, cells, faces, known, most_cells)
    # One crowd in a batch pads all of its images: a processor, for which that is work, takes like with like. A GPU
    # would wait to be told how many faces there are.
    face, overlap = torch.empty(logit.shape, dtype=torch.int64), torch.empty_like(logit)
    padded = (known.sum(dim=1) + _ALIKE - 1) // _ALIKE * _ALIKE
    for number in set(padded.tolist()):
        own = padded == number
        # An image without a face keeps one column, that of nobody.
        part = slice(0, max(number, 1))
        found = _assign(logit[own], boxes[own], cells, faces[own, part], known[own, part], most_cells)
        face[own], overlap[own] = found.face, found.overlap
    return Assignment(face, overlap)


def _assign(logit: Tensor, boxes: Tensor, cells: Cells, faces: Tensor, known: Tensor, most_cells: int) -> Assignment:
    """`assign` with every image padded to the same number of faces."""
    middle = cells.place + cells.stride[:, None] / 2
    centre = (faces[..., :2] + faces[..., 2:]) / 2
    away = (middle - centre[:, :, None]).abs().amax(dim=-1)
    half = (faces[..., 2:] - faces[..., :2]).amin(dim=-1) / 2
    # Around the middle of the face and inside it; a face that is smaller than a cell still has the cell it lies in.
    reach = torch.minimum(cells.stride * _RADIUS_STRIDES, torch.maximum(half[..., None], cells.stride * 0.5))
    asked = (away <= reach) & known[..., None]
    inner, union = intersection_and_union(boxes[:, None], faces[:, :, None])
    iou = inner / union.clamp(min=1e-9) * asked
    cost = functional.softplus(-logit)[:, None] - _IOU_WEIGHT * iou.clamp(min=1e-6).log()
    # A stride of another size of faces only answers where no better one does.
    size = (faces[..., 2:] - faces[..., :2]).clamp(min=1).prod(-1).sqrt()
    octaves = (size[..., None] / (4 * cells.stride)).log2().abs()
    cost = cost + (octaves - 1.5).clamp(min=0) + (~asked) * _FAR
    most = min(most_cells, cost.shape[-1])
    wanted = iou.topk(most, dim=-1).values.sum(-1).round().long().clamp(min=1)
    best = cost.topk(most, dim=-1, largest=False)
    chosen = (torch.arange(most, device=cost.device) < wanted[..., None]) & (best.values < _FAR / 2)
    taken = torch.zeros_like(asked).scatter(-1, best.indices, chosen)
    # A cell that several faces want goes to the one that it costs least.
    final = torch.where(taken, cost, torch.full_like(cost, 2 * _FAR))
    least, face = final.min(dim=1)
    face = torch.where(least < _FAR / 2, face, torch.full_like(face, -1))
    overlap = iou.gather(1, face.clamp(min=0)[:, None])[:, 0] * (face >= 0)
    return Assignment(face, overlap)
