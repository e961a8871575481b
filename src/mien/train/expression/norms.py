"""The statistics of batch norm, measured anew.

While a network is trained, they are running means over changing weights and strongly augmented faces. For weights that
are a mean of others they fit neither (Izmailov et al. 2018, arXiv:1803.05407), and faces that are read are no
augmented ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["renew_norms"]


@torch.no_grad()
def renew_norms(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Replace the running means and variances of every batch norm by those of some images.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode afterwards. Its weights do not change, and nothing is dropped out.
    batches : iterable of tensor
        Inputs of the network, in batches of one size. At least one.
    """
    network.eval()
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
