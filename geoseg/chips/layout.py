"""Where chips go: sizes chosen from the labels, and windows that each belong to one split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.chips.areas import SplitAreas
from geoseg.chips.cells import CellCounts
from geoseg.chips.split import SPLITS, BlockLayout, Division, Shares, Windows, assign, chip_windows
from geoseg.errors import ChipError, OptionError
from geoseg.grid import Grid

CHIP_SIZES = (256, 128, 96, 64, 48, 32)
ENOUGH_BLOCKS = 24
"""Labelled blocks that make a split by blocks worth its name."""

SCENES_APART = 8
"""From this many scenes of different ground on, whole scenes are held out rather than blocks of each."""

ATTEMPTS = 12
"""Splits that are tried when the gaps swallow most training labels of a class."""


@dataclass(frozen=True, slots=True)
class ChipPlan:
    """Sizes of chips, in pixels, and their windows.

    Attributes:
        chip: side of a chip.
        overlap: pixels shared by neighbouring chips of one split.
        gap: pixels between chips of different splits.
        block: least side of a block; 0 where no blocks are split.
        by: "blocks", "scene" or "areas".
        names: of the splits.
        windows: of each scene; those that touch no label are left out.
    """

    chip: int
    overlap: int
    gap: int
    block: int
    by: str
    names: tuple[str, ...]
    windows: tuple[Windows, ...]


def plan_chips(
    cells: Sequence[CellCounts],
    *,
    chip_size: int | None,
    overlap: float,
    block_size: int | None,
    shares: Division,
    split_by: str,
    seed: int,
    areas: SplitAreas | None = None,
    files: Sequence[tuple[Path, ...]] | None = None,
    name: str = "labels",
) -> ChipPlan:
    """Decide on sizes and splits from where the labels are.

    Scenes with the same grid show the same ground, at other dates say; their blocks go to the same splits.

    Args:
        cells: label counts of each scene.
        chip_size: side of a chip, or None to choose the largest that leaves enough labelled blocks.
        overlap: share of a chip that its neighbours share, 0 to less than 1; it is also the gap between splits.
        block_size: side of a block, or None to choose it.
        shares: of the splits or folds.
        split_by: "blocks", "scene", or "auto" (scenes when there are many).
        seed: of the split.
        areas: ground that was given to the splits by hand; the splits are these then.
        files: of each scene; without a CRS it is the same ground where they are the same, with other labels say.
        name: what to call the labels in errors.

    Raises:
        OptionError: sizes that cannot be.
        ChipError: too few labelled blocks or scenes.
    """
    if not 0 <= overlap < 1:
        raise OptionError(f"overlap is {overlap}; it must be 0 or more and less than 1")
    if chip_size is not None and chip_size < 8:
        raise OptionError(f"chip size is {chip_size} pixels; it must be 8 or more")
    if areas is not None:
        return _by_areas(cells, areas, chip_size or _fitting_chip(cells), overlap)
    grounds, ground_of = _grounds(cells, range(len(cells)) if files is None else files)
    by = split_by if split_by != "auto" else "scene" if len(grounds) >= SCENES_APART else "blocks"
    chip = chip_size or (_fitting_chip(cells) if by == "scene" else _chip_for_blocks(grounds, overlap))
    gap = math.ceil(chip * overlap)
    block = _block(grounds, by, block_size, chip + gap)
    layouts = [BlockLayout(*ground.grid.shape, block) for ground in grounds]
    counts = [ground.per_block(layout) for ground, layout in zip(grounds, layouts, strict=True)]
    if by == "scene":
        _require_scenes(len(grounds), shares, name)
    found: list[list[Windows]] = []
    shown: list[float] = []
    for attempt in range(ATTEMPTS if isinstance(shares, Shares) and chip >= 2 * grounds[0].cell else 1):
        splits = _split(counts, shares, seed, attempt, name)
        of_each = zip(layouts, splits, strict=True)
        found.append([chip_windows(layout, split, chip=chip, overlap=gap, gap=gap) for layout, split in of_each])
        shown.append(_least_shown(grounds, found[-1]))
        if shown[-1] >= shares.values[0] / 2:
            break
    chosen = found[shown.index(max(shown))]
    return ChipPlan(chip, gap, gap, block, by, shares.names, _labelled(cells, ground_of, chosen.__getitem__))


def _least_shown(grounds: list[CellCounts], windows: list[Windows]) -> float:
    """Share of its labels that training is sure to see, of the class worst off: gaps may swallow a small one whole."""
    labelled = np.sum([ground.counts.sum((0, 1)) for ground in grounds], axis=0)
    seen = np.sum(
        [ground.held(made[made[:, 0] == 0, 1:]) for ground, made in zip(grounds, windows, strict=True)], axis=0
    )
    return float((seen[labelled > 0] / labelled[labelled > 0]).min())


def _grounds(cells: Sequence[CellCounts], owners: Sequence[object]) -> tuple[list[CellCounts], list[int]]:
    """Scenes of one grid taken together, and which of these each scene belongs to."""
    places: dict[tuple[object, ...], int] = {}
    grounds: list[CellCounts] = []
    ground_of = []
    for own, owner in zip(cells, owners, strict=True):
        place = places.setdefault(_place(own.grid, owner), len(places))
        ground_of.append(place)
        if place == len(grounds):
            grounds.append(own)
        else:
            grounds[place] = CellCounts(own.grid, own.cell, grounds[place].counts + own.counts)
    return grounds, ground_of


def _place(grid: Grid, owner: object) -> tuple[object, ...]:
    """What tells grounds apart; a scene without a CRS lies nowhere, and so on no ground but its owner's."""
    return (owner,) if grid.crs is None else (grid.crs.to_wkt(), tuple(grid.transform), grid.shape)


