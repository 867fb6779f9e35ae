"""Run the tasks of many regions on dask.distributed, a few at a time.

The scheduler never knows more than a few tasks for each worker, so its memory does not grow with the plan. A region is
put together as soon as its last block is done. Tasks that fail are tried again; a worker that dies is replaced by its
nanny, and how often a task may kill its worker is counted by the task itself (`geoseg.atlas.block`).
"""

from __future__ import annotations

import itertools
import logging
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from geoseg.errors import ClusterError
from geoseg.raster import first_line

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

AHEAD = 2
"""Tasks in the scheduler's hands for each that can run: one runs, one is on its way."""

_LOOK = 2.0
"""Seconds between looks at the workers there are."""


class Job(Protocol):
    """A region to be mapped: some blocks in any order, then what puts them together."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def blocks(self) -> int: ...  # noqa: D102

    def block(self, number: int, *, is_last: bool) -> Any:
        """What to send for a block; `is_last` when no further try follows."""

    def finish(self, results: list[Any]) -> Any:
        """What to send to put the results of all blocks together."""


class Listener(Protocol):
    """Is told how it goes."""

    def running(self, job: Job) -> None: ...  # noqa: D102
    def block_done(self, job: Job, result: Any) -> None: ...  # noqa: D102
    def done(self, job: Job, result: Any) -> None: ...  # noqa: D102
    def failed(self, job: Job, why: str) -> None: ...  # noqa: D102
    def tried(self, job: Job) -> None: ...  # noqa: D102
    def idle(self) -> None:
        """Nothing happened for a moment, or something did: a time to write down what is known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How tasks are run.

    Attributes:
        retries: how often a task that failed is tried again.
        fail_fast: stop at the first region that failed.
        resources: dask resources that a block takes, such as {"GPU": 1}.
        patience: seconds to go on without any worker.
    """

    retries: int = 2
    fail_fast: bool = False
    resources: dict[str, float] = field(default_factory=dict)
    patience: float = 60.0


@dataclass(slots=True, eq=False)
class _Run:
    """A region at work."""

    job: Job
    results: dict[int, Any] = field(default_factory=dict)
    over: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A block, or with no number what puts all together."""

    run: _Run
    number: int | None
    tries: int = 0


class Engine:
    """Runs jobs on a client's workers."""

    def __init__(
        self, client: Client, rules: Rules, do_block: Callable[[Any], Any], do_finish: Callable[[Any], Any]
    ) -> None:
        """Run tasks on `client` by two functions that workers can import."""
        self._client, self._rules = client, rules
        self._do_block, self._do_finish = do_block, do_finish
        self._again: deque[_Task] = deque()
        self._flying: dict[Future[Any], _Task] = {}
        self._landed: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._token = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._room, self._looked, self._alive = 0, -_LOOK, time.monotonic()

    def run(self, jobs: Iterable[Job], listener: Listener) -> None:
        """Do all jobs.

        Raises:
            ClusterError: there are no workers any more.
            KeyboardInterrupt: what is at work is given up; what is done stays done.
        """
        fresh, more = self._fresh(jobs, listener), True
        try:
            while more or self._again or self._flying:
                self._look()
                while len(self._flying) < self._room and (more or self._again):
                    task = self._again.popleft() if self._again else next(fresh, None)
                    more = more and task is not None
                    if task is not None:
                        self._submit(task)
                if self._land(listener):
                    return
                listener.idle()
        finally:
            self._give_up()

    def _fresh(self, jobs: Iterable[Job], listener: Listener) -> Iterator[_Task]:
        for job in jobs:
            run = _Run(job)
            listener.running(job)
            for number in range(job.blocks):
                if not run.over:
                    yield _Task(run, number)

    def _submit(self, task: _Task) -> None:
        job = task.run.job
        if task.run.over:
            return
        if task.number is None:
            payload = job.finish([task.run.results[number] for number in range(job.blocks)])
            function, kind, resources = self._do_finish, "finish", None
        else:
            payload = job.block(task.number, is_last=task.tries >= self._rules.retries)
            function, kind, resources = self._do_block, "block", self._rules.resources or None
        key = (f"{kind}-{self._token}", next(self._numbers))
        future = self._client.submit(function, payload, key=key, pure=False, resources=resources)
        self._flying[future] = task
        future.add_done_callback(self._landed.put)

    def _land(self, listener: Listener) -> bool:
        """Wait for a task to end; True when that ends all."""
        try:
            future = self._landed.get(timeout=_LOOK if self._flying else 0.1)
        except queue.Empty:
            return False
        task = self._flying.pop(future, None)
        if task is None or task.run.over:
            return False
        run = task.run
        try:
            result = future.result()
        except Exception as error:
            return self._failed(task, error, listener)
        finally:
            # One that failed is held by the traceback it raised, and would stay with the scheduler till the end.
            future.release()
        if task.number is None:
            run.over = True
            listener.done(run.job, result)
            return False
        run.results[task.number] = result
        listener.block_done(run.job, result)
        if len(run.results) == run.job.blocks:
            self._again.appendleft(_Task(run, None))
        return False

    def _failed(self, task: _Task, error: BaseException, listener: Listener) -> bool:
        listener.tried(task.run.job)
        if task.tries < self._rules.retries and not isinstance(error, ClusterError):
            logger.info("%s failed and is tried again: %s", task.run.job.name, first_line(error))
            self._again.append(_Task(task.run, task.number, task.tries + 1))
            return False
        task.run.over = True
        useless = [future for future, other in self._flying.items() if other.run is task.run]
        self._client.cancel(useless)
        for future in useless:
            del self._flying[future]
        listener.failed(task.run.job, _sentence(error))
        return self._rules.fail_fast

    def _look(self) -> None:
        """See how many tasks the workers can take now."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        try:
            threads = self._client.nthreads()
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"{_address(self._client)}: the scheduler is gone; start it again, and the same command goes on"
            ) from error
        if threads:
            self._alive = now
            self._room = AHEAD * sum(threads.values())
        elif now - self._alive > self._rules.patience:
            raise ClusterError(
                f"{_address(self._client)}: has had no worker for {self._rules.patience:.0f} s; "
                f"{_remedy(self._client)}, and the same command goes on"
            )

    def _give_up(self) -> None:
        if self._flying and self._client.status == "running":
            self._client.cancel(list(self._flying))
        self._flying.clear()


def _sentence(error: BaseException) -> str:
    name = type(error).__name__
    if name in ("FutureCancelledError", "CancelledError"):
        return "the scheduler gave it up; is it the same one as before?"
    if name == "KilledWorker":
        return "its worker died each time it was tried; it may need more memory than there is"
    return str(error) if hasattr(error, "exit_code") else f"{name}: {first_line(error)}"


def _address(client: Client) -> str:
    return str(client.scheduler.address) if client.scheduler else "the cluster"


def _remedy(client: Client) -> str:
    """What brings workers back; those that were started here are started again, and end for a reason."""
    if client.cluster is None:
        return "start some with 'dask worker ADDRESS'"
    return "they end as soon as they begin, as for want of memory: give fewer --jobs, or more memory (ulimit -v)"
