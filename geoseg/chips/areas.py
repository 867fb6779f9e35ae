"""Splits drawn by hand: areas on the ground that are for training, validation or test."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geoseg.antimeridian import turned_onto
from geoseg.chips.split import SPLITS
from geoseg.errors import ChipError, OptionError
from geoseg.grid import Grid, offsets
from geoseg.placing import moved
from geoseg.vector import read_vector

COLUMN = "split"

_TOUCH = 1e-6
"""Pixels within which areas and chips merely touch, and share nothing."""

_SPELLINGS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}


@dataclass(frozen=True, slots=True)
class SplitAreas:
    """Areas and the split of each.

    Attributes:
        path: the file.
        shapes: polygons, in their own CRS.
        splits: index into `SPLITS` of each.
    """

    path: Path
    shapes: gpd.GeoSeries
    splits: npt.NDArray[np.int64]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The splits that have areas."""
        return tuple(name for number, name in enumerate(SPLITS) if (self.splits == number).any())

    def windows(self, grid: Grid, chip: int, gap: int) -> npt.NDArray[np.int64]:
        """Windows of chips (n, 5: split, row, col, height, width) that cover the areas on a scene.

        A chip lies on areas of one split only, and none of another is closer than `gap` pixels. Chips may reach beyond
        an area where it is not a rectangle of the grid.

        Raises:
            ChipError: one of the areas and the scene has a CRS and the other has none, or there is no way between them.
        """
        shapes, of = self._in_pixels(grid)
        tree, splits = shapely.STRtree(shapes), self.splits[of]
        found: dict[tuple[int, int, int, int], int] = {}
        for shape, split in zip(shapes, splits.tolist(), strict=True):
            if shape.is_empty:
                continue
            for row, col in _corners(shape, grid, chip, max(1, chip - gap)):
                height, width = min(chip, grid.height), min(chip, grid.width)
                own = shapely.box(col, row, col + width, row + height)
                around = shapely.box(*own.buffer(gap - _TOUCH, join_style="mitre").bounds)
                near = tree.query(around, predicate="intersects")
                alone = (splits[near] == split).all()
                if alone and shapely.intersects(own, shape):
                    found[row, col, height, width] = split
        rows = [(split, *window) for window, split in sorted(found.items())]
        return np.array(rows, np.int64).reshape(-1, 5)

    def _in_pixels(self, grid: Grid) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Shapes in pixels of a grid, and the place of each among those of the file."""
        if (grid.crs is None) != (self.shapes.crs is None):
            raise ChipError(f"{self.path}: only one of the areas and the scene has a CRS; assign the missing one first")
        shapes = self.shapes if grid.crs is None else moved(self.shapes, grid.crs, self.path, ChipError)
        # What lies outside of the projection's domain has infinite coordinates.
        shapes = shapes.where(np.isfinite(shapely.bounds(shapes.to_numpy())).all(axis=1), shapely.Polygon())
        found, of = turned_onto(shapes.to_numpy(), grid)
        t = ~grid.transform
        return np.asarray(gpd.GeoSeries(found).affine_transform([t.a, t.b, t.d, t.e, t.c, t.f]).to_numpy()), of


def read_areas(path: str | Path, column: str | None = None) -> SplitAreas:
    """Read areas from a vector file.

    Args:
        path: a layer of polygons.
        column: which says train, val or test for each; "split" when not given.

    Raises:
        ChipError: it cannot be read, has no such column, or other values in it.
    """
    path = Path(path)
    frame = read_vector(path, error=ChipError)
    name = column or COLUMN
    if name not in frame.columns:
        listing = ", ".join(c for c in frame.columns if c != frame.geometry.name)
        raise ChipError(f"{path}: has no column '{name}'; it has {listing or 'none'}. Name it with --area-column")
    values = frame[name].astype(str).str.strip().str.lower()
    strange = sorted(set(values) - set(_SPELLINGS))
    if strange:
        raise ChipError(f"{path}: column '{name}' holds '{strange[0]}'; each area is for train, val or test")
    if not frame.geom_type.isin(["Polygon", "MultiPolygon"]).all():
        raise ChipError(f"{path}: holds {frame.geom_type.iloc[0]}s and others; areas are polygons")
    areas = SplitAreas(path, frame.geometry, values.map(_SPELLINGS).to_numpy(np.int64))
    if "train" not in areas.wanted:
        raise OptionError(f"{path}: no area is for training; leave something to learn from")
    return areas


def _corners(shape: shapely.Geometry, grid: Grid, chip: int, stride: int) -> list[tuple[int, int]]:
    """Upper left corners (row, col) of chips over the bounds of a shape in pixels, centred on what is smaller."""
    left, top, right, bottom = shapely.bounds(shape)
    rows, cols = (_starts(*span, chip, stride) for span in ((top, bottom, grid.height), (left, right, grid.width)))
    return list(itertools.product(rows, cols))


def _starts(low: float, high: float, length: int, chip: int, stride: int) -> list[int]:
    first, last = max(math.floor(low), 0), min(math.ceil(high), length)
    if first >= last:
        return []
    if last - first <= chip:
        start = (first + last - chip) // 2
        return [min(max(start, 0), max(length - chip, 0))]
    return [first + offset for offset in offsets(last - first, chip, stride)]
