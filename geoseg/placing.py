"""From one coordinate system to another, and one sentence where there is no way between them.

A system of a building site is tied to no place on the Earth, one of another planet to none here, and one that is bound
to a grid needs the file of it; each is valid and has maps of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pyproj
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError

from geoseg.errors import GeosegError
from geoseg.raster import GDAL_ERRORS

if TYPE_CHECKING:
    import geopandas as gpd

DEGREES = pyproj.CRS.from_epsg(4326)

_NAME = re.compile(r'"([^"]*)"')
_MOST_NAME = 60

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

    What lies outside of where that is defined has infinite coordinates.

    Args:
        shapes: with a CRS.
        crs: where they are moved.
        name: their file.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type: there is no way between the two.
    """
    with placing(name, shapes.crs, crs, error):
        return shapes.to_crs(crs.to_wkt())


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
