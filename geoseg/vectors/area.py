"""Areas of polygons: in pixels, and in square metres on the ellipsoid.

Over a raster, the square metres of a pixel change smoothly: with the cosine of latitude in degrees, with the scale
error of a projection in metres. `PixelArea` is that function as a polynomial, fitted to the Jacobian of the way from
pixels to an equal-area projection. By Green's theorem the area of a polygon is an integral along its border,

    area = - sum over arcs of the integral of G dy,   dG/dx = square metres of a pixel at (x, y),

for a border with its face on the left and y pointing down. The integral of an arc serves both of its faces, and it is
exact for the polynomial: the number of Gauss points follows from its degree. Nothing is projected polygon by polygon.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
from numpy.polynomial import chebyshev

from geoseg.grid import Grid
from geoseg.vectors.compiled import compiled
from geoseg.vectors.trace import Traced

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

DEGREE = 20
"""Highest degree of the polynomial; a UTM scene needs 2, the whole globe in degrees about 16."""

PRECISION = 1e-9
"""Coefficients below this share of the mean are left out."""


@dataclass(frozen=True)
class PixelArea:
    """Square metres per pixel, as a polynomial on a raster.

    Attributes:
        coefficients: (m, n), of u**i v**j with u and v from -1 to 1 over the width and height of the raster.
        height, width: the raster, in pixels.
    """

    coefficients: Floats
    height: int
    width: int

    def integral(self) -> Floats:
        """(m + 1, n) coefficients of G, the integral over x in pixels."""
        above = np.zeros((self.coefficients.shape[0] + 1, self.coefficients.shape[1]))
        powers = np.arange(1, above.shape[0])[:, None]
        above[1:] = self.coefficients / powers * (self.width / 2)
        return above

    def at(self, x: Floats, y: Floats) -> Floats:
        """Square metres of a pixel at corners (x, y)."""
        u, v = 2 * x / self.width - 1, 2 * y / self.height - 1
        return np.asarray(np.polynomial.polynomial.polyval2d(u, v, self.coefficients), float)


def pixel_area(grid: Grid) -> PixelArea | None:
    """The area of a pixel anywhere in a raster, None when its coordinate system does not lie on the Earth."""
    if grid.crs is None:
        return None
    try:
        to_metres = _to_equal_area(grid)
        values = _jacobian(grid, to_metres)
    except pyproj.exceptions.ProjError as error:
        logger.warning("areas are left empty: the coordinate system has no way to metres (%s)", error)
        return None
    good = np.isfinite(values)
    if not good.any():
        logger.warning("areas are left empty: the raster lies outside of where its coordinate system is defined")
        return None
    if not good.all():
        # A world map whose corners lie off the globe: a smooth function cannot be fitted, a mean one can be given.
        logger.warning("areas are those of a mean pixel: parts of the raster lie off the globe")
        return PixelArea(np.full((1, 1), np.median(values[good])), *grid.shape)
    return PixelArea(_fit(values), *grid.shape)


def _to_equal_area(grid: Grid) -> pyproj.Transformer:
    """From the raster's coordinates to an equal-area projection around its middle, on its own ellipsoid."""
    assert grid.crs is not None  # noqa: S101
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    if crs.geodetic_crs is None or crs.ellipsoid is None:
        raise pyproj.exceptions.ProjError("it is not tied to an ellipsoid")
    ellipsoid = f"+a={crs.ellipsoid.semi_major_metre} +b={crs.ellipsoid.semi_minor_metre} +units=m +type=crs"
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    if crs.is_geographic:
        x *= crs.axis_info[0].unit_conversion_factor * 180 / np.pi
        target = f"+proj=cea +lon_0={x} {ellipsoid}"
    else:
        degrees = f"+proj=longlat {ellipsoid}"
        lon, lat = pyproj.Transformer.from_crs(crs, degrees, always_xy=True).transform(x, y)
        if not np.isfinite([lon, lat]).all():
            raise pyproj.exceptions.ProjError("the middle of the raster lies off the globe")
        target = f"+proj=laea +lon_0={lon} +lat_0={lat} {ellipsoid}"
    return pyproj.Transformer.from_crs(crs, target, always_xy=True)


