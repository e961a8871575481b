from pathlib import Path

import numpy as np
import torch

from mien.evaluate.detection_models import open_measured_detector
from mien.train.detector.network import FaceDetectorNetwork, save_detector


def test_a_checkpoint_leaves_torch_its_threads(tmp_path: Path) -> None:
    save_detector(FaceDetectorNetwork(), tmp_path / "a.safetensors")
    before = torch.get_num_threads()
    measured = open_measured_detector(tmp_path / "a.safetensors", before + 1, None)
    measured.detector.detect(np.zeros((64, 64, 3), np.uint8))
    assert torch.get_num_threads() == before
    assert measured.facts["threads"] == before + 1
