from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import UsageError
from mien.train.expression.augment import Augmenter, Draws, strength_at
from mien.train.options import AugmentOptions
from tests.sets import smooth_faces

STRONG = {
    "mirror": 0.5, "rotation_deg": 90.0, "scale": 0.7, "aspect": 0.5, "shift": 0.4, "crop": 0.6, "brightness": 0.9,
    "contrast": 0.9, "gamma": 1.0, "invert": 0.5, "blur": 0.5, "low_resolution": 0.5, "noise": 0.3, "erasing": 0.5,
    "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip
SIDE = 24


def faces(count: int = 8, channels: int = 1) -> torch.Tensor:
    planes = smooth_faces(count * channels, seed=1, side_px=SIDE)
    return torch.from_numpy(planes.reshape(count, channels, SIDE, SIDE))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(channels: int = 1, **options: Any) -> Augmenter:
    return Augmenter(AugmentOptions().only(**options), SIDE, channels)


def pictures(augmenter: Augmenter, images: torch.Tensor, seed: int = 0, strength: float = 1.0) -> torch.Tensor:
    return augmenter(images, (), generator(seed), strength)[0]


def test_without_strength_nothing_changes() -> None:
    images = faces()
    target = torch.eye(8)
    for augmenter, strength in ((only(), 1.0), (only(**{**STRONG, "mirror": 0.0}), 0.0)):
        out, (mixed,) = augmenter(images, (target,), generator(), strength)
        np.testing.assert_allclose(out.numpy(), images.numpy() / np.float32(255), atol=2e-5)
        np.testing.assert_array_equal(mixed.numpy(), target.numpy())


@pytest.mark.parametrize("name", AugmentOptions.names())
def test_every_option_changes_pictures_and_keeps_their_range(name: str) -> None:
    channels = 3 if name == "color_jitter" else 1
    images = faces(32, channels)
    out = pictures(only(channels, **{name: {**STRONG, "color_jitter": 0.5}[name]}), images)
    assert out.dtype == torch.float32
    assert out.shape == images.shape
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
    assert float((out - images / 255).abs().amax(dim=(1, 2, 3)).max()) > 0.05


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_everything_at_once_stays_in_range_and_repeats(seed: int, strength: float) -> None:
    images, target = faces(), torch.eye(8)
    augmenter = only(**STRONG)
    first, (mixed,) = augmenter(images, (target,), generator(seed), strength)
    again, (mixed_again,) = augmenter(images, (target,), generator(seed), strength)
    assert torch.equal(first, again)
    assert torch.equal(mixed, mixed_again)
    assert bool(torch.isfinite(first).all())
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0
    np.testing.assert_allclose(mixed.sum(dim=1).numpy(), 1.0, atol=1e-5)


def test_another_seed_gives_other_pictures() -> None:
    augmenter, images = Augmenter(AugmentOptions(), SIDE, 1), faces()
    assert not torch.equal(pictures(augmenter, images, 0), pictures(augmenter, images, 1))


def test_images_do_not_touch_each_other() -> None:
    augmenter, images = only(**{**STRONG, "mixup": 0.0, "cutmix": 0.0}), faces()
    other = images.clone()
    other[3] = 255 - other[3]
    before, after = pictures(augmenter, images), pictures(augmenter, other)
    rest = [0, 1, 2, 4, 5, 6, 7]
    assert torch.equal(before[rest], after[rest])
    assert not torch.equal(before[3], after[3])


def test_each_image_has_its_own_draw() -> None:
    images = faces(1).expand(16, -1, -1, -1)
    out = pictures(only(rotation_deg=20.0, brightness=0.3), images)
    assert len({image.numpy().tobytes() for image in out}) == 16


def test_mirroring_twice_gives_the_face_back() -> None:
    images = faces()
    once = pictures(only(mirror=1.0), images)
    np.testing.assert_allclose(once.numpy(), images.flip(-1).numpy() / np.float32(255), atol=1e-5)
    np.testing.assert_allclose(pictures(only(mirror=1.0), once).numpy(), images.numpy() / np.float32(255), atol=2e-5)


def test_half_of_the_faces_are_mirrored_at_any_strength() -> None:
    images = faces(1).expand(400, -1, -1, -1)
    for strength in (1.0, 0.5):
        out = pictures(only(mirror=0.5), images, strength=strength)
        share = ((out - images.flip(-1) / 255).abs().amax(dim=(1, 2, 3)) < 1e-4).float().mean()
        assert 0.4 < float(share) < 0.6


def test_strength_scales_ranges_and_shares() -> None:
    images = torch.full((600, 1, SIDE, SIDE), 100, dtype=torch.uint8)
    full, half = (pictures(only(brightness=0.4), images, strength=strength) for strength in (1.0, 0.5))
    np.testing.assert_allclose((half - 100 / 255).numpy(), 0.5 * (full - 100 / 255).numpy(), atol=1e-6)
    assert float((full - 100 / 255).abs().max()) <= 0.4 * 100 / 255 + 1e-6
    inverted = [(pictures(only(invert=0.8), images, strength=s) > 0.5).float().mean() for s in (1.0, 0.5)]
    assert 0.75 < float(inverted[0]) < 0.85
    assert 0.35 < float(inverted[1]) < 0.45


def test_the_warp_turns_as_opencv_does() -> None:
    image = smooth_faces(1, side_px=SIDE)[0]
    augmenter = only(rotation_deg=90.0)
    draws = augmenter.draw(1, generator())
    turned = augmenter.changed(torch.from_numpy(image)[None, None], (), draws, torch.ones(()))[0][0, 0].numpy()
    angle = 90.0 * (2.0 * float(draws.uniform[0, 0]) - 1.0)
    middle = (SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    wanted = cv2.warpAffine(
        image.astype(np.float32) / 255, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    np.testing.assert_allclose(turned[6:-6, 6:-6], wanted[6:-6, 6:-6], atol=0.03)


def test_a_crop_never_shows_the_border() -> None:
    images = torch.zeros(64, 1, SIDE, SIDE)
    # A ramp from 0.25 to 0.75: beyond the border it would turn back.
    images += torch.linspace(0.25, 0.75, SIDE)
    out = pictures(only(crop=0.5), images)
    steps = out.diff(dim=-1)[..., 1:-1]
    assert float(steps.min()) > 0.2 * 0.5 / (SIDE - 1)
    assert float(steps.max()) < 1.1 * 0.5 / (SIDE - 1)


def test_low_resolution_shows_what_a_small_face_shows() -> None:
    images = faces(64)
    augmenter = only(low_resolution=1.0, low_resolution_px=6)
    draws = augmenter.draw(64, generator())
    sides = augmenter.changes(draws, torch.ones(())).resolution + 6
    assert 6 <= int(sides.min()) < 8
    assert 20 < int(sides.max()) <= SIDE
    out = augmenter.changed(images, (), draws, torch.ones(()))[0]
    for image, side, got in zip(images, sides.tolist(), out, strict=True):
        small = cv2.resize(image[0].numpy(), (side, side), interpolation=cv2.INTER_AREA)
        wanted = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(255 * got[0].numpy(), wanted, atol=2.0)


def test_what_is_off_takes_no_memory() -> None:
    # Matrices for all sizes up to 512 px would be half a gigabyte.
    assert Augmenter(AugmentOptions(), 512, 1)._bank.numel() == 0


def test_one_rectangle_is_erased_in_about_half_of_the_faces() -> None:
    images = faces(1).expand(400, -1, -1, -1)
    out = pictures(only(erasing=0.5, erasing_area=0.2), images)
    areas = ((out - images / 255).abs() > 1e-6).float().mean(dim=(1, 2, 3))
    assert 0.4 < float((areas > 0).float().mean()) < 0.6
    assert 0.15 < float(areas.max()) < 0.26
    for picture, image in zip(out[:50], images[:50], strict=True):
        changed = (picture - image / 255).abs()[0] > 1e-6
        if changed.any():
            assert len(picture[0][changed].unique()) == 1


def test_a_clear_picture_is_moved_and_lit_alike_but_hides_nothing() -> None:
    hiding = {"blur": 1.0, "low_resolution": 1.0, "noise": 0.3, "erasing": 1.0}
    kept = {"rotation_deg": 20.0, "shift": 0.2, "brightness": 0.5, "mixup": 0.4}
    images, draws = faces(16), only(**kept, **hiding).draw(16, generator())
    strength = torch.ones(())
    clear, _ = only(**kept, **hiding).changed(images, (), draws, strength, clear=True)
    hidden, _ = only(**kept, **hiding).changed(images, (), draws, strength)
    expected, _ = only(**kept).changed(images, (), draws, strength)
    np.testing.assert_allclose(clear.numpy(), expected.numpy(), atol=2e-5)
    assert float((hidden - clear).abs().mean()) > 0.02


def test_gray_stays_gray_under_colour_jitter() -> None:
    images = faces(16).expand(-1, 3, -1, -1)
    out = pictures(only(3, color_jitter=0.8), images)
    np.testing.assert_allclose(out.numpy(), images.numpy() / np.float32(255), atol=5e-3)


def test_colour_cannot_be_changed_in_gray_faces() -> None:
    with pytest.raises(UsageError, match="color_jitter is 0.2"):
        only(color_jitter=0.2)


def test_the_last_part_is_weaker() -> None:
    options = AugmentOptions(final_share=0.2, final_strength=0.5)
    assert [strength_at(progress, options) for progress in (0.0, 0.8, 1.0)] == pytest.approx([1.0, 1.0, 0.5])
    assert strength_at(0.9, options) == pytest.approx(0.75)
    assert strength_at(1.0, AugmentOptions(final_share=0.0)) == 1.0


def test_it_is_one_graph_for_the_compiler() -> None:
    augmenter, images = only(**STRONG), faces()
    target = torch.eye(8)
    compiled = torch.compile(augmenter.changed, fullgraph=True, dynamic=False, backend="eager")
    for seed, strength in ((0, 1.0), (1, 0.5)):
        draws: Draws = augmenter.draw(8, generator(seed))
        with torch.compiler.set_stance("fail_on_recompile" if seed else "default"):
            got = compiled(images, (target,), draws, torch.tensor(strength))
        wanted = augmenter.changed(images, (target,), draws, torch.tensor(strength))
        np.testing.assert_allclose(got[0].numpy(), wanted[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(got[1][0].numpy(), wanted[1][0].numpy(), atol=1e-6)


def test_rotation_is_in_degrees() -> None:
    augmenter = only(rotation_deg=15.0)
    warp = augmenter.changes(augmenter.draw(1000, generator()), torch.ones(())).warp
    angles = torch.atan2(warp[:, 1, 0], warp[:, 0, 0]) * 180 / math.pi
    assert 14.5 < float(angles.max()) <= 15.0
    assert -15.0 <= float(angles.min()) < -14.5
