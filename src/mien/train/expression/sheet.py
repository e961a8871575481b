"""A picture of what augmentation does to faces, to look at before training for hours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mien.classify.preprocess import whole_batch
from mien.errors import UsageError
from mien.files import write_atomically
from mien.opencv import encode_png
from mien.train.expression.augment import Augmenter
from mien.train.expression.network_spec import make_network_spec
from mien.train.expression.rows import open_rows
from mien.train.options import AugmentOptions, ExpressionRecipe

__all__ = ["augmentation_sheet", "write_augmentation_sheet"]

Image = npt.NDArray[np.uint8]
_MIXING = ("mixup", "cutmix")
_MARGIN_PX, _GAP_PX, _SHOWN_PX = 150, 2, 72
_PAPER, _INK = 245, 40


def augmentation_sheet(images: torch.Tensor, options: AugmentOptions, seed: int = 0) -> Image:
    """Draw faces as they are, under each augmentation alone, and under all together.

    Parameters
    ----------
    images : uint8 tensor of shape (N, C, S, S)
        N faces, a column each.
    options : AugmentOptions
        Those that are switched on get a row; shares are shown on every face.
    seed : int

    Returns
    -------
    uint8 array of shape (H, W, 3)
        BGR.
    """
    full = 1.0
    rows = [("as they are", options.only(), full)]
    for name in options.names():
        value = getattr(options, name)
        if value and not (name in _MIXING and not options.mix_share):
            shown = 1.0 if name in options.SHARES else value
            rows.append((f"{name} {value:g}", options.only(**{name: shown, "mix_share": 1.0}), full))
    rows += [
        (f"{name} {strength:g}", options.only(own_augmentations=(f"{name}={strength}",)), full)
        for name, strength in options.own.items()
    ]
    rows += [("all together", options, full)] * 4
    rows.append((f"at the end ({options.final_strength:g})", options, options.final_strength))
    strips = []
    for number, (name, chosen, strength) in enumerate(rows):
        augmenter = Augmenter(chosen, images.shape[-1], images.shape[1])
        generator = torch.Generator().manual_seed(seed + number)
        strips.append(_strip(name, augmenter(images, (), generator, strength)[0]))
    return np.concatenate(strips)


def write_augmentation_sheet(recipe: ExpressionRecipe, path: Path, count: int = 14) -> Path:
    """Write a PNG file of what a recipe makes of its first training faces.

    Parameters
    ----------
    recipe : ExpressionRecipe
    path : Path
        Ends in ``.png``.
    count : int
        Faces shown.

    Raises
    ------
    UsageError, InputError
        As for training by the recipe; or if the name does not end in ``.png``.
    OutputError
        If the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: expected a name that ends in .png")
    rows, _ = open_rows(recipe.data, recipe.rows_seed)
    spec = make_network_spec(recipe, rows)
    rng = np.random.default_rng(recipe.run.seed)
    chosen = rng.choice(len(rows), min(count, len(rows)), replace=False)
    images = whole_batch(rows.faces.images(chosen, color=spec.channels == "rgb"), spec.input_spec())
    sheet = augmentation_sheet(torch.from_numpy(images), recipe.augment, recipe.run.seed)
    write_atomically(path, encode_png(sheet))
    return path


def _strip(name: str, pictures: torch.Tensor) -> Image:
    """One row of the sheet: its name, and a picture a face."""
    shown_px = max(_SHOWN_PX, pictures.shape[-1])
    label = np.full((shown_px + _GAP_PX, _MARGIN_PX, 3), _PAPER, np.uint8)
    cv2.putText(label, name, (6, shown_px // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (_INK,) * 3, 1, cv2.LINE_AA)
    cells = [label]
    for picture in (pictures * 255.0).round().byte().numpy().transpose(0, 2, 3, 1):
        color = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR if picture.shape[2] == 1 else cv2.COLOR_RGB2BGR)
        large = cv2.resize(color, (shown_px, shown_px), interpolation=cv2.INTER_NEAREST)
        cells.append(
            np.asarray(
                cv2.copyMakeBorder(large, 0, _GAP_PX, 0, _GAP_PX, cv2.BORDER_CONSTANT, value=(_PAPER,) * 3), np.uint8
            )
        )
    return np.concatenate(cells, axis=1)
