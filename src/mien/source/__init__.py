"""Where images come from: files, folders, patterns, bytes, arrays, videos, cameras; all as a `Frame`."""

from mien.source.expand import SourceFile, expand_inputs
from mien.source.frame import Frame
from mien.source.frame_source import FrameSource
from mien.source.image import ImageLike, load_image, own_image
from mien.source.name import is_video
from mien.source.video import VideoInfo, VideoSource

__all__ = [
    "Frame",
    "FrameSource",
    "ImageLike",
    "SourceFile",
    "VideoInfo",
    "VideoSource",
    "expand_inputs",
    "is_video",
    "load_image",
    "own_image",
]
