"""Other processes of this machine that do a share of a piece of work."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from geoseg.errors import ClusterError, GeosegError

Say = Callable[[Any], None]
"""Tells the process that leads something, which is not None."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM: processes begin here, and one that is left half begun would complain."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        caught.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)
        # Also where the block failed: of the signal, most likely, which all the processes of a group have got.
        for late in caught:
            signal.raise_signal(late)


class Helper:
    """A process that helps this one, and dies with it."""

    def __init__(self, task: str, work: Callable[..., None], *arguments: Any) -> None:
        """Start `work(say, *arguments)` in a new process.

        Args:
            task: what it helps in, for messages.
            work: a function at the top of a module.
            *arguments: for `work`, after `say`; they are pickled.
        """
        # Forking a process that has threads, or has used a GPU, is not safe.
        context = multiprocessing.get_context("spawn")
        self._task, self._is_heard = task, False
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_help, args=(theirs, task, work, arguments), daemon=False)
        self._process.start()
        theirs.close()

    def has_spoken(self, seconds: float = 0.0) -> bool:
        """Whether there is something to hear, now or within some seconds."""
        return self._line.poll(seconds)

    def hear(self) -> Any:
        """Wait for what it says next; None when it has come to its end.

        Raises:
            ClusterError: it was killed, or failed as no one foresaw.
            GeosegError: why it could not go on.
        """
        try:
            said = self._line.recv()
        except (EOFError, ConnectionError):
            if self._is_heard:
                raise ClusterError(
                    f"a process that helped in {self._task} was killed; is there enough memory?"
                ) from None
            raise ClusterError(
                f"a process that was to help in {self._task} ended before it began; a script must start its work "
                'under if __name__ == "__main__":'
            ) from None
        self._is_heard = True
        if isinstance(said, GeosegError):
            raise said
        return said

    def end(self, patience: float = 5.0) -> None:
        """End it, after some seconds if it does not by itself."""
        self._process.join(patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _help(line: Connection, task: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """What a helper runs; Ctrl-C is its leader's to handle, and so is the screen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(line,), name="geoseg-leader", daemon=True).start()
    logging.getLogger("geoseg").addHandler(logging.NullHandler())
    logging.getLogger("geoseg").propagate = False
    try:
        work(line.send, *arguments)
        line.send(None)
    except GeosegError as error:
        line.send(error)
    except (RuntimeError, OSError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        line.send(ClusterError(f"a process that helped in {task} failed: {reason}"))
        raise SystemExit(1) from None


def _die_with(line: Connection) -> None:
    """Wait until the leader is gone: what a helper wrote after that could fall into the work of another run."""
    try:
        line.recv()
    except (EOFError, OSError):
        os._exit(1)
