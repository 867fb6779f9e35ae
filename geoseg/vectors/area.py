"""Areas of polygons: in pixels, and in square metres on the ellipsoid.

Over a raster, the square metres of a pixel change smoothly: with the cosine of latitude in degrees, with the scale
error of a projection in metres. `PixelArea` is that function as a polynomial, fitted to the Jacobian of the way from
pixels to an equal-area projection. By Green's theorem the area of a polygon is an integral along its border,

    area = - sum over arcs of the integral of G dy,   dG/dx = square metres of a pixel at (x, y),

for a border with its face on the left and y pointing down. The integral of an arc serves both of its faces, and it is
exact for the polynomial: the number of Gauss points follows from its degree. Nothing is projected polygon by polygon.
Lengths come in the same way, from the metric of the ellipsoid in pixels (`PixelMetric`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
from numpy.polynomial import chebyshev

from geoseg.grid import Grid

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


@dataclass(frozen=True)
class PixelMetric:
    """Square metres of (dx, dy) pixels on the ellipsoid: E dx^2 + 2 F dx dy + G dy^2, the first fundamental form.

    Attributes:
        e, f, g: (m, n) coefficients as those of `PixelArea`.
        height, width: the raster, in pixels.
    """

    e: Floats
    f: Floats
    g: Floats
    height: int
    width: int


def pixel_metric(grid: Grid) -> PixelMetric | None:
    """How long a step of a pixel is anywhere in a raster, None when its coordinate system does not lie on the Earth.

    Formula: do Carmo, Differential Geometry of Curves and Surfaces, section 2-5; the surface is taken in geocentric
    coordinates, which have no singular place.
    """
    if grid.crs is None:
        return None
    try:
        crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
        if crs.ellipsoid is None:
            return None
        axes = f"+a={crs.ellipsoid.semi_major_metre} +b={crs.ellipsoid.semi_minor_metre}"
        around = pyproj.CRS(f"+proj=geocent {axes} +units=m +type=crs")
        # Through longitude and latitude on the raster's own ellipsoid, so that no change of datum comes between.
        here = pyproj.Transformer.from_crs(crs, pyproj.CRS(f"+proj=longlat {axes} +type=crs"), always_xy=True)
        there = pyproj.Transformer.from_crs(pyproj.CRS(f"+proj=longlat {axes} +type=crs"), around, always_xy=True)
    except pyproj.exceptions.ProjError:
        return None

    def to_metres(x: Floats, y: Floats) -> tuple[Floats, ...]:
        lon, lat = here.transform(x, y)
        return tuple(there.transform(lon, lat, np.zeros_like(lon)))

    columns, rows = _steps(grid, to_metres)
    forms = [(columns * columns).sum(0), (columns * rows).sum(0), (rows * rows).sum(0)]
    good = np.isfinite(forms).all(0)
    if not good.any():
        return None
    if good.all():
        largest = max(np.abs(form).mean() for form in forms)
        e, f, g = (_fit(form, largest) for form in forms)
    else:
        e, f, g = (np.full((1, 1), np.median(form[good])) for form in forms)
    return PixelMetric(e, f, g, *grid.shape)


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
    columns, rows = _steps(grid, to_metres.transform)
    return np.asarray(np.abs(columns[0] * rows[1] - columns[1] * rows[0]))


def _steps(grid: Grid, to_metres: Callable[[Floats, Floats], tuple[Floats, ...]]) -> tuple[Floats, Floats]:
    """Metres per pixel along columns and along rows, each (2 or 3, DEGREE + 1, DEGREE + 1), at Chebyshev points."""
    nodes = chebyshev.chebpts1(DEGREE + 1)
    x, y = np.meshgrid((nodes + 1) * grid.width / 2, (nodes + 1) * grid.height / 2, indexing="ij")
    size = grid.ground_sample_distance or 1.0
    step = min(max(100.0 / size, 1e-3), 1.0)  # about 100 m: far above rounding, far below the curvature
    return _central(grid, to_metres, x, y, step, 0.0), _central(grid, to_metres, x, y, 0.0, step)


def _central(
    grid: Grid, to_metres: Callable[[Floats, Floats], tuple[Floats, ...]], x: Floats, y: Floats, dx: float, dy: float
) -> Floats:
    """Metres per pixel along (dx, dy)."""
    t, ends = grid.transform, []
    for sign in (-0.5, 0.5):
        col, row = x + sign * dx, y + sign * dy
        east, north = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
        ends.append(np.array(to_metres(east, north)))
    # Off the globe pyproj says infinity, and the difference of two is not a number: both are caught later.
    with np.errstate(invalid="ignore"):
        difference: Floats = (ends[1] - ends[0]) / (dx + dy)
    return difference


def _fit(values: Floats, scale: float | None = None) -> Floats:
    """Power coefficients of the polynomial through values at Chebyshev points, without its negligible terms.

    Negligible is what lies below `PRECISION` of the scale, by default the mean of the values.
    """
    basis = chebyshev.chebvander(chebyshev.chebpts1(DEGREE + 1), DEGREE)
    series = np.linalg.solve(basis, np.linalg.solve(basis, values).T).T
    large = np.abs(series) > PRECISION * (np.abs(series[0, 0]) if scale is None else scale)
    large[0, 0] = True
    series = series[: np.nonzero(large.any(1))[0][-1] + 1, : np.nonzero(large.any(0))[0][-1] + 1]
    return _powers(_powers(series).T).T


def _powers(series: Floats) -> Floats:
    """Chebyshev coefficients along the first axis to power coefficients."""
    result = np.zeros_like(series)
    for column in range(series.shape[1]):
        powers = chebyshev.cheb2poly(series[:, column])
        result[: len(powers), column] = powers
    return result
