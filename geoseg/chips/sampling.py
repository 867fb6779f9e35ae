"""Which chips are drawn, and in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """What a dataset is asked for.

    Attributes:
        chip: number of a chip in its split.
        key: what all chance of the draw follows from; None for the chip as it is.
        target: index of the class that the drawn window should show, None for any that is labelled.
    """

    chip: int
    key: int | tuple[int, ...] | None = None
    target: int | None = None


class ClassBalancedSampler(Sampler[Draw]):
    """A fixed number of random draws an epoch: half uniform over labelled pixels, half for a class drawn evenly.

    A draw follows from the seed, the epoch and its number in the epoch alone. So a training that goes on draws what it
    would have drawn, and several processes together draw what one would: each takes every `world`-th draw.
    """

    def __init__(self, counts: npt.NDArray[np.int64], draws: int, seed: int, *, rank: int = 0, world: int = 1) -> None:
        """Draw chips with `counts` (chips, classes) labelled pixels, `draws` times an epoch in all processes."""
        self._classes = np.flatnonzero(counts.sum(0))
        columns = np.column_stack([counts.sum(1), counts[:, self._classes]]).astype(np.float64)
        self._until = columns.cumsum(0) / columns.sum(0)
        self._draws, self._seed = draws, seed
        self._rank, self._world = rank, world
        self._epoch = self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls it."""
        if epoch != self._epoch:
            self._epoch, self._start = epoch, 0

    def resume(self, epoch: int, start: int) -> None:
        """Go on in an epoch of which all processes together have taken `start` draws."""
        self._epoch, self._start = epoch, start

    def __len__(self) -> int:
        return len(self._numbers())

    def __iter__(self) -> Iterator[Draw]:
        return map(self._draw, self._numbers())

    def _numbers(self) -> range:
        """Numbers of the draws of this process that are left in the epoch."""
        return range(self._start + (self._rank - self._start) % self._world, self._draws, self._world)

    def _draw(self, number: int) -> Draw:
        key = (self._seed, self._epoch, number)
        rng = np.random.default_rng((*key, 0))
        column = 0 if rng.random() < 0.5 else 1 + int(rng.integers(len(self._classes)))
        chip = int(np.searchsorted(self._until[:, column], rng.random(), side="right"))
        return Draw(chip, (*key, 1), int(self._classes[column - 1]) if column else None)


class InOrder(Sampler[Draw]):
    """Every chip once, unchanged; of several processes each takes every `world`-th."""

    def __init__(self, dataset: Sized, *, rank: int = 0, world: int = 1) -> None:
        """Walk through `dataset`."""
        self._numbers = range(rank, len(dataset), world)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Draw]:
        return map(Draw, self._numbers)
