"""Chips as torch sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from geoseg.chips.augment import d4, jitter
from geoseg.chips.index import ChipIndex
from geoseg.chips.store import open_store
from geoseg.legend import IGNORE

Draw = tuple[int, int | None]
"""Number of a chip in its split, and the seed of its augmentation (None for none)."""


KEPT_BYTES = 256_000_000
"""Decoded chips that one split may keep in memory, per process that reads."""


class ChipDataset(Dataset[tuple[Tensor, Tensor]]):
    """The chips of one split: images (C, H, W) float32, scaled, and labels (H, W) int64 with `IGNORE`.

    A chip smaller than the others (where the scene is) is padded by reflection, its padding unlabelled.
    """

    def __init__(self, index: ChipIndex, split: str, *, strength: float = 0.5) -> None:
        """Read chips of `split`; `strength` is that of the radiometric jitter of seeded draws."""
        self._statistics = index.statistics
        self._store = open_store(index)
        self._chips = index.rows(split)
        self._strength = strength
        self._size = int(index.frame[["height", "width"]].to_numpy().max())
        self._kept: dict[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]] = {}
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        number, seed = draw
        image, label = self._read(number)
        if seed is not None:
            rng = np.random.default_rng(seed)
            element = int(rng.integers(8))
            image, label = d4(image, element), d4(label, element)
            image = jitter(image, rng, self._strength)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(label.astype(np.int64))

    def _read(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """One chip, kept in memory while there is room: small sets are drawn from again and again."""
        if number in self._kept:
            return self._kept[number]
        image, label = self._decode(number)
        if image.nbytes + label.nbytes <= self._room:
            self._room -= image.nbytes + label.nbytes
            self._kept[number] = image, label
        return image, label

    def _decode(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        values, valid, label = self._store.read(self._chips[number])
        image = self._statistics.scale(values, valid)
        below, right = self._size - image.shape[1], self._size - image.shape[2]
        if below or right:
            image = np.pad(image, ((0, 0), (0, below), (0, right)), mode="reflect")
            label = np.pad(label, ((0, below), (0, right)), constant_values=IGNORE)
        return image, label


class ClassBalancedSampler(Sampler[Draw]):
    """A fixed number of random draws an epoch: half of them uniform, half for a class drawn evenly.

    What is drawn depends on the seed and the epoch alone.
    """

    def __init__(self, counts: npt.NDArray[np.int64], draws: int, seed: int) -> None:
        """Draw chips with `counts` (chips, classes) labelled pixels, `draws` times an epoch."""
        present = counts[:, counts.sum(0) > 0]
        per_class = present / present.sum(0)
        self._chances = 0.5 / len(counts) + 0.5 * per_class.mean(1)
        self._chances /= self._chances.sum()
        self._draws = draws
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._draws

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self._seed, self._epoch))
        numbers = rng.choice(len(self._chances), self._draws, p=self._chances)
        seeds = rng.integers(2**62, size=self._draws)
        return iter([(int(number), int(seed)) for number, seed in zip(numbers, seeds, strict=True)])


class InOrder(Sampler[Draw]):
    """Every chip once, unchanged."""

    def __init__(self, dataset: ChipDataset) -> None:
        """Walk through `dataset`."""
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[Draw]:
        return iter([(number, None) for number in range(len(self))])


def labelled_pixels(
    index: ChipIndex, split: str, most: int = 200_000
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Scaled band values (n, bands) and class indices (n,) of labelled pixels of one split, thinned to `most`."""
    dataset = ChipDataset(index, split)
    total = int(index.counts(split).sum())
    step = max(1, -(-total // most))
    values, classes = [], []
    for number in range(len(dataset)):
        image, label = (tensor.numpy() for tensor in dataset[number, None])
        labelled = label != IGNORE
        values.append(image[:, labelled].T[::step])
        classes.append(label[labelled][::step].astype(np.uint8))
    return np.concatenate(values), np.concatenate(classes)
