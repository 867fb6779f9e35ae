"""From one coordinate system to another, and one sentence where there is no way between them.

A system of a building site is tied to no place on the Earth, one of another planet to none here, and one that is bound
to a grid needs the file of it; each is valid and has maps of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError

from geoseg.antimeridian import unwrapped, wrapped
from geoseg.errors import GeosegError
from geoseg.grid import METRES_PER_DEGREE
from geoseg.raster import GDAL_ERRORS

if TYPE_CHECKING:
    import geopandas as gpd

DEGREES = pyproj.CRS.from_epsg(4326)

_NAME = re.compile(r'"([^"]*)"')
_MOST_NAME = 60

# Metres between corners. The chord of an arc on the Earth leaves it by the square of this over eight radii: by half a
# centimetre, and by half a metre.
_EDGE, _LONG_EDGE = 500.0, 5000.0
_MOST_CORNERS = 1024

Shapes = TypeVar("Shapes", "gpd.GeoSeries", "gpd.GeoDataFrame")


class HasWkt(Protocol):
    """A CRS of rasterio or of pyproj."""

    def to_wkt(self) -> str: ...  # noqa: D102


@contextmanager
def placing(name: str | Path, own: HasWkt | None, other: HasWkt | None, error: type[GeosegError]) -> Iterator[None]:
    """Inside the block, what PROJ and GDAL raise where they know no way from one CRS to another is told in a sentence.

    Args:
        name: what is moved: a file.
        own: its CRS.
        other: where it is moved.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type.
    """
    try:
        yield
    except (ProjError, CRSError, *GDAL_ERRORS) as cause:
        raise error(
            f"{name}: cannot be placed in the coordinate system '{called(other)}': there is no way there from its own, "
            f"'{called(own)}'; one of the two is local, of another planet, or needs a grid file that is not installed, "
            "so assign the right one"
        ) from cause


def moved(shapes: Shapes, crs: HasWkt, name: str | Path, error: type[GeosegError]) -> Shapes:
    """Shapes that have a CRS, in another.

    Their straight edges are those of their own CRS, whatever the shapes are for: only corners are moved, and a long
    edge bends, so it is given more of them. What lies outside of where the other CRS is defined has infinite
    coordinates.

    Args:
        shapes: with a CRS.
        crs: where they are moved.
        name: their file.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type: there is no way between the two.
    """
    with placing(name, shapes.crs, crs, error):
        if shapes.crs.equals(pyproj.CRS.from_user_input(crs.to_wkt()), ignore_axis_order=True):
            return shapes
        dense = _with_corners(shapes.geometry)
        found = (shapes.set_geometry(dense) if shapes.ndim == 2 else dense).to_crs(crs.to_wkt())
    if not found.crs.is_geographic or shapes.crs.is_geographic:
        return found
    cut = _cut_at_antimeridian(found.geometry)
    return found.set_geometry(cut) if found.ndim == 2 else cut


def _cut_at_antimeridian(shapes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Polygons that came to degrees, those across the antimeridian in two parts: their points jump there."""
    bounds = shapely.bounds(shapes.to_numpy())
    with np.errstate(invalid="ignore"):
        wide = (bounds[:, 2] - bounds[:, 0] > 180) & np.isfinite(bounds).all(1)
    wide &= shapely.get_dimensions(shapes.to_numpy()) == 2
    if not wide.any():
        return shapes
    cut = shapes.to_numpy().copy()
    cut[wide] = [wrapped(unwrapped(shape)) for shape in cut[wide]]
    return type(shapes)(cut, index=shapes.index, crs=shapes.crs)


def _with_corners(shapes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Shapes with corners along their long edges: for each 64th of a shape's extent, from half to five kilometres."""
    axis = shapes.crs.axis_info[0] if shapes.crs.axis_info else None
    factor = (axis and axis.unit_conversion_factor) or 1.0
    metres = METRES_PER_DEGREE * factor / math.radians(1) if shapes.crs.is_geographic else factor
    least, most = _EDGE / metres, _LONG_EDGE / metres
    bounds = shapely.bounds(shapes.to_numpy())
    with np.errstate(invalid="ignore", over="ignore"):
        longest = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    long = np.isfinite(longest) & (longest > least)
    if not long.any():
        return shapes
    dense = shapes.to_numpy().copy()
    step = np.maximum(np.clip(longest[long] / 64, least, most), longest[long] / _MOST_CORNERS)
    dense[long] = shapely.segmentize(dense[long], step)
    return type(shapes)(dense, index=shapes.index, crs=shapes.crs)


def require_way(own: HasWkt, other: HasWkt, name: str | Path, error: type[GeosegError]) -> None:
    """Refuse a file whose CRS has no way to another, before any work.

    Raises:
        GeosegError: of the given type.
    """
    with placing(name, own, other, error):
        pyproj.Transformer.from_crs(own.to_wkt(), other.to_wkt())


def called(crs: HasWkt | None) -> str:
    """The name of a CRS as a person may know it.

    >>> called(pyproj.CRS.from_epsg(32632))
    'WGS 84 / UTM zone 32N'
    """
    found = _NAME.search("" if crs is None else crs.to_wkt())
    return "unknown" if found is None else found[1][:_MOST_NAME]
