import os
import subprocess
import sys

import pytest
import torch

from mien.errors import MienWarning, MissingExtraError, UsageError
from mien.train import machine
from mien.train.architectures import build_network, make_spec
from mien.train.machine import computes_in_bf16, in_memory_format, open_fabric, torch_settings
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


@pytest.mark.parametrize("workspace", [None, ":16:8"])
def test_torch_is_left_as_it_was(monkeypatch, workspace):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)

    def settings():
        return (
            os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = settings()
        with torch_settings(RunOptions(deterministic=True, threads=1), CPU):
            assert settings() == (workspace or ":4096:8", 1, True, False)
        assert settings() == before
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("threads", "quota", "expected"), [(None, 1, 1), (None, 64, 3), (2, 1, 2)])
def test_the_limit_of_a_container_counts_for_torch_too(monkeypatch, threads, quota, expected):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(machine, "usable_cores", lambda: quota)
        with torch_settings(RunOptions(threads=threads), CPU):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_one_device_needs_no_lightning_and_several_say_so(monkeypatch):
    for name in ("lightning", "lightning.fabric"):
        monkeypatch.setitem(sys.modules, name, None)
    assert open_fabric(RunOptions(accelerator="cpu")).device == CPU
    for several in ({"devices": 2}, {"nodes": 2}):
        with pytest.raises(MissingExtraError, match="Training on several devices needs .*lightning"):
            open_fabric(RunOptions(accelerator="cpu", **several))


def test_several_devices_need_a_program_that_can_be_started_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", [""])  # from stdin, or in a notebook
    with pytest.raises(UsageError, match="starts the program once for each"):
        open_fabric(RunOptions(accelerator="cpu", devices=2))


@pytest.mark.parametrize("options", [{}, {"devices": 4, "nodes": 2}])
def test_processes_that_torchrun_has_started_are_those_of_the_run(monkeypatch, options):
    for name, value in (("TORCHELASTIC_RUN_ID", "none"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun has started 4 processes, .*; use --devices 2 --nodes 2"):
        open_fabric(RunOptions(accelerator="cpu", **options))


def test_bfloat16_on_a_processor_without_it_is_warned_of(monkeypatch):
    monkeypatch.setattr(machine, "_lacks_bf16", lambda: True)
    with pytest.warns(MienWarning, match="no instructions for bfloat16"):
        open_fabric(RunOptions(accelerator="cpu", precision="bf16"))
    open_fabric(RunOptions(accelerator="cpu"))
    monkeypatch.setattr(machine, "_lacks_bf16", lambda: False)
    open_fabric(RunOptions(accelerator="cpu", precision="bf16"))


@pytest.mark.filterwarnings("ignore:this processor has no instructions for bfloat16")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_network_on_one_device_gives_float32_whatever_it_computes_in(precision):
    seen = []

    class Layer(torch.nn.Linear):
        def forward(self, values):
            output = super().forward(values)
            seen.append(output.dtype)
            return output, (output,)

    single = open_fabric(RunOptions(accelerator="cpu", precision=precision))
    layer = Layer(2, 3)
    network, _ = single.setup(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    one, (two,) = network(torch.ones(4, 2))
    assert (one.dtype, two.dtype) == (torch.float32, torch.float32)
    single.backward(one.sum())
    assert layer.weight.grad.dtype == torch.float32
    with single.autocast():
        layer(torch.ones(4, 2))
    assert seen == [torch.bfloat16 if precision == "bf16" else torch.float32] * 2
    network.eval()
    assert not layer.training


@pytest.mark.parametrize(("own", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_wait_without_keeping_their_cores_busy(own, expected):
    """Said before torch is loaded, which reads it then and never again."""
    code = (
        "import os, sys, mien.cli.train, mien.train\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    place = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**place, **own}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("convolution", "last"),
    [
        (torch.nn.Conv2d(8, 16, 1, 2), False),
        (torch.nn.Conv2d(32, 32, 1, 2, groups=4), False),
        (torch.nn.Conv2d(16, 16, 1, 2), True),
        (torch.nn.Conv2d(8, 16, 1), True),
        (torch.nn.Conv2d(8, 16, 3, 2), True),
    ],
)
def test_a_layout_that_spoils_gradients_is_not_used(convolution, last):
    network = in_memory_format(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), convolution), RunOptions(), CPU)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last) is last


def test_of_the_classics_mini_xception_is_laid_out_otherwise():
    def last(name, **options):
        network = in_memory_format(build_network(make_spec(name)), RunOptions(**options), CPU)
        weights = [part.weight for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
        return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)

    assert last("mien-base")
    assert last("mobilenet_v2")
    assert not last("mini_xception")
    assert not last("mien-base", channels_last=False)
