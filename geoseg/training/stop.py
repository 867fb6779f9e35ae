"""Stop between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Stopped(Exception):  # noqa: N818
    """The training was asked to stop, and has noted where."""


class Signals:
    """Notes Ctrl-C and SIGTERM, to be looked at after each step; the second one is not waited with."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Begin to note them; again after a library has put back what was there before."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before.setdefault(number, signal.signal(number, self._note))

    def leave(self) -> None:
        """What was there before handles them again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def check(self) -> None:
        """Raise `Stopped` when one came."""
        if self.received is not None:
            raise Stopped

    def deliver(self) -> None:
        """Do what would have been done when it came."""
        self.leave()
        if self.received is not None:
            signal.raise_signal(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.deliver()
        self.received = number
