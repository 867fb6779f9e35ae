"""Reading, network and writing at the same time, with little waiting in between."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_DEPTH = 1
"""Things that wait between two stages; one more is being made, and one is in use."""


@dataclass(slots=True)
class Timing:
    """Where the time of a run went, in seconds of its main thread.

    Attributes:
        network: in the network.
        reading: waiting for windows to be read.
        writing: waiting for results to be written.
    """

    network: float = 0.0
    reading: float = 0.0
    writing: float = 0.0

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the time inside the block to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.monotonic() - start)

    def bottleneck(self, total: float) -> str:
        """What a run of `total` seconds spent most of its time on, in words."""
        shares = {"network": self.network, "reading": self.reading, "writing": self.writing}
        slowest = max(shares, key=lambda name: shares[name])
        return f"{slowest} {100 * shares[slowest] / max(total, 1e-9):.0f} % of the time"


def ahead(items: Iterable[T], timing: Timing) -> Iterator[T]:
    """Make the next items in a thread while the last is used; errors come out where the item would have."""
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(_DEPTH)
    stop = threading.Event()

    def give(is_last: bool, thing: T | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put((is_last, thing), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                give(False, item)
                if stop.is_set():
                    return
            give(True, None)
        except BaseException as error:
            give(True, error)

    thread = threading.Thread(target=work, name="geoseg-reader", daemon=True)
    thread.start()
    try:
        while True:
            with timing.of("reading"):
                is_last, thing = ready.get()
            if not is_last:
                yield thing  # type: ignore[misc]
            elif isinstance(thing, BaseException):
                raise thing
            else:
                return
    finally:
        stop.set()
        thread.join()


class Behind:
    """Does work in a thread while the next is prepared, in order; its errors come out at the next call."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="geoseg-writer", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Do `work` when what came before is done."""
        self._raise()
        with self._timing.of("writing"):
            self._waiting.put(work)

    def close(self) -> None:
        """Wait until all is done."""
        with self._timing.of("writing"):
            self._waiting.put(None)
            self._thread.join()
        self._raise()

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    work()
                except BaseException as error:
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
