"""Where a page lies: one coordinate system for all its layers, and what its coordinates mean on the ground."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform
from rasterio.warp import transform as warp_points

from geoseg.errors import ViewError
from geoseg.grid import Grid
from geoseg.placing import placing
from geoseg.raster import GDAL_ERRORS, first_line
from geoseg.viewing.layers import Bounds

NODES = 33
"""Points a side at which longitude and latitude are known; between them they are interpolated."""


@dataclass(frozen=True, slots=True)
class Place:
    """The ground that a page shows.

    Attributes:
        crs: coordinate system of its coordinates, None for plain ones.
        bounds: what is to be seen at first.
        down: True for plain coordinates that count rows downwards; the page has them with the other sign.
    """

    crs: CRS | None
    bounds: Bounds
    down: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What the page needs to know, as plain values."""
        lattice = self._lattice()
        return {
            "bounds": self.bounds,
            "crs": "" if self.crs is None else _crs_name(self.crs),
            "down": self.down,
            "metres": _metres_per_unit(lattice, self.bounds) if lattice is not None else None,
            "nodes": NODES,
            "lonlat": None if lattice is None else [[round(float(v), 7) for v in axis.ravel()] for axis in lattice],
        }

    def _lattice(self) -> Any:
        """(2, NODES, NODES) longitude and latitude, rows from the bottom up; None where they are unknown."""
        if self.crs is None:
            return None
        left, bottom, right, top = self.bounds
        x, y = np.meshgrid(np.linspace(left, right, NODES), np.linspace(bottom, top, NODES))
        try:
            found = np.array(warp_points(self.crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist()))
        except GDAL_ERRORS:
            return None
        if not np.isfinite(found).all():
            return None
        lattice = found.reshape(2, NODES, NODES)
        for axis in (1, 0):  # across the date line longitudes go on counting, so that there is something between two
            lattice[0] = np.unwrap(lattice[0], axis=axis, period=360)
        return lattice


def _crs_name(crs: CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_dict().get("proj", "own"))


def _metres_per_unit(lattice: Any, bounds: Bounds) -> list[float] | None:
    """Metres along x and y of one unit of the coordinates, in the middle of the page."""
    middle = NODES // 2
    here, east, north = (lattice[:, middle + row, middle + col].tolist() for row, col in ((0, 0), (0, 1), (1, 0)))
    ellipsoid = Geod(ellps="WGS84")
    left, bottom, right, top = bounds
    steps = (right - left) / (NODES - 1), (top - bottom) / (NODES - 1)
    found = [ellipsoid.inv(*here, *there)[2] / step for there, step in zip((east, north), steps, strict=True)]
    return found if min(found) > 0 else None


def shown_grid(own: Grid, crs: CRS | None, longest: int, name: str) -> Grid:
    """The north-up grid on which a raster is shown: its own rectangle, with at most `longest` pixels a side.

    Args:
        own: the raster's grid.
        crs: that of the page; None where the raster has none either.
        longest: pixels.
        name: of the raster, for messages.

    Raises:
        ViewError: it has no place in that CRS.
    """
    if own.crs == crs and is_north_up(own):
        return _coarse(own, longest)
    try:
        with warnings.catch_warnings():
            # rasterio multiplies transforms in a way that affine will do away with.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            with placing(name, own.crs, crs, ViewError):
                place, width, height = calculate_default_transform(own.crs, crs, own.width, own.height, *own.bounds)
    except ValueError as error:
        raise ViewError(
            f"{name}: cannot be placed beside the others: {first_line(error)}; view it by itself"
        ) from error
    return _coarse(Grid(crs, place, int(height), int(width)), longest)


def is_north_up(grid: Grid) -> bool:
    """True when rows go from north to south and columns from west to east."""
    t = grid.transform
    return t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0


def _coarse(grid: Grid, longest: int) -> Grid:
    step = -(-max(grid.shape) // longest)
    height, width = -(-grid.height // step), -(-grid.width // step)
    return Grid(grid.crs, grid.transform @ Affine.scale(grid.width / width, grid.height / height), height, width)


def joined(bounds: dict[str, Bounds]) -> Bounds:
    """The rectangle around all layers.

    Args:
        bounds: of each layer, by the name of its file.

    Raises:
        ViewError: a layer lies by itself.
    """
    first, *waiting = bounds
    reached = [first]
    while near := [name for name in waiting if any(_touch(bounds[name], bounds[other]) for other in reached)]:
        reached += near
        waiting = [name for name in waiting if name not in near]
    if waiting:
        raise ViewError(
            f"{waiting[0]}: does not overlap {' or '.join(reached)}; files that are viewed together must show the same "
            "ground, so view it by itself, or check its CRS"
        )
    left, bottom, right, top = zip(*bounds.values(), strict=True)
    return min(left), min(bottom), max(right), max(top)


def _touch(a: Bounds, b: Bounds) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
