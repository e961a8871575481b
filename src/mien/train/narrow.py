"""Narrower plain networks out of wider ones: the channels that matter most are kept (structured pruning).

What is left of a trained network is a better start than chance. A channel counts by the size of what it hands on: the
scale of its batch norm times the norm of the kernels that read it (after Liu et al. 2017, arXiv:1708.06519, and Li
et al. 2017, arXiv:1608.08710).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mien.train.architectures import NetworkSpec

__all__ = ["can_narrow", "narrowed"]


def can_narrow(wide: NetworkSpec, narrow: NetworkSpec) -> bool:
    """Whether both are plain networks of as many layers, without branches, and no stage of `narrow` is wider."""
    if wide.options.get("repvgg") or narrow.options.get("repvgg"):
        return False
    (most, convs), (least, same) = (
        (spec.options.get("widths"), spec.options.get("convs_per_stage")) for spec in (wide, narrow)
    )
    if not isinstance(most, tuple) or not isinstance(least, tuple) or most == least:
        return False
    fits = wide.channels == narrow.channels and convs == same and len(most) == len(least)
    return fits and all(ours <= theirs for ours, theirs in zip(least, most, strict=True))


def narrowed(weights: Mapping[str, torch.Tensor], narrow: NetworkSpec) -> dict[str, torch.Tensor]:
    """The weights of a wide plain network, cut to the widths of a narrow one.

    Parameters
    ----------
    weights : mapping of str to tensor
        Of the wide network, by the names of `ExpressionNetwork`; heads included.
    narrow : NetworkSpec
        `can_narrow` says whether it fits.

    Returns
    -------
    dict of str to tensor
        Of the backbone and of all heads of the wide network; the heads read fewer features.
    """
    widths: tuple[int, ...] = narrow.options["widths"]
    per_stage: int = narrow.options["convs_per_stage"]
    # Each convolution is followed by its norm and a ReLU, each stage by its pool.
    convs = [stage * (3 * per_stage + 1) + 3 * conv for stage in range(len(widths)) for conv in range(per_stage)]
    heads = sorted({name.split(".")[1] for name in weights if name.startswith("heads.")})
    cut = dict(weights)
    for layer, number in enumerate(convs):
        if layer + 1 < len(convs):
            readers = [f"backbone.features.{convs[layer + 1]}.weight"]
        else:
            readers = [f"heads.{head}.weight" for head in heads]
        scale = weights[f"backbone.features.{number + 1}.weight"].abs()
        read = torch.stack([cut[name].transpose(0, 1).flatten(1).norm(dim=1) for name in readers]).sum(dim=0)
        kept = torch.topk(scale * read, widths[layer // per_stage]).indices.sort().values
        for name in [f"backbone.features.{number}.weight"] + [
            f"backbone.features.{number + 1}.{part}" for part in ("weight", "bias", "running_mean", "running_var")
        ]:
            cut[name] = cut[name][kept]
        for name in readers:
            cut[name] = cut[name][:, kept]
    return cut
