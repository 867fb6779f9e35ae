"""The part of a scene that lies in an area of interest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import geometry_mask
from rasterio.windows import Window

from geoseg.antimeridian import turned_onto
from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.placing import moved
from geoseg.scene import Scene, SceneView
from geoseg.vector import read_vector, within_reach


@dataclass(frozen=True, slots=True)
class ClippedScene(SceneView):
    """A scene of which only pixels whose centre lies in some polygons are valid.

    Attributes:
        shapes: polygons in its CRS.
    """

    shapes: shapely.STRtree

    @property
    def grid(self) -> Grid:
        """The scene's own grid."""
        return self.source.grid

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        values, valid = self.source.read(window)
        return values, valid & self.covers(window)

    def covers(self, window: Window) -> npt.NDArray[np.bool_]:
        """Which pixels (rows, cols) of a window are inside."""
        part = self.grid.crop(window)
        near = self.shapes.geometries[self.shapes.query(shapely.box(*part.bounds))]
        if not len(near):
            return np.zeros(part.shape, bool)
        return np.asarray(geometry_mask(within_reach(near, part), part.shape, part.transform, invert=True), bool)


def clipped(scene: Scene, area: str | Path) -> ClippedScene:
    """The part of a scene inside the polygons of a vector file.

    Raises:
        OptionError: there are no polygons, they miss the scene, only one of the two has a CRS, or there is no
            way between them.
    """
    frame = read_vector(area, error=OptionError)
    kinds = frame.geom_type.isin(["Polygon", "MultiPolygon"]) & ~frame.geometry.is_empty
    if not kinds.any():
        raise OptionError(f"{area}: holds no polygons; give the area to map as polygons")
    shapes = _in_crs(frame.geometry[kinds], scene, area)
    tree = shapely.STRtree(shapely.make_valid(turned_onto(shapes.to_numpy(), scene.grid)[0]))
    if not len(tree.query(shapely.box(*scene.grid.bounds))):
        raise OptionError(f"{area}: its polygons do not touch {scene.name}; check the place and the CRS of both")
    return ClippedScene(scene, tree)


def _in_crs(shapes: gpd.GeoSeries, scene: Scene, area: str | Path) -> gpd.GeoSeries:
    if (shapes.crs is None) != (scene.grid.crs is None):
        lacking, having = (area, scene.name) if shapes.crs is None else (scene.name, area)
        raise OptionError(f"{lacking}: has no CRS and {having} has one, so neither can be laid on the other; assign it")
    return shapes if scene.grid.crs is None else moved(shapes, scene.grid.crs, area, OptionError)
