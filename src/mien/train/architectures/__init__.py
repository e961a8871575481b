"""Network architectures, one file each."""

from __future__ import annotations

from mien.train.architectures.plain import PlainConfig, PlainNet

__all__ = ["PlainConfig", "PlainNet"]