def _block(grounds: list[CellCounts], by: str, asked: int | None, smallest: int) -> int:
    if by == "scene":
        return max(max(ground.grid.shape) for ground in grounds)
    # Of blocks within a cell only that at its centre would have labels; the others would all be for training.
    cell = max(ground.cell for ground in grounds)
    block = asked or _block_for(grounds, max(smallest, cell))
    if block < smallest:
        raise OptionError(f"block size is {block}; with such chips and the gap between them it must be {smallest}")
    if block < cell:
        raise OptionError(
            f"block size is {block}; the labels of so large a scene are counted in squares of {cell} pixels, and a "
            f"block holds one at least: give {cell} or more"
        )
    return block


def _require_scenes(grounds: int, shares: Division, name: str) -> None:
    wanted = sum(share > 0 for share in shares.values)
    if grounds < wanted:
        raise ChipError(
            f"{name}: {grounds} scenes of different ground cannot be split by scene into {wanted} parts; use "
            "--split-by blocks"
        )


def _split(
    counts: list[npt.NDArray[np.int64]], shares: Division, seed: int, attempt: int, name: str
) -> list[npt.NDArray[np.int64]]:
    """The split of every block of every ground."""
    flat = np.concatenate([count.reshape(-1, count.shape[-1]) for count in counts])
    splits = assign(flat, shares, [seed, attempt] if attempt else seed, name)
    ends = np.cumsum([count.shape[0] * count.shape[1] for count in counts])[:-1]
    return [part.reshape(count.shape[:2]) for part, count in zip(np.split(splits, ends), counts, strict=True)]


def _by_areas(cells: Sequence[CellCounts], areas: SplitAreas, chip: int, overlap: float) -> ChipPlan:
    gap = math.ceil(chip * overlap)

    def windows(scene: int) -> Windows:
        return areas.windows(cells[scene].grid, chip, gap)

    found = _labelled(cells, range(len(cells)), windows)
    return ChipPlan(chip, gap, gap, 0, "areas", SPLITS, found)


def _labelled(
    cells: Sequence[CellCounts], ground_of: Sequence[int], windows: Callable[[int], Windows]
) -> tuple[Windows, ...]:
    """The windows of each scene that touch a label."""
    made: dict[int, Windows] = {}
    kept = []
    for own, ground in zip(cells, ground_of, strict=True):
        if ground not in made:
            made[ground] = windows(ground)
        kept.append(made[ground][own.touched(made[ground][:, 1:])])
    return tuple(kept)


def _fitting_chip(cells: Sequence[CellCounts]) -> int:
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
    """Large blocks lose less to the gaps: double them while there are plenty, and a scene holds more than one."""
    block, largest = smallest, max(max(cell.grid.shape) for cell in cells)
    while 2 * block <= largest and _labelled_blocks(cells, 2 * block)[0] >= 4 * ENOUGH_BLOCKS:
        block *= 2
    return block
