"""The same function over many tasks, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from typing import Any, Generic, TypeVar

from geoseg.errors import ChipError, ClusterError, OptionError
from geoseg.helpers import undisturbed

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")

_context: Any = None
_stopping: Any = None


class Workers(Generic[Context]):
    """Processes that hold a context; or this one alone."""

    def __init__(self, context: Context, jobs: int, pool: ProcessPoolExecutor | None) -> None:
        self._context = context
        self._jobs = jobs
        self._pool = pool

    def run(self, function: Callable[[Context, Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results of `function(context, task)`, in the order of the tasks.

        Neighbouring tasks go to one process, which finds in its cache what they share. `function` is one of a module,
        or a partial of one.

        Raises:
            ClusterError: a process was killed, for want of memory as a rule.
        """
        if self._pool is None:
            for task in tasks:
                yield function(self._context, task)
            return
        together = max(1, min(8, len(tasks) // (self._jobs * 3)))
        with undisturbed():
            results = self._pool.map(partial(_call, function), tasks, chunksize=together)
        try:
            yield from results
        except BrokenProcessPool as error:
            raise ClusterError(
                "a process was killed, most likely because memory ran out; give fewer --jobs, the same command goes on"
            ) from error


MOST_JOBS = 1024


def prepare(jobs: int) -> None:
    """Begin to start processes, while this one is still busy with other things."""
    method = _start_method()
    if jobs != 1 and method.get_start_method() == "forkserver":
        forkserver.ensure_running()


@contextmanager
def workers(context: Context, jobs: int) -> Iterator[Workers[Context]]:
    """Start processes that hold a context.

    Args:
        context: what all tasks need; sent to each process once.
        jobs: number of processes; 0 stands for one per core, and 1 for none beside this one.

    Raises:
        OptionError: a number less than 0, or more than a machine can have.
    """
    if not 0 <= jobs <= MOST_JOBS:
        raise OptionError(f"jobs is {jobs}; give a number of processes, {MOST_JOBS} at most, or 0 for one per core")
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        yield Workers(context, 1, None)
        return
    method = _start_method()
    stopping = method.Event()
    pool = ProcessPoolExecutor(jobs, method, initializer=_begin, initargs=(context, stopping))
    try:
        yield Workers(context, jobs, pool)
    finally:
        # Whoever is stopped need not wait for all that is under way, only for the tasks at hand.
        stopping.set()
        pool.shutdown(cancel_futures=True)


def _start_method() -> multiprocessing.context.BaseContext:
    """Not a plain fork, which the threads of GDAL and numba do not survive."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(["geoseg.chips.cutter"])  # imported once for all
    return method


def _call(function: Callable[[Any, Any], Any], task: Any) -> Any:
    if _stopping.is_set():
        raise ChipError("the work was stopped")
    return function(_context, task)


def _begin(context: Any, stopping: Any) -> None:
    global _context, _stopping
    _context, _stopping = context, stopping
    # Ctrl-C reaches the whole group; the parent is the one to say so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
