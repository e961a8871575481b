"""Networks of the library timm, any of them by its name there, as backbones."""

from __future__ import annotations

import functools
import logging
import os
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mien.errors import DownloadError, ModelError, UsageError
from mien.train.architectures.card import TIMM, Architecture, ArchitectureCard
from mien.train.architectures.network import Backbone
from mien.train.architectures.spec import NetworkSpec
from mien.zoo.card import PerChannel

__all__ = ["build", "find_timm"]

# A larger input is possible everywhere, a smaller one only where the network does not halve it too often: building
# tells.
_DEFAULT_PX = 48
_LONGEST_REASON = 200
_HUB_SECONDS = 10.0


class _TimmBackbone(Backbone):
    """A network of timm without its classifier."""

    def __init__(self, model: nn.Module, out_features: int) -> None:
        super().__init__()
        self.model = model
        self.out_features = out_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of shape (N, out_features)."""
        features: torch.Tensor = self.model(images)
        return features


def find_timm(name: str) -> Architecture:
    """The architecture ``timm:NAME``, with a card made of what timm tells.

    Raises
    ------
    UsageError
        If timm has no such network; the message names near ones.
    """
    import difflib

    wanted = name.removeprefix(TIMM)
    plain = wanted.split(".")[0]
    if not timm.is_model(plain):
        near = difflib.get_close_matches(plain, timm.list_models(), n=3)
        hint = f"; near ones are {', '.join(TIMM + other for other in near)}" if near else ""
        raise UsageError(f"timm {timm.__version__} has no network '{plain}'{hint}")
    try:
        with _quiet():
            settings: Any = timm.get_pretrained_cfg(wanted)
    except RuntimeError as error:
        tags = [tag for tag in timm.list_pretrained(f"{plain}.*") if tag.startswith(f"{plain}.")]
        raise UsageError(
            f"timm {timm.__version__} has no pretrained weights '{wanted}'; it has {', '.join(tags) or 'none'}"
        ) from error
    mean, std = (_per_channel(getattr(settings, name, None)) for name in ("mean", "std"))
    weights = settings is not None and settings.has_weights
    fixed = settings is not None and settings.fixed_input_size
    card = ArchitectureCard(
        name=name,
        summary=f"timm's '{wanted}'.",
        origin="timm (Wightman): pip package of that name",
        size_px=int(settings.input_size[-1]) if fixed else _DEFAULT_PX,
        min_size_px=1,
        channels="gray",
        parameters=None,
        licence=f"timm: Apache-2.0; pretrained weights: {getattr(settings, 'license', None) or 'not stated by timm'}",
        pretrained=f"'{settings.architecture}.{settings.tag}', fetched by timm" if weights else "",
        mean=mean,
        std=std,
        options={"drop_path": 0.0},
        timm=wanted,
    )
    return Architecture(card, functools.partial(build, wanted))


def _per_channel(values: Sequence[float] | None) -> PerChannel:
    """One number where all channels have the same, or nothing is known."""
    red, green, blue = values if values is not None and len(values) == 3 else (0.5, 0.5, 0.5)
    return (red, green, blue) if len({red, green, blue}) > 1 else red


def build(name: str, spec: NetworkSpec, pretrained: bool | Path) -> Backbone:
    """The backbone that timm knows by that name: gray or colour, of any size that the network can take.

    Networks of a fixed size (transformers) are made for `spec.size_px`. VGG's two dense layers of 4096, which want
    224 px, give way to the global average.
    """
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": spec.in_channels}
    with _quiet():
        settings = timm.get_pretrained_cfg(name)
    if settings is not None and settings.fixed_input_size:
        arguments["img_size"] = spec.size_px
    if spec.options.get("drop_path"):
        arguments["drop_path_rate"] = float(spec.options["drop_path"])
    if "patch_size" in spec.options:
        arguments["patch_size"] = int(spec.options["patch_size"])
    model = _create(spec, name, arguments, pretrained)
    if type(model).__name__ == "VGG":
        model.pre_logits = nn.Identity()
    return _TimmBackbone(model, _features_of(model, spec))


def _create(spec: NetworkSpec, name: str, arguments: dict[str, Any], pretrained: bool | Path) -> nn.Module:
    """Create a network of timm; its errors, and those of the libraries that fetch, become ours here."""
    with _quiet():
        try:
            # First without weights, to tell wrong arguments from weights that cannot be fetched.
            # VGG's dense layers, which go in any case, are made narrow: filling them with random numbers takes seconds.
            narrow: dict[str, Any] = {"mlp_ratio": 1 / 4096} if name.startswith("vgg") else {}
            model: nn.Module = timm.create_model(name, **arguments, **narrow)
        except Exception as error:  # assertions, type errors, run-time errors: whatever a network's author chose
            raise UsageError(
                f"timm cannot build '{name}' for {spec.channels} faces of {spec.size_px} px with options "
                f"{dict(spec.options)}: {_first_line(error)}. Try another size_px, or leave the options out"
            ) from error
        if not pretrained:
            return model
        if isinstance(pretrained, Path):
            return _from_file(name, arguments, pretrained)
        try:
            _require_hub(model.pretrained_cfg)
            weighted: nn.Module = timm.create_model(name, pretrained=True, **arguments)
        except Exception as error:
            raise DownloadError(
                f"the pretrained weights of timm's '{name}' cannot be fetched ({_first_line(error)}). Try again with a "
                "network, give a file of them (--pretrained-weights), or train from scratch without pretrained weights"
            ) from error
        return weighted


def _require_hub(settings: Any) -> None:
    """Raise what goes wrong if the Hugging Face hub cannot be reached, and the weights are not here already.

    The hub's own library finds the same out in a minute, since it tries again and again.
    """
    import huggingface_hub

    place = settings.get("hf_hub_id")
    if not place:
        return
    # Most are there in safetensors format, some only as the other.
    names = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
    if any(isinstance(huggingface_hub.try_to_load_from_cache(place, name), str) for name in names):
        return
    huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=_HUB_SECONDS)


def _from_file(name: str, arguments: dict[str, Any], path: Path) -> nn.Module:
    """A network with the weights of a file; a ModelError if they are not its own, all of them."""
    held = _names_in(path, name)
    # Some networks fetch a format of their own, which a safetensors file is not.
    overlay = {"file": os.fspath(path), "custom_load": False}
    try:
        # timm loads what fits, leaves the rest random and is silent about it. What two models share is from the file.
        models: list[nn.Module] = [
            timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments) for _ in range(2)
        ]
    except Exception as error:
        raise ModelError(f"{path}: holds no weights of timm's '{name}' ({_first_line(error)})") from error
    model, other = models[0], dict(models[1].named_parameters())
    lacking = [weight for weight, value in model.named_parameters() if not torch.equal(value, other[weight])]
    if lacking:
        raise ModelError(f"{path}: holds no weights of timm's '{name}', or not all: it lacks {_some(lacking)}")
    settings: Any = model.pretrained_cfg
    classifier = settings.get("classifier") or ()
    ends = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    own = set(model.state_dict())
    # Where timm renames the weights that it loads, they cannot be compared.
    more = sorted(held - own) if own <= held else []
    more = [weight for weight in more if not weight.startswith(ends) and "aux" not in weight.lower()]
    if more:
        raise ModelError(f"{path}: holds another network than timm's '{name}': it also has {_some(more)}")
    return model


def _names_in(path: Path, name: str) -> set[str]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected timm's weights of '{name}' (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            names, metadata = set(file.keys()), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: is no safetensors file ({_first_line(error)}); make one of other weights by "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
        ) from error
    if any(key.startswith("mien.") for key in metadata):
        raise ModelError(f"{path}: is a checkpoint of mien, no weights of timm's '{name}'; give it as --start-from")
    return names


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")


def _features_of(model: nn.Module, spec: NetworkSpec) -> int:
    """How many features the network gives, found by trying; a UsageError if it cannot take such images."""
    model.eval()
    try:
        with torch.no_grad(), _quiet():
            features = model(torch.zeros(2, spec.in_channels, spec.size_px, spec.size_px))
    except Exception as error:
        raise UsageError(
            f"architecture '{spec.architecture}' cannot take faces of {spec.size_px} px: {_first_line(error)}. "
            "Try a larger size_px"
        ) from error
    finally:
        model.train()
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise UsageError(f"architecture '{spec.architecture}' gives no features of shape (N, F): it is no classifier")
    return features.shape[1]


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    if not text:
        return type(error).__name__
    line = text.splitlines()[0]
    if len(line) > _LONGEST_REASON:
        line = line[:_LONGEST_REASON].rpartition(". ")[0] or textwrap.shorten(line, _LONGEST_REASON, placeholder=" ...")
    return line.rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice that timm and the libraries under it give, as warnings and in logs, from our user."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
