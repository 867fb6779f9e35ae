"""Labels: polygons or a class raster, laid as class indices on the grid of a scene."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.errors import LabelError, LegendError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, MAX_ID, Legend
from geoseg.raster import is_raster
from geoseg.vector import read_vector

logger = logging.getLogger(__name__)

_NAME_FIELDS = ("class_name", "class", "classname", "label", "land_cover", "landcover", "category", "name", "type")
_ID_FIELDS = ("class_id", "classid", "class", "code", "value", "label", "land_cover", "landcover", "gridcode", "id")


class Labels(Protocol):
    """What is known of the ground: a class for some pixels, nothing for the rest."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def legend(self) -> Legend: ...  # noqa: D102

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid, `IGNORE` where nothing is labelled."""


def open_labels(path: str | Path, *, field: str | None = None, legend: Legend | None = None) -> Labels:
    """Open labels, whatever they are made of.

    Args:
        path: a class raster, or a vector file that GeoPandas reads; any CRS and any grid.
        field: column of the polygons that holds the class, as id or name; found by its name when not given.
        legend: the classes; made from the labels when not given.

    Raises:
        LabelError: missing, broken, without such a column, or with classes the legend does not have.
    """
    path = Path(path)
    if is_raster(path):
        if field is not None:
            raise LabelError(f"{path}: is a raster and has no column '{field}'; leave --class-field out")
        return RasterLabels(open_class_raster(path, legend=legend, error=LabelError))
    return _polygon_labels(path, read_vector(path), field, legend)


@dataclass(frozen=True, slots=True)
class RasterLabels:
    """Labels in a class raster; other grids take the class at their pixels' centres."""

    raster: ClassRaster

    @property
    def path(self) -> Path:
        """The file."""
        return self.raster.path

    @property
    def legend(self) -> Legend:
        """Its classes."""
        return self.raster.legend

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid."""
        return self.raster.read_on(grid)


@dataclass(frozen=True, slots=True)
class PolygonLabels:
    """Labels drawn as polygons; a pixel takes the class of the polygon over its centre, the later one where two lie.

    Attributes:
        path: the file.
        legend: its classes.
        shapes: the geometries, in their own CRS.
        indices: class index of each.
        numbered: True when the classes had names only, and geoseg gave them their ids.
    """

    path: Path
    legend: Legend
    shapes: gpd.GeoSeries
    indices: npt.NDArray[np.uint8]
    numbered: bool = False
    _placed: dict[CRS | None, npt.NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid.

        Raises:
            LabelError: one of the two has a CRS and the other has none.
        """
        shapes = self._in_crs(grid.crs)
        near = shapely.intersects(shapes, shapely.box(*grid.bounds))
        drawn = np.full(grid.shape, IGNORE, np.uint8)
        if near.any():
            pairs = zip(shapes[near], self.indices[near].tolist(), strict=True)
            rasterize(pairs, out=drawn, transform=grid.transform)
        return drawn

    def _in_crs(self, crs: CRS | None) -> npt.NDArray[Any]:
        if crs not in self._placed:
            if (crs is None) != (self.shapes.crs is None):
                has, lacks = ("scene", "labels") if self.shapes.crs is None else ("labels", "scene")
                raise LabelError(
                    f"{self.path}: the {has} have a CRS and the {lacks} none; assign the missing one first"
                )
            moved = self.shapes if crs is None else _densified(self.shapes).to_crs(crs.to_wkt())
            shapes = moved.to_numpy()
            # What lies outside of the projection's domain has infinite coordinates.
            lost = ~np.isfinite(shapely.bounds(shapes)).all(axis=1)
            if lost.any():
                logger.warning(
                    "%s: %d labels lie beyond the scene's projection and are left out", self.path, lost.sum()
                )
            shapes = np.where(lost, shapely.Polygon(), shapes)
            self._placed[crs] = shapes
        return self._placed[crs]


