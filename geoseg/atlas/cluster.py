"""Workers: processes of this machine, or a cluster that is there."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing.resource_tracker
import os
import signal
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from geoseg.atlas.keys import own_keys
from geoseg.errors import ClusterError, OptionError
from geoseg.helpers import undisturbed
from geoseg.raster import first_line

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from tornado.ioloop import IOLoop

    Servant = TypeVar("Servant", Client, LocalCluster)

logger = logging.getLogger(__name__)

WORKER_MEMORY = 1_500_000_000
"""Bytes that a worker takes about: torch, a network and its windows."""

_FAREWELL = 2.0
"""Seconds that a worker has to end by itself, when its work is given up."""

_RESTARTS = 2
"""Times that workers are started again, where one dies before it works."""

_OWN = ("127.0.0.1", "localhost", "::1", "")

CONFIG: dict[str, Any] = {
    # Who dies of what is counted by the tasks themselves: the scheduler would blame all that wait on a dead worker.
    "distributed.scheduler.allowed-failures": 1_000_000,
    # A machine that slept, or whose clock was set, would take its workers for dead; their keeper sees who really is.
    "distributed.scheduler.worker-ttl": None,
    # Nothing is kept on workers that could be spilled, and one that waits for memory to become free waits for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Every connection keeps that many of its last messages whole, with all they carry.
    "distributed.admin.low-level-log-length": 10,
    "distributed.scheduler.events-cleanup-delay": "5s",
    # Its entries hold on to all that was ever computed while there was always something to do.
    "distributed.diagnostics.computations.max-history": 0,
    "distributed.admin.system-monitor.log-length": 100,
    "distributed.worker.daemon": True,
}


@contextmanager
def connected(
    *, client: Client | None, scheduler: str | None, jobs: int | None, threads: int, gpu: bool, timeout: float = 5.0,
    dashboard: bool = False,
) -> Iterator[Client]:  # fmt: skip
    """A client with workers.

    Args:
        client: one that is there already, which is left as it is.
        scheduler: address of a cluster that is there.
        jobs: processes of this machine to start, where there is neither; None for as many as it has cores and memory.
        threads: of the CPU for each task.
        gpu: give each process a GPU to name as its resource.
        timeout: seconds to wait for a scheduler that is there, and for its first worker.
        dashboard: show dask's dashboard on this machine.

    Raises:
        OptionError: both a scheduler and a number of jobs.
        ClusterError: no scheduler answers, or it has no workers.
    """
    if client is not None:
        yield client
    elif scheduler is not None:
        if jobs is not None:
            raise OptionError("--jobs starts workers and --scheduler uses those that are there; give one of the two")
        with _remote(scheduler, timeout) as found:
            yield found
    else:
        with _local(jobs or default_jobs(gpu, threads), threads, gpu, dashboard) as found:
            yield found


def default_jobs(gpu: bool, threads: int) -> int:
    """Processes for this machine: one for each GPU, or for each core where there is memory for it."""
    if gpu:
        import torch

        return max(1, torch.cuda.device_count())
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(max(1, min(cores // threads, psutil.virtual_memory().available // WORKER_MEMORY)))


@contextmanager
def _local(jobs: int, threads: int, gpu: bool, dashboard: bool) -> Iterator[Client]:
    import dask
    import psutil
    from distributed import Client, LocalCluster

    from geoseg.atlas.forgetful import extensions
    from geoseg.atlas.steady import steady_time

    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    more = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.worker.preload": [*dask.config.get("distributed.worker.preload"), "geoseg.atlas.steady"],
        "distributed.worker.profile.enabled": dashboard,
    }
    with _own_folder() as folder, dask.config.set(CONFIG | more | folder), steady_time(), _own_loop() as loop:
        start = partial(
            LocalCluster,
            loop=loop,
            # Who can speak to them can have anything done: without keys, every user of this machine.
            security=own_keys(),
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # with none, dask takes a port that the whole network sees
            memory_limit=psutil.virtual_memory().total // jobs,
            resources={"GPU": 1} if gpu else None,
            # Its pages take seconds to load.
            scheduler_kwargs={"dashboard": dashboard, "extensions": extensions()},
            silence_logs=logging.CRITICAL + 1,  # what is critical to a worker is told by who misses it
        )
        cluster = _started(start)
        with _closed(cluster), _closed(Client(cluster, timeout=30)) as client, _ended_at_once(cluster):
            if client.dashboard_link and dashboard:
                logger.info("Dashboard: %s", client.dashboard_link)
            yield client


def _started(start: Callable[[], LocalCluster]) -> LocalCluster:
    """Start workers, and again where one dies of what else the machine does.

    Raises:
        ClusterError: they cannot be started.
    """
    failures = 0
    while True:
        try:
            with undisturbed():
                return start()
        except (OSError, RuntimeError, TimeoutError) as error:
            failures += 1
            if failures > _RESTARTS:
                raise ClusterError(f"workers cannot be started on this machine: {first_line(error)}") from error


@contextmanager
def _own_folder() -> Iterator[dict[str, str]]:
    """Have scheduler and workers put down what they do, and look for modules, in a folder of this user alone.

    By default dask takes one of a name under which anybody may have made one before.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="geoseg-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ClusterError(f"workers need a folder for temporary files: {first_line(error)}; set TMPDIR") from error
    with folder as name:
        yield {"temporary-directory": name}


