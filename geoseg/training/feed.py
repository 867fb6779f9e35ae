"""Which chips make which batch, so that a training can go on in the middle of an epoch."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W) and labels (N, H, W)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the chips of a step are shared out.

    Attributes:
        batch: chips that go through the network at once, in each process.
        accumulate: batches of each process.
        processes: that share them.
    """

    batch: int
    accumulate: int
    processes: int = 1

    @property
    def step_chips(self) -> int:
        """Chips of a step."""
        return self.batch * self.accumulate * self.processes

    def halved(self) -> Layout | None:
        """The same step in smaller batches, None for batches of one chip."""
        parts = next((n for n in range(2, self.batch + 1) if self.batch % n == 0), None)
        return replace(self, batch=self.batch // parts, accumulate=self.accumulate * parts) if parts else None


class Batches(Sampler[list[Any]]):
    """The draws of an epoch, from some step on, in the batches of one process."""

    def __init__(self, sampler: Any, layout: Layout, rank: int, place: Callable[[], tuple[int, int]]) -> None:
        """Share out what `sampler` draws.

        Args:
            sampler: iterates over the draws of the epoch that it was told by `set_epoch`; they depend on nothing else.
            layout: how they are shared out.
            rank: which process this is.
            place: the epoch under way and the steps of it that are done, asked each time the walk begins.
        """
        self._sampler, self._layout, self._rank, self._place = sampler, layout, rank, place

    def __iter__(self) -> Iterator[list[Any]]:
        epoch, first = self._place()
        layout, draws = self._layout, self.draws(epoch)
        per_pass = layout.batch * layout.processes
        for start in range(first * layout.step_chips, len(draws) - per_pass + 1, per_pass):
            own = start + self._rank * layout.batch
            yield draws[own : own + layout.batch]

    def draws(self, epoch: int) -> list[Any]:
        """All draws of an epoch, whoever works on them."""
        self._sampler.set_epoch(epoch)
        return list(self._sampler)

    def draws_of_step(self, epoch: int, step: int) -> list[Any]:
        """Those that make one step."""
        size = self._layout.step_chips
        return self.draws(epoch)[step * size : (step + 1) * size]


class Feed:
    """A loader without a length, as an epoch that was begun before is shorter than the others."""

    def __init__(self, loader: DataLoader[Batch]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Batch]:
        # Lightning begins a walk only to see that it can; nothing is read for that.
        yield from self._loader


def load(dataset: Dataset[Batch], batches: Any, jobs: int, device: torch.device) -> DataLoader[Batch]:
    """A loader of batches, each a list of draws."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=jobs,
        persistent_workers=jobs > 0,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals,
    )


def in_order(draws: Sequence[Any], batch: int, rank: int, processes: int) -> list[list[Any]]:
    """Every draw once, each with one process."""
    own = draws[rank::processes]
    return [list(own[start : start + batch]) for start in range(0, len(own), batch)]


def _leave_signals(_: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that trains says when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
