"""Labels in a class raster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels.background import with_background
from geoseg.legend import IGNORE, Legend


@dataclass(frozen=True, slots=True)
class RasterLabels:
    """Labels in a class raster; other grids take the class at their pixels' centres.

    Attributes:
        raster: the file.
        background: index of the class of what it leaves unlabelled, None for none.
    """

    raster: ClassRaster
    background: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.raster.path

    @property
    def legend(self) -> Legend:
        """Its classes."""
        return self.raster.legend

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid."""
        indices = self.raster.read_on(grid)
        if self.background is not None:
            indices[indices == IGNORE] = self.background
        return indices


def raster_labels(path: Path, legend: Legend | None, background: int | None) -> RasterLabels:
    """Labels in the class raster at `path`."""
    raster = open_class_raster(path, legend=legend, background=background, error=LabelError)
    if background is None:
        return RasterLabels(raster)
    raster = replace(raster, legend=with_background(raster.legend, background, path))
    return RasterLabels(raster, raster.legend.ids.index(background))
