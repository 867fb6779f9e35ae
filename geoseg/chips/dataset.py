"""Chips as torch sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geoseg.chips.augment import NONE, Augmentation, Image, Label, cutmix
from geoseg.chips.ground import Ground
from geoseg.chips.index import ChipIndex, ChipRow
from geoseg.chips.sampling import Draw
from geoseg.chips.store import open_store
from geoseg.legend import IGNORE

KEPT_BYTES = 256_000_000
"""Decoded chips that one split may keep in memory, per process that reads."""


class ChipDataset(Dataset[tuple[Tensor, Tensor]]):
    """The chips of one split: images (C, H, W) float32, scaled, and labels (H, W) int64 with `IGNORE`.

    A draw with a key is a window of chip size at a random place, put together from the chips it touches, or read from
    the scene when chips are virtual; all of its pixels belong to chips of the split. Only chips with files of their own
    that are too many for the memory are taken as they are: four would have to be read for a window.

    A chip smaller than the others (where the scene is) is padded by reflection, its padding unlabelled.
    """

    def __init__(self, index: ChipIndex, split: str, augmentation: Augmentation = NONE) -> None:
        """Read chips of `split`; `augmentation` is that of draws with a key."""
        self._statistics = index.statistics
        self._store = open_store(index)
        self._chips = index.rows(split)
        self._ground = Ground(self._chips)
        self._augmentation = augmentation
        self._size = int(index.frame[["height", "width"]].to_numpy().max())
        self._kept: dict[int, tuple[Image, Label]] = {}
        self._room = KEPT_BYTES
        pixels = sum(chip.height * chip.width for chip in self._chips)
        self._all_fit = pixels * (4 * len(index.bands) + 1) <= KEPT_BYTES
        self._any_place = index.is_virtual or self._all_fit

    def __len__(self) -> int:
        return len(self._chips)

    def __getitem__(self, draw: Draw | tuple[int, int | None]) -> tuple[Tensor, Tensor]:
        draw = Draw(*draw)
        image, label = self._chip(draw.chip) if draw.key is None else self._changed(draw)
        image, label = self._padded(image, label)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(label.astype(np.int64))

    def _changed(self, draw: Draw) -> tuple[Image, Label]:
        rng = np.random.default_rng(draw.key)
        change = self._augmentation
        chip = change.change(*self._drawn(draw.chip, draw.target, rng), rng)
        if change.cutmix and rng.random() < change.cutmix / 2:
            other = self._drawn(int(rng.integers(len(self))), None, rng)
            return cutmix(self._padded(*chip), self._padded(*change.change(*other, rng)), rng)
        return chip

    def _drawn(self, number: int, target: int | None, rng: np.random.Generator) -> tuple[Image, Label]:
        """A window at a random place that shows a labelled pixel of the chip, of the class `target` when given."""
        if not self._any_place:
            return self._chip(number)
        chip = self._chips[number]
        label = self._chip(number)[1] if self._all_fit else self._store.read_label(chip)
        places = np.flatnonzero(label != IGNORE if target is None else label == target)
        if not len(places):
            return self._chip(number)
        row, col = divmod(int(places[rng.integers(len(places))]), chip.width)
        window = self._ground.window(number, chip.row + row, chip.col + col, rng, centred=target is not None)
        return self._assembled(number, window) if self._all_fit else self._decode(window)

    def _assembled(self, number: int, window: ChipRow) -> tuple[Image, Label]:
        image = np.empty((len(self._statistics.mean), window.height, window.width), np.float32)
        label = np.empty((window.height, window.width), np.uint8)
        for part, source, place in self._ground.pieces(number, window):
            chip = self._chip(part)
            image[:, *place] = chip[0][:, *source]
            label[place] = chip[1][source]
        return image, label

    def _chip(self, number: int) -> tuple[Image, Label]:
        """One chip, kept in memory while there is room: small sets are drawn from again and again."""
        if number in self._kept:
            return self._kept[number]
        image, label = self._decode(self._chips[number])
        if image.nbytes + label.nbytes <= self._room:
            self._room -= image.nbytes + label.nbytes
            self._kept[number] = image, label
        return image, label

    def _decode(self, chip: ChipRow) -> tuple[Image, Label]:
        values, valid, label = self._store.read(chip)
        return self._statistics.scale(values, valid), label

    def _padded(self, image: Image, label: Label) -> tuple[Image, Label]:
        below, right = self._size - image.shape[1], self._size - image.shape[2]
        if below or right:
            image = np.pad(image, ((0, 0), (0, below), (0, right)), mode="reflect")
            label = np.pad(label, ((0, below), (0, right)), constant_values=IGNORE)
        return image, label


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
