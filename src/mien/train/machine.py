"""Where a run computes: devices, processes, arithmetic."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mien
from mien.errors import TrainingError, UsageError, import_extra, warn
from mien.parallel import usable_cores
from mien.train.options import RunOptions
from mien.train.process import is_first_process
from mien.train.single import SingleDevice

__all__ = [
    "compile_another",
    "computes_in_bf16",
    "describe_machine",
    "explained_failures",
    "in_memory_format",
    "open_fabric",
    "processor_name",
    "torch_settings",
    "torch_threads",
]

# Channels in a vector of AVX-512.
_VECTOR = 16
# The memory of cuBLAS, whose usual layout makes results vary.
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def open_fabric(options: RunOptions) -> Any:
    """What a run computes with: Lightning Fabric, to `launch`, or for one device what does the same (`SingleDevice`).

    Raises
    ------
    UsageError
        If the device that was asked for is not there, several are asked for where Python is used interactively, or
        torchrun has started more or fewer processes.
    MissingExtraError
        If several are asked for and Lightning is not installed.
    """
    _check_torchrun(options)
    accelerator = _accelerator(options)
    half = computes_in_bf16(options, accelerator)
    if half and accelerator == "cpu" and _lacks_bf16() and is_first_process(options):
        warn("this processor has no instructions for bfloat16: training takes several times longer than in float32")
    if options.devices * options.nodes == 1:
        return SingleDevice(torch.device(accelerator, 0) if accelerator == "cuda" else torch.device("cpu"), half=half)
    # In a notebook, too. A program that came from stdin is gone.
    if hasattr(sys, "ps1") or sys.flags.interactive or sys.argv[0] in ("", "-"):
        raise UsageError(
            "training on several devices starts the program once for each, and here is none to start; use 'mien train' "
            "or a program in a file"
        )
    import_extra("Training on several devices", "lightning.fabric", "train")
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    # They log each process that joins.
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Fabric(
        accelerator=accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        # Gradients as views save a copy of all of them.
        strategy=DDPStrategy(gradient_as_bucket_view=True),
        precision="bf16-mixed" if half else "32-true",
    )


def _lacks_bf16() -> bool:
    """Whether oneDNN says so; elsewhere, as on a Mac, torch does not tell."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _check_torchrun(options: RunOptions) -> None:
    """Each of its processes would train by itself into the same folder, or wait for others that never come."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    there, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if there != options.devices * options.nodes:
        raise UsageError(
            f"torchrun has started {there} processes, but devices is {options.devices} and nodes is {options.nodes}; "
            f"use --devices {here} --nodes {there // here}"
        )


def computes_in_bf16(options: RunOptions, accelerator: str) -> bool:
    """Whether networks run in bfloat16 on ``"cpu"`` or ``"cuda"``, where that is allowed (autocast)."""
    if options.precision == "auto":
        # Older GPUs emulate bfloat16, slowly, and torch reports it as supported.
        return accelerator == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    return options.precision == "bf16"


@contextlib.contextmanager
def torch_settings(options: RunOptions, device: torch.device) -> Iterator[None]:
    """Set torch's global switches as the recipe wants them, and afterwards back to what they were."""
    before = (
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    limit = _version_limit() if options.compile != "none" else None
    versions = None if limit is None else getattr(*limit)
    workspace = os.environ.get(_WORKSPACE)
    # Torch counts the cores of the machine, also in a container that gets the time of fewer.
    torch.set_num_threads(min(before[0], usable_cores()) if options.threads is None else options.threads)
    if device.type == "cuda":
        # All batches have one shape: the search for the fastest kernels pays.
        torch.backends.cudnn.benchmark = not options.deterministic
        torch.set_float32_matmul_precision("high")
    if options.deterministic:
        os.environ.setdefault(_WORKSPACE, ":4096:8")
        # A few operations have no deterministic kernel on a GPU: torch warns, where it would else end the run.
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_float32_matmul_precision(before[2])
        torch.use_deterministic_algorithms(before[3], warn_only=before[4])
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)
        if limit is not None:
            setattr(*limit, versions)


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads, of which torch has one number for the whole process; None leaves it as it is."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def explained_failures(options: RunOptions, device: torch.device) -> Iterator[None]:
    """Make a TrainingError of what torch raises where a GPU's memory does not suffice or a compiler is missing."""
    try:
        yield
    except RuntimeError as error:
        words = _explanation(options, device, error)
        if words is None:
            raise
        # The frames hold what fills the memory.
        traceback.clear_frames(error.__traceback__)
        raise TrainingError(words) from error


