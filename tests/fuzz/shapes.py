"""Doors of vector files: labels, regions, areas of a split, samples, indexes of scenes, in every format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas as gpd
import shapely
from fuzz.chips import table_twist
from fuzz.damage import json_twist
from fuzz.door import Door
from rasterio.crs import CRS

from conftest import CORNER, UTM, legend_of
from geoseg.assessment.samples import read_samples
from geoseg.atlas.regions import read_regions
from geoseg.atlas.sources import find_candidates
from geoseg.chips.areas import read_areas
from geoseg.grid import Grid
from geoseg.info import info
from geoseg.labels import open_labels
from geoseg.named_regions import NamedRegions

GRID = Grid(CRS.from_string(UTM), CORNER, 40, 50)
COLUMNS = {
    "name": ["north", "south"], "class": ["class 1", "class 2"], "split": ["train", "val"], "location": ["a", "b"],
    "datetime": ["2020-01-01", "2020-02-01"], "reference_id": [1, 2], "stratum_id": [1, 2], "stratum_pixels": [9, 8],
}  # fmt: skip


def _frame(*, points: bool = False) -> gpd.GeoDataFrame:
    west, north = CORNER @ (2, 2)
    boxes = [shapely.box(west, north - 100, west + 100, north), shapely.box(west + 120, north - 90, west + 300, north)]
    return gpd.GeoDataFrame(COLUMNS, geometry=[box.centroid for box in boxes] if points else boxes, crs=UTM)


def _fill(name: str, folder: Path, *, points: bool = False) -> None:
    frame, path = _frame(points=points), folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix in (".kml", ".geojson", ".gpx"):
        frame = frame.to_crs(4326)
        frame = frame if path.suffix == ".geojson" else frame[["name", "geometry"]]
        frame.to_file(path, driver={".kml": "KML", ".geojson": "GeoJSON", ".gpx": "GPX"}[path.suffix])
    else:
        frame = frame.drop(columns=["reference_id", "stratum_id", "stratum_pixels"])  # too long for a shapefile
        frame.to_file(path, **({"driver": "GML"} if path.suffix == ".gml" else {}))


def _labels(path: Path) -> None:
    for buffer in (None, 5.0):
        layer = "waypoints" if path.suffix == ".gpx" else None
        labels = open_labels(path, buffer=buffer, on_conflict="ignore", layer=layer)
        labels.read(GRID)
    if layer is None:
        str(info(path))


def _samples(path: Path) -> None:
    read_samples(path, GRID, legend_of(2))


def _index(path: Path) -> None:
    find_candidates(path)


def _named(path: Path) -> None:
    NamedRegions(path, None, GRID).numbers(GRID)


def _areas(path: Path) -> None:
    read_areas(path).windows(GRID, 16, 4)


def _door(name: str, file: str, read: Callable[[Path], object], *, points: bool = False) -> Door:
    twist = {".geojson": json_twist, ".parquet": table_twist}.get(Path(file).suffix)
    return Door(name, file, partial(_fill, file, points=points), lambda folder: read(folder / file), twist)


DOORS = (
    _door("labels", "a.geojson", _labels),
    _door("regions", "a.geojson", read_regions),
    _door("named regions", "a.geojson", _named),
    _door("areas", "a.geojson", _areas),
    _door("samples", "a.geojson", _samples, points=True),
    _door("parquet labels", "a.parquet", _labels),
    _door("scene index", "a.parquet", _index),
    *(_door(f"{suffix} labels", f"a.{suffix}", _labels, points=suffix == "gpx")
      for suffix in ("gpkg", "fgb", "gml", "kml", "gpx", "shp")),
)  # fmt: skip
