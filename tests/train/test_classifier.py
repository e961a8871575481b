from pathlib import Path

import numpy as np
import torch

from mien.train.checkpoint import save_checkpoint
from mien.train.classifier import TorchClassifier
from tests.train.networks import plain_network


def test_calls_have_their_threads_and_leave_torch_its_own(tmp_path: Path) -> None:
    save_checkpoint(plain_network(size_px=16), tmp_path / "a.safetensors")
    before = torch.get_num_threads()
    classifier, seen = TorchClassifier(tmp_path / "a.safetensors", threads=before + 1), []
    classifier._network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    classifier.logits(np.zeros((2, 1, 16, 16), np.uint8))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
