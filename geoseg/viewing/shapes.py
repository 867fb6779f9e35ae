"""Polygons, lines and points as a layer that a browser can draw: classed, and no finer than can be seen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geoseg.errors import LabelError
from geoseg.labels.columns import Classes, classes_of
from geoseg.legend import Legend, TerrainClass
from geoseg.viewing.layers import ShapeLayer
from geoseg.viewing.place import Place

logger = logging.getLogger(__name__)

MOST_VERTICES = 200_000
"""Of one layer: more would make a page slow to move."""

_FINEST = 4000  # steps of simplification along the page; half a pixel of a large screen
_PLAIN = "#444444"


def shape_layer(
    path: Path, frame: gpd.GeoDataFrame, class_field: str | None, legend: Legend | None, place: Place
) -> ShapeLayer:
    """Features as a layer.

    Args:
        path: their file.
        frame: features in the coordinates of the page.
        class_field: column that holds the class; found by its name when None, and if there is none they are all alike.
        legend: the classes, made from the features when None.
        place: the page.

    Raises:
        LabelError: a column was named and cannot be used.
    """
    classed = _classed(path, frame, class_field, legend)
    classes: tuple[TerrainClass, ...]
    if classed is None:
        plain = TerrainClass(1, path.stem or "features", _PLAIN)
        indices, classes = np.zeros(len(frame), np.uint8), (plain,)
    else:
        frame, indices, classes = classed.frame, classed.indices, classed.legend.classes
    left, bottom, right, top = place.bounds
    shapes, kept, about = slimmed(frame.geometry.to_numpy(), max(right - left, top - bottom) / _FINEST)
    facts = {name: values[kept] for name, values in _facts(frame).items()}
    shown = gpd.GeoDataFrame(facts, geometry=shapes, crs=frame.crs)
    return ShapeLayer(name=path.name, about=about, frame=shown, indices=indices[kept], classes=classes)


def _classed(path: Path, frame: gpd.GeoDataFrame, field: str | None, legend: Legend | None) -> Classes | None:
    try:
        return classes_of(path, frame, field, legend, None)
    except LabelError as error:
        if field is not None:
            raise
        logger.info("%s; its features are shown without classes", error)
        return None


def _facts(frame: gpd.GeoDataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """What is told of a feature beside its class."""
    columns = {"confidence_mean": "confidence", "area_ha": "area_ha"}
    return {
        told: frame[column].to_numpy(np.float64, na_value=np.nan)
        for column, told in columns.items()
        if column in frame.columns and frame[column].dtype.kind in "iuf"
    }


def slimmed(shapes: Any, finest: float, most: int = MOST_VERTICES) -> tuple[Any, npt.NDArray[np.int64], str]:
    """Shapes with no more vertices than a page bears.

    Vertices are dropped first, then the smallest shapes.

    Args:
        shapes: geometries.
        finest: tolerance to begin with, in units of the page.
        most: vertices of all together.

    Returns:
        The shapes that are left, their places among all, and a remark on what was done.
    """
    everything = np.arange(len(shapes))
    if shapely.get_num_coordinates(shapes).sum() <= most:
        return shapes, everything, ""
    tolerance = finest
    for _ in range(4):
        simpler = shapely.simplify(shapes, tolerance, preserve_topology=False)
        if shapely.get_num_coordinates(simpler).sum() <= most:
            break
        tolerance *= 2
    counts = shapely.get_num_coordinates(simpler)
    order = np.argsort(-shapely.area(simpler), kind="stable")
    kept = np.sort(order[(np.cumsum(counts[order]) <= most) & (counts[order] > 0)])
    lost = len(shapes) - len(kept)
    about = f"outlines simplified by up to {tolerance:.3g} units"
    return simpler[kept], kept, about + (f", {lost:,} small features left out" if lost else "")
