"""What lies in the files that are to be viewed, and how each becomes a layer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling

from geoseg.class_raster import LEGEND_TAG, ClassRaster, open_class_raster
from geoseg.drivers import is_raster
from geoseg.errors import LabelError, SceneError, ViewError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, MAX_ID, Legend
from geoseg.names import is_remote
from geoseg.placing import moved
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings, open_raster
from geoseg.readers import Source, find_sources, read_coarse
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.vector import is_vector, read_vector
from geoseg.viewing.composite import composite
from geoseg.viewing.layers import Bounds, ClassLayer, Layer, PictureLayer, ShareLayer, crs_of
from geoseg.viewing.place import Place, is_north_up, shown_grid
from geoseg.viewing.shapes import shape_layer

FEW_VALUES = 32
"""A single band of whole numbers with no more different values than this is taken for classes."""

_LOOK = 256
_KINDS = "it takes GeoTIFF, COG, JPEG 2000, VRT and product folders, and GeoPackage, GeoJSON, GeoParquet or FlatGeobuf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How files are to be looked at.

    Attributes:
        bands: of scenes, to choose red, green and blue from.
        legend: of class rasters that do not name their classes themselves.
        class_field: column of vector files that holds the class.
        longest: pixels a side of a raster on the page.
    """

    bands: tuple[str, ...] | None = None
    legend: Legend | None = None
    class_field: str | None = None
    longest: int = 1500


@dataclass(frozen=True, slots=True)
class Found:
    """A file that can be shown.

    Attributes:
        name: as it was given.
        kind: "scene", "map", "confidence" or "shapes".
        crs: its coordinate system.
        grid: its grid, None for shapes.
        frame: the features, None for rasters.
        layer: reads it, for a page at a place.
    """

    name: str
    kind: str
    crs: CRS | None
    grid: Grid | None
    frame: gpd.GeoDataFrame | None
    layer: Callable[[Place], Layer]

    def bounds(self, place: Place) -> Bounds:
        """The rectangle it covers, in the coordinates of a page."""
        if self.grid is not None:
            return _grid_on(self.grid, place, 2048, self.name).bounds
        assert self.frame is not None  # noqa: S101
        left, bottom, right, top = map(float, on_page(self.frame, place, self.name).total_bounds)
        return left, bottom, right, top


def find(words: list[str], wanted: Wanted) -> list[Found]:
    """What is in files and folders, opened but not read.

    Raises:
        GeosegError: missing, broken, or nothing that can be shown.
    """
    return [found for word in words for found in _find(word, wanted)]


def files_of(words: list[str]) -> list[str]:
    """Every file that is looked at; of a folder those that are in it now."""
    return [file for word in words for file in (_files_in(word) if os.path.isdir(word) else [word])]  # noqa: PTH112


def _files_in(folder: str) -> list[str]:
    return [file for source in find_sources(folder) for file in source.files]


def _find(word: str, wanted: Wanted) -> list[Found]:
    # Any name may be asked about, and a pipe must not be opened: nothing would ever come out of it.
    if is_remote(word) or os.path.isdir(word) or (os.path.isfile(word) and is_raster(word)):  # noqa: PTH112, PTH113
        return [_raster(source, wanted) for source in find_sources(word)]
    if not os.path.lexists(word):
        raise ViewError(f"{word}: there is no such file")
    if not os.path.isfile(word):  # noqa: PTH113
        raise ViewError(f"{word}: is not a regular file; {_KINDS}")
    if not is_vector(word):
        raise ViewError(f"{word}: is no scene, map or vector file that geoseg can show; {_KINDS}")
    frame = read_vector(word, error=ViewError)
    return [Found(word, "shapes", crs_of(frame), None, frame, partial(_shapes, word, frame, wanted))]


def _raster(source: Source, wanted: Wanted) -> Found:
    scene = source.open()
    kind = _kind(scene, wanted) if isinstance(scene, GeoTiffScene) else "scene"
    if kind == "map":
        mapped = _colored(open_class_raster(source.name, legend=_legend_for(source.name, wanted)))
        return Found(source.name, kind, mapped.grid.crs, mapped.grid, None, partial(_map, mapped, wanted))
    read = _confidence if kind == "confidence" else _picture
    return Found(source.name, kind, scene.grid.crs, scene.grid, None, partial(read, source, scene.grid, wanted))


def _kind(scene: GeoTiffScene, wanted: Wanted) -> str:
    if scene.bands[0] == "confidence":
        return "confidence"
    with open_raster(scene.name) as dataset:
        if LEGEND_TAG in dataset.tags():
            return "map"
        if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu":
            return "scene"
        if wanted.legend is not None or dataset.colorinterp[0] == ColorInterp.palette:
            return "map"
        return "map" if _has_few_values(dataset) else "scene"


