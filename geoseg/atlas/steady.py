"""A clock for dask that nobody can set.

dask and tornado reckon their deadlines by the time of day (`distributed.batched`, `tornado.ioloop.IOLoop.time`). When
the clock is set back an hour while a message waits for its two milliseconds, all that follow wait for that hour too;
when it is set forward, a connection that is being made is late at once.

As a module that dask's workers load (`distributed.worker.preload`), it lets them do the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BEGIN = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since 1970 as they were when the process began, and on from there whatever is done to the clock."""
    return _BEGIN + time.monotonic()


@contextmanager
def steady_time() -> Iterator[None]:
    """Let dask and tornado, in this process, reckon by `steady`."""
    before = _reckon_steadily()
    try:
        yield
    finally:
        for place, clock in before:
            place.time = clock


def dask_setup(_worker: Any) -> None:
    """What a worker does that loads this module: it reckons so until it ends."""
    _reckon_steadily()


def _reckon_steadily() -> list[tuple[Any, Any]]:
    """Put the clock wherever dask and tornado look at the time of day; returns the places and what was there."""
    import distributed  # noqa: F401 - loads the modules that are looked through
    from tornado.ioloop import IOLoop

    loop: Any = IOLoop
    before = [(loop, vars(loop)["time"])]
    loop.time = staticmethod(steady)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "distributed" and getattr(module, "time", None) is time.time:
            before.append((module, time.time))
            module.time = steady  # type: ignore[attr-defined]
    return before
