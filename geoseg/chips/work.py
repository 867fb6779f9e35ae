"""The same function over many tasks, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from geoseg.errors import ChipError, OptionError

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")

_context: Any = None


def processes(jobs: int) -> int:
    """Number of processes that a user asked for; 0 stands for one per core.

    Raises:
        OptionError: less than 0.
    """
    if jobs < 0:
        raise OptionError(f"jobs is {jobs}; give a number of processes, or 0 for one per core")
    return jobs or os.cpu_count() or 1


def run(
    function: Callable[[Context, Task], Result], context: Context, tasks: Sequence[Task], jobs: int
) -> Iterator[Result]:
    """Results of `function(context, task)`, in the order of the tasks.

    Neighbouring tasks go to one process, which finds in its cache what they share. `function` must be of a module, and
    all values must be picklable; the context is sent to each process once.

    Raises:
        ChipError: a process was killed, for want of memory as a rule.
    """
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        for task in tasks:
            yield function(context, task)
        return
    run_of = max(1, min(8, len(tasks) // (jobs * 3)))
    # Threads of GDAL and numba do not survive a fork.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(context,))
    try:
        yield from pool.map(_Call(function), tasks, chunksize=run_of)
    except BrokenProcessPool as error:
        raise ChipError(
            "a process was killed, most likely because memory ran out; give fewer --jobs, the work goes on from there"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Call:
    """Calls a function with the context of the process it is in."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function

    def __call__(self, task: Any) -> Any:
        return self._function(_context, task)


def _begin(context: Any) -> None:
    global _context
    _context = context
    # Ctrl-C reaches the whole group; the parent is the one to say so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
