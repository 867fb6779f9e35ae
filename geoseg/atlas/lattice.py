"""One grid for all regions of a CRS, and windows at whole multiples of their size from its origin.

A pixel of a map then depends on the scenes and the model alone: not on the region it belongs to, not on how that was
cut into blocks, not on who mapped it when. Along the border of two regions each continues the other.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.windows import Window

from geoseg.atlas.globe import fine_step, placed, utm_zone
from geoseg.atlas.regions import Region, span_of
from geoseg.atlas.scenes import SceneRef
from geoseg.errors import OptionError, RegionError
from geoseg.grid import METRES_PER_DEGREE, Grid
from geoseg.model import ModelSpec
from geoseg.placing import DEGREES, require_way
from geoseg.prediction.blend import Axis
from geoseg.prediction.layout import Piece, Request, plan

_ONE_CRS = 12.0
"""Degrees of longitude that regions may span and still be mapped in one of several UTM zones: two zones."""

_ENDLESS = 2**20


@dataclass(frozen=True, slots=True)
class Cutting:
    """How maps are cut into windows.

    Attributes:
        core: side of what is kept of a window, in pixels.
        margin: context on each side.
        fade: width over which neighbouring windows fade into each other, half of it in their margin.
        feather: width over which overlapping scenes fade into each other.
    """

    core: int
    margin: int
    fade: int
    feather: int

    @classmethod
    def choose(cls, spec: ModelSpec, window: int, margin: str | int, blend: str, feather: int) -> Cutting:
        """The cutting for a model; the same on every machine.

        Raises:
            OptionError: the margin leaves nothing of a window, or an option that cannot be.
        """
        if feather < 0:
            raise OptionError(f"feather is {feather} pixels; it must be 0 or more")
        endless = Grid(None, Affine.identity(), _ENDLESS, _ENDLESS)
        layout = plan(endless, spec, Request(window, margin, blend), lambda height, width: 0)
        fade = 2 * layout.rows.halves[1] if layout.fades else 0
        return cls(layout.grid.core, layout.grid.margin, fade, feather)

    @property
    def side(self) -> int:
        """Of a window that the network sees."""
        return self.core + 2 * self.margin

    @property
    def unasked(self) -> int:
        """Pixels on each side of a window that count for nothing."""
        return self.margin - self.fade // 2

    @property
    def pad(self) -> int:
        """Pixels around such a window that are read so that weights near its edge are those of any other window."""
        return max(0, self.feather - self.unasked)

    def axis(self, start: int, stop: int) -> tuple[int, Axis]:
        """The windows over pixels `start` to `stop` of one direction, and where the first begins."""
        half = self.fade // 2
        first, last = (start - half) // self.core, -(-(stop + half) // self.core)
        edges = tuple((number - first) * self.core for number in range(first, last + 1))
        return first * self.core, Axis(edges, (0, *[half] * (len(edges) - 2), 0))

    def blocks(self, window: Window, side: int) -> list[Window]:
        """Parts of a window of the lattice, of about `side` pixels, with as few windows of the network in two of them.

        They end where windows do; where these fade, in their middles.
        """
        count = max(1, round(side / self.core))
        shift = self.core // 2 if self.fade else 0
        rows = _cuts(int(window.row_off), int(window.row_off + window.height), self.core, count, shift)
        cols = _cuts(int(window.col_off), int(window.col_off + window.width), self.core, count, shift)
        return [
            Window(left, top, right - left, bottom - top)
            for top, bottom in itertools.pairwise(rows)
            for left, right in itertools.pairwise(cols)
        ]


@dataclass(frozen=True, slots=True)
class BlockWindows:
    """The windows of the network over a block.

    Attributes:
        top, left: where they begin on the lattice, in pixels.
        rows, cols: their edges and fades, from there.
        cutting: of the lattice.
    """

    top: int
    left: int
    rows: Axis
    cols: Axis
    cutting: Cutting

    @classmethod
    def over(cls, block: Window, cutting: Cutting) -> BlockWindows:
        """Those that a block of the lattice needs."""
        top, rows = cutting.axis(int(block.row_off), int(block.row_off + block.height))
        left, cols = cutting.axis(int(block.col_off), int(block.col_off + block.width))
        return cls(top, left, rows, cols, cutting)

    @property
    def window(self) -> Window:
        """All that they keep, on the lattice."""
        return Window(self.left, self.top, self.cols.edges[-1], self.rows.edges[-1])

    def pieces(self) -> list[Piece]:
        """The windows row by row, in pixels from their beginning."""
        core, margin, side = self.cutting.core, self.cutting.margin, self.cutting.side
        return [
            Piece(
                row,
                col,
                Window(col * core - margin, row * core - margin, side, side),
                self.rows.extent(row),
                self.cols.extent(col),
            )
            for row in range(len(self.rows))
            for col in range(len(self.cols))
        ]


@dataclass(frozen=True, slots=True)
class Lattice:
    """All pixels of a CRS, without end.

    Attributes:
        crs: coordinate system.
        transform: of pixel (0, 0), north up.
    """

    crs: CRS
    transform: Affine

    def grid(self, window: Window) -> Grid:
        """The grid of a window."""
        return Grid(self.crs, self.transform, 1, 1).crop(window)

    def window(self, outline: shapely.Geometry) -> Window:
        """The pixels of which any part lies inside the bounds of a polygon in this CRS."""
        west, south, east, north = outline.bounds
        (left, top), (right, bottom) = (~self.transform @ corner for corner in ((west, north), (east, south)))
        left, top = math.floor(left + 1e-6), math.floor(top + 1e-6)
        return Window(left, top, max(math.ceil(right - 1e-6) - left, 1), max(math.ceil(bottom - 1e-6) - top, 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for hashes and notes."""
        return {"crs": self.crs.to_wkt(), "transform": list(self.transform)[:6]}


