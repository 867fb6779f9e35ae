"""Put a layer into another coordinate system, vertex by vertex: what is shared stays shared."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.errors import MapError, OptionError
from geoseg.grid import Grid
from geoseg.placing import placing

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


class Reprojection:
    """From the coordinates of a map to those of another coordinate system.

    Longitudes are kept within half a turn of the middle of the map, so that a polygon across the antimeridian stays
    whole; some then lie beyond 180 degrees, which is said.

    Raises:
        OptionError: the coordinate system is not known.
        MapError: the map has none, has no way to the other, or its middle cannot be expressed in it.
    """

    def __init__(self, grid: Grid, name: str) -> None:
        try:
            self.crs = CRS.from_user_input(name)
        except (CRSError, UnicodeError) as error:
            raise OptionError(f"'{name}' is no coordinate system; give one such as EPSG:4326") from error
        if grid.crs is None:
            raise MapError(f"the map has no CRS, so its polygons cannot be put into {name}; leave --dst-crs out")
        target = pyproj.CRS.from_wkt(self.crs.to_wkt())
        self._name = name
        with placing("the map", grid.crs, target, MapError):
            own = pyproj.CRS.from_wkt(grid.crs.to_wkt())
            self._transformer = pyproj.Transformer.from_crs(own, target, always_xy=True)
        self._turn = (
            360.0 / (target.axis_info[0].unit_conversion_factor * 180 / np.pi) if target.is_geographic else None
        )
        middle = grid.transform @ (grid.width / 2, grid.height / 2)
        self._middle = self._transformer.transform(*middle)[0]
        if not np.isfinite(self._middle):
            raise MapError(f"the middle of the map has no coordinates in {name}; choose another --dst-crs")
        self._warned = False

    def __call__(self, xy: Floats) -> Floats:
        """(N, 2) coordinates."""
        x, y = self._transformer.transform(xy[:, 0], xy[:, 1])
        if not np.isfinite(x).all():
            raise MapError(f"parts of the map have no coordinates in {self._name}; choose another --dst-crs")
        if self._turn is not None:
            x = x - self._turn * np.round((x - self._middle) / self._turn)
            if not self._warned and np.abs(x).max(initial=0) > self._turn / 2:
                self._warned = True
                logger.warning("the map lies across the antimeridian: longitudes go on beyond 180 degrees")
        result: Any = np.column_stack([x, y])
        return result  # type: ignore[no-any-return]
