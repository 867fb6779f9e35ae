"""What a page can show, whatever it was read from: pictures, classes, shares and shapes, each in its own place."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from geoseg.grid import Grid
from geoseg.legend import TerrainClass
from geoseg.viewing.composite import Image

Indices = npt.NDArray[np.uint8]

LEFT, RIGHT = "left", "right"
SIDES = (LEFT, RIGHT)

CLASSES = "Classes"
"""Heading of the classes of maps and polygons."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """What all layers have.

    Attributes:
        name: shown as it is; may be anything.
        about: a remark, such as how coarse it is; may be empty.
        opacity: at first, 0 to 1.
        sides: of the swipe line on which it is seen at first.
    """

    name: str
    about: str = ""
    opacity: float = 1.0
    sides: tuple[str, ...] = SIDES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RasterLayer(Layer):
    """A layer of pixels.

    Attributes:
        grid: where they lie, north-up.
    """

    grid: Grid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureLayer(RasterLayer):
    """A picture, such as a scene in natural colours.

    Attributes:
        pixels: (rows, cols, 4) red, green, blue and opacity.
    """

    pixels: Image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassLayer(RasterLayer):
    """A raster of classes.

    Attributes:
        indices: (rows, cols) places in `classes`, `IGNORE` where there is none.
        classes: names and colours.
        group: heading under which the classes are listed; classes of one group and name are switched together.
    """

    indices: Indices
    classes: tuple[TerrainClass, ...]
    group: str = CLASSES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShareLayer(RasterLayer):
    """A raster of shares, such as a confidence.

    Attributes:
        percent: (rows, cols) 0 to 100, `IGNORE` where there is none.
    """

    percent: Indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeLayer(Layer):
    """Polygons, lines or points.

    Attributes:
        frame: geometries, and what is known of each in the columns `confidence` (0 to 1) and `area_ha`, where there are
            such.
        indices: place in `classes` of each.
        classes: names and colours.
        group: as of `ClassLayer`.
    """

    frame: gpd.GeoDataFrame
    indices: Indices
    classes: tuple[TerrainClass, ...]
    group: str = CLASSES


Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top."""


def bounds_of(layer: Layer) -> Bounds:
    """The rectangle that a layer covers."""
    if isinstance(layer, RasterLayer):
        return layer.grid.bounds
    assert isinstance(layer, ShapeLayer)  # noqa: S101
    left, bottom, right, top = map(float, layer.frame.total_bounds)
    return left, bottom, right, top


def crs_of(frame: gpd.GeoDataFrame) -> CRS | None:
    """The coordinate system of a frame, as rasterio has it."""
    return None if frame.crs is None else CRS.from_wkt(frame.crs.to_wkt())
