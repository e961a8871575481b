"""The command line: one file a command, under the command's name."""

from mien.cli.app import main

__all__ = ["main"]
