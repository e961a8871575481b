"""Videos made from the free photo: moved, scaled, turned, blended over a background, two at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

HEAD_XYXY = (110, 0, 340, 230)
"""The astronaut's head in examples/astronaut.jpg."""


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


LIVE_CLIP = _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"mdat", b"") + _box(
    b"moov",
    _box(b"meta", _box(b"keys", b"\0\0\0\0\0\0\0\1" + _box(b"mdta", b"com.apple.quicktime.content.identifier"))),
)  # fmt: skip
"""Of the clip of a Live Photo what tells it from others, in the place in which iPhones write it; and no picture."""


def head_of(astronaut_bgr: np.ndarray) -> np.ndarray:
    left, top, right, bottom = HEAD_XYXY
    return np.ascontiguousarray(astronaut_bgr[top:bottom, left:right])


def another(head: np.ndarray) -> np.ndarray:
    """Another person, as far as one photo goes: mirrored, with dark hair and other light."""
    flipped = cv2.cvtColor(head[:, ::-1], cv2.COLOR_BGR2LAB).astype(np.float32)
    row = np.linspace(0, 1, len(head), dtype=np.float32)[:, None]
    flipped[..., 0] = np.clip(flipped[..., 0] * (0.35 + 0.65 * np.clip(2.2 * row - 0.3, 0, 1)), 0, 255)
    flipped[..., 1:] = 128 + 0.3 * (flipped[..., 1:] - 128)
    return cv2.cvtColor(flipped.astype(np.uint8), cv2.COLOR_LAB2BGR)


def background(size_wh: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(90, 170, (5, 8, 3), np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)


def paste(
    canvas: np.ndarray, head: np.ndarray, centre_xy: Sequence[float], size_px: float, angle_deg: float = 0.0
) -> None:
    """Blend a head into a picture, in place, with a soft oval border."""
    side = len(head)
    scale = size_px / side
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle_deg, scale)
    turn[:, 2] += np.array(centre_xy) - side / 2
    size_wh = (canvas.shape[1], canvas.shape[0])
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(mask, (side // 2, side // 2), (int(side * 0.42), int(side * 0.47)), 0, 0, 360, 1.0, cv2.FILLED)
    mask = cv2.GaussianBlur(mask, (0, 0), side * 0.03)
    # Not smaller than half in one step: area averages keep a small face sharp.
    turned = cv2.warpAffine(
        cv2.GaussianBlur(head, (0, 0), max(0.01, 0.35 / scale)) if scale < 0.7 else head, turn, size_wh
    )
    share = cv2.warpAffine(mask, turn, size_wh)[..., None]
    canvas[:] = (canvas * (1 - share) + turned * share + 0.5).astype(np.uint8)


def write_clip(
    path: Path, pictures: Iterable[np.ndarray], *, rate: float = 30.0, times_s: Sequence[float] | None = None,
    codec: str = "libx264", sound: str = "", pixel_shape: Fraction | None = None,
) -> Path:  # fmt: skip
    """Encode a video; `times_s` makes its frame rate variable, `sound` adds a tone in that codec.

    Its pixels are shown `pixel_shape` times as wide as high.
    """
    with av.open(str(path), "w") as container:
        stream = None
        tone = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        count = 0
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.sample_aspect_ratio = pixel_shape or Fraction(1)
                if codec == "libx264":
                    stream.options = {"preset": "ultrafast", "crf": "18"}
                if times_s is not None:
                    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
            count = number + 1
        container.mux(stream.encode())
        if tone is not None:
            add_tone(container, tone, times_s[-1] if times_s is not None else count / rate)
    return path


def stand_still(path: Path, target: Path, rate: float, seconds: float) -> Path:
    """A copy of a video whose last frame is shown for so long."""
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        for number, packet in enumerate(packets, 1):
            packet.duration = round((1 / rate if number < len(packets) else seconds) / packet.time_base)
            packet.stream = stream
            container.mux(packet)
    return target


def add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=48000)
    for start in range(0, int(48000 * seconds), 1024):
        wave = (0.3 * np.sin(np.arange(start, start + 1024) * 0.06)).astype(np.float32)[None]
        part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        part.sample_rate, part.pts = 48000, start
        for piece in resampler.resample(part):
            container.mux(stream.encode(piece))
    container.mux(stream.encode())


def plain(count: int, size_wh: tuple[int, int] = (160, 120)) -> list[np.ndarray]:
    """Pictures without a face, each of its own gray."""
    return [np.full((size_wh[1], size_wh[0], 3), 20 + 200 * n // max(count, 1), np.uint8) for n in range(count)]


def moving(
    head: np.ndarray, count: int, place: Callable[[float], tuple[float, float]], size_wh: tuple[int, int] = (640, 360),
    size_px: float = 180.0,
) -> Iterable[np.ndarray]:  # fmt: skip
    """One head that moves: `place` takes the share of the video that has passed."""
    behind = background(size_wh)
    for number in range(count):
        picture = behind.copy()
        paste(picture, head, place(number / count), size_px)
        yield picture


_EYES = ((94.0, 102.2), (136.4, 105.1))
_MOUTH = (112, 147)


def frowning(head: np.ndarray, brow_px: float) -> np.ndarray:
    """The smiling head with a frown: a drawn mouth, and brows that come down by so many pixels.

    The shipped model reads it as happy with 0 px, and as angry with 9 and more.
    """
    x, y = _MOUTH
    mouth = np.zeros(head.shape[:2], np.uint8)
    cv2.ellipse(mouth, (x, y), (25, 13), 0, 0, 360, 255, cv2.FILLED)
    face = cv2.inpaint(head, mouth, 5, cv2.INPAINT_TELEA)
    cv2.ellipse(face, (x, y + 9), (16, 9), 0, 200, 340, (60, 60, 120), 3)
    face = cv2.GaussianBlur(face, (0, 0), 0.8)
    down, across = np.mgrid[: head.shape[0], : head.shape[1]].astype(np.float32)
    shift = np.zeros_like(down)
    for eye_x, eye_y in _EYES:
        shift += brow_px * np.exp(-(((across - eye_x) / 13) ** 2 + ((down - eye_y + 13) / 9) ** 2))
    return cv2.remap(face, across, down - shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def noisy(picture: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """The picture with noise of the sensor, and light that flickers a little."""
    light = rng.uniform(0.93, 1.07)
    return np.clip(picture * light + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)
