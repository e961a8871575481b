"""The cards of mien's own architectures, in the order in which they are listed. Data only: imports no torch."""

from __future__ import annotations

from mien.train.architectures.registry import ArchitectureCard, register
from mien.train.architectures.spec import FER7_HEAD, FERPLUS_HEAD

__all__: list[str] = []

_OURS = "Apache-2.0 (mien's own code)"


def _plain(name: str, summary: str, widths: tuple[int, ...], convs_per_stage: int, parameters: int) -> None:
    register(
        ArchitectureCard(
            name=name,
            summary=summary,
            origin="mien; after VGG (Simonyan and Zisserman, 2014)",
            size_px=48,
            min_size_px=1,
            parameters=parameters,
            licence=_OURS,
            heads=(FER7_HEAD, FERPLUS_HEAD),
            options={"widths": widths, "convs_per_stage": convs_per_stage},
        ),
        "mien.train.architectures.plain:build",
    )


_plain("mien-tiny", "Four stages of two convolutions, 24 to 192 channels.", (24, 48, 96, 192), 2, 663_305)
_plain("mien-small", "Four stages of three convolutions, 32 to 256 channels.", (32, 64, 128, 256), 3, 1_961_329)
_plain("mien-base", "Four stages of two convolutions, 64 to 512 channels.", (64, 128, 256, 512), 2, 4_694_865)
_plain("mien-wide", "Four stages of two convolutions, 96 to 512 channels.", (96, 192, 384, 512), 2, 6_714_353)
_plain("plain", "Any stages: options widths and convs_per_stage.", (32, 64, 128), 1, 95_089)
