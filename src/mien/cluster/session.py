"""Ray for the time of a batch: a cluster, or this machine, on which as little as needed is started for it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from mien.errors import UsageError
from mien.parallel import usable_cores

__all__ = ["RaySession"]

_OBJECT_STORE_BYTES = 80 << 20
_CONNECT_TIMEOUT_S = 10.0
_REGISTER_TIMEOUT_S = 20.0
_REGISTER_PAUSE_S = 0.02
_LONGEST_TEMPORARY_BYTES = 103 - 84
_COMMON: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


class RaySession(contextlib.AbstractContextManager["RaySession"]):
    """A connection to Ray, which ends with the block that opened it; what was started on this machine ends too.

    Parameters
    ----------
    address : str or None
        Of a cluster; None starts Ray on this machine, where it listens on the loopback only.
    cores : int or None
        Cores that it may use on this machine; None for all.
    """

    def __init__(self, address: str | None, cores: int | None = None) -> None:
        self.address = address or os.environ.get("RAY_ADDRESS") or None
        self._cores = cores
        self._stdout = sys.stdout
        self._folder: str | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._begun = False
        self._home_before: str | None = None

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._up.wait()
        if self._begun and "ray" in sys.modules:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                sys.modules["ray"].shutdown()  # says then what it had held back
        sys.stdout = self._stdout
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._home_before:
            os.environ["HOME"] = self._home_before
        elif self._home_before is not None:
            os.environ.pop("HOME", None)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start Ray on this machine, beside what the caller goes on with; nothing where a cluster is to be used.

        Raises
        ------
        UsageError
            If this process uses Ray already.
        """
        if self.address is not None or self._thread is not None:
            return
        self._begin()
        # Linux ends Ray's processes when the thread ends that started them: it lives as long as they are wanted.
        self._thread = threading.Thread(target=self._run, name="mien-ray", daemon=True)
        self._thread.start()

    def connect(self) -> Any:
        """The module `ray`, connected.

        Raises
        ------
        UsageError
            If no cluster answers at the address, or this process uses Ray already.
        """
        if self.address is None:
            self.start()
            self._up.wait()
            if self._error is not None:
                raise self._error
        else:
            self._begin()
            self._connect_to(self.address)
        import ray

        sys.stdout = cast("Any", _WithoutRay(self._stdout))
        return ray

    def _begin(self) -> None:
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            raise UsageError("this process is connected to Ray already; call ray.shutdown() before a batch")
        self._begun = True

    def _connect_to(self, address: str) -> None:
        ray = _load_ray()
        try:
            _check_address(address)
            with _silence():
                ray.init(address, **_COMMON)
        except (ConnectionError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"no Ray cluster answers at '{address}' ({error}); is it started, and its address right?"
            ) from error

    def _run(self) -> None:
        try:
            self._init()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        self._up.set()
        self._over.wait()

    def _init(self) -> None:
        # Ray makes its workers give way to all other programs; then a busy machine would hardly read at all.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Without it Ray listens on all interfaces of the machine, and not only on the loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        ray = _load_ray()
        self._folder = _short_folder()
        # Ray lets everybody on this machine read the token that it makes there, and write into its own folder: both lie
        # in folders that are ours alone.
        self._open_home(self._folder)
        settings: dict[str, Any] = {
            **_COMMON,
            "num_cpus": self._cores or usable_cores(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": os.path.join(self._folder, "r"),  # noqa: PTH118 - short, as the names of sockets must be
        }
        with _silence():
            try:
                with _few_processes():
                    ray.init("local", **settings)
            except Exception:  # noqa: BLE001 - its inner parts may have changed: with all processes then
                ray.shutdown()
                ray.init("local", **settings)

    def _open_home(self, folder: str) -> None:
        """Make the folder that Ray needs in the user's home; `folder` becomes that home where it cannot be made.

        As in a container that runs with any number for a user, or cannot write: Ray would not start.
        """
        try:
            place = Path.home() / ".ray"
            place.mkdir(mode=0o700, exist_ok=True)
            if os.access(place, os.W_OK):
                return
        except (OSError, RuntimeError):  # the second where there is no home
            pass
        self._home_before = os.environ.get("HOME", "")
        os.environ["HOME"] = folder
        (Path(folder) / ".ray").mkdir(mode=0o700, exist_ok=True)


def _load_ray() -> Any:
    """The module `ray`, which is told to report nothing and to log nothing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    return ray


def _short_folder() -> str:
    """A new folder for Ray, whose sockets lie in it: their names have at most 103 bytes on macOS, 107 on Linux.

    84 of them Ray and we take. The folder for temporary files that macOS gives each user is too long for the rest.
    """
    folder, general = tempfile.gettempdir(), "/tmp"  # noqa: S108 - what is made there is ours alone
    long = sys.platform != "win32" and len(os.fsencode(folder)) > _LONGEST_TEMPORARY_BYTES and Path(general).is_dir()
    return tempfile.mkdtemp(prefix="mien-ray-", dir=general if long else folder)


@contextlib.contextmanager
def _few_processes() -> Iterator[None]:
    """Have `ray.init` start only what runs tasks on one machine.

    Of the processes that a head node of Ray has, the dashboard's server, the autoscaler's monitor and the log monitor
    serve nobody here, but take seconds to start and to stop, and time of the processor all along. `ray.init` has no
    setting for that (``ray start`` has some).
    """
    import ray._private.node

    inner: Any = ray._private.node
    original: Any = inner.Node

    class FewProcesses(original):  # type: ignore[misc]
        def __init__(self, ray_params: Any, *rest: Any, **named: Any) -> None:
            ray_params.no_monitor = True
            ray_params.include_log_monitor = False
            super().__init__(ray_params, *rest, **named)

        def start_api_server(self, **_: Any) -> None:
            self._webui_url = None

        def start_ray_processes(self) -> None:
            super().start_ray_processes()
            # Ray looks once a second whether its daemon is there; it is there in less.
            end_s = time.monotonic() + _REGISTER_TIMEOUT_S
            client = self.get_gcs_client()
            while not client.get_all_node_info() and time.monotonic() < end_s:
                time.sleep(_REGISTER_PAUSE_S)

    inner.Node = FewProcesses
    try:
        yield
    finally:
        inner.Node = original


def _check_address(address: str) -> None:
    """Say at once that nobody listens there: Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" and the like
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error


class _WithoutRay:
    """Standard output without what a thread of Ray says there of each worker that died and was started again."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return int(self._stream.write(text))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep remarks of Ray's C++ part off stderr; what goes wrong comes as an exception."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