@dataclass(frozen=True, slots=True)
class Lattices:
    """Which lattice each region is mapped on.

    Attributes:
        asked: a CRS, "utm" for the zone of each region's middle, or "auto".
        resolution: side of a pixel in units of the CRS, None for that of the scenes.
        scenes: of the atlas.
    """

    asked: str
    resolution: float | None
    scenes: tuple[SceneRef, ...]

    def common(self, outlines: list[shapely.Geometry]) -> CRS | None:
        """The CRS of all regions with these outlines, None where they have different ones.

        Raises:
            OptionError: no such CRS.
        """
        if self.asked.lower() == "utm":
            return None
        if self.asked.lower() != "auto":
            return _crs(self.asked)
        kinds = Counter(ref.grid.crs for ref in self.scenes)
        if len(kinds) > 1 and span_of(outlines) > _ONE_CRS:
            return None
        return kinds.most_common(1)[0][0]

    def of(self, region: Region, over: Sequence[SceneRef], common: CRS | None) -> CRS:
        """The CRS of one region: the common one, the zone of its middle, or that of most of the scenes over it."""
        if common is not None:
            return common
        if self.asked.lower() == "utm" or not over:
            middle = region.outline.centroid
            return utm_zone(middle.x, middle.y)
        return Counter(ref.grid.crs for ref in over).most_common(1)[0][0]

    def lattice(self, crs: CRS) -> Lattice:
        """The lattice of a CRS: the pixels of most scenes that are in it, so that these need no warping.

        Raises:
            OptionError: the resolution cannot be told.
        """
        upright = [ref.grid for ref in self.scenes if ref.grid.crs == crs and _is_north_up(ref.grid.transform)]
        if self.resolution is not None:
            upright = [grid for grid in upright if np.allclose(grid.resolution, self.resolution, rtol=1e-9)]
        if not upright:
            width = height = self.resolution or self._size_in(crs)
            return Lattice(crs, Affine(width, 0, 0, 0, -height, 0))
        # Pixels of one size and phase go together; the first in the order of the scenes speaks for all.
        phases = Counter(_phase(grid) for grid in upright)
        chosen = max(upright, key=lambda grid: phases[_phase(grid)]).transform
        return Lattice(crs, Affine(chosen.a, 0, chosen.c % chosen.a, 0, chosen.e, chosen.f % -chosen.e))

    def _size_in(self, crs: CRS) -> float:
        """Side of a pixel in units of a CRS that no scene is in: about that of most scenes on the ground."""
        sizes = Counter(round(size, 3) for ref in self.scenes if (size := ref.grid.ground_sample_distance))
        if not sizes:
            raise OptionError("the size of the scenes' pixels on the ground is not known; give --resolution")
        metres = sizes.most_common(1)[0][0]
        return metres / _unit(crs)


def _unit(crs: CRS) -> float:
    """Metres of a unit of a CRS; of a degree, those at the equator."""
    return METRES_PER_DEGREE if crs.is_geographic else float(crs.linear_units_factor[1])


def laid(region: Region, lattice: Lattice) -> shapely.Geometry:
    """The outline of a region in the CRS of its lattice.

    Raises:
        RegionError: it has no place there, or the CRS is cut where it crosses the antimeridian.
    """
    metres = _unit(lattice.crs)
    shape = placed(region.outline, lattice.crs, fine_step(abs(lattice.transform.a) * metres))
    if not np.isfinite(shape.bounds).all():
        raise RegionError(f"the region '{region.name}' has no place in {lattice.crs.to_string()}; give another --crs")
    if region.outline.bounds[2] > 180:
        west, _, east, _ = shape.bounds
        if lattice.crs.is_geographic or (east - west) * metres > 2e7:
            raise RegionError(
                f"the region '{region.name}' crosses the antimeridian, where {lattice.crs.to_string()} is cut; give "
                "--crs utm, or a CRS that is whole there"
            )
    return shape


def _crs(text: str) -> CRS:
    try:
        crs = CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        raise OptionError(f"crs is '{text}'; name a CRS as EPSG:32632, or give auto or utm") from error
    require_way(DEGREES, crs, "the regions", OptionError)
    return crs


def _is_north_up(t: Affine) -> bool:
    return bool(t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0)


def _phase(grid: Grid) -> tuple[float, ...]:
    """Size of the pixels, and where in a pixel the origin of the CRS lies, to a thousandth of one."""
    t = grid.transform
    places = (round(t.c / t.a % 1, 3) % 1, round(t.f / -t.e % 1, 3) % 1)
    return (float(f"{t.a:.9g}"), float(f"{t.e:.9g}"), *places)


def _cuts(start: int, stop: int, core: int, count: int, shift: int) -> list[int]:
    """`start`, every `count`-th edge of the windows (or their middles, by `shift`) between, and `stop`."""
    first = (start - shift) // core * core + shift
    return [start, *range(first + count * core, stop, count * core), stop]
