"""Map against reference, window by window: one confusion matrix, the areas of the classes, and a small picture."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize
from rasterio.warp import transform as warp_points
from rasterio.windows import Window

from geoseg import progress
from geoseg.antimeridian import turned_onto
from geoseg.assessment.matching import STRANGER
from geoseg.assessment.preview import LONGEST, Preview
from geoseg.assessment.sight import Sight, Tally
from geoseg.confusion import Matrix, joint
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels import Labels
from geoseg.legend import IGNORE, Legend
from geoseg.placing import called, moved
from geoseg.raster import GDAL_ERRORS, block_cache
from geoseg.vector import within_reach

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

ROWS, COLS = 512, 4096
"""Of a window: whole blocks of the maps that geoseg writes."""

CACHE = 16_000_000
"""Bytes of decoded blocks that are kept; a window is read once, and few of its blocks by the next."""

_WGS84_AXIS, _WGS84_E2 = 6_378_137.0, 0.00669437999014


@dataclass(frozen=True, slots=True)
class Regions:
    """Polygons inside which pixels count.

    Attributes:
        name: what to call them in messages.
        shapes: the geometries, in the CRS of the map.
    """

    name: str
    shapes: npt.NDArray[np.object_]

    @classmethod
    def of(cls, frame: gpd.GeoDataFrame, grid: Grid, name: str) -> Regions:
        """Regions from a frame in any CRS, moved to that of the map.

        Raises:
            LabelError: one of the two has a CRS and the other has none, or there is no way between them.
        """
        if (frame.crs is None) != (grid.crs is None):
            has, lacks = ("regions", "map") if grid.crs is None else ("map", "regions")
            raise LabelError(f"{name}: the {has} have a CRS and the {lacks} none; assign the missing one first")
        shapes = (frame if grid.crs is None else moved(frame, grid.crs, name, LabelError)).geometry.to_numpy()
        shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
        return cls(name, turned_onto(shapes, grid)[0])

    def inside(self, grid: Grid) -> npt.NDArray[np.bool_]:
        """(rows, cols) True for pixels whose centre is in a polygon."""
        near = self.shapes[shapely.intersects(self.shapes, shapely.box(*grid.bounds))]
        drawn = np.zeros(grid.shape, np.uint8)
        if len(near):
            rasterize(within_reach(near, grid).tolist(), out=drawn, transform=grid.transform, default_value=1)
        return np.asarray(drawn != 0)


class Mapped(Protocol):
    """What can be judged: a `ClassRaster`, or whatever else gives class indices window by window."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def legend(self) -> Legend: ...  # noqa: D102
    def read(self, window: Window) -> npt.NDArray[np.uint8]: ...  # noqa: D102


