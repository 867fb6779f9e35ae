"""Cut chips out of scenes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.chips.encode import Encoder
from geoseg.chips.pairs import LabelledScene
from geoseg.chips.strips import Strip, Task
from geoseg.errors import OutputError
from geoseg.legend import IGNORE
from geoseg.names import plain_name
from geoseg.raster import gdal_settings


@dataclass(frozen=True, slots=True)
class Rules:
    """Which chips are kept and how.

    Attributes:
        folder: where their files go, None to write none.
        compress: "deflate", "zstd", "lzw" or "none"; None for chips that have no files.
        min_labelled, min_valid: least share of labelled pixels and of pixels with data; one of each at least.
        sample_share: share of each chip's valid pixels that statistics are made of.
        sampled_split: number of the split whose chips these are, None for all.
        seed: of that sample.
    """

    folder: Path | None
    compress: str | None
    min_labelled: float
    min_valid: float
    sample_share: float
    sampled_split: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The chips of one task.

    Attributes:
        rows: (chips, 6 + classes): scene, split, row, col, height, width, labelled pixels per class.
        sizes: (chips, 2): bytes of the image and of the label of each; 0 for chips that have no files.
        sums: (chips, 2): their CRC-32.
        sample: valid pixels (n, bands) of all chips, one chip after the other.
        sampled: (chips,): how many of them are of each chip.
    """

    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    sums: npt.NDArray[np.int64]
    sample: npt.NDArray[Any]
    sampled: npt.NDArray[np.int64]


def cut_task(pairs: Sequence[LabelledScene], task: Task, *, rules: Rules) -> Cut:
    """Cut the chips of a task.

    Raises:
        OutputError: a chip cannot be written.
        GeosegError: the scene or its labels cannot be read.
    """
    pair = pairs[task.scene]
    encoder = Encoder(pair.scene.bands, pair.labels.legend, rules.compress or "none")
    made = [one for strip in task.strips for one in _cut_strip(pair, task.scene, strip, rules, encoder)]
    rows = np.array([row for row, _, _ in made], np.int64).reshape(len(made), 6 + len(pair.labels.legend))
    empty = np.empty((0, len(pair.scene.bands)), pair.scene.dtype)
    samples = [sample for _, _, sample in made]
    files = np.array([files for _, files, _ in made], np.int64).reshape(-1, 2, 2)
    return Cut(
        rows, files[:, 0], files[:, 1], np.concatenate([empty, *samples]), np.array(list(map(len, samples)), np.int64)
    )


def _cut_strip(
    pair: LabelledScene, number: int, strip: Strip, rules: Rules, encoder: Encoder
) -> list[tuple[Any, Any, Any]]:
    scene = pair.scene
    indices = pair.labels.read(scene.grid.crop(strip.region))
    if (indices == IGNORE).all():
        return []
    values, valid = scene.read(strip.region)
    indices = np.where(valid, indices, np.uint8(IGNORE))
    made = []
    with gdal_settings():  # once, not for each chip
        for split, row, col, height, width in strip.windows.tolist():
            top, left = row - int(strip.region.row_off), col - int(strip.region.col_off)
            inside = slice(top, top + height), slice(left, left + width)
            counts = np.bincount(indices[inside].ravel(), minlength=256)[: len(pair.labels.legend)]
            labelled, known = int(counts.sum()), int(np.count_nonzero(valid[inside]))
            if (
                not labelled
                or labelled < rules.min_labelled * height * width
                or known < rules.min_valid * height * width
            ):
                continue
            place = (number, split, row, col, height, width)
            # Its own pixels side by side: they are gone through more than once.
            chip = Chip(pair, place, np.ascontiguousarray(values[:, *inside]), valid[inside], indices[inside])
            made.append(((*place, *counts.tolist()), chip.write(rules, encoder), chip.sample(rules)))
    return made


@dataclass(frozen=True, slots=True)
class Chip:
    """The pixels of one window.

    Attributes:
        pair: where they come from.
        place: scene, split, row, col, height, width.
        values, valid, indices: bands (bands, rows, cols), where all have data, and class indices (rows, cols).
    """

    pair: LabelledScene
    place: tuple[int, ...]
    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    indices: npt.NDArray[np.uint8]

    def write(self, rules: Rules, encoder: Encoder) -> tuple[tuple[int, int], tuple[int, int]]:
        """Write image and label; returns the bytes of each, and their CRC-32."""
        if rules.compress is None:
            return (0, 0), (0, 0)
        number, _, row, col, height, width = self.place
        grid = self.pair.scene.grid.crop(Window(col, row, width, height))
        name = chip_name(self.pair, number, row, col)
        image = encoder.image(self.values, self.valid, grid)
        label = encoder.label(self.indices, grid)
        if rules.folder is not None:
            _write(rules.folder / "images" / name, image)
            _write(rules.folder / "labels" / name, label)
        return (len(image), len(label)), (zlib.crc32(image), zlib.crc32(label))

    def sample(self, rules: Rules) -> npt.NDArray[Any]:
        """Every so many-th valid pixel (n, bands), from a start that depends on the seed and the place alone."""
        if rules.sample_share <= 0 or rules.sampled_split not in (None, self.place[1]):
            return np.empty((0, len(self.values)), self.values.dtype)
        step = max(1, math.floor(1 / rules.sample_share))
        start = int(np.random.default_rng((rules.seed, *self.place)).integers(step))
        valid = self.valid.ravel()[start::step]
        return self.values.reshape(len(self.values), -1)[:, start::step][:, valid].T


def _write(path: Path, content: bytes) -> None:
    # Not by GDAL, which does not always tell of a full disk.
    try:
        path.write_bytes(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"chip {path.name}: cannot be written: {reason}; is the disk full? Make room, then the same command goes on"
        ) from error


def chip_name(pair: LabelledScene, scene: int, row: int, col: int) -> str:
    """File name of a chip, of its image and of its label."""
    return f"{scene:04d}_{plain_name(pair.source.stem)}_{row:06d}_{col:06d}.tif"
