"""Targets and losses.

All that is known of a training face is one row of numbers a head, its *target mass*: the probability of each class,
smoothed, corrected by the annotators' votes, times the weight of the row and of its class. A row without votes has no
mass for the head that learns them. Masses are made once, before training; mixup and cutmix mix them as they mix
images; and one loss reads them all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mien.errors import UsageError

if TYPE_CHECKING:
    from mien.train.own import Loss

__all__ = [
    "chance_loss",
    "class_balanced_weights",
    "consistency_loss",
    "mass_loss",
    "one_hot",
    "registered_loss",
    "relabelled",
    "smoothed",
    "vote_agreement",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def one_hot(label: IntArray, classes: int) -> FloatArray:
    """1 for each row's class, float64 of shape (N, classes)."""
    return np.asarray(np.eye(classes)[label])


def smoothed(targets: FloatArray, smoothing: float) -> FloatArray:
    """Take a share of each row's probability and give it to all classes alike (Szegedy et al. 2016)."""
    spread = targets.sum(axis=1, keepdims=True) * (smoothing / targets.shape[1])
    return np.asarray(targets * (1.0 - smoothing) + spread)


def class_balanced_weights(label: IntArray, classes: int, beta: float) -> FloatArray:
    """Weights by the effective number of images of a class (Cui et al. 2019, arXiv:1901.05555).

    Parameters
    ----------
    label : int64 array of shape (N,)
    classes : int
    beta : float
        In [0, 1): 0 weighs all rows alike; the nearer to 1, the nearer to one over the number of the class's images.

    Returns
    -------
    float64 array of shape (N,)
        Of each row; their mean is 1.
    """
    counts = np.bincount(label, minlength=classes)
    effective = (1.0 - np.power(beta, counts)) / (1.0 - beta)
    weights = 1.0 / np.maximum(effective, 1e-12)[label]
    return np.asarray(weights / weights.mean())


def relabelled(targets: FloatArray, shares: FloatArray, known: npt.NDArray[np.bool_], amount: float) -> FloatArray:
    """Mix the labels with what the annotators said, where they said anything.

    Parameters
    ----------
    targets, shares : float64 arrays of shape (N, K)
    known : bool array of shape (N,)
    amount : float
        In [0, 1]: 0 keeps the labels, 1 takes the votes instead.
    """
    part = amount * known[:, None]
    return targets * (1.0 - part) + shares * part


def vote_agreement(label: IntArray, shares: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Which share of the annotators agrees with each row's label, float64 of shape (N,); 1 where there are no votes."""
    return np.where(known, shares[np.arange(len(label)), label], 1.0)


def mass_loss(
    logits: torch.Tensor, mass: torch.Tensor, focal: float = 0.0, total: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross entropy, or focal loss (Lin et al. 2017, arXiv:1708.02002), against target masses.

    With hard labels and no focus this is `torch.nn.functional.cross_entropy`, with the weights of its `weight`.

    Parameters
    ----------
    logits : float tensor of shape (N, K)
    mass : float tensor of shape (N, K)
        Not negative; a row of zeros does not count.
    focal : float
        How much less a class counts, the surer the network already is of it; 0 for the cross entropy.
    total : float tensor of no dimensions, optional
        What to divide by; by default the mass of these rows. Of several processes it is the mean of their masses, so
        that a row counts the same in all of them.

    Returns
    -------
    float tensor of no dimensions
        The mean over the mass; 0 where there is none.
    """
    logs = functional.log_softmax(logits.float(), dim=1)
    if focal:
        logs = logs * (1.0 - logs.exp()).clamp_min(1e-6).pow(focal)
    return -(mass * logs).sum() / (mass.sum() if total is None else total).clamp_min(1e-6)


def registered_loss(
    name: str, loss: Loss, logits: torch.Tensor, mass: torch.Tensor, total: torch.Tensor | None = None
) -> torch.Tensor:
    """A registered loss, taken over a batch as `mass_loss` is, with the same parameters (UsageError if it misfits)."""
    rows = loss(logits.float(), mass)
    if not isinstance(rows, torch.Tensor) or rows.shape != mass.shape[:1]:
        got = tuple(rows.shape) if isinstance(rows, torch.Tensor) else type(rows).__name__
        raise UsageError(f"loss '{name}' gave {got} for {len(mass)} faces; expected a tensor of one number a face")
    if logits.requires_grad and not rows.requires_grad:
        raise UsageError(f"loss '{name}' gave numbers without a gradient; expected some that depend on the logits")
    return rows.sum() / (mass.sum() if total is None else total).clamp_min(1e-6)


def chance_loss(classes: int, focal: float = 0.0) -> float:
    """The value of `mass_loss` where all classes are equally likely; smoothing, mixing and weights do not change it."""
    return math.log(classes) * math.pow(1.0 - 1.0 / classes, focal)


def consistency_loss(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How much the answers to two views of the same faces differ: their symmetric Kullback-Leibler divergence."""
    first, second = functional.log_softmax(logits.float(), dim=1), functional.log_softmax(others.float(), dim=1)
    difference = (first.exp() - second.exp()) * (first - second)
    return 0.5 * difference.sum(dim=1).mean()
