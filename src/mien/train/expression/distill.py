"""Distillation (Hinton et al. 2015, arXiv:1503.02531): learning the answers of an ensemble.

Teachers and student see the same augmented picture (Beyer et al. 2022, arXiv:2106.05237); each teacher gets it in its
own size, colour and normalisation. Optionally each teacher answers by the mean over ten views, as
`mien.classify.take_views` makes them: the student then learns in one pass what its teachers need ten for.

Models of the zoo and exported files teach as well as checkpoints do. On a CPU an int8 file answers several times faster
than its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from mien.classify import OnnxClassifier, whole_batch
from mien.errors import ModelError
from mien.train.architectures import ExpressionNetwork, HeadSpec
from mien.train.checkpoint import load_checkpoint, read_checkpoint
from mien.train.expression.resample import apply_matrices, area_weights
from mien.train.machine import compile_another
from mien.zoo import StoredModel, find_model, list_models
from mien.zoo.card import LearnedFrom

__all__ = ["Teachers", "distillation_loss", "fitted", "teacher_file", "teacher_learned_from", "ten_views"]

_GRAY = (0.299, 0.587, 0.114)


class Teachers:
    """An ensemble of trained networks.

    Parameters
    ----------
    teachers : sequence of path
        Checkpoints, of any architecture, input size and colour; exported ``.onnx`` files; names of shipped models.
    heads : sequence of HeadSpec
        Those of the student. A teacher serves a head if one of its own has all labels of it.
    device : torch.device
        Where checkpoints answer; ONNX models do on the CPU, with torch's number of threads.
    views : bool
        Let each teacher answer by the mean over ten views.
    half : bool
        Compute in bfloat16 (checkpoints).
    compiled : bool
        Make fast kernels of the teachers by `torch.compile` (checkpoints).

    Raises
    ------
    ModelError
        If a teacher cannot be read, or serves none of the heads, or nobody serves the first.
    """

    def __init__(
        self,
        teachers: Sequence[Path],
        heads: Sequence[HeadSpec],
        device: torch.device,
        *,
        views: bool = False,
        half: bool = False,
        compiled: bool = False,
    ) -> None:
        self._views = views
        self._members: list[_Teacher] = []
        self._columns: list[list[tuple[int, torch.Tensor] | None]] = []
        for teacher in teachers:
            member: _Teacher
            if _is_checkpoint(teacher):
                member = _TorchTeacher(load_checkpoint(teacher).to(device), half=half, compiled=compiled)
            else:
                member = _OnnxTeacher(find_model(str(teacher), "expression"))
            served = [_columns(member.heads, head, device) for head in heads]
            if not any(served):
                raise ModelError(
                    f"{teacher}: the teacher knows {_listed(member.heads)}; expected an output with all of "
                    f"{', '.join(heads[0].labels)}"
                )
            self._members.append(member)
            self._columns.append(served)
        if not any(served[0] for served in self._columns):
            raise ModelError(f"no teacher knows all of {', '.join(heads[0].labels)}, which the student is to learn")
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
        for member, columns in zip(self._members, self._columns, strict=True):
            own = fitted(pictures, member.size_px, member.in_channels)
            views = ten_views(own) if self._views else [own]
            for view in views:
                logits = member.logits(view)
                for index, chosen in enumerate(columns):
                    if chosen is None:
                        continue
                    head, column = chosen
                    answer = functional.softmax(logits[head].float()[:, column] / temperature, dim=1)
                    total = totals[index]
                    totals[index] = answer if total is None else total + answer
                    counts[index] += 1
        return tuple(None if t is None else t / n for t, n in zip(totals, counts, strict=True))


class _Teacher(Protocol):
    """What `Teachers` wants of a member."""

    heads: tuple[HeadSpec, ...]
    size_px: int
    in_channels: int

    def logits(self, pictures: torch.Tensor) -> Sequence[torch.Tensor]:
        """The logits of each head for float pictures of shape (N, in_channels, size_px, size_px) in [0, 1]."""
        ...


class _TorchTeacher:
    """A checkpoint. Not registered anywhere: teachers are no part of the network that is trained."""

    def __init__(self, network: ExpressionNetwork, *, half: bool, compiled: bool) -> None:
        network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self._half = half
        self._normalise = network.normalise
        self._run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
        self._run = compile_another(network) if compiled else network
        self.heads = network.spec.heads
        self.size_px = network.spec.size_px
        self.in_channels = network.spec.in_channels

    def logits(self, pictures: torch.Tensor) -> Sequence[torch.Tensor]:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self._half):
            return self._run(self._normalise(pictures))


class _OnnxTeacher:
    """An exported model; it sees pictures in 256 shades, as it was made for."""

    def __init__(self, model: StoredModel) -> None:
        self._classifier = OnnxClassifier(model, torch.get_num_threads())
        self._input = model.card.input
        self.heads = tuple(HeadSpec(head.output, head.labels) for head in model.card.heads)
        self.size_px = max(self._input.size_wh or (0, 0))
        self.in_channels = 1 if self._input.channels == "gray" else 3

    def logits(self, pictures: torch.Tensor) -> Sequence[torch.Tensor]:
        pixels = (pictures * 255.0).round().to("cpu", torch.uint8).numpy()
        # Gray without a channel; colour from RGB planes to BGR pixels, as images are everywhere else.
        images = pixels[:, 0] if self.in_channels == 1 else pixels[:, ::-1].transpose(0, 2, 3, 1)
        found = self._classifier.logits(whole_batch([np.ascontiguousarray(image) for image in images], self._input))
        return [torch.from_numpy(found[head.output]).to(pictures.device) for head in self.heads]


def teacher_file(teacher: Path) -> Path:
    """The file of a teacher's weights: the checkpoint, the exported model, or that of the shipped model of this name.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    return teacher if _is_checkpoint(teacher) else find_model(str(teacher), "expression").weights


