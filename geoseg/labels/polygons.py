"""Labels drawn as polygons or points."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.antimeridian import goes_on, turned_onto
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels.columns import classes_of
from geoseg.labels.shapes import drawable
from geoseg.legend import IGNORE, Legend
from geoseg.placing import moved
from geoseg.vector import read_vector, within_reach

logger = logging.getLogger(__name__)

LATER, IGNORED = CONFLICTS = ("later", "ignore")
"""What becomes of a pixel under shapes of different classes: the later one's, or unlabelled."""

# rasterio silences a warning while it rasterizes, which Python cannot do in several threads at once.
_ONE_AT_A_TIME = threading.Lock()

MOST_VERTICES = 1000
"""Of a shape that is drawn in one piece."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """Shapes in the CRS of a scene, to be searched by place, and their class indices."""

    tree: shapely.STRtree
    indices: npt.NDArray[np.uint8]

    def near(self, grid: Grid) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """What lies on a grid, in the order of the file."""
        found = np.sort(self.tree.query(shapely.box(*grid.bounds), predicate="intersects"))
        return self.tree.geometries[found], self.indices[found]


@dataclass(frozen=True, slots=True)
class PolygonLabels:
    """Labels drawn as polygons or points; a pixel takes the class of the polygon over its centre.

    Attributes:
        path: the file.
        legend: its classes.
        shapes: polygons and points, in their own CRS.
        indices: class index of each.
        numbered: True when the classes had names only, and geoseg gave them their ids.
        on_conflict: one of `CONFLICTS`.
        background: index of the class of what is not labelled, None for none.
    """

    path: Path
    legend: Legend
    shapes: gpd.GeoSeries
    indices: npt.NDArray[np.uint8]
    numbered: bool = False
    on_conflict: str = LATER
    background: int | None = None
    _placed: dict[tuple[CRS | None, bool], _Placed] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        own = (self.path, self.legend, self.shapes, self.indices, self.numbered, self.on_conflict, self.background)
        return PolygonLabels, own

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid.

        Raises:
            LabelError: one of the two has a CRS and the other has none, or there is no way between them.
        """
        shapes, indices = self._over(grid).near(grid)
        drawn = _drawn(shapes, indices.tolist(), grid)
        disputed = None if self.on_conflict == LATER else _disputed(shapes, indices, grid)
        if self.background is not None:
            drawn[drawn == IGNORE] = self.background
        if disputed is not None:
            drawn[disputed] = IGNORE
        return drawn

    def _over(self, grid: Grid) -> _Placed:
        """The shapes in the CRS of a scene; moved there when first asked for."""
        crs, beyond = grid.crs, goes_on(grid)
        if (crs, beyond) not in self._placed:
            if (crs is None) != (self.shapes.crs is None):
                has, lacks = ("scene", "labels") if self.shapes.crs is None else ("labels", "scene")
                raise LabelError(
                    f"{self.path}: the {has} have a CRS and the {lacks} none; assign the missing one first"
                )
            own = self.shapes if crs is None else moved(self.shapes, crs, self.path, LabelError)
            shapes = own.to_numpy()
            # What lies outside of the projection's domain has infinite coordinates.
            lost = ~np.isfinite(shapely.bounds(shapes)).all(axis=1)
            if lost.any():
                logger.warning(
                    "%s: %d labels lie beyond the scene's projection and are left out", self.path, lost.sum()
                )
            shapes, rows = turned_onto(np.where(lost, shapely.Polygon(), shapes), grid)
            shapes, places = _in_pieces(shapes)
            self._placed[crs, beyond] = _Placed(shapely.STRtree(shapes), self.indices[rows[places]])
        return self._placed[crs, beyond]


def polygon_labels(
    path: Path,
    name: str | None,
    legend: Legend | None,
    *,
    layer: str | None,
    buffer: float | None,
    on_conflict: str,
    background: int | None,
) -> PolygonLabels:
    """Labels in the vector file at `path`; see `open_labels`."""
    frame = read_vector(path, layer=layer)
    classes = classes_of(path, frame, name, legend, background)
    shapes, rows = drawable(path, classes.frame.geometry, buffer)
    index = None if background is None else classes.legend.ids.index(background)
    return PolygonLabels(path, classes.legend, shapes, classes.indices[rows], classes.numbered, on_conflict, index)


def _drawn(shapes: npt.NDArray[Any], values: list[int], grid: Grid) -> npt.NDArray[np.uint8]:
    """Values (rows, cols) of the shapes over the pixels' centres, the last one's where there are more."""
    drawn = np.full(grid.shape, IGNORE, np.uint8)
    if len(shapes):
        with _ONE_AT_A_TIME:
            near = within_reach(shapes, grid)
            rasterize(zip(near, values, strict=True), out=drawn, transform=grid.transform)
    return drawn


def _disputed(shapes: npt.NDArray[Any], indices: npt.NDArray[np.uint8], grid: Grid) -> npt.NDArray[np.bool_] | None:
    """The pixels (rows, cols) under shapes of different classes."""
    present = np.unique(indices)
    if len(present) < 2:
        return None
    claims = np.zeros(grid.shape, np.uint8)
    for index in present:
        own = shapes[indices == index]
        claims += _drawn(own, [0] * len(own), grid) == 0
    return claims > 1


def _in_pieces(shapes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The shapes, those of many vertices cut into smaller ones, and the place each comes from.

    A window then draws the pieces it meets, not a whole coastline. Cut and uncut cover the same pixels: one whose
    centre lies on a cut belongs to exactly one side.
    """
    large = shapely.get_num_coordinates(shapes) > MOST_VERTICES
    if not large.any():
        return shapes, np.arange(len(shapes))
    pieces = [_cut(shape) if is_large else [shape] for shape, is_large in zip(shapes, large, strict=True)]
    rows = np.repeat(np.arange(len(shapes)), [len(own) for own in pieces])
    return np.array([piece for own in pieces for piece in own]), rows


def _cut(shape: Any, depth: int = 16) -> list[Any]:
    """A shape halved, and its halves, until few vertices are left in each piece."""
    if depth == 0 or shapely.get_num_coordinates(shape) <= MOST_VERTICES or shapely.get_dimensions(shape) < 2:
        return [shape]
    west, south, east, north = shape.bounds
    x, y = (west + east) / 2, (south + north) / 2
    upright = [shapely.box(west, south, x, north), shapely.box(x, south, east, north)]
    level = [shapely.box(west, south, east, y), shapely.box(west, y, east, north)]
    try:
        parts = shapely.get_parts(shapely.intersection(shape, upright if east - west > north - south else level))
    except shapely.errors.GEOSException:  # reprojecting can make it invalid; it is drawn whole
        return [shape]
    return [piece for part in parts[shapely.get_dimensions(parts) == 2] for piece in _cut(part, depth - 1)]