def _explanation(options: RunOptions, device: torch.device, error: RuntimeError) -> str | None:
    """What the machine lacks and what to do; None where an error says nothing of that kind."""
    if "out of memory" in str(error):  # not all of them are of torch's class for it
        what, free, _ = str(error).partition(" is free")
        return (
            f"the memory of {device} does not suffice ({what}{free}); try a smaller batch_size, smaller images or a "
            "smaller network; for expressions feeding 'stream' leaves the images out of it, too"
        )
    if options.compile != "none" and isinstance(
        error, importlib.import_module("torch._dynamo.exc").BackendCompilerFailed
    ):
        reason = str(error.inner_exception).partition("\n")[0]
        return (
            f"compile '{options.compile}' did not work ({reason}); it needs a C++ compiler, g++ or what CXX "
            "names, and on a GPU Triton; --compile none trains without"
        )
    return None


def in_memory_format(network: nn.Module, options: RunOptions, device: torch.device) -> nn.Module:
    """The network, already on the device, in the memory layout that it is trained in: NHWC if the recipe says so.

    Not so where oneDNN, with which torch computes on CPUs, gives wrong gradients, hangs or ends the process: in that
    layout it writes past the end of its memory for the gradient of a strided 1 x 1 convolution of fewer channels than a
    vector holds (uxlfoundation/oneDNN, issue 6035).
    """
    spoiled = device.type == "cpu" and any(
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and part.stride != (1, 1)
        and part.in_channels // part.groups < _VECTOR
        for part in network.modules()
    )
    return network.to(memory_format=torch.channels_last) if options.channels_last and not spoiled else network


def compile_another(network: nn.Module) -> Any:
    """Compile one more network beside the one that is trained; within `torch_settings`.

    Networks of one class have one code, of which torch keeps some eight versions and then silently runs uncompiled. So
    each makes room for its own.
    """
    limit = _version_limit()
    setattr(*limit, getattr(*limit) + 1)
    return torch.compile(network, dynamic=False)


def _version_limit() -> tuple[Any, str]:
    """Where torch keeps how many versions of a function it compiles; loaded here, because that takes a second."""
    config = importlib.import_module("torch._dynamo.config")
    # Torch 2.4 and 2.5 only know the second name.
    return config, "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"


def _accelerator(options: RunOptions) -> str:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.accelerator == "cpu" or (options.accelerator == "auto" and there == 0):
        return "cpu"
    if there == 0:
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for the CPU only"
        raise UsageError(
            f"accelerator is 'cuda', but torch {torch.__version__} ({built}) finds no GPU; "
            "use --accelerator cpu, or look at what nvidia-smi says"
        )
    if options.devices > there:
        raise UsageError(f"devices is {options.devices}, but this machine has {there} GPU(s); use --devices {there}")
    return "cuda"


def describe_machine(options: RunOptions, device: torch.device, processes: int) -> dict[str, Any]:
    """Versions, source and device, for the record of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "mien": mien.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": importlib.metadata.version("lightning") if processes > 1 else None,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": f"{device.type}: {name}",
        "precision": "bf16" if computes_in_bf16(options, device.type) else "32",
        "processes": processes,
        "threads": torch.get_num_threads(),
    }


def processor_name() -> str:
    """What the CPU is called, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of mien's own source where it runs from a checkout; marked where files were changed since."""
    home = Path(mien.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(home), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        commit = git("rev-parse", "HEAD")
        return f"{commit} with changes" if git("status", "--porcelain", "--", ".") else commit
    except (OSError, subprocess.SubprocessError):
        return None