def _has_few_values(dataset: Any) -> bool:
    """True when a coarse look shows no more values than classes there would be."""
    shape = min(dataset.height, _LOOK), min(dataset.width, _LOOK)
    try:
        with gdal_settings():
            values = np.unique(dataset.read(1, out_shape=shape, resampling=Resampling.nearest))
    except GDAL_ERRORS as error:
        raise SceneError(f"{dataset.name}: cannot be read: {first_line(error)}; the file may be damaged") from error
    return len(values) <= FEW_VALUES and values[0] >= 0 and values[-1] <= MAX_ID


def _legend_for(path: str, wanted: Wanted) -> Legend | None:
    """The legend that was given, for a raster that has none of its own."""
    with open_raster(path) as dataset:
        return None if LEGEND_TAG in dataset.tags() else wanted.legend


def _colored(mapped: ClassRaster) -> ClassRaster:
    """A map in the colours of its file's colour table, where it has one and no legend."""
    with open_raster(mapped.path) as dataset:
        if LEGEND_TAG in dataset.tags() or dataset.colorinterp[0] != ColorInterp.palette:
            return mapped
        table = dataset.colormap(1)
    classes = (
        replace(item, color="#{:02x}{:02x}{:02x}".format(*table[item.id][:3])) if item.id in table else item
        for item in mapped.legend
    )
    return ClassRaster(mapped.path, mapped.grid, Legend(tuple(classes)), mapped.error)


def _map(mapped: ClassRaster, wanted: Wanted, place: Place) -> Layer:
    grid = _grid_on(mapped.grid, place, wanted.longest, str(mapped.path))
    if mapped.grid.crs == place.crs and (mapped.grid.crs is None or is_north_up(mapped.grid)):
        _, indices = mapped.read_coarse(wanted.longest)
    else:
        indices = mapped.read_on(grid)
    if (indices == IGNORE).all():
        raise ViewError(f"{mapped.path}: has no valid pixel, so there is nothing to show")
    return ClassLayer(
        name=mapped.path.name,
        about=_coarseness(mapped.grid, grid),
        grid=grid,
        indices=indices,
        classes=mapped.legend.classes,
    )


def _picture(source: Source, own: Grid, wanted: Wanted, place: Place) -> Layer:
    grid = _grid_on(own, place, wanted.longest, source.name)
    pixels = composite(source, _readable(own, grid, place), wanted.bands)
    return PictureLayer(name=Path(source.name).name, about=_coarseness(own, grid), grid=grid, pixels=pixels)


def _confidence(source: Source, own: Grid, wanted: Wanted, place: Place) -> Layer:
    grid = _grid_on(own, place, wanted.longest, source.name)
    scene = replace(source, options=source.options | {"bands": ("confidence",)}).open()
    values, valid = read_coarse(scene, _readable(own, grid, place))
    percent = np.where(valid, np.clip(np.round(100 * values[0]), 0, 100), IGNORE).astype(np.uint8)
    if not valid.any():
        raise ViewError(f"{source.name}: has no valid pixel, so there is nothing to show")
    about = _coarseness(own, grid)
    return ShareLayer(name=Path(source.name).name, about=about, grid=grid, percent=percent)


def _shapes(path: str, frame: gpd.GeoDataFrame, wanted: Wanted, place: Place) -> Layer:
    return shape_layer(Path(path), on_page(frame, place, path), wanted.class_field, wanted.legend, place)


def on_page(frame: gpd.GeoDataFrame, place: Place, name: str) -> gpd.GeoDataFrame:
    """Features of the file `name` in the coordinates of a page.

    Raises:
        LabelError: they have no place there.
    """
    if place.crs is None:
        if not place.down:
            return frame
        return frame.set_geometry(frame.geometry.affine_transform([1, 0, 0, -1, 0, 0]))
    there = moved(frame, place.crs, name, LabelError)
    if not np.isfinite(there.total_bounds).all():
        raise LabelError(f"{name}: the features have no place in the CRS of the page")
    return there


def _grid_on(own: Grid, place: Place, longest: int, name: str) -> Grid:
    """The grid of a raster on a page."""
    if own.crs is None:
        t = own.transform
        straight = t.b == 0 and t.d == 0 and t.a > 0
        rows_down = straight and t.e > 0
        plain = own.transform if straight and not rows_down else Affine(1, 0, 0, 0, -1, 0)
        if rows_down:
            plain = Affine(t.a, 0, t.c, 0, -t.e, -t.f)
        own = Grid(None, plain, own.height, own.width)
    return shown_grid(own, place.crs, longest, name)


def _readable(own: Grid, grid: Grid, place: Place) -> Grid:
    """The same pixels as a reader places them: without a CRS in the file's own coordinates."""
    if place.crs is not None:
        return grid
    scale = Affine.scale(own.width / grid.width, own.height / grid.height)
    return Grid(None, own.transform @ scale, grid.height, grid.width)


def _coarseness(own: Grid, grid: Grid) -> str:
    step = max(own.height / grid.height, own.width / grid.width)
    return "" if step < 1.5 else f"overview: one pixel for {step:.0f} x {step:.0f}"
