"""What `tile` tells of its chips."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd

from geoseg.chips.index import count_columns
from geoseg.chips.layout import ChipPlan
from geoseg.legend import Legend


@dataclass(frozen=True, slots=True)
class TileResult:
    """What `tile` made, or would make.

    Attributes:
        output: the chip folder.
        chips: number of chips per split.
        classes: number of chips that have a class, per split and class name.
        pixels: labelled pixels, per split and class name.
        chip_size, block_size: in pixels.
        bytes: of all chips; before compression when none was written.
        missing: (split, class name) pairs of classes that a split has no labels of.
        dry_run: True when nothing was written.
    """

    output: str
    chips: dict[str, int]
    classes: dict[str, dict[str, int]]
    pixels: dict[str, dict[str, int]]
    chip_size: int
    block_size: int
    bytes: int
    missing: tuple[tuple[str, str], ...]
    dry_run: bool

    @classmethod
    def of(
        cls,
        output: str,
        frame: gpd.GeoDataFrame,
        plan: ChipPlan,
        legend: Legend,
        wanted: tuple[str, ...],
        size: int,
        *,
        dry_run: bool,
    ) -> TileResult:
        """Count what is in an index of chips that take `size` bytes."""
        counts = {split: frame.loc[frame["split"] == split, count_columns(legend)] for split in plan.names}
        names = legend.names
        classes = {split: dict(zip(names, (own > 0).sum().tolist(), strict=True)) for split, own in counts.items()}
        pixels = {split: dict(zip(names, own.sum().tolist(), strict=True)) for split, own in counts.items()}
        missing = tuple((split, name) for split in wanted for name, chips in classes[split].items() if not chips)
        chips = {split: len(own) for split, own in counts.items()}
        return cls(output, chips, classes, pixels, plan.chip, plan.block, size, missing, dry_run)

    def __str__(self) -> str:
        splits = ", ".join(f"{count} {split}" for split, count in self.chips.items())
        text = f"{sum(self.chips.values())} chips of {self.chip_size} pixels ({splits})"
        if not self.dry_run:
            return f"{self.output}: {text}"
        head = ("class", *(f"{split} chips" for split in self.chips), *(f"{split} pixels" for split in self.chips))
        names = next(iter(self.classes.values()))
        figures = (*self.classes.values(), *self.pixels.values())
        rows = [(name, *(f"{own[name]:,}" for own in figures)) for name in names]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        table = ["  ".join(map(str.rjust, row, widths)) for row in (head, *rows)]
        disk = f"{self.bytes / 1e6:,.1f} MB on disk at most" if self.bytes else "no pixels on disk"
        return "\n".join([f"{self.output}: would be {text}, {disk}", *table])
