"""Read a raster of classes as codes, whatever integers it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from geoseg.class_raster import refuse_strangers, tagged_legend, warn_of_nodata
from geoseg.connected import NONE, Int32s
from geoseg.errors import MapError, OptionError
from geoseg.grid import Grid
from geoseg.legend import Legend, distinct_colors
from geoseg.pixels import read_pixels
from geoseg.raster import grid_of, open_raster
from geoseg.registry import suggestion

logger = logging.getLogger(__name__)

MOST_COLORS = 500
"""More classes than this, as in a raster of objects, get no style."""


@dataclass(slots=True)
class Categories:
    """The classes of a map, in the order of their codes; without a legend they are added as they are met.

    Attributes:
        ids, names, colors: of each class.
        fixed: the list came from a legend; other values have no class.
    """

    ids: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)
    fixed: bool = False

    @classmethod
    def of(cls, legend: Legend) -> Categories:
        """The classes of a legend."""
        return cls(list(legend.ids), list(legend.names), [item.color for item in legend], fixed=True)

    def add(self, ids: list[int]) -> None:
        """Add classes that have no name yet."""
        self.ids += ids
        self.names += [f"class {id_}" for id_ in ids]

    def style(self) -> list[tuple[int, str, str]]:
        """(id, name, colour) by id; none when there are too many to tell apart."""
        if len(self.ids) > MOST_COLORS:
            return []
        colors = self.colors + distinct_colors(self.names[len(self.colors) :], self.colors)
        return sorted(zip(self.ids, self.names, colors, strict=True))

    def find(self, wanted: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Ids of the classes that are named, or called by their id.

        Raises:
            OptionError: there is no such class.
        """
        found = []
        for name in wanted:
            if name in self.names:
                found.append(self.ids[self.names.index(name)])
            elif name in map(str, self.ids):
                found.append(int(name))
            else:
                raise OptionError(f"the map has no class '{name}'; {suggestion(name, self.names[:MOST_COLORS])}")
        return np.array(found, np.int64)


@dataclass(frozen=True, slots=True)
class MapSource:
    """One band of a raster, every value a class.

    Attributes:
        path: the file.
        band: number of the band, from 1.
        grid: its georeferencing.
        dtype: type of its values.
        categories: its classes.
        own_legend: its classes, if any were known, are those in its tags.
        has_nodata: it says which value is nodata.
        block_row: bytes of a row of its blocks.
    """

    path: Path
    band: int
    grid: Grid
    dtype: np.dtype[Any]
    categories: Categories
    own_legend: bool
    has_nodata: bool
    block_row: int

    def read(self, rows: int) -> Iterator[Int32s]:
        """Codes (rows, cols), strip by strip from the top; a code is the place of a class in `categories`.

        Raises:
            MapError: the file is damaged, or holds values its legend does not have.
        """
        coder = _Coder(self)
        with open_raster(self.path, error=MapError) as dataset:
            for window in self.grid.strips(rows):
                yield coder.codes(*read_pixels(dataset, self.path, self.band, window, MapError))


def open_map(path: str | Path, *, band: int | None = None, legend: Legend | None = None) -> MapSource:
    """Open a class raster of any integer type.

    Args:
        path: the file.
        band: number of the band that holds the classes; needed where there are several.
        legend: its classes, in place of those it names itself.

    Raises:
        MapError: missing, broken, more than one band and none named, or not integer.
        OptionError: there is no such band.
    """
    path = Path(path)
    with open_raster(path, error=MapError) as dataset:
        if band is not None and not 1 <= band <= dataset.count:
            raise OptionError(f"{path}: has no band {band}; it has {_bands(dataset)}")
        if band is None and dataset.count != 1:
            raise MapError(f"{path}: has {_bands(dataset)}; name the one that holds the classes, such as --band 1")
        band = band or 1
        dtype = np.dtype(dataset.dtypes[band - 1])
        if dtype.kind not in "iu":
            whole = [str(n) for n, t in enumerate(dataset.dtypes, 1) if np.dtype(t).kind in "iu"]
            remedy = f"choose band {' or '.join(whole)} with --band" if whole else "turn it into whole numbers first"
            raise MapError(f"{path}: band {band} holds {dtype} values, and classes are whole numbers; {remedy}")
        grid = grid_of(dataset, path, MapError)
        tagged = tagged_legend(dataset, path, MapError)
        nodata = dataset.nodatavals[band - 1]
        block_row = dataset.block_shapes[band - 1][0] * grid.width * dtype.itemsize
    known = legend or tagged
    if known is not None:
        warn_of_nodata(nodata, known, path)
    categories = Categories() if known is None else Categories.of(known)
    return MapSource(path, band, grid, dtype, categories, legend is None, nodata is not None, block_row)


