"""Where chips go: chip and block size chosen from the labels, and a split for every block or scene."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg import progress
from geoseg.chips.split import BlockLayout, Shares, assign
from geoseg.errors import ChipError, LabelError, OptionError
from geoseg.grid import Grid
from geoseg.labels import Labels
from geoseg.legend import IGNORE
from geoseg.scene import Scene

logger = logging.getLogger(__name__)

CHIP_SIZES = (256, 128, 96, 64, 48, 32)
ENOUGH_BLOCKS = 24
"""Labelled blocks that make a split by blocks worth its name."""

SCENES_APART = 8
"""From this many scenes on, whole scenes are held out rather than blocks of each."""


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Labelled pixels per class in square cells of a scene: a coarse picture of where labels are.

    Attributes:
        grid: the scene's.
        cell: side of a cell in pixels, such that the picture stays small for any scene.
        counts: (rows, cols, classes).
    """

    grid: Grid
    cell: int
    counts: npt.NDArray[np.int64]

    def per_block(self, layout: BlockLayout) -> npt.NDArray[np.int64]:
        """Labelled pixels (block rows, block cols, classes); a cell belongs to the block of its centre."""
        rows, cols, classes = self.counts.shape
        row = np.searchsorted(layout.row_edges, np.arange(rows) * self.cell + self.cell // 2, side="right") - 1
        col = np.searchsorted(layout.col_edges, np.arange(cols) * self.cell + self.cell // 2, side="right") - 1
        blocks = np.zeros((*layout.shape, classes), np.int64)
        row, col = np.minimum(row, layout.shape[0] - 1), np.minimum(col, layout.shape[1] - 1)
        np.add.at(blocks, (row[:, None], col[None, :]), self.counts)
        return blocks


def count_cells(scene: Scene, labels: Labels) -> CellCounts:
    """Count labels on pixels with data in cells, piece by piece.

    Raises:
        LabelError: no labelled pixel on the scene, or none where it has data.
    """
    grid, classes = scene.grid, len(labels.legend)
    cell = max(16, math.ceil(max(grid.shape) / 512))
    counts = np.zeros((math.ceil(grid.height / cell), math.ceil(grid.width / cell), classes), np.int64)
    labelled = 0
    with progress.bar("Reading labels", grid.height * grid.width / 1e6, "MP") as bar:
        for piece in _pieces(grid, cell, len(scene.bands)):
            indices = labels.read(grid.crop(piece))
            if (indices != IGNORE).any():
                labelled += int((indices != IGNORE).sum())
                indices = np.where(scene.read(piece)[1], indices, np.uint8(IGNORE))
                found = _per_cell(indices, cell, classes)
                row, col = piece.row_off // cell, piece.col_off // cell
                counts[row : row + found.shape[0], col : col + found.shape[1]] = found
            bar.advance(piece.height * piece.width / 1e6)
    if not labelled:
        raise LabelError(
            f"{labels.path}: no labelled pixel lies on {scene.name}; the scene covers {_extent(grid)}. "
            "Check that both are of the same place and that their CRSs are right"
        )
    if not counts.any():
        raise LabelError(f"{labels.path}: labels lie on {scene.name} only where it has no data; check its nodata value")
    return CellCounts(grid, cell, counts)


def _per_cell(indices: npt.NDArray[np.uint8], cell: int, classes: int) -> npt.NDArray[np.int64]:
    """Pixels of each class (rows, cols, classes) in cells of a strip (height, width)."""
    rows, cols = (math.ceil(length / cell) for length in indices.shape)
    padded = np.full((rows * cell, cols * cell), IGNORE, np.uint8)
    padded[: indices.shape[0], : indices.shape[1]] = indices
    cells = padded.reshape(rows, cell, cols, cell)
    return np.stack([(cells == index).sum((1, 3)) for index in range(classes)], axis=-1)


def _pieces(grid: Grid, cell: int, bands: int) -> Iterator[Window]:
    """Windows of whole cells that hold about eight million values, whatever the scene's width."""
    room = max(1, int(8e6 / bands) // cell**2)
    across = math.ceil(grid.width / cell)
    cols, rows = min(across, room) * cell, max(1, room // across) * cell
    for row in range(0, grid.height, rows):
        for col in range(0, grid.width, cols):
            yield Window(col, row, min(cols, grid.width - col), min(rows, grid.height - row))


def _extent(grid: Grid) -> str:
    left, bottom, right, top = grid.bounds
    crs = grid.crs.to_string() if grid.crs else "pixel coordinates"
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g} ({crs[:60]})"


@dataclass(frozen=True, slots=True)
class ChipPlan:
    """Sizes of chips, in pixels, and the split of every block of every scene.

    Attributes:
        chip: side of a chip.
        overlap: pixels shared by neighbouring chips of one split.
        gap: pixels between chips of different splits.
        block: least side of a block.
        by: "blocks" or "scene".
        layouts: the blocks of each scene.
        splits: index into `SPLITS` (block rows, block cols) of each scene.
    """

    chip: int
    overlap: int
    gap: int
    block: int
    by: str
    layouts: tuple[BlockLayout, ...]
    splits: tuple[npt.NDArray[np.int64], ...]


def plan_chips(
    cells: list[CellCounts],
    *,
    chip_size: int | None,
    overlap: float,
    block_size: int | None,
    shares: Shares,
    split_by: str,
    seed: int,
    name: str = "labels",
) -> ChipPlan:
    """Decide on sizes and splits from where the labels are.

    Args:
        cells: label counts of each scene.
        chip_size: side of a chip, or None to choose the largest that leaves enough labelled blocks.
        overlap: share of a chip that its neighbours share, 0 to less than 1; it is also the gap between splits.
        block_size: side of a block, or None to choose it.
        shares: of the splits.
        split_by: "blocks", "scene", or "auto" (scenes when there are many).
        seed: of the split.
        name: what to call the labels in errors.

    Raises:
        OptionError: sizes that cannot be.
        ChipError: too few labelled blocks or scenes.
    """
    if not 0 <= overlap < 1:
        raise OptionError(f"overlap is {overlap}; it must be 0 or more and less than 1")
    if chip_size is not None and chip_size < 8:
        raise OptionError(f"chip size is {chip_size} pixels; it must be 8 or more")
    by = split_by if split_by != "auto" else "scene" if len(cells) >= SCENES_APART else "blocks"
    if by == "scene":
        return _by_scene(cells, chip_size or _fitting_chip(cells), overlap, shares, seed, name)
    chip = chip_size or _chip_for_blocks(cells, overlap)
    gap = math.ceil(chip * overlap)
    block = block_size or _block_for(cells, chip + gap)
    if block < chip + gap:
        raise OptionError(
            f"block size is {block}; with chips of {chip} and a gap of {gap} pixels it must be {chip + gap}"
        )
    layouts = tuple(BlockLayout(*cell.grid.shape, block) for cell in cells)
    counts = [cell.per_block(layout) for cell, layout in zip(cells, layouts, strict=True)]
    flat = assign(np.concatenate([count.reshape(-1, count.shape[-1]) for count in counts]), shares, seed, name)
    ends = np.cumsum([count.shape[0] * count.shape[1] for count in counts])[:-1]
    splits = tuple(part.reshape(layout.shape) for part, layout in zip(np.split(flat, ends), layouts, strict=True))
    return ChipPlan(chip, gap, gap, block, by, layouts, splits)


def _by_scene(cells: list[CellCounts], chip: int, overlap: float, shares: Shares, seed: int, name: str) -> ChipPlan:
    wanted = sum(share > 0 for share in shares.values)
    if len(cells) < wanted:
        raise ChipError(
            f"{name}: {len(cells)} scenes cannot be split by scene into {wanted} parts; use --split-by blocks"
        )
    counts = np.stack([cell.counts.sum((0, 1)) for cell in cells])
    whole = max(max(cell.grid.shape) for cell in cells)
    layouts = tuple(BlockLayout(*cell.grid.shape, whole) for cell in cells)
    splits = tuple(np.full((1, 1), split, np.int64) for split in assign(counts, shares, seed, name))
    pixels = math.ceil(chip * overlap)
    return ChipPlan(chip, pixels, pixels, whole, "scene", layouts, splits)


def _fitting_chip(cells: list[CellCounts]) -> int:
    """A fixed choice for whole scenes: 128, or what the smallest scene holds."""
    smallest = min(min(cell.grid.shape) for cell in cells)
    return next((size for size in CHIP_SIZES if size <= min(128, smallest)), CHIP_SIZES[-1])


def _labelled_blocks(cells: list[CellCounts], size: int) -> tuple[int, int]:
    """Labelled blocks, and blocks that have the rarest class, if blocks were of this size."""
    blocks = [cell.per_block(BlockLayout(*cell.grid.shape, size)) for cell in cells]
    present = np.concatenate([(block > 0).reshape(-1, block.shape[-1]) for block in blocks])
    return int(present.any(1).sum()), int(present.sum(0)[present.any(0)].min())


def _chip_for_blocks(cells: list[CellCounts], overlap: float) -> int:
    """The largest chip that leaves enough labelled blocks, and each class in a block for every split if it can be."""
    _, most = _labelled_blocks(cells, math.ceil(CHIP_SIZES[-1] * (1 + overlap)))
    for chip in CHIP_SIZES[:-1]:
        labelled, rarest = _labelled_blocks(cells, chip + math.ceil(chip * overlap))
        if labelled >= ENOUGH_BLOCKS and rarest >= min(3, most):
            return chip
    return CHIP_SIZES[-1]


def _block_for(cells: list[CellCounts], smallest: int) -> int:
    """Large blocks lose less to the gaps: double them while there are plenty."""
    block = smallest
    while _labelled_blocks(cells, 2 * block)[0] >= 4 * ENOUGH_BLOCKS:
        block *= 2
    return block