@dataclass(slots=True, eq=False)
class Counts:
    """What was counted; the counts of several maps add up.

    Attributes:
        matrix: (K, K) pixels with a class in both, rows reference, columns map.
        map_pixels: (K,) pixels of each class in the whole map.
        hectares: (K,) their area on the ground, None for a map without a place on the Earth.
        inside: pixels that count, with or without a class: all, or those inside the regions.
        unlabelled: pixels that count, have a class in the map and none in the reference.
        unmapped: pixels that count, have a class in the reference and none in the map.
        labelled: pixels of the whole map's grid that have a class in the reference, inside the regions or not.
        strangers: pixels that count and whose class in the reference the map's legend does not have; not labelled.
    """

    matrix: Matrix
    map_pixels: npt.NDArray[np.int64]
    hectares: Floats | None
    inside: int = 0
    unlabelled: int = 0
    unmapped: int = 0
    labelled: int = 0
    strangers: int = 0

    @property
    def pixels(self) -> int:
        """Pixels compared."""
        return int(self.matrix.sum())

    def __add__(self, other: Counts) -> Counts:
        known = self.hectares is not None and other.hectares is not None
        return Counts(
            self.matrix + other.matrix,
            self.map_pixels + other.map_pixels,
            self.hectares + other.hectares if known else None,  # type: ignore[operator]
            self.inside + other.inside,
            self.unlabelled + other.unlabelled,
            self.unmapped + other.unmapped,
            self.labelled + other.labelled,
            self.strangers + other.strangers,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A map against its reference.

    Attributes:
        counts: what was counted.
        preview: both as small pictures.
    """

    counts: Counts
    preview: Preview

    @property
    def matrix(self) -> Matrix:
        """(K, K) pixels with a class in both, rows reference, columns map."""
        return self.counts.matrix


def compare(
    mapped: Mapped,
    labels: Labels,
    regions: Regions | None = None,
    *,
    tallies: Sequence[Tally] = (),
    longest: int = LONGEST,
) -> Comparison:
    """Compare a map with labels of the same legend; memory does not grow with the map.

    Args:
        mapped: the map.
        labels: the reference, in class indices of the map's legend; `STRANGER` for classes it does not have.
        regions: where pixels count, everywhere by default.
        tallies: what else to count on the way; each is left with its counts.
        longest: longest side of the small picture, in pixels.

    Raises:
        LabelError: not a single pixel can be compared.
    """
    grid, classes = mapped.grid, len(mapped.legend)
    ground = pixel_areas(grid)
    areas = None if ground is None else np.zeros(classes)
    counts = Counts(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64), areas)
    preview = Preview.of(grid, longest)
    margin = max((tally.margin for tally in tallies), default=0)
    with block_cache(CACHE), progress.bar("comparing", grid.height * grid.width / 1e6, "MP") as shown:
        for window in windows(grid):
            sight = _sight(mapped, labels, regions, window, margin)
            core = sight.core()
            rows = slice(core.row, core.row + core.grid.height)
            _count(counts, core, None if ground is None else ground[rows])
            sight.reference[sight.reference == STRANGER] = IGNORE  # of which `core` is a part
            preview.add(core.row, core.col, core.mapped, core.reference, core.inside)
            for tally in tallies:
                tally.add(sight if tally.margin else core)
            shown.advance(core.mapped.size / 1e6)
    _refuse_empty(counts, mapped, labels, regions)
    return Comparison(counts, preview)


def windows(grid: Grid) -> Iterator[Window]:
    """Windows of one size, along the rows, so that memory grows neither with the height nor with the width."""
    for row in range(0, grid.height, ROWS):
        for col in range(0, grid.width, COLS):
            yield Window(col, row, min(COLS, grid.width - col), min(ROWS, grid.height - row))


def _sight(mapped: Mapped, labels: Labels, regions: Regions | None, window: Window, margin: int) -> Sight:
    grid = mapped.grid
    top, left = max(window.row_off - margin, 0), max(window.col_off - margin, 0)
    bottom = min(window.row_off + window.height + margin, grid.height)
    right = min(window.col_off + window.width + margin, grid.width)
    seen = Window(left, top, right - left, bottom - top)
    place = grid.crop(seen)
    row, col = window.row_off - top, window.col_off - left
    return Sight(
        grid=place,
        row=window.row_off,
        col=window.col_off,
        rows=slice(row, row + window.height),
        cols=slice(col, col + window.width),
        mapped=mapped.read(seen),
        reference=labels.read(place),
        inside=np.ones(place.shape, bool) if regions is None else regions.inside(place),
    )


def _count(result: Counts, core: Sight, ground: Floats | None) -> None:
    """Count a window; `ground` is the area of a pixel in each of its rows."""
    classes = len(result.map_pixels)
    everywhere = core.inside.all()
    counted = core.reference if everywhere else np.where(core.inside, core.reference, np.uint8(IGNORE))
    pairs = joint(counted, core.mapped, classes)
    result.matrix += pairs[:classes, :classes]
    # In the last row and column are the pixels without a class.
    result.strangers += int((counted == STRANGER).sum())
    result.unmapped += int(pairs[:classes, classes].sum())
    result.inside += int(core.inside.sum())
    if everywhere:
        result.unlabelled += int(pairs[classes, :classes].sum())
        result.labelled += int(pairs[:classes].sum())
    else:
        result.unlabelled += int((core.inside & (core.mapped != IGNORE) & (core.reference >= classes)).sum())
        result.labelled += int((core.reference < classes).sum())
    if ground is None or result.hectares is None:
        result.map_pixels += pairs[:, :classes].sum(0)
        return
    by_row = np.stack([np.bincount(row, minlength=256)[:classes] for row in core.mapped])
    result.map_pixels += by_row.sum(axis=0)
    mapped_rows = by_row.any(axis=1)  # others may lie outside of the projection's domain and have no area
    result.hectares += ground[mapped_rows] @ by_row[mapped_rows] / 10_000


def pixel_areas(grid: Grid) -> Floats | None:
    """Area on the ground of a pixel in each row, in square metres, taken in the middle column.

    The pixel's sides are measured on the WGS 84 ellipsoid, so that neither degrees nor a projection that stretches
    (Web Mercator, say) falsify it.

    Returns:
        (rows,) square metres; NaN where a row lies outside of the projection's domain. None without a CRS, and for one
        that is local or of another planet.
    """
    if grid.crs is None:
        return None
    row, column = np.arange(grid.height, dtype=np.float64) + 0.5, grid.width / 2
    ends = {"left": (-0.5, 0.0), "right": (0.5, 0.0), "top": (0.0, -0.5), "bottom": (0.0, 0.5)}
    try:
        places = {name: _longitude_latitude(grid, column + dx, row + dy) for name, (dx, dy) in ends.items()}
    except GDAL_ERRORS:
        logger.warning(
            "areas are left empty: the map's coordinate system '%s' has no place on the Earth", called(grid.crs)
        )
        return None
    latitude = np.radians((places["top"][1] + places["bottom"][1]) / 2)
    along = _metres(places["right"] - places["left"], latitude)
    down = _metres(places["bottom"] - places["top"], latitude)
    return np.asarray(np.abs(along[0] * down[1] - along[1] * down[0]))


def _longitude_latitude(grid: Grid, column: float, row: Floats) -> Floats:
    """(2, n) degrees of pixel positions."""
    t = grid.transform
    x, y = t.a * column + t.b * row + t.c, t.d * column + t.e * row + t.f
    return np.array(warp_points(grid.crs, "EPSG:4326", x.tolist(), y.tolist()))


def _metres(difference: Floats, latitude: Floats) -> Floats:
    """(2, n) metres east and north of a small difference in degrees at a latitude in radians."""
    flattened = 1 - _WGS84_E2 * np.sin(latitude) ** 2
    east_radius = _WGS84_AXIS * np.cos(latitude) / np.sqrt(flattened)
    north_radius = _WGS84_AXIS * (1 - _WGS84_E2) / flattened**1.5
    wrapped = (difference[0] + 180) % 360 - 180  # a pixel may lie across the date line
    return np.asarray(np.radians(np.stack([wrapped * east_radius, difference[1] * north_radius])))


def _refuse_empty(result: Counts, mapped: Mapped, labels: Labels, regions: Regions | None) -> None:
    if result.pixels:
        return
    if regions is not None and result.inside == 0:
        raise LabelError(f"{regions.name}: none of its polygons lies on {mapped.path}; check the CRS of both")
    if result.strangers and not result.labelled:
        raise LabelError(f"{labels.path}: labels {mapped.path} only as classes that the map's legend does not have")
    if result.labelled == 0:
        raise LabelError(f"{labels.path}: labels no pixel of {mapped.path}; check that they cover the same ground")
    where = "where the map has a class" if regions is None else f"with a class in the map inside {regions.name}"
    raise LabelError(f"{labels.path}: labels no pixel of {mapped.path} {where}, so there is nothing to compare")
