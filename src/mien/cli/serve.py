"""`mien serve`: the page with the live camera, REST and WebSocket."""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys

from mien.cli.flags import with_options
from mien.cli.terminal import say
from mien.errors import MissingExtraError
from mien.serve.options import ServeOptions

__all__ = ["serve"]


@with_options(ServeOptions)
def serve(*, options: ServeOptions) -> None:
    """Start the service and open its page: live camera, photos, REST and WebSocket.

    Only this computer can reach it, unless --host says otherwise; nothing is stored. Exit status: 0 stopped by Ctrl-C
    or SIGTERM, 2 it could not start.
    """
    try:
        from mien.serve.server import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "mien":
            raise
        raise MissingExtraError("mien serve", error.name or "fastapi", "serve") from error

    token = options.token or os.environ.get("MIEN_TOKEN") or None
    made = token == "auto"  # noqa: S105
    options = dataclasses.replace(options, token=secrets.token_urlsafe(24) if made else token)
    if not options.on_loopback and options.token is None:
        say(
            f"warning: {options.host} can be reached from other computers and there is no token: whoever reaches it "
            "may use it. Add --token auto, or leave --host out"
        )
    # What is no terminal is a log, where a token that is known already has no business.
    run(options, say, show_token=made or sys.stderr.isatty())