def _jacobian(grid: Grid, to_metres: pyproj.Transformer) -> Floats:
    """(DEGREE + 1, DEGREE + 1) square metres per pixel at Chebyshev points of the raster, x along the first axis."""
    nodes = chebyshev.chebpts1(DEGREE + 1)
    x, y = np.meshgrid((nodes + 1) * grid.width / 2, (nodes + 1) * grid.height / 2, indexing="ij")
    size = grid.ground_sample_distance or 1.0
    step = min(max(100.0 / size, 1e-3), 1.0)  # about 100 m: far above rounding, far below the curvature
    columns = _central(grid, to_metres, x, y, step, 0.0)
    rows = _central(grid, to_metres, x, y, 0.0, step)
    return np.asarray(np.abs(columns[0] * rows[1] - columns[1] * rows[0]))


def _central(grid: Grid, to_metres: pyproj.Transformer, x: Floats, y: Floats, dx: float, dy: float) -> Floats:
    """(2, ...) metres per pixel along (dx, dy)."""
    t, ends = grid.transform, []
    for sign in (-0.5, 0.5):
        col, row = x + sign * dx, y + sign * dy
        east, north = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
        ends.append(np.array(to_metres.transform(east, north)))
    # Off the globe pyproj says infinity, and the difference of two is not a number: both are caught later.
    with np.errstate(invalid="ignore"):
        difference: Floats = (ends[1] - ends[0]) / (dx + dy)
    return difference


def _fit(values: Floats) -> Floats:
    """Power coefficients of the polynomial through values at Chebyshev points, without its negligible terms."""
    basis = chebyshev.chebvander(chebyshev.chebpts1(DEGREE + 1), DEGREE)
    series = np.linalg.solve(basis, np.linalg.solve(basis, values).T).T
    large = np.abs(series) > PRECISION * np.abs(series[0, 0])
    series = series[: np.nonzero(large.any(1))[0][-1] + 1, : np.nonzero(large.any(0))[0][-1] + 1]
    return _powers(_powers(series).T).T


def _powers(series: Floats) -> Floats:
    """Chebyshev coefficients along the first axis to power coefficients."""
    result = np.zeros_like(series)
    for column in range(series.shape[1]):
        powers = chebyshev.cheb2poly(series[:, column])
        result[: len(powers), column] = powers
    return result


def measure(arcs: Traced, pixel: PixelArea | None) -> tuple[Floats, Floats]:
    """Integrals along arcs: of x dy in pixels, and of G dy in square metres (NaN without a `PixelArea`), each (A,)."""
    pixels = along_arcs(arcs.points, arcs.offsets)
    if pixel is None:
        return pixels, np.full(len(pixels), np.nan)
    integral = pixel.integral()
    gauss = np.polynomial.legendre.leggauss((integral.shape[0] + integral.shape[1]) // 2)
    size = np.array([pixel.width / 2, pixel.height / 2])
    return pixels, weighted_along_arcs(arcs.points, arcs.offsets, integral, size, *gauss)


@compiled
def along_arcs(points: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> Floats:
    """The integral of x dy along each arc; exact, as all of it are halves of whole numbers."""
    result = np.zeros(len(offsets) - 1)
    for arc in range(len(result)):
        for index in range(offsets[arc], offsets[arc + 1] - 1):
            x = float(points[index, 0]) + float(points[index + 1, 0])
            result[arc] += 0.5 * x * (points[index + 1, 1] - points[index, 1])
    return result


@compiled
def weighted_along_arcs(
    points: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    integral: Floats,
    half_size: Floats,
    nodes: Floats,
    weights: Floats,
) -> Floats:
    """The integral of G dy along each arc, by Gauss quadrature (Legendre nodes and weights) on each straight piece."""
    result = np.zeros(len(offsets) - 1)
    for arc in range(len(result)):
        for index in range(offsets[arc], offsets[arc + 1] - 1):
            x, y = float(points[index, 0]), float(points[index, 1])
            dx, dy = points[index + 1, 0] - x, points[index + 1, 1] - y
            if dy == 0:
                continue
            for node in range(len(nodes)):
                share = (1 + nodes[node]) / 2
                u, v = (x + share * dx) / half_size[0] - 1, (y + share * dy) / half_size[1] - 1
                result[arc] += weights[node] / 2 * dy * _polynomial(integral, u, v)
    return result


@compiled
def _polynomial(coefficients: Floats, u: float, v: float) -> float:
    """Horner's scheme in both variables."""
    total = 0.0
    for i in range(coefficients.shape[0] - 1, -1, -1):
        inner = 0.0
        for j in range(coefficients.shape[1] - 1, -1, -1):
            inner = inner * v + coefficients[i, j]
        total = total * u + inner
    return total
