"""Colours that can be told apart: by everybody, on every background, and between classes of one's own."""

import itertools
import re

import numpy as np
import pytest

from mien.labels import EXPRESSIONS
from mien.sink.palette import color_rgb, terminal_style

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(rgb):
    share = np.asarray(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light):
    value = XYZ @ np.clip(light, 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(value > 0.008856, np.cbrt(value), 7.787 * value + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_expressions_differ_in_every_eye(eyes):
    seen = {label: lab(np.asarray(SEEN_BY[eyes]) @ linear(color_rgb(label))) for label in EXPRESSIONS}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


def test_classes_of_ones_own_have_each_a_colour():
    labels = ("engaged", "bored", "confused", "frustrated", "drowsy", "attentive", "happy", "negative")
    colors = {label: color_rgb(label, labels) for label in labels}
    assert len(set(colors.values())) == len(labels)
    assert {label: color_rgb(label, reversed(labels)) for label in labels} == colors
    assert colors["happy"] == color_rgb("happy")
    many = [f"class {number}" for number in range(40)]
    assert len({color_rgb(label, many) for label in many}) >= 10


@pytest.mark.parametrize("label", [*EXPRESSIONS, "engaged", "bored"])
def test_words_on_the_terminal_read_on_black_and_on_white(label):
    rgb = [int(number) for number in re.findall(r"\d+", terminal_style(label))]
    luminance = XYZ[1] @ linear(rgb)
    assert (luminance + 0.05) / 0.05 >= 3
    assert 1.05 / (luminance + 0.05) >= 3