@contextmanager
def _own_loop() -> Iterator[IOLoop]:
    """A loop of events in a thread that Ctrl-C does not reach, nor the processes that are started from there.

    A terminal sends it to all of a command: this process alone is to answer, and to end the others.
    """
    from distributed.utils import LoopRunner

    runner = LoopRunner()
    # It is started by the first process otherwise, and lets Ctrl-C through to the thread that it is started from.
    multiprocessing.resource_tracker.ensure_running()
    with _interrupts_held():
        runner.start()  # a thread begins with the mask of the one that starts it, and so does a process
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait until the block is left, where the system can do that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _closed(servant: Servant) -> Iterator[Servant]:
    """Close it in the end, whatever signal comes then: half closed, it would keep its loop for many seconds."""
    try:
        yield servant
    finally:
        with undisturbed():
            servant.close()


@contextmanager
def _ended_at_once(cluster: LocalCluster) -> Iterator[None]:
    """Give workers no time for what is given up: whatever they make is whole or absent, and killing them is safe."""
    try:
        yield
    except BaseException:
        with suppress(TimeoutError):
            cluster.sync(_end, cluster)
        raise


async def _end(cluster: LocalCluster) -> None:
    await asyncio.gather(*(keeper.close(timeout=_FAREWELL) for keeper in cluster.workers.values()))


@contextmanager
def _remote(address: str, timeout: float) -> Iterator[Client]:
    from distributed import Client

    parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError("no port")
    except ValueError as error:
        raise OptionError(f"scheduler is '{address}'; write its address as tcp://HOST:8786") from error
    if parts.scheme == "tcp" and parts.hostname not in _OWN:
        logger.warning(
            "%s is another machine, reached without encryption: whoever is on the way can run code on both ends; "
            "use it in a network you trust, or a scheduler with TLS (tls://)", address,
        )  # fmt: skip
    try:
        client = Client(urllib.parse.urlunsplit(parts), timeout=timeout)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"{address}: no dask scheduler answers there within {timeout:.0f} s; start one with 'dask scheduler', or "
            "leave --scheduler out to use this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError as error:
            raise ClusterError(
                f"{address}: the scheduler has no workers; start some with 'dask worker {address}'"
            ) from error
        if client.dashboard_link:
            logger.info("Dashboard: %s", client.dashboard_link)
        yield client


def require_resources(client: Client, resources: dict[str, float]) -> None:
    """Refuse to wait for ever for workers with what nobody has.

    Raises:
        ClusterError: no worker offers it.
    """
    if not resources:
        return
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not any(all(worker["resources"].get(name, 0) >= need for name, need in resources.items()) for worker in workers):
        wanted = ",".join(f"{name}={need:g}" for name, need in resources.items())
        raise ClusterError(
            f"none of the {len(workers)} workers offers {wanted}; start them with 'dask worker --resources {wanted}', "
            "or choose another --device"
        )
