import pytest
import torch

from mien.train.machine import computes_in_bf16, torch_settings
from mien.train.options import RunOptions

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "accelerator", "capability", "expected"),
    [
        ("auto", "cpu", None, False),
        ("auto", "cuda", (9, 0), True),
        ("auto", "cuda", (7, 5), False),
        ("bf16", "cuda", (7, 5), True),
        ("bf16", "cpu", None, True),
        ("32", "cuda", (9, 0), False),
    ],
)
def test_half_precision_is_what_was_asked_for_or_what_the_gpu_has(
    monkeypatch, precision, accelerator, capability, expected
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert computes_in_bf16(RunOptions(precision=precision), accelerator) is expected


def test_torch_is_left_as_it_was():
    def settings():
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = settings()
        with torch_settings(RunOptions(deterministic=True, threads=1), CPU):
            assert settings() == (1, True, False)
        assert settings() == before
    finally:
        torch.use_deterministic_algorithms(False)