class _Coder:
    """Turns values into codes; new values get new codes unless the classes are fixed."""

    def __init__(self, source: MapSource) -> None:
        self._source, self._categories = source, source.categories
        self._small = source.dtype.itemsize <= 2
        self._lowest = int(np.iinfo(source.dtype).min) if self._small else 0
        # Of small types every value has a place in a table; -2 is a value not met before.
        self._table = np.full(1 << 8 * source.dtype.itemsize if self._small else 0, -2, np.int32)
        self._known, self._codes = np.empty(0, np.int64), np.empty(0, np.int32)
        self._enter(self._categories.ids, range(len(self._categories.ids)))

    def codes(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Int32s:
        """Codes of values, `NONE` where they are not valid."""
        codes = self._look_up(values)
        new = (codes == -2) & valid
        if new.any():
            self._meet(sorted({int(value) for value in np.unique(values[new])}))
            codes = self._look_up(values)
        codes[~valid | (codes < 0)] = NONE
        return codes

    def _look_up(self, values: npt.NDArray[Any]) -> Int32s:
        if self._small:
            table = np.roll(self._table, self._lowest) if self._lowest else self._table
            return np.take(table, values.view(f"u{values.dtype.itemsize}"))
        if not len(self._known):
            return np.full(values.shape, -2, np.int32)
        signed = values.astype(np.int64)
        place = np.minimum(np.searchsorted(self._known, signed), len(self._known) - 1)
        return np.where(self._known[place] == signed, self._codes[place], np.int32(-2))

    def _meet(self, new: list[int]) -> None:
        """Make classes of values not met before."""
        categories, path = self._categories, self._source.path
        if max(new) >= 1 << 63:
            raise MapError(f"{path}: holds {max(new)}; class ids go up to 2^63 - 1; renumber the classes")
        if categories.fixed:
            refuse_strangers(set(new), path, MapError, declared=self._source.has_nodata, own=self._source.own_legend)
            self._enter(new, [int(NONE)] * len(new))
            return
        if 0 in new and not self._source.has_nodata:
            logger.warning("%s: value 0 is not declared as nodata, so it is taken as a class", path)
        first = len(categories.ids)
        categories.add(new)
        self._enter(new, range(first, first + len(new)))

    def _enter(self, ids: list[int], codes: Sequence[int]) -> None:
        if self._small:
            limits = np.iinfo(self._source.dtype)
            for id_, code in zip(ids, codes, strict=True):
                if limits.min <= id_ <= limits.max:
                    self._table[id_ - self._lowest] = code
            return
        known = np.concatenate([self._known, np.array(ids, np.int64)])
        order = np.argsort(known)
        self._known, self._codes = known[order], np.concatenate([self._codes, np.array(codes, np.int32)])[order]


def _bands(dataset: rasterio.DatasetReader) -> str:
    names = [
        f"{number} '{name}' ({dtype})" if name else f"{number} ({dtype})"
        for number, (name, dtype) in enumerate(zip(dataset.descriptions, dataset.dtypes, strict=True), 1)
    ]
    more = f", ... {dataset.count}" if dataset.count > 8 else ""
    return f"{dataset.count} band{'s' if dataset.count > 1 else ''}: {', '.join(names[:8])}{more}"
