"""Read the confidence of a map beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import MapError
from geoseg.grid import Grid
from geoseg.raster import open_raster
from geoseg.vectors.source import read_window

NAME = "confidence"


class Confidence:
    """A raster on the grid of a map: its one band, or the one called "confidence"; scale and offset are applied.

    Raises:
        MapError: missing, broken, several bands and none of them called so, or another grid.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self._path = path
        self._dataset = open_raster(path, error=MapError)
        dataset = self._dataset
        if dataset.count != 1 and NAME not in dataset.descriptions:
            raise MapError(
                f"{path}: has {dataset.count} bands and none called '{NAME}'; give a raster of one band, or what "
                "geoseg predict --confidence made"
            )
        self._band = 1 if dataset.count == 1 else dataset.descriptions.index(NAME) + 1
        own = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        if own.shape != grid.shape or not own.is_aligned(grid) or own.offset(grid) != (0, 0):
            raise MapError(
                f"{path}: has {_place(own)}, and the map {_place(grid)}; the confidence of a map lies on its own grid"
            )
        self._scale, self._offset = dataset.scales[self._band - 1], dataset.offsets[self._band - 1]

    def read(self, top: int, rows: int) -> npt.NDArray[np.float32]:
        """(rows, cols) of some rows, NaN where there is none."""
        window = Window(0, top, self._dataset.width, rows)
        values, valid = read_window(self._dataset, self._path, self._band, window)
        result = values.astype(np.float32)
        if (self._scale, self._offset) != (1.0, 0.0):
            result = result * np.float32(self._scale) + np.float32(self._offset)
        result[~valid] = np.nan
        return result

    def close(self) -> None:
        """Let go of the file."""
        self._dataset.close()


def _place(grid: Grid) -> str:
    crs = "no CRS" if grid.crs is None else grid.crs.to_string().split("[")[0]
    return f"{grid.width} x {grid.height} pixels from ({grid.transform.c:.10g}, {grid.transform.f:.10g}) in {crs}"
