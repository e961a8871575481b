"""Changes of light and sharpness; places stay as they are."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["change_light", "degrade"]

GrayImage = npt.NDArray[np.uint8]


def change_light(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    """Brightness, contrast and gamma by one table of 256 values."""
    if strength <= 0:
        return image
    levels = np.arange(256, dtype=np.float32) / 255
    levels **= math.exp(rng.normal(0, 0.3 * strength))
    contrast = math.exp(rng.normal(0, 0.2 * strength))
    levels = (levels - 0.5) * contrast + 0.5 + rng.normal(0, 0.1 * strength)
    table = np.clip(levels * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)


def degrade(image: GrayImage, noise: float, blur: float, rng: np.random.Generator) -> GrayImage:
    """With these probabilities: noise; a blur, or scaling down and up again; seldom coarse JPEG."""
    if rng.random() < blur:
        if rng.random() < 0.5:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.8)), np.uint8)
        else:
            height, width = image.shape
            scale = rng.uniform(0.4, 0.8)
            small = cv2.resize(image, (max(1, int(width * scale)), max(1, int(height * scale))),
                               interpolation=cv2.INTER_AREA)  # fmt: skip
            image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < noise:
        values = image + rng.standard_normal(image.shape, np.float32) * rng.uniform(2, 14)
        image = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < noise / 2:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 75))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return image
