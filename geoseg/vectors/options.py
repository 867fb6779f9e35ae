"""The options of `vectorize`, checked, and turned into pixels of a map."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.errors import OptionError
from geoseg.grid import Grid
from geoseg.units import Size, area, distance
from geoseg.vectors.area import PixelMetric
from geoseg.vectors.measure import Measure
from geoseg.vectors.sieve import Rule

logger = logging.getLogger(__name__)

LEAST_VERTICES = 1000
MOST_VERTICES = 5_000_000
"""Vertices of a polygon where nothing is asked for: GDAL takes half a gigabyte to write one of so many in holes."""

FEWEST, MOST = 1, 1 << 40
"""Pixels of a least area, whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Options:
    """How borders are drawn and which areas are kept; see `geoseg.vectors.vectorize`."""

    simplify: Size
    smooth: Size
    min_area: Size
    min_hole: Size
    fill_nodata: bool
    connectivity: int
    dissolve: bool
    max_vertices: int

    @classmethod
    def read(
        cls,
        simplify: float | str,
        smooth: float | str,
        min_area: float | str,
        min_hole: float | str,
        fill_nodata: bool,
        connectivity: int,
        dissolve: bool,
        max_vertices: int,
    ) -> Self:
        """Options as they were given.

        Raises:
            OptionError: one that cannot be.
        """
        if connectivity not in (4, 8):
            raise OptionError(f"a connectivity of {connectivity} cannot be; it must be 4 or 8")
        if max_vertices != 0 and max_vertices < LEAST_VERTICES:
            raise OptionError(
                f"polygons of at most {max_vertices} vertices cannot be; allow {LEAST_VERTICES} or more, or 0 for any"
            )
        hole = area(min_hole, "a least hole")
        if fill_nodata and hole.value == 0:
            raise OptionError("--fill-nodata needs a size of the holes to fill; give --min-hole too")
        return cls(
            distance(simplify, "a tolerance"),
            distance(smooth, "a distance to smooth by"),
            area(min_area, "a least area"),
            hole,
            fill_nodata,
            connectivity,
            dissolve,
            max_vertices,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    def pixels(self, size: Size, grid: Grid, measure: Measure) -> float:
        """A distance in pixels of a map: no part of it moves farther than the distance on the ground.

        Raises:
            OptionError: metres on a map that is not tied to the Earth.
        """
        if not size.on_ground or size.value == 0:
            return size.value
        if measure.metric is None:
            raise OptionError("the map is not tied to the Earth, so metres mean nothing on it; give pixels")
        side = _longest_side(measure.metric)
        found = size.value / side
        if grid.crs is not None and grid.crs.is_geographic:
            logger.warning(
                "the map is in degrees: %g m are %.3g of its pixels, of up to %.4g m", size.value, found, side
            )
        return found

    def rule(self, measure: Measure) -> Rule | None:
        """What the sieve takes away, None for nothing.

        Raises:
            OptionError: an area on the ground, on a map that is not tied to the Earth.
        """
        if self.min_area.value == 0 and self.min_hole.value == 0:
            return None
        least = [_least(size, measure) for size in (self.min_area, self.min_hole)]
        return Rule(least[0], least[1], self.fill_nodata, self.connectivity == 8)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Size) else value


def _longest_side(metric: PixelMetric) -> float:
    """The longest side of any pixel, in metres, looked for on a grid."""
    at = np.linspace(-1, 1, 9)
    u, v = np.meshgrid(at, at)
    sides = [np.polynomial.polynomial.polyval2d(u, v, form) for form in (metric.e, metric.g)]
    return float(np.sqrt(np.max(sides)))


def _least(size: Size, measure: Measure) -> Any:
    """A function from (x, y) of a pixel to how many pixels there make the least area."""
    if not size.on_ground or size.value == 0:
        least = int(min(np.ceil(size.value - 1e-9), MOST))
        return lambda x, y: np.full(len(x), least, np.int64)
    if measure.area is None:
        raise OptionError("the map is not tied to the Earth, so areas on the ground mean nothing on it; give pixels")
    pixel = measure.area

    def pixels(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        # A billionth less, so that an area of exactly so many pixels is not lost to rounding.
        count = np.ceil(size.value / pixel.at(x, y) * (1 - 1e-9))
        return np.clip(count, FEWEST, MOST).astype(np.int64)

    return pixels
