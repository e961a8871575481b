"""Small networks for tests."""

from __future__ import annotations

from typing import Any

import torch

from mien.train.architectures import ExpressionNetwork, build_network, make_spec


def plain_network(
    widths: tuple[int, ...] = (4, 8),
    convs_per_stage: int = 2,
    blur_pools: int = 0,
    *,
    repvgg: bool = False,
    **spec: Any,
) -> ExpressionNetwork:
    """A plain network in evaluation mode; the same seed gives the same weights."""
    torch.manual_seed(0)
    options = {"widths": widths, "convs_per_stage": convs_per_stage, "blur_pools": blur_pools, "repvgg": repvgg}
    return build_network(make_spec("plain", options=options, **spec)).eval()
