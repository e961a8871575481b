"""The command line in this process: the same entry point, without the time that a new interpreter takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mien.cli import main


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A function that runs ``mien ARGUMENTS``, in a folder and with variables of the environment if they are given."""

    def run(*arguments: object, cwd: Path | None = None, **environment: str) -> Done:
        capsys.readouterr()
        code = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["mien", *map(str, arguments)])
            for name, value in {"COLUMNS": "100", **environment}.items():
                patch.setenv(name, value)
            if cwd is not None:
                patch.chdir(cwd)
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run
