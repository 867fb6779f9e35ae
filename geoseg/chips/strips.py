"""In which order chips are cut: in strips that are read once, so that no block is decoded twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.chips.reading import segment_cols
from geoseg.chips.split import Windows

CHIPS_PER_TASK = 64


@dataclass(frozen=True, slots=True)
class Strip:
    """Chips that are cut from one piece of a scene.

    Attributes:
        region: the piece, which holds all of them.
        windows: the chips, as in `ChipPlan.windows`.
    """

    region: Window
    windows: Windows


@dataclass(frozen=True, slots=True)
class Task:
    """Neighbouring strips of one scene: what is done, and noted as done, at a time.

    Attributes:
        number: counts the tasks.
        scene: number of the scene.
        strips: top to bottom.
    """

    number: int
    scene: int
    strips: tuple[Strip, ...]


def make_tasks(windows: tuple[Windows, ...], pixel_bytes: list[int]) -> list[Task]:
    """Tasks that cut all windows of all scenes; the same for any number of processes.

    Args:
        windows: of each scene, as in `ChipPlan.windows`.
        pixel_bytes: of each scene, all bands together.
    """
    tasks: list[Task] = []
    for scene, (own, size) in enumerate(zip(windows, pixel_bytes, strict=True)):
        pending: list[Strip] = []
        for strip in _strips(own, segment_cols(size)):
            pending.append(strip)
            if sum(len(part.windows) for part in pending) >= CHIPS_PER_TASK:
                tasks.append(Task(len(tasks), scene, tuple(pending)))
                pending = []
        if pending:
            tasks.append(Task(len(tasks), scene, tuple(pending)))
    return tasks


def _strips(windows: Windows, most_cols: int) -> Iterator[Strip]:
    """Strips in columns of at most about `most_cols` pixels, top to bottom in each."""
    segment = windows[:, 2] // most_cols
    for number in np.unique(segment):
        own = windows[segment == number]
        own = own[np.lexsort((own[:, 2], own[:, 1]))]
        start = 0
        while start < len(own):
            # What begins within the height of the first chip overlaps it.
            stop = int(np.searchsorted(own[:, 1], own[start, 1] + own[start, 3]))
            for group in _apart(own[start:stop]):
                yield Strip(_around(group), group)
            start = stop


def _apart(windows: Windows) -> Iterator[Windows]:
    """Windows in groups with no more than a chip's width of columns between neighbours."""
    by_col = windows[np.argsort(windows[:, 2], kind="stable")]
    ends = np.maximum.accumulate(by_col[:, 2] + by_col[:, 4])
    breaks = np.flatnonzero(by_col[1:, 2] - ends[:-1] > by_col[1:, 4]) + 1
    for first, last in itertools.pairwise([0, *breaks.tolist(), len(by_col)]):
        group = by_col[first:last]
        yield group[np.lexsort((group[:, 2], group[:, 1]))]


def _around(windows: npt.NDArray[np.int64]) -> Window:
    row, col = windows[:, 1].min(), windows[:, 2].min()
    bottom, right = (windows[:, 1] + windows[:, 3]).max(), (windows[:, 2] + windows[:, 4]).max()
    return Window(int(col), int(row), int(right - col), int(bottom - row))
