from __future__ import annotations

import numpy as np
import torch

from mien.train.expression.warp import nudged

SIDE = 24


def test_a_nudge_is_small_and_differs_by_image() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(1, 1, SIDE, SIDE, generator=random).expand(32, -1, -1, -1)
    still = nudged(images, torch.full((4, 32), 0.5))
    np.testing.assert_allclose(still.numpy(), images.numpy(), atol=2e-5)
    ramp = torch.linspace(0.0, 1.0, SIDE).expand(200, 1, SIDE, SIDE)
    moved = (nudged(ramp, torch.rand(4, 200, generator=random)) - ramp)[:, 0, SIDE // 2, SIDE // 2]
    assert len(set(moved.tolist())) == 200
    assert 0.05 < float(moved.abs().max()) < 0.08
