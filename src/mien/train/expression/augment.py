"""Augmentation of a batch of faces on its device.

Every image has its own random numbers, drawn at once from a generator, so a resumed run sees the same pictures. All
geometry is one warp, and all loss of sharpness one pair of matrix products. What follows
the draw is a function of tensors alone: nothing waits for the device, no shape depends on what was drawn, and
`torch.compile` makes a few kernels of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from mien.errors import UsageError
from mien.train.expression.mixing import Mix, choose_mix, inside_box, mix_images, mix_targets
from mien.train.expression.resample import apply_matrices, blur_matrices, resolution_bank
from mien.train.expression.warp import warp_between, warped
from mien.train.options import AugmentOptions
from mien.train.own import find_augmentation
from mien.train.task import derived_seed

__all__ = ["Augmenter", "Changes", "Draws", "strength_at"]

# How many uniform random numbers an image needs of each kind: values around 0, coins, values from 0 up, others, and
# those for mixing. Each kind is scaled at once: on a GPU every operation costs its start.
_AROUND, _COINS, _UP, _OTHERS, _MIXING = 10, 4, 3, 9, 4
_CHANGES = _AROUND + _COINS + _UP + _OTHERS
_LEAST_ERASED = 0.1
_ERASED_ASPECT = 0.7
# From RGB to brightness and two axes of colour (YIQ), in which a turn changes the hue alone.
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


class Draws(NamedTuple):
    """The random numbers of a batch of N.

    Attributes
    ----------
    uniform : float tensor of shape (30, N)
        In [0, 1).
    gammas : float tensor of shape (2, 2, N)
        See `choose_mix`; of shape (0,) where nothing is mixed.
    normal : float tensor of shape (N, C, S, S)
        Noise; of shape (0,) without.
    """

    uniform: torch.Tensor
    gammas: torch.Tensor
    normal: torch.Tensor


class Changes(NamedTuple):
    """What happens to each image of a batch of N; what the options switch off is not looked at.

    Attributes
    ----------
    warp : float tensor of shape (N, 2, 3)
        Where each output pixel lies in the input, as `torch.nn.functional.affine_grid` takes it.
    resolution : int64 tensor of shape (N,)
        Row of the bank of resolutions.
    sigma_px : float tensor of shape (N,)
        Blur.
    gain, contrast, gamma : float tensors of shape (N,)
        Factors of brightness and contrast, and the exponent.
    inverted : bool tensor of shape (N,)
    color : float tensor of shape (N, 3, 3)
        Matrix on RGB; with one channel it is not used.
    noise_sigma : float tensor of shape (N,)
    erased_xyxy : float tensor of shape (N, 4)
        In pixels; empty where nothing is erased.
    erased_value : float tensor of shape (N,)
    """

    warp: torch.Tensor
    resolution: torch.Tensor
    sigma_px: torch.Tensor
    gain: torch.Tensor
    contrast: torch.Tensor
    gamma: torch.Tensor
    inverted: torch.Tensor
    color: torch.Tensor
    noise_sigma: torch.Tensor
    erased_xyxy: torch.Tensor
    erased_value: torch.Tensor


def strength_at(progress: float, options: AugmentOptions) -> float:
    """How strong augmentation is when a share `progress` of the training is over.

    Full until the last `final_share` of the training; from there it falls evenly to `final_strength`, so that the
    network ends on faces nearer to those that it will read.
    """
    if options.final_share <= 0.0:
        return 1.0
    over = min(max(0.0, (progress - (1.0 - options.final_share)) / options.final_share), 1.0)
    return 1.0 + (options.final_strength - 1.0) * over


class Augmenter:
    """Changes batches of faces as some options say.

    Parameters
    ----------
    options : AugmentOptions
        Names and strengths.
    size_px : int
        Side of the images.
    channels : int
        1 (gray) or 3 (RGB).
    device : torch.device or str
        Where the images lie.

    Raises
    ------
    UsageError
        If colour is to be changed in gray images.
    """

    def __init__(
        self, options: AugmentOptions, size_px: int, channels: int, device: torch.device | str = "cpu"
    ) -> None:
        if channels == 1 and options.color_jitter:
            raise UsageError(
                f"color_jitter is {options.color_jitter:g}, but the model reads gray faces; leave it at 0, or train "
                "with channels rgb"
            )
        self.options = options
        self.size_px = size_px
        self.channels = channels
        self.device = torch.device(device)
        self.mixes = bool(options.mix_share and (options.mixup or options.cutmix))
        self._smallest_px = min(options.low_resolution_px, size_px)
        # The last row leaves an image as it is. Of 512 px they take half a gigabyte.
        sides_px = tuple(range(self._smallest_px, size_px + 1)) if options.low_resolution else ()
        self._bank = resolution_bank(size_px, sides_px).to(self.device)
        self._alphas = torch.tensor([options.mixup or 1.0, options.cutmix or 1.0], device=self.device)
        widths = (
            math.radians(options.rotation_deg), options.scale, options.aspect, 2.0 * options.shift, 2.0 * options.shift,
            options.brightness, options.contrast, options.gamma, options.color_jitter, math.pi * options.color_jitter,
        )  # fmt: skip
        shares = (options.low_resolution, options.blur, options.erasing, options.invert)
        largest = (options.crop, options.blur_sigma_px, options.noise)
        self._widths, self._shares, self._largest = (
            torch.tensor(values, device=self.device)[:, None] for values in (widths, shares, largest)
        )
        self._yiq = torch.tensor(_YIQ, device=self.device)
        self._rgb = torch.linalg.inv(torch.tensor(_YIQ)).to(self.device)

    def __call__(
        self,
        images: torch.Tensor,
        targets: tuple[torch.Tensor, ...],
        generator: torch.Generator,
        strength: float = 1.0,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Draw, and change a batch: see `own`, `draw` and `changed`."""
        draws = self.draw(len(images), generator)
        images = self.own(images, generator, strength)
        return self.changed(images, targets, draws, torch.full((), strength, device=self.device))

    def own(self, images: torch.Tensor, generator: torch.Generator, strength: float) -> torch.Tensor:
        """Change a batch by the augmentations that were registered, which come before mien's.

        Parameters
        ----------
        images : uint8 tensor of shape (N, C, S, S)
        generator : torch.Generator
            Its seed makes theirs; it is not drawn from.
        strength : float
            Multiplies the strength of each.

        Returns
        -------
        tensor of shape (N, C, S, S)
            The same one where there are none; else float32 in [0, 1].

        Raises
        ------
        UsageError
            If one gives something else than faces of this shape, in floats.
        """
        for name, own in self.options.own.items():
            faces = images.float() / 255.0 if images.dtype == torch.uint8 else images
            seeded = torch.Generator(self.device).manual_seed(derived_seed(generator.initial_seed(), name))
            changed = find_augmentation(name)(faces, own * strength, seeded)
            if not isinstance(changed, torch.Tensor) or changed.shape != faces.shape:
                got = tuple(changed.shape) if isinstance(changed, torch.Tensor) else type(changed).__name__
                raise UsageError(f"augmentation '{name}' gave {got}; expected faces of shape {tuple(faces.shape)}")
            if not changed.is_floating_point():
                raise UsageError(f"augmentation '{name}' gave {changed.dtype}; expected floats in [0, 1]")
            images = changed.float().clamp(0.0, 1.0)
        return images

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The random numbers of a batch of `count` images, from a generator on the device of this augmenter."""
        empty = torch.empty(0, device=self.device)
        gammas, normal = empty, empty
        uniform = torch.rand(_CHANGES + _MIXING, count, generator=generator, device=self.device)
        if self.mixes:
            # torch.distributions cannot draw from a generator.
            alphas = self._alphas[:, None, None].expand(2, 2, count).contiguous()
            gammas = torch._standard_gamma(alphas, generator)
        if self.options.noise:
            shape = (count, self.channels, self.size_px, self.size_px)
            normal = torch.randn(shape, generator=generator, device=self.device)
        return Draws(uniform, gammas, normal)

    def changed(
        self,
        images: torch.Tensor,
        targets: tuple[torch.Tensor, ...],
        draws: Draws,
        strength: torch.Tensor,
        clear: bool = False,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Change a batch as drawn; the same numbers give the same pictures.

        Parameters
        ----------
        images : uint8 tensor of shape (N, C, S, S)
            Or float in [0, 1].
        targets : tuple of float tensors of shape (N, K)
            Mixed as the images are.
        draws : Draws
        strength : float tensor of shape ()
            Multiplies every range and every share, but for that of mirror images: they are as good as faces.
        clear : bool
            Leave out what hides something: low resolution, blur, noise, erasing.

        Returns
        -------
        pictures : float32 tensor of shape (N, C, S, S)
            In [0, 1].
        targets : tuple of float tensors of shape (N, K)
        """
        pictures = self.apply(images, self.changes(draws, strength), draws.normal, clear=clear)
        if not self.mixes:
            return pictures, targets
        mix = self.mix(draws, strength)
        return mix_images(pictures, mix), tuple(mix_targets(target, mix) for target in targets)

    def changes(self, draws: Draws, strength: torch.Tensor) -> Changes:
        """What happens to each image."""
        options, size_px = self.options, self.size_px
        kinds = [_AROUND, _COINS, _UP, _OTHERS]
        around, coins, up, others = torch.split(draws.uniform[:_CHANGES], kinds)
        angle, log_scale, log_aspect, right, down, gain, contrast, log_gamma, log_saturation, turn = (
            (2.0 * around - 1.0) * (self._widths * strength)
        ).unbind()
        lowered, blurred, erased, inverted = (coins < self._shares * strength).unbind()
        cut, sigma_px, noise_sigma = (up * (self._largest * strength)).unbind()
        mirror, corner_x, corner_y, resolution, area, aspect, x, y, value = others.unbind()
        none = draws.uniform.new_empty(0)
        zero = torch.zeros_like(angle)
        warp = warp_between(
            mirrored=mirror < options.mirror,
            angle=angle,
            log_scale=log_scale,
            log_aspect=log_aspect,
            shift=torch.stack([right, down]),
            zoom=1.0 - cut,
            corner=2.0 * torch.stack([corner_x, corner_y]) - 1.0 if options.crop else torch.stack([zero, zero]),
        )
        box_xyxy = none
        if options.low_resolution:
            # One pixel less matters more to a small face: sides are drawn evenly on a logarithmic scale.
            low_px = self._smallest_px
            side = (low_px * torch.exp(resolution * math.log(size_px / low_px))).long().clamp(low_px, size_px)
            resolution = torch.where(lowered, side - low_px, size_px - low_px)
        if options.erasing:
            box_xyxy = self._rectangles(area, aspect, x, y) * erased[:, None]
        return Changes(
            warp=warp,
            resolution=resolution,
            sigma_px=sigma_px * blurred if options.blur else none,
            gain=1.0 + gain,
            contrast=1.0 + contrast,
            gamma=torch.exp(log_gamma),
            inverted=inverted,
            color=self._color(log_saturation, turn) if options.color_jitter else none,
            noise_sigma=noise_sigma,
            erased_xyxy=box_xyxy,
            erased_value=value,
        )

    def mix(self, draws: Draws, strength: torch.Tensor) -> Mix:
        """How each image is mixed with its neighbour."""
        options = self.options
        uniform, share = draws.uniform[_CHANGES:], options.mix_share * strength
        mixup, cutmix = bool(options.mixup), bool(options.cutmix)
        return choose_mix(uniform, draws.gammas, self.size_px, share, mixup=mixup, cutmix=cutmix)

    def apply(
        self, images: torch.Tensor, changes: Changes, normal: torch.Tensor, *, clear: bool = False
    ) -> torch.Tensor:
        """Carry out changes: all but mixing.

        Parameters
        ----------
        images : uint8 tensor of shape (N, C, S, S)
            Or float in [0, 1].
        changes : Changes
        normal : float tensor of shape (N, C, S, S)
            Noise of standard deviation 1; not looked at where the options have no noise.
        clear : bool
            Leave out low resolution, blur, noise and erasing.

        Returns
        -------
        float32 tensor of shape (N, C, S, S)
            In [0, 1].
        """
        options = self.options
        pictures = images.float() / 255.0 if images.dtype == torch.uint8 else images.float()
        if _moves(options):
            pictures = warped(pictures, changes.warp)
        if (options.low_resolution or options.blur) and not clear:
            pictures = self._softened(pictures, changes)
        if options.color_jitter:
            pictures = torch.einsum("nij,njhw->nihw", changes.color, pictures)
        if options.brightness:
            pictures = pictures * _each(changes.gain)
        if options.contrast:
            middle = pictures.mean(dim=(1, 2, 3), keepdim=True)
            pictures = torch.lerp(middle, pictures, _each(changes.contrast))
        pictures = pictures.clamp(0.0, 1.0)
        if options.gamma:
            pictures = pictures.clamp_min(1e-6).pow(_each(changes.gamma))
        if options.invert:
            pictures = torch.where(_each(changes.inverted), 1.0 - pictures, pictures)
        if options.noise and not clear:
            pictures = (pictures + normal * _each(changes.noise_sigma)).clamp(0.0, 1.0)
        if options.erasing and not clear:
            inside = inside_box(changes.erased_xyxy, self.size_px)
            pictures = torch.lerp(pictures, _each(changes.erased_value).expand_as(pictures), inside)
        return pictures

    def _softened(self, pictures: torch.Tensor, changes: Changes) -> torch.Tensor:
        """Blurred, then seen with few pixels."""
        matrices = self._bank[changes.resolution] if self.options.low_resolution else None
        if self.options.blur:
            blur = blur_matrices(changes.sigma_px, self.size_px)
            matrices = blur if matrices is None else matrices @ blur
        assert matrices is not None  # noqa: S101 - one of the two was asked for
        return apply_matrices(pictures, matrices).clamp(0.0, 1.0)

    def _color(self, log_saturation: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Matrices on RGB that multiply the saturation and turn the hue."""
        size = torch.exp(log_saturation)
        cosine, sine = size * torch.cos(turn), size * torch.sin(turn)
        zero, one = torch.zeros_like(turn), torch.ones_like(turn)
        rows = [one, zero, zero, zero, cosine, -sine, zero, sine, cosine]
        turned: torch.Tensor = self._rgb @ torch.stack(rows, dim=1).view(-1, 3, 3) @ self._yiq
        return turned

    def _rectangles(self, area: torch.Tensor, aspect: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Rectangles inside the image, from a tenth of the largest area up; float of shape (N, 4), whole pixels."""
        size_px, largest = self.size_px, self.options.erasing_area
        side = size_px * torch.sqrt(largest * (_LEAST_ERASED + (1.0 - _LEAST_ERASED) * area))
        stretch = torch.exp((2.0 * aspect - 1.0) * (0.5 * _ERASED_ASPECT))
        width, height = (side * stretch).clamp(max=size_px), (side / stretch).clamp(max=size_px)
        left, top = x * (size_px - width), y * (size_px - height)
        return torch.stack([left, top, left + width, top + height], dim=1).round()


def _each(values: torch.Tensor) -> torch.Tensor:
    """One value an image, against its pixels."""
    return values[:, None, None, None]


def _moves(options: AugmentOptions) -> bool:
    return bool(
        options.mirror or options.rotation_deg or options.scale or options.aspect or options.shift or options.crop
    )
