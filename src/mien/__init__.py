"""Read facial expressions from photos, video and live cameras."""

__version__ = "0.1.0"
