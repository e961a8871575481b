"""Distillation (Hinton et al. 2015, arXiv:1503.02531): learning the answers of an ensemble.

Teachers and student see the same augmented picture (Beyer et al. 2022, arXiv:2106.05237); each teacher gets it in its
own size, colour and normalisation. Optionally each teacher answers by the mean over ten views, as
`mien.evaluate.predict.ten_views` makes them: the student then learns in one pass what its teachers need ten for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn import functional

from mien.errors import ModelError
from mien.train.architectures import ExpressionNetwork, HeadSpec, NetworkSpec
from mien.train.checkpoint import load_checkpoint

__all__ = ["Teachers", "distillation_loss", "fitted", "ten_views"]

_GRAY = (0.299, 0.587, 0.114)


class Teachers:
    """An ensemble of trained networks.

    Parameters
    ----------
    paths : sequence of path
        Checkpoints, of any architecture, input size and colour.
    heads : sequence of HeadSpec
        Those of the student. A teacher serves a head if one of its own has all labels of it.
    device : torch.device
    views : bool
        Let each teacher answer by the mean over ten views.
    half : bool
        Compute in bfloat16.
    compiled : bool
        Make fast kernels of the teachers by `torch.compile`.

    Raises
    ------
    ModelError
        If a checkpoint cannot be read, or a teacher serves none of the heads, or nobody serves the first.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        heads: Sequence[HeadSpec],
        device: torch.device,
        *,
        views: bool = False,
        half: bool = False,
        compiled: bool = False,
    ) -> None:
        self._views = views
        self._half = half
        # Not registered anywhere: teachers are no part of the network that is trained.
        self.networks: list[ExpressionNetwork] = []
        self._run: list[Callable[[torch.Tensor], tuple[torch.Tensor, ...]]] = []
        self._columns: list[list[tuple[int, torch.Tensor] | None]] = []
        for path in paths:
            network = load_checkpoint(path).to(device).requires_grad_(False)
            if self._half:
                network = network.to(memory_format=torch.channels_last)
            served = [_columns(network.spec, head, device) for head in heads]
            if not any(served):
                raise ModelError(
                    f"{path}: the teacher knows {_listed(network.spec.heads)}; expected an output with all of "
                    f"{', '.join(heads[0].labels)}"
                )
            self.networks.append(network)
            self._run.append(torch.compile(network, dynamic=False) if compiled else network)
            self._columns.append(served)
        if not any(served[0] for served in self._columns):
            raise ModelError(f"no teacher knows all of {', '.join(heads[0].labels)}, which the student shall learn")
        self._head_count = len(heads)

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor, temperature: float) -> tuple[torch.Tensor | None, ...]:
        """What the ensemble says of each picture.

        Parameters
        ----------
        pictures : float tensor of shape (N, C, S, S)
            In [0, 1].
        temperature : float
            Logits are divided by it.

        Returns
        -------
        tuple of float32 tensor of shape (N, K), or None
            For each head of the student the mean probabilities; None for one that no teacher serves.
        """
        totals: list[torch.Tensor | None] = [None] * self._head_count
        counts = [0] * self._head_count
        for network, run, columns in zip(self.networks, self._run, self._columns, strict=True):
            own = fitted(pictures, network.spec)
            size_px = network.spec.size_px
            views = ten_views(own, max(1, round(size_px / 24))) if self._views else [own]
            for view in views:
                with torch.autocast(view.device.type, torch.bfloat16, enabled=self._half):
                    logits = run((view - network.spec.mean) / network.spec.std)
                for index, chosen in enumerate(columns):
                    if chosen is None:
                        continue
                    head, column = chosen
                    answer = functional.softmax(logits[head].float()[:, column] / temperature, dim=1)
                    total = totals[index]
                    totals[index] = answer if total is None else total + answer
                    counts[index] += 1
        return tuple(None if t is None else t / n for t, n in zip(totals, counts, strict=True))


def distillation_loss(logits: torch.Tensor, answers: torch.Tensor, temperature: float) -> torch.Tensor:
    """The Kullback-Leibler divergence of the student from its teachers.

    Parameters
    ----------
    logits : float tensor of shape (N, K)
        The student's.
    answers : float tensor of shape (N, K)
        The teachers' probabilities at `temperature`.
    temperature : float
        The loss is multiplied by its square, so that gradients keep their size.

    Returns
    -------
    float tensor of shape ()
        0 where the student says what its teachers say.
    """
    logs = functional.log_softmax(logits.float() / temperature, dim=1)
    difference = (torch.xlogy(answers, answers) - answers * logs).sum(dim=1)
    return difference.mean() * temperature**2


def fitted(pictures: torch.Tensor, spec: NetworkSpec) -> torch.Tensor:
    """Pictures of shape (N, C, S, S) in [0, 1] in the colour and size of a network, as the preprocessing scales."""
    if spec.in_channels == 1 and pictures.shape[1] == 3:
        share = torch.tensor(_GRAY, device=pictures.device)
        pictures = (pictures * share[:, None, None]).sum(dim=1, keepdim=True)
    elif spec.in_channels == 3 and pictures.shape[1] == 1:
        pictures = pictures.expand(-1, 3, -1, -1)
    size_px = spec.size_px
    if pictures.shape[-1] == size_px:
        return pictures
    if pictures.shape[-1] > size_px:
        return functional.interpolate(pictures, size=(size_px, size_px), mode="area")
    larger = functional.interpolate(pictures, size=(size_px, size_px), mode="bicubic", align_corners=False)
    return larger.clamp(0.0, 1.0)


def ten_views(pictures: torch.Tensor, shift_px: int = 2) -> list[torch.Tensor]:
    """`mien.evaluate.predict.ten_views` for tensors of shape (N, C, H, W)."""
    height, width = pictures.shape[-2:]
    by = shift_px
    padded = functional.pad(pictures, (by, by, by, by), mode="replicate")
    shifted = [
        padded[..., by + dy : by + dy + height, by + dx : by + dx + width]
        for dx, dy in ((0, 0), (by, 0), (-by, 0), (0, by), (0, -by))
    ]
    return [view for picture in shifted for view in (picture, picture.flip(-1))]


def _columns(spec: NetworkSpec, wanted: HeadSpec, device: torch.device) -> tuple[int, torch.Tensor] | None:
    """The first head with all labels that are wanted (rather one of just these), and where they are."""
    fitting = [number for number, head in enumerate(spec.heads) if set(wanted.labels) <= set(head.labels)]
    if not fitting:
        return None
    best = min(fitting, key=lambda number: (len(spec.heads[number].labels), number))
    labels = spec.heads[best].labels
    return best, torch.tensor([labels.index(label) for label in wanted.labels], device=device)


def _listed(heads: Sequence[HeadSpec]) -> str:
    return " and ".join(f"{head.output} ({', '.join(head.labels)})" for head in heads)