def _densified(shapes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Vertices along long edges: only vertices are reprojected, and a straight edge bends in another CRS."""
    west, south, east, north = shapes.total_bounds
    longest = max(east - west, north - south) / 64
    return shapes.segmentize(longest) if longest > 0 else shapes


def _polygon_labels(path: Path, frame: gpd.GeoDataFrame, name: str | None, legend: Legend | None) -> PolygonLabels:
    columns = [column for column in frame.columns if column != frame.geometry.name]
    column = _class_column(path, frame, columns, name)
    values = frame[column]
    present = values.notna().to_numpy()
    if not present.all():
        logger.warning(
            "%s: %d of %d polygons have no '%s' and are left out", path, (~present).sum(), len(frame), column
        )
        frame, values = frame[present], values[present]
    if not len(values):
        raise LabelError(f"{path}: column '{column}' is empty; give the polygons their classes")
    _require_areas(path, frame)
    numbered = False
    if legend is None:
        legend, numbered = _legend_of(path, frame, columns, column)
    return PolygonLabels(path, legend, frame.geometry, _indices(path, column, values, legend), numbered)


def merged_legend(labels: Sequence[Labels]) -> Legend:
    """One legend for labels in several files.

    Ids that the files themselves give must mean the same everywhere; where all have names only, they are numbered anew.

    Raises:
        LabelError: two files use one id for different classes.
    """
    if all(isinstance(own, PolygonLabels) and own.numbered for own in labels):
        return Legend.from_names(enumerate(sorted({name for own in labels for name in own.legend.names}), start=1))
    names: dict[int, tuple[str, Path]] = {}
    for own in labels:
        for item in own.legend:
            name, path = names.setdefault(item.id, (item.name, own.path))
            if name != item.name:
                raise LabelError(
                    f"{own.path}: calls class {item.id} '{item.name}', {path} calls it '{name}'; give a --legend"
                )
    return Legend.from_names((id_, name) for id_, (name, _) in sorted(names.items()))


def _require_areas(path: Path, frame: gpd.GeoDataFrame) -> None:
    """Refuse lines, which cover no pixel of their own; points count for the pixel they lie in."""
    kinds = frame.geom_type
    lines = int(kinds.str.contains("Line").sum())
    if lines:
        raise LabelError(f"{path}: {lines} of {len(frame)} labels are lines; buffer them into polygons first")
    points = int(kinds.str.contains("Point").sum())
    if points:
        logger.info("%s: %d labels are points, each for the one pixel it lies in", path, points)


def _class_column(path: Path, frame: gpd.GeoDataFrame, columns: list[str], name: str | None) -> str:
    listing = ", ".join(columns) or "no columns"
    if name is not None:
        matches = [name] if name in columns else [column for column in columns if column.lower() == name.lower()]
        if not matches:
            raise LabelError(f"{path}: has no column '{name}'; it has {listing}. Name one with --class-field")
        return matches[0]
    for wanted, is_right in ((_NAME_FIELDS, _is_text), (_ID_FIELDS, _is_integer)):
        for candidate in wanted:
            for column in columns:
                if column.lower() == candidate and is_right(frame[column]):
                    return column
    raise LabelError(f"{path}: cannot tell which column holds the class; it has {listing}. Name it with --class-field")


def _is_text(values: Any) -> bool:
    return values.dtype.kind not in "iufbmM"


def _is_integer(values: Any) -> bool:
    return values.dtype.kind in "iu"


def _ids(path: Path, column: str, values: Any) -> npt.NDArray[np.int64] | None:
    """Class ids of a numeric column, None for a column of names."""
    if _is_text(values):
        return None
    numbers = values.to_numpy()
    if values.dtype.kind not in "iuf" or (numbers != np.round(numbers)).any():
        raise LabelError(f"{path}: column '{column}' holds {values.dtype} values; classes are names or whole numbers")
    if numbers.min() < 0 or numbers.max() > MAX_ID:
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise LabelError(f"{path}: column '{column}' holds {wrong:g}; class ids are whole numbers from 0 to {MAX_ID}")
    return np.asarray(numbers, np.int64)


def _legend_of(path: Path, frame: gpd.GeoDataFrame, columns: list[str], column: str) -> tuple[Legend, bool]:
    """A legend from the polygons, and whether geoseg numbered it.

    Ids with the names beside them, or names with the ids beside them, or names alone.
    """
    try:
        return _found_legend(path, frame, columns, column)
    except LegendError as error:
        raise LabelError(f"{path}: column '{column}': {error}") from error


def _found_legend(path: Path, frame: gpd.GeoDataFrame, columns: list[str], column: str) -> tuple[Legend, bool]:
    ids = _ids(path, column, frame[column])
    if ids is not None:
        partner = _partner(frame, columns, column, _NAME_FIELDS, _is_text)
        names = frame[partner].astype(str) if partner else [f"class {id_}" for id_ in ids]
        return Legend.from_names(sorted(set(zip(ids.tolist(), names, strict=True)))), False
    names = frame[column].astype(str).str.strip()
    partner = _partner(frame, columns, column, _ID_FIELDS, _is_integer)
    if partner and frame[partner].between(0, MAX_ID).all():
        return Legend.from_names(sorted(set(zip(frame[partner].tolist(), names, strict=True)))), False
    return Legend.from_names(enumerate(sorted(set(names)), start=1)), True


def _partner(
    frame: gpd.GeoDataFrame, columns: list[str], column: str, wanted: tuple[str, ...], fits: Any
) -> str | None:
    """A column that tells the same classes in the other way: one value of it for each of `column`, and back."""
    for candidate in columns:
        if candidate != column and candidate.lower() in wanted and fits(frame[candidate]):
            pairs = frame[[column, candidate]].dropna().drop_duplicates()
            complete = frame[candidate].notna().all()
            if complete and pairs[column].is_unique and pairs[candidate].is_unique:
                return candidate
    return None


def _indices(path: Path, column: str, values: Any, legend: Legend) -> npt.NDArray[np.uint8]:
    ids = _ids(path, column, values)
    if ids is not None:
        indices = legend.encode(ids)
        strangers = sorted(set(ids[indices == IGNORE].tolist()))
    else:
        # A legend has no two names that differ in case only.
        table = {name.casefold(): index for index, name in enumerate(legend.names)}
        names = values.astype(str).str.strip()
        strangers = sorted({name for name in names if name.casefold() not in table})
        indices = np.array([table.get(name.casefold(), IGNORE) for name in names], np.uint8)
    if strangers:
        listing = ", ".join(repr(item) for item in strangers[:5])
        raise LabelError(f"{path}: column '{column}' holds {listing}, not in the legend ({', '.join(legend.names)})")
    return indices