def teacher_learned_from(teacher: Path) -> LearnedFrom | None:
    """What a teacher was trained on; None where that was not kept (ModelError, if there is no such model)."""
    if _is_checkpoint(teacher):
        return read_checkpoint(teacher).learned_from
    return find_model(str(teacher), "expression").card.learned_from


def _is_checkpoint(teacher: Path) -> bool:
    """Whether it is no exported and no shipped model: reading anything else as a checkpoint says best what is wrong."""
    return teacher.suffix.lower() != ".onnx" and str(teacher) not in list_models()


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
    return functional.kl_div(logs, answers, reduction="batchmean") * temperature**2


def fitted(pictures: torch.Tensor, size_px: int, in_channels: int) -> torch.Tensor:
    """Pictures of shape (N, C, S, S) in [0, 1] in the colour and size of a network, as the preprocessing scales."""
    if in_channels == 1 and pictures.shape[1] == 3:
        red, green, blue = (share * pictures[:, i : i + 1] for i, share in enumerate(_GRAY))
        pictures = red + green + blue
    elif in_channels == 3 and pictures.shape[1] == 1:
        pictures = pictures.expand(-1, 3, -1, -1)
    if pictures.shape[-1] == size_px:
        return pictures
    if pictures.shape[-1] > size_px:
        return apply_matrices(pictures, area_weights(pictures.shape[-1], size_px, pictures.device)[None])
    larger = functional.interpolate(pictures, size=(size_px, size_px), mode="bicubic", align_corners=False)
    return larger.clamp(0.0, 1.0)


def ten_views(pictures: torch.Tensor) -> list[torch.Tensor]:
    """`mien.classify.take_views` for tensors of shape (N, C, H, W)."""
    height, width = pictures.shape[-2:]
    by = max(1, round(width / 24))
    padded = functional.pad(pictures, (by, by, by, by), mode="replicate")
    shifted = [
        padded[..., by + dy : by + dy + height, by + dx : by + dx + width]
        for dx, dy in ((0, 0), (by, 0), (-by, 0), (0, by), (0, -by))
    ]
    return [view for picture in shifted for view in (picture, picture.flip(-1))]


def _columns(heads: Sequence[HeadSpec], wanted: HeadSpec, device: torch.device) -> tuple[int, torch.Tensor] | None:
    """The first head with all labels that are wanted (rather one of just these), and where they are."""
    fitting = [number for number, head in enumerate(heads) if set(wanted.labels) <= set(head.labels)]
    if not fitting:
        return None
    best = min(fitting, key=lambda number: (len(heads[number].labels), number))
    labels = heads[best].labels
    return best, torch.tensor([labels.index(label) for label in wanted.labels], device=device)


def _listed(heads: Sequence[HeadSpec]) -> str:
    return " and ".join(f"{head.output} ({', '.join(head.labels)})" for head in heads)
