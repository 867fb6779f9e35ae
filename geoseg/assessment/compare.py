"""Map against reference, strip by strip: one confusion matrix, the areas of the classes, and a small picture."""

from __future__ import annotations

from collections.abc import Iterator
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
from geoseg.assessment.preview import LONGEST, Preview
from geoseg.confusion import Matrix, confusion
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels import Labels
from geoseg.legend import IGNORE, Legend

Floats = npt.NDArray[np.float64]

ROWS = 512
_LEAST_ROWS = 128
_STRIP_PIXELS = 1 << 23  # beyond this width strips get lower, so that memory does not grow with the width either
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
            LabelError: one of the two has a CRS and the other has none.
        """
        if (frame.crs is None) != (grid.crs is None):
            has, lacks = ("regions", "map") if grid.crs is None else ("map", "regions")
            raise LabelError(f"{name}: the {has} have a CRS and the {lacks} none; assign the missing one first")
        moved = frame if grid.crs is None else frame.to_crs(grid.crs.to_wkt())
        shapes = moved.geometry.to_numpy()
        return cls(name, shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))])

    def inside(self, grid: Grid) -> npt.NDArray[np.bool_]:
        """(rows, cols) True for pixels whose centre is in a polygon."""
        near = self.shapes[shapely.intersects(self.shapes, shapely.box(*grid.bounds))]
        drawn = np.zeros(grid.shape, np.uint8)
        if len(near):
            rasterize(near.tolist(), out=drawn, transform=grid.transform, default_value=1)
        return np.asarray(drawn != 0)


class Mapped(Protocol):
    """What can be judged: a `ClassRaster`, or whatever else gives class indices strip by strip."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def legend(self) -> Legend: ...  # noqa: D102
    def windows(self, rows: int = ROWS) -> Iterator[Window]: ...  # noqa: D102
    def read_windows(  # noqa: D102
        self, windows: Iterator[Window]
    ) -> Iterator[tuple[Window, npt.NDArray[np.uint8]]]: ...


@dataclass(slots=True, eq=False)
class Counts:
    """What was counted; the counts of several maps add up.

    Attributes:
        matrix: (K, K) pixels with a class in both, rows reference, columns map.
        map_pixels: (K,) pixels of each class in the whole map.
        hectares: (K,) their area on the ground, None for a map without a CRS.
        inside: pixels that count, with or without a class: all, or those inside the regions.
        unlabelled: pixels that count, have a class in the map and none in the reference.
        unmapped: pixels that count, have a class in the reference and none in the map.
        labelled: pixels of the whole map's grid that have a class in the reference, inside the regions or not.
    """

    matrix: Matrix
    map_pixels: npt.NDArray[np.int64]
    hectares: Floats | None
    inside: int = 0
    unlabelled: int = 0
    unmapped: int = 0
    labelled: int = 0

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


def compare(mapped: Mapped, labels: Labels, regions: Regions | None = None, *, longest: int = LONGEST) -> Comparison:
    """Compare a map with labels of the same legend; memory does not grow with the map.

    Args:
        mapped: the map.
        labels: the reference, in class indices of the map's legend.
        regions: where pixels count, everywhere by default.
        longest: longest side of the small picture, in pixels.

    Raises:
        LabelError: not a single pixel can be compared.
    """
    grid, classes = mapped.grid, len(mapped.legend)
    areas = None if grid.crs is None else np.zeros(classes)
    counts = Counts(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64), areas)
    preview = Preview.of(grid, longest)
    with progress.bar("comparing", grid.height * grid.width / 1e6, "MP") as shown:
        for window, found in mapped.read_windows(strips(mapped)):
            place = grid.crop(window)
            reference = labels.read(place)
            inside = np.ones(place.shape, bool) if regions is None else regions.inside(place)
            _count(counts, place, found, reference, inside)
            preview.add(int(window.row_off), found, reference, inside)
            shown.advance(found.size / 1e6)
    _refuse_empty(counts, mapped, labels, regions)
    return Comparison(counts, preview)


def strips(mapped: Mapped) -> Iterator[Window]:
    """Full-width windows of 512 rows, fewer in very wide maps."""
    rows = _STRIP_PIXELS // mapped.grid.width // _LEAST_ROWS * _LEAST_ROWS
    return mapped.windows(min(ROWS, max(_LEAST_ROWS, rows)))


def _count(
    result: Counts,
    place: Grid,
    mapped: npt.NDArray[np.uint8],
    reference: npt.NDArray[np.uint8],
    inside: npt.NDArray[np.bool_],
) -> None:
    classes = len(result.matrix)
    result.labelled += int((reference != IGNORE).sum())
    counted = np.where(inside, reference, np.uint8(IGNORE))
    result.matrix += confusion(counted, mapped, classes)
    result.inside += int(inside.sum())
    result.unlabelled += int((inside & (mapped != IGNORE) & (reference == IGNORE)).sum())
    result.unmapped += int(((counted != IGNORE) & (mapped == IGNORE)).sum())
    by_row = np.stack([np.bincount(row[row != IGNORE], minlength=classes) for row in mapped])
    result.map_pixels += by_row.sum(axis=0)
    if result.hectares is not None:
        mapped_rows = by_row.any(axis=1)  # others may lie outside of the projection's domain and have no area
        result.hectares += pixel_areas(place)[mapped_rows] @ by_row[mapped_rows] / 10_000


def pixel_areas(grid: Grid) -> Floats:
    """Area on the ground of a pixel in each row, in square metres, taken in the middle column.

    The pixel's sides are measured on the WGS 84 ellipsoid, so that neither degrees nor a projection that stretches
    (Web Mercator, say) falsify it.

    Returns:
        (rows,) square metres; NaN where a row lies outside of the projection's domain.
    """
    row, column = np.arange(grid.height, dtype=np.float64) + 0.5, grid.width / 2
    ends = {"left": (-0.5, 0.0), "right": (0.5, 0.0), "top": (0.0, -0.5), "bottom": (0.0, 0.5)}
    places = {name: _longitude_latitude(grid, column + dx, row + dy) for name, (dx, dy) in ends.items()}
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
    if result.labelled == 0:
        raise LabelError(f"{labels.path}: labels no pixel of {mapped.path}; check that they cover the same ground")
    where = "where the map has a class" if regions is None else f"with a class in the map inside {regions.name}"
    raise LabelError(f"{labels.path}: labels no pixel of {mapped.path} {where}, so there is nothing to compare")
