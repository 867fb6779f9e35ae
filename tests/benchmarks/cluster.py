"""How the engine of `geoseg map` scales, with dask's real scheduler and workers that sleep the time a block takes.

    python tests/benchmarks/cluster.py workers [--seconds 16] [--speed 8]     throughput from 1 to 64 workers
    python tests/benchmarks/cluster.py memory [--regions 10000]               memory of scheduler and command

A worker that sleeps takes no core, so a small machine can hold many. `--seconds` is what a block of 4096 x 4096 pixels
was measured to take; `--speed` runs the clock faster, which makes it harder for the scheduler, not easier.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from geoseg.atlas.engine import Engine, Rules

PAYLOAD = 4096
"""Bytes that a task carries: scenes, grid and options of a region."""


def work(task: tuple[float, bytes]) -> float:
    """Sleep the time of a block."""
    time.sleep(task[0])
    return task[0]


def finish(task: tuple[float, list[float]]) -> float:
    """Sleep the time of putting a region together."""
    time.sleep(task[0])
    return sum(task[1])


@dataclass
class Region:
    """A region of some blocks."""

    name: str
    blocks: int
    seconds: float

    def block(self, number: int, *, is_last: bool) -> tuple[float, bytes]:
        """A task that sleeps; blocks at the edge of a region take less than others."""
        return self.seconds * (0.5 + (number * 7 % 10) / 10), bytes(PAYLOAD)

    def finish(self, results: list[float]) -> tuple[float, list[float]]:
        """What follows the last."""
        return self.seconds / 10, results


class Watch:
    """Listens, and looks at the memory of this process, in which the scheduler lives."""

    def __init__(self, every: int) -> None:
        self.every, self.count = every, 0

    def running(self, job: Any) -> None:
        """Nothing to do."""

    def block_done(self, job: Any, result: float) -> None:
        """Nothing to do."""

    def tried(self, job: Any) -> None:
        """Nothing to do."""

    def failed(self, job: Any, why: str) -> None:
        """No task here can fail."""
        raise RuntimeError(why)

    def done(self, job: Any, result: float) -> None:
        """Count."""
        self.count += 1
        if self.count % self.every == 0:
            gc.collect()
            megabytes = psutil.Process().memory_info().rss / 1e6
            print(f"{self.count:7d} regions  {megabytes:.1f} MB  {sys.getallocatedblocks()} objects", flush=True)

    def idle(self) -> None:
        """Nothing to do."""


def regions(count: int, blocks: int, seconds: float) -> Iterator[Region]:
    """Regions, made when they are needed."""
    for number in range(count):
        yield Region(f"region {number}", blocks, seconds)


def scale(seconds: float, blocks: int) -> None:
    """Throughput with more and more workers: each has the same work, so the time should stay the same."""
    from distributed import Client, LocalCluster

    print("workers  tasks/s  of the ideal  CPU of scheduler and command")
    for workers in (1, 2, 4, 8, 16, 32, 64):
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            ) as cluster,
            Client(cluster) as client,
        ):
            client.wait_for_workers(workers, timeout=600)
            # Workers that are starting would take the cores that the scheduler needs.
            Engine(client, Rules(), work, finish).run(regions(workers, 2, 0.01), Watch(1 << 30))
            jobs = list(regions(2 * workers, blocks, seconds))
            ideal = sum(job.block(number, is_last=True)[0] for job in jobs for number in range(job.blocks))
            ideal = (ideal + len(jobs) * seconds / 10) / workers
            cpu, start = os.times(), time.monotonic()
            Engine(client, Rules(), work, finish).run(jobs, Watch(1 << 30))
            took, after = time.monotonic() - start, os.times()
            busy = (after.user + after.system - cpu.user - cpu.system) / took
            rate = len(jobs) * (blocks + 1) / took
            print(f"{workers:7d}  {rate:7.1f}  {100 * ideal / took:11.1f} %  {100 * busy:.0f} %", flush=True)


def memory(count: int) -> None:
    """Memory of the process with the scheduler over many regions."""
    from geoseg.atlas.cluster import connected

    with connected(client=None, scheduler=None, jobs=2, threads=1, gpu=False) as client:
        watch = Watch(max(1, count // 20))
        start, cpu = time.monotonic(), time.process_time()
        Engine(client, Rules(), work, finish).run(regions(count, 2, 0.0), watch)
        took, worked = time.monotonic() - start, time.process_time() - cpu
    tasks = 3 * count
    print(
        f"{tasks / took:.0f} tasks a second that do nothing: {1000 * took / tasks:.2f} ms each, "
        f"{1000 * worked / tasks:.2f} ms of it work of this process"
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["workers", "memory"])
    parser.add_argument("--seconds", type=float, default=16.0, help="of a block")
    parser.add_argument("--speed", type=float, default=8.0, help="how much faster the clock runs")
    parser.add_argument("--blocks", type=int, default=9, help="of a region")
    parser.add_argument("--regions", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "workers":
        scale(options.seconds / options.speed, options.blocks)
    else:
        memory(options.regions)


if __name__ == "__main__":
    main()
