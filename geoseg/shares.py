"""Read what lies beside a map: its confidence, or the probabilities of its classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import MapError
from geoseg.grid import Grid
from geoseg.legend import Legend
from geoseg.pixels import read_pixels
from geoseg.raster import open_raster

NAME = "confidence"

_SLACK = 1e-3
"""How far beyond 0 and 1 rounding may lead."""


class Shares:
    """Bands of values from 0 to 1 on the grid of a map; scale and offset are applied.

    Attributes:
        path: the file.
        step: the smallest step of the values, 0 for floats that are not scaled.
    """

    def __init__(self, path: Path, grid: Grid, choose: Callable[[Any], list[int]], what: str) -> None:
        """Open the file; `choose` tells from the dataset which bands, from 1, and `what` lies in them.

        Raises:
            MapError: missing, broken, or on another grid.
        """
        self.path, self._what = path, what
        self._dataset = open_raster(path, error=MapError)
        self._bands = choose(self._dataset)
        own = Grid(self._dataset.crs, self._dataset.transform, self._dataset.height, self._dataset.width)
        if own.shape != grid.shape or not own.is_aligned(grid) or own.offset(grid) != (0, 0):
            raise MapError(
                f"{path}: has {_place(own)}, and the map {_place(grid)}; {what} of a map lies on its own grid"
            )
        whole = all(np.dtype(self._dataset.dtypes[band - 1]).kind in "iu" for band in self._bands)
        self.step = max(abs(self._dataset.scales[band - 1]) for band in self._bands) if whole else 0.0

    def read(self, window: Window) -> npt.NDArray[np.float32]:
        """(bands, rows, cols) of a window, NaN where there is none.

        Raises:
            MapError: damaged there, or not between 0 and 1.
        """
        return np.stack([self._band(band, window) for band in self._bands])

    def close(self) -> None:
        """Let go of the file."""
        self._dataset.close()

    def _band(self, band: int, window: Window) -> npt.NDArray[np.float32]:
        values, valid = read_pixels(self._dataset, self.path, band, window, MapError)
        result = values.astype(np.float32)
        scale, offset = self._dataset.scales[band - 1], self._dataset.offsets[band - 1]
        if (scale, offset) != (1.0, 0.0):
            result = result * np.float32(scale) + np.float32(offset)
        result[~valid] = np.nan
        known = result[np.isfinite(result)]
        odd = known[(known < -_SLACK) | (known > 1 + _SLACK)]
        if odd.size:
            raise MapError(
                f"{self.path}: holds {odd[0]:g}, and {self._what} of a map lies between 0 and 1; give what geoseg "
                "predict made, or a raster whose scale says so"
            )
        return result


def open_confidence(path: Path, grid: Grid) -> Shares:
    """The confidence of a map: the one band of a raster, or the one called "confidence".

    Raises:
        MapError: missing, broken, several bands and none of them called so, or another grid.
    """

    def choose(dataset: Any) -> list[int]:
        if dataset.count != 1 and NAME not in dataset.descriptions:
            raise MapError(
                f"{path}: has {dataset.count} bands and none called '{NAME}'; give a raster of one band, or what "
                "geoseg predict --confidence made"
            )
        return [1 if dataset.count == 1 else dataset.descriptions.index(NAME) + 1]

    return Shares(path, grid, choose, "the confidence")


def open_probabilities(path: Path, grid: Grid, legend: Legend) -> Shares:
    """The probabilities of a map's classes, in the order of its legend: bands are found by the classes' names.

    Raises:
        MapError: missing, broken, without a band for each class, or on another grid.
    """

    def choose(dataset: Any) -> list[int]:
        names = [text.casefold() if text else "" for text in dataset.descriptions]
        if not any(names) and len(names) == len(legend):
            return list(range(1, len(names) + 1))
        missing = [name for name in legend.names if name.casefold() not in names]
        if missing:
            raise MapError(
                f"{path}: has no band called '{missing[0]}'; give a band for each class of the map, such as "
                "geoseg predict --probabilities makes"
            )
        return [names.index(name.casefold()) + 1 for name in legend.names]

    return Shares(path, grid, choose, "the probabilities")


def _place(grid: Grid) -> str:
    crs = "no CRS" if grid.crs is None else grid.crs.to_string().split("[")[0]
    return f"{grid.width} x {grid.height} pixels from ({grid.transform.c:.10g}, {grid.transform.f:.10g}) in {crs}"
