"""Threads beside the main one: how Ctrl-C reaches who waits for them, and how they end with Python.

A call of OpenCV, FFmpeg or ONNX Runtime hears nothing until it returns: no signal, and not that Python ends. Before its
version 3.14 Python cuts off a daemon thread that returns from C by then, and a thread that is cut off within C++ aborts
the process ("terminate called without an active exception").
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Worker", "answer_of", "any_left", "within_c"]

T = TypeVar("T")

# Whoever leaves does not wait for longer: a frame takes less, and a stream that hangs takes seconds.
_LEAVE_S = 0.5
# An end of Python waits for longer than FFmpeg opens a stream, and then waits for its first frame.
_END_S = 20.0
# Windows hears of Ctrl-C only between two waits.
_HEARD_S = 0.2

_workers: set[Worker] = set()
"""Those that run."""


class Worker(threading.Thread):
    """A daemon thread for calls that may take long, which ends before Python does.

    Parameters
    ----------
    work : callable
        What it runs.
    stop : callable
        Tells `work` to end after the call that it is in; from any thread, and more than once.
    name : str
        Of the thread.
    """

    def __init__(self, work: Callable[[], object], stop: Callable[[], object], name: str) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._tell = stop

    def start(self) -> None:
        """Begin."""
        _workers.add(self)
        super().start()

    def run(self) -> None:
        """What `start` begins."""
        try:
            super().run()
        finally:
            _workers.discard(self)

    def leave(self) -> None:
        """Tell it to stop, and wait for it, but not for a call that hangs: it then ends when that returns."""
        self._tell()
        self.join(_LEAVE_S)

    def end(self, seconds: float) -> None:
        """Tell it to stop, and wait for it."""
        self._tell()
        self.join(seconds)


class _Call(Generic[T]):
    """A call in a thread of its own, of which nobody may want the answer any more."""

    def __init__(self, function: Callable[[], T], discard: Callable[[T], object]) -> None:
        self._function = function
        self._discard = discard
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._unwanted = False
        self._answers: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """The thread."""
        try:
            answer = self._function()
        except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
            self._error = error
        else:
            with self._lock:
                self._answers.append(answer)
            if self._unwanted:
                self.forget()
        finally:
            self._done.set()

    def forget(self) -> None:
        """Nobody wants the answer, whether it has come or will."""
        with self._lock:
            self._unwanted = True
            unwanted, self._answers = self._answers, []
        for answer in unwanted:
            self._discard(answer)

    def wait(self) -> T:
        """The answer."""
        while not self._done.wait(_HEARD_S):
            pass
        if self._error is not None:
            raise self._error
        return self._answers.pop()


def answer_of(function: Callable[[], T], discard: Callable[[T], object], name: str) -> T:
    """Call a function that may take long in a thread of its own: who waits for it here hears Ctrl-C at once.

    Parameters
    ----------
    function : callable
        It goes on after an interruption: nothing can call it off.
    discard : callable
        Takes the answer that comes, or has just come, when nobody waits for it any more.
    name : str
        Of the thread.
    """
    call = _Call(function, discard)
    try:
        Worker(call.run, lambda: None, name).start()
        return call.wait()
    except BaseException:
        call.forget()
        raise


def any_left() -> bool:
    """Whether a worker still runs: all have been told to stop where a command ends."""
    return any(worker.is_alive() for worker in list(_workers))


class _Gate:
    """Lets threads in until Python ends; then those inside are waited for, and no other one gets in."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[threading.Thread] = []
        self._closed = False

    def enter(self) -> None:
        with self._changed:
            # The thread that ends Python may go on: it calls what the program wants at its end. Others wait for ever.
            while self._closed and threading.current_thread() is not threading.main_thread():
                self._changed.wait()
            self._inside.append(threading.current_thread())

    def leave(self) -> None:
        with self._changed, contextlib.suppress(ValueError):  # a child that was forked in here begins with none inside
            self._inside.remove(threading.current_thread())
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        with self._changed:
            self._closed = True
            # Not for the main thread, which an interruption may have left inside.
            self._changed.wait_for(lambda: set(self._inside) <= {threading.main_thread()}, seconds)


_gate = _Gate()
if hasattr(os, "register_at_fork"):  # a child has one thread alone
    os.register_at_fork(after_in_child=_gate.__init__)  # type: ignore[misc]


@contextlib.contextmanager
def within_c() -> Iterator[None]:
    """Around what a program's own daemon thread may be in, within C++, while Python ends: it waits for that to end."""
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


@atexit.register
def _end_all() -> None:
    end_s = time.monotonic() + _END_S
    workers = [worker for worker in list(_workers) if worker.is_alive()]
    for worker in workers:
        worker.end(0.0)
    for worker in workers:
        worker.end(max(0.0, end_s - time.monotonic()))
    _gate.close(max(0.0, end_s - time.monotonic()))
