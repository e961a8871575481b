"""What a detector is told to be wrong about: scores, boxes, landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mien.train.detector.assign import Cells, assign, decode_boxes, intersection_and_union
from mien.train.options.detector import DetectorLoss

__all__ = ["Targets", "detector_losses"]

_LANDMARK_BETA = 0.04


@dataclass(frozen=True)
class Targets:
    """The faces of a batch, padded to the largest number in it.

    Attributes
    ----------
    images : float (B, 1, S, S)
        Normalised.
    box_xyxy : float (B, G, 4)
    known : bool (B, G)
        False where padded.
    landmarks_xy : float (B, G, 5, 2)
        0 where unknown.
    landmark_weight : float (B, G, 5)
        0 where unknown.
    ignore_xyxy : float (B, M, 4)
        Padded with empty boxes.
    """

    images: Tensor
    box_xyxy: Tensor
    known: Tensor
    landmarks_xy: Tensor
    landmark_weight: Tensor
    ignore_xyxy: Tensor


def detector_losses(
    values: Tensor,
    cells: Cells,
    targets: Targets,
    settings: DetectorLoss,
    mean: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> dict[str, Tensor]:
    """The loss and its parts.

    Parameters
    ----------
    values : float (B, 15, A)
        As `FaceDetectorNetwork` gives them.
    cells : Cells
        Of these images.
    targets : Targets
    settings : DetectorLoss
    mean : callable
        Averages a tensor over processes, so that a face counts the same in all of them.

    Returns
    -------
    dict of str to float tensor of shape ()
        ``"loss"``, and detached ``"score_loss"``, ``"box_loss"``, ``"landmark_loss"``.
    """
    # Exponentials and small differences of places: not in half precision.
    values = values.float()
    logit, boxes = values[:, 0], decode_boxes(values, cells)
    found = assign(logit.detach(), boxes.detach(), cells, targets.box_xyxy, targets.known, settings.most_cells)
    positive = found.face >= 0
    count = mean(positive.sum().float()).clamp(min=1)
    score = _score_loss(logit, found.overlap, positive, _ignored(cells, targets.ignore_xyxy), settings) / count
    weight = positive.float()
    if targets.box_xyxy.shape[1]:
        index = found.face.clamp(min=0)
        own = targets.box_xyxy.gather(1, index[..., None].expand(-1, -1, 4))
        # Cells without a face get a harmless box, so that nothing here waits to know how many there are.
        own = torch.where(positive[..., None], own, boxes.detach())
        box = ((1 - _generalised_iou(boxes, own)) * weight).sum() / count
        landmark = _landmark_loss(values, cells, targets, index, own, weight) / count
    else:
        box = landmark = logit.sum() * 0
    loss = score + settings.box_weight * box + settings.landmark_weight * landmark
    return {
        "loss": loss,
        "score_loss": score.detach(),
        "box_loss": box.detach(),
        "landmark_loss": landmark.detach(),
    }


def _score_loss(logit: Tensor, overlap: Tensor, positive: Tensor, ignored: Tensor, settings: DetectorLoss) -> Tensor:
    """Quality focal loss (Li et al. 2020, arXiv:2006.04388); places to ignore cost nothing."""
    quality = 1 - settings.quality + settings.quality * overlap.clamp(0, 1)
    target = torch.where(positive, quality, torch.zeros_like(quality))
    entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    focus = (logit.detach().sigmoid() - target).abs() ** settings.focus
    return (entropy * focus * (positive | ~ignored)).sum()


def _ignored(cells: Cells, ignore_xyxy: Tensor) -> Tensor:
    """Cells whose middle lies in a place to ignore, (B, A)."""
    if not ignore_xyxy.shape[1]:
        return torch.zeros(ignore_xyxy.shape[0], cells.stride.shape[0], dtype=torch.bool, device=cells.stride.device)
    middle = cells.place + cells.stride[:, None] / 2
    inside = (middle >= ignore_xyxy[:, :, None, :2]) & (middle <= ignore_xyxy[:, :, None, 2:])
    small = (ignore_xyxy[..., 2:] - ignore_xyxy[..., :2]).amax(-1)[..., None] < cells.stride
    # A place that is smaller than a cell counts for the cell that holds its middle.
    centre = ((ignore_xyxy[..., :2] + ignore_xyxy[..., 2:]) / 2)[:, :, None]
    holds = (centre >= cells.place) & (centre < cells.place + cells.stride[:, None])
    filled = (ignore_xyxy[..., 2:] > ignore_xyxy[..., :2]).all(-1)[..., None]
    return ((inside.all(-1) | (small & holds.all(-1))) & filled).any(1)


def _generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019, arXiv:1902.09630) of pairs of boxes (..., 4)."""
    inner, union = intersection_and_union(a, b)
    union = union.clamp(min=1e-6)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    return inner / union - (hull - union) / hull


def _landmark_loss(
    values: Tensor, cells: Cells, targets: Targets, index: Tensor, own: Tensor, weight: Tensor
) -> Tensor:
    batch, _, count = values.shape
    points = values[:, 5:].transpose(1, 2).reshape(batch, count, 5, 2)
    points = cells.place[:, None] + points * cells.stride[:, None, None]
    wanted = targets.landmarks_xy.gather(1, index[..., None, None].expand(-1, -1, 5, 2))
    trust = targets.landmark_weight.gather(1, index[..., None].expand(-1, -1, 5)) * weight[..., None]
    size = (own[..., 2:] - own[..., :2]).clamp(min=1).prod(-1).sqrt()[..., None, None]
    # Unknown points are 0 far away: they are set to what was said before the difference is taken.
    wanted = torch.where(trust[..., None] > 0, wanted, points.detach())
    error = functional.smooth_l1_loss(points / size, wanted / size, beta=_LANDMARK_BETA, reduction="none")
    return (error.sum(-1) * trust).sum() * 2
