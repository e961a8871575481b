"""The network of the shipped face detector, in torch: anchor-free, three strides, five landmarks.

Depthwise-separable residual blocks, a top-down pyramid and a head a stride. Names of the parameters are those of the
checkpoint ``weights/face-detector.safetensors``, so that it loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.detect.mien import STRIDES_PX
from mien.train.weights import KIND_KEY, fill, read_weights, write_weights
from mien.zoo.card import InputSpec

__all__ = ["DETECTOR_INPUT", "OUTPUTS", "FaceDetectorNetwork", "export_view", "load_detector", "save_detector"]

DETECTOR_INPUT = InputSpec(
    name="input", size_wh=None, channels="gray", dtype="float32", mean=0.5, std=0.25, multiple_of_px=32
)
"""What the network takes, as its card says it."""

OUTPUTS = 15
"""Score; dx, dy; log w, log h; five points: see `mien.detect.mien.decode`."""

_MEAN, _STD = (float(value.item()) for value in DETECTOR_INPUT.mean_and_std)
_PRIOR = -4.0
_EPSILON, _MOMENTUM = 1e-3, 0.03
_STAGES = ((16, 32, 1, 3), (32, 48, 2, 3), (48, 64, 3, 5), (64, 96, 2, 5))
_WIDTH = 48


class _ConvNorm(nn.Module):
    """A convolution without bias and a batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.b = nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.b(self.c(values))
        return result


class _Block(nn.Module):
    """Depthwise k x k, then 1x1; added to its input where the shapes agree; then ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.d = _ConvNorm(inputs, inputs, kernel, stride, groups=inputs)
        self.p = _ConvNorm(inputs, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.p(self.d(values))
        return functional.relu(result + values if self.residual else result)


def _stage(inputs: int, outputs: int, more: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, outputs, kernel, 2), *(_Block(outputs, outputs, kernel) for _ in range(more)))


class FaceDetectorNetwork(nn.Module):
    """The detector.

    `forward` takes float (N, 1, H, W), as `normalise` gives it, H and W multiples of 32, and gives float (N, 15, A): A
    runs over strides 8, 16 and 32, each row by row, as `mien.detect.mien.decode` takes it, with the score as a logit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(1, 16, 3, 2)
        self.s4, self.s8, self.s16, self.s32 = (_stage(*numbers) for numbers in _STAGES)
        self.l8, self.l16, self.l32 = (_ConvNorm(inputs, _WIDTH, 1) for inputs in (48, 64, 96))
        self.m16 = _Block(_WIDTH, _WIDTH, 3)
        self.h = nn.ModuleList(nn.Sequential(_Block(_WIDTH, _WIDTH, 3), _Block(_WIDTH, _WIDTH, 3)) for _ in STRIDES_PX)
        heads = [nn.Conv2d(_WIDTH, OUTPUTS, 1) for _ in STRIDES_PX]
        self.o = nn.ModuleList(heads)
        for head in heads:
            # A new network calls nothing a face, and its boxes have a likely size.
            nn.init.normal_(head.weight, std=0.01)
            head.bias = nn.Parameter(torch.tensor([_PRIOR, 0.5, 0.5, 1.4, 1.4] + [0.5] * (OUTPUTS - 5)))

    def forward(self, images: Tensor) -> Tensor:
        """The output for normalised images; see the class."""
        p8 = self.s8(self.s4(functional.relu(self.stem(images))))
        p16 = self.s16(p8)
        p32 = functional.relu(self.l32(self.s32(p16)))
        p16 = self.m16(functional.relu(self.l16(p16) + functional.interpolate(p32, scale_factor=2.0)))
        p8 = functional.relu(self.l8(p8) + functional.interpolate(p16, scale_factor=2.0))
        levels = [
            output(head(values)).flatten(2) for values, head, output in zip((p8, p16, p32), self.h, self.o, strict=True)
        ]
        return torch.cat(levels, dim=2)

    @staticmethod
    def normalise(pixels: Tensor) -> Tensor:
        """Gray uint8 pixels as float32 input of the network."""
        return (pixels.float() - 255 * _MEAN) / (255 * _STD)

    def parameter_count(self) -> int:
        """Trained weights once normalisations are folded into the convolutions, as the card says it."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        return sum(c.weight.numel() + c.out_channels for c in convolutions)


class _ExportView(nn.Module):
    def __init__(self, network: FaceDetectorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        values = self.network(images)
        return torch.cat((values[:, :1].sigmoid(), values[:, 1:]), dim=1)


def export_view(network: FaceDetectorNetwork) -> nn.Module:
    """The network as it is exported: the score in [0, 1]."""
    return _ExportView(network).eval()


def save_detector(network: FaceDetectorNetwork, path: Path, extra: Mapping[str, str] | None = None) -> None:
    """Write the weights, float32; see `mien.train.weights.write_weights`."""
    write_weights(network, path, {**(extra or {}), KIND_KEY: "detector"})


def load_detector(path: Path) -> FaceDetectorNetwork:
    """Read a checkpoint of a detector. Its tensors tell what it is: in older files the metadata are others.

    Raises
    ------
    ModelError
        If it cannot be read, holds another network, or holds NaN.
    """
    weights, _ = read_weights(path)
    network = FaceDetectorNetwork()
    fill(network, weights, path, "the face detector")
    return network
