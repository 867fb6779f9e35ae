"""A coarse picture of where the labels of a scene are."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg import progress
from geoseg.chips.pairs import LabelledScene
from geoseg.chips.reading import segment_cols
from geoseg.chips.split import BlockLayout
from geoseg.chips.work import Workers
from geoseg.errors import LabelError
from geoseg.grid import Grid, round_up
from geoseg.legend import IGNORE, Legend
from geoseg.scene import Scene

logger = logging.getLogger(__name__)

_VALUES = 4_000_000
"""Values of a scene that are read at a time."""


@dataclass(frozen=True)
class CellCounts:
    """Labelled pixels with data, per class, in square cells of a scene.

    Attributes:
        grid: the scene's.
        cell: side of a cell in pixels, such that the picture stays small for any scene.
        counts: (rows, cols, classes).
    """

    grid: Grid
    cell: int
    counts: npt.NDArray[np.int32]

    def per_block(self, layout: BlockLayout) -> npt.NDArray[np.int64]:
        """Labelled pixels (block rows, block cols, classes); a cell belongs to the block of its centre."""
        rows, cols, classes = self.counts.shape
        row = np.searchsorted(layout.row_edges, np.arange(rows) * self.cell + self.cell // 2, side="right") - 1
        col = np.searchsorted(layout.col_edges, np.arange(cols) * self.cell + self.cell // 2, side="right") - 1
        blocks = np.zeros((*layout.shape, classes), np.int64)
        row, col = np.minimum(row, layout.shape[0] - 1), np.minimum(col, layout.shape[1] - 1)
        np.add.at(blocks, (row[:, None], col[None, :]), self.counts)
        return blocks

    def touched(self, windows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of windows (n, 4: row, col, height, width) touch a cell with labels."""
        first = windows[:, :2] // self.cell
        last = (windows[:, :2] + windows[:, 2:] - 1) // self.cell + 1
        sums = self._sums
        inside = (
            sums[last[:, 0], last[:, 1]]
            - sums[first[:, 0], last[:, 1]]
            - sums[last[:, 0], first[:, 1]]
            + sums[first[:, 0], first[:, 1]]
        )
        return np.asarray(inside > 0)

    def held(self, windows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Labelled pixels (K,) in cells that lie wholly in one of windows (n, 4: row, col, height, width)."""
        first = -(-windows[:, :2] // self.cell)
        ends = windows[:, :2] + windows[:, 2:]
        # The last cells of a scene may reach beyond it.
        last = np.where(ends == self.grid.shape, self.counts.shape[:2], ends // self.cell).clip(first)
        # How many windows hold a cell: one more from its first on, one less from its last on, in both directions.
        edges = np.zeros(np.add(self.counts.shape[:2], 1), np.int64)
        for row, col, change in ((first, first, 1), (last, last, 1), (first, last, -1), (last, first, -1)):
            np.add.at(edges, (row[:, 0], col[:, 1]), change)
        inside = edges.cumsum(0).cumsum(1)[:-1, :-1] > 0
        return np.asarray(self.counts[inside].sum(0, dtype=np.int64))

    @cached_property
    def _sums(self) -> npt.NDArray[np.int64]:
        """Labelled pixels above and left of each corner of a cell."""
        return np.pad(self.counts.sum(-1, dtype=np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def count_cells(pairs: list[LabelledScene], workers: Workers[list[LabelledScene]]) -> list[CellCounts]:
    """Count labels on pixels with data in cells of each scene, piece by piece.

    Raises:
        LabelError: no labelled pixel on a scene, or none where it has data.
    """
    cells = [_empty(pair) for pair in pairs]
    pieces = [
        (number, cells[number].cell, piece) for number, pair in enumerate(pairs)
        for piece in _pieces(pair.scene, cells[number].cell)
    ]  # fmt: skip
    labelled = [np.zeros(len(pair.labels.legend), np.int64) for pair in pairs]
    with progress.bar("Reading labels", sum(piece.height * piece.width for *_, piece in pieces) / 1e6, "MP") as bar:
        for (number, cell, piece), (seen, found) in zip(pieces, workers.run(_count_piece, pieces), strict=True):
            labelled[number] += seen
            if found is not None:
                row, col = piece.row_off // cell, piece.col_off // cell
                cells[number].counts[row : row + found.shape[0], col : col + found.shape[1]] = found
            bar.advance(piece.height * piece.width / 1e6)
    for pair, counted, seen in zip(pairs, cells, labelled, strict=True):
        _require_labels(pair, counted, int(seen.sum()))
    _tell_of_lost_classes(pairs[0].labels.legend, np.sum(labelled, axis=0), cells)
    return cells


def _empty(pair: LabelledScene) -> CellCounts:
    grid = pair.scene.grid
    cell = max(8, math.ceil(max(grid.shape) / 256))
    shape = math.ceil(grid.height / cell), math.ceil(grid.width / cell), len(pair.labels.legend)
    return CellCounts(grid, cell, np.zeros(shape, np.int32))


def _count_piece(
    pairs: list[LabelledScene], task: tuple[int, int, Window]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    """Labelled pixels of a piece of a scene per class, and those with data per cell too; None where there is none."""
    number, cell, piece = task
    pair = pairs[number]
    classes = len(pair.labels.legend)
    indices = pair.labels.read(pair.scene.grid.crop(piece))
    labelled = np.bincount(indices[indices != IGNORE], minlength=classes)
    if not labelled.any():
        return labelled, None
    if not pair.scene.is_complete:
        indices = np.where(pair.scene.read(piece)[1], indices, np.uint8(IGNORE))
    return labelled, _per_cell(indices, cell, classes)


def _per_cell(indices: npt.NDArray[np.uint8], cell: int, classes: int) -> npt.NDArray[np.int32]:
    """Pixels of each class (rows, cols, classes) in cells of a piece (height, width)."""
    rows, cols = (math.ceil(length / cell) for length in indices.shape)
    row, col = (np.arange(length, dtype=np.int32) // cell for length in indices.shape)
    # One more class for what is not labelled is faster than to pick out what is.
    place = (row[:, None] * cols + col) * (classes + 1) + np.minimum(indices, classes)
    counts = np.bincount(place.ravel(), minlength=rows * cols * (classes + 1))
    return counts.reshape(rows, cols, classes + 1)[..., :classes].astype(np.int32)


def _pieces(scene: Scene, cell: int) -> Iterator[Window]:
    """Windows of whole cells that hold some million values, whatever the scene's width; top to bottom in segments."""
    grid, bands = scene.grid, len(scene.bands)
    cols = min(round_up(segment_cols(bands * np.dtype(scene.dtype).itemsize), cell), round_up(grid.width, cell))
    rows = max(1, _VALUES // (bands * cols * cell)) * cell
    for col in range(0, grid.width, cols):
        for row in range(0, grid.height, rows):
            yield Window(col, row, min(cols, grid.width - col), min(rows, grid.height - row))


def _require_labels(pair: LabelledScene, cells: CellCounts, labelled: int) -> None:
    scene, labels = pair.scene, pair.labels
    if not labelled:
        raise LabelError(
            f"{labels.path}: no labelled pixel lies on {scene.name}; the scene covers {_extent(scene.grid)}. "
            "Check that both are of the same place and that their CRSs are right"
        )
    if not cells.counts.any():
        raise LabelError(f"{labels.path}: labels lie on {scene.name} only where it has no data; check its nodata value")


def _tell_of_lost_classes(legend: Legend, labelled: npt.NDArray[np.int64], cells: list[CellCounts]) -> None:
    """Warn of classes whose labels all lie where scenes have no data, for whatever reason."""
    kept = np.sum([counted.counts.sum((0, 1)) for counted in cells], axis=0)
    for name, count in zip(legend.names, np.where(kept, 0, labelled).tolist(), strict=True):
        if count:
            logger.warning(
                "All %d labelled pixels of '%s' lie where the scene has no data; if one of its bands is why, name "
                "the others with --bands",
                count, name,
            )  # fmt: skip


def _extent(grid: Grid) -> str:
    left, bottom, right, top = grid.bounds
    crs = grid.crs.to_string() if grid.crs else "pixel coordinates"
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g} ({crs[:60]})"
