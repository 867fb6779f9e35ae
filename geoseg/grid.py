"""Where pixels lie: a raster's grid, and the windows that cover it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.windows import Window

from geoseg.errors import OptionError, SceneError

METRES_PER_DEGREE = 111_320.0
"""Of latitude, or of longitude at the equator."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The georeferencing of a raster: coordinate system, affine transform and size in pixels.

    Attributes:
        crs: coordinate system, or None for a scene in plain pixel coordinates.
        transform: (column, row) of a pixel's upper left corner to map coordinates; may be rotated or south-up.
        height: rows, at least 1.
        width: columns, at least 1.
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise SceneError(f"a grid of {self.height} x {self.width} pixels is empty; it needs at least one pixel")
        if self.transform.is_degenerate:
            raise SceneError(f"the transform {tuple(self.transform)[:6]} maps all pixels to one line; check the file")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.width, self.height)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in map coordinates, whatever the direction of the axes."""
        corners = ((0, 0), (self.width, 0), (0, self.height), (self.width, self.height))
        x, y = zip(*(self.transform @ corner for corner in corners), strict=True)
        return min(x), min(y), max(x), max(y)

    @property
    def resolution(self) -> tuple[float, float]:
        """Length of a pixel's side along columns and along rows, in units of the CRS."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def ground_sample_distance(self) -> float | None:
        """Mean pixel side in metres (degrees are taken at the scene's middle latitude), None where unknown."""
        if self.crs is None:
            return None
        x, y = self.resolution
        if self.crs.is_geographic:
            _, south, _, north = self.bounds
            metres = METRES_PER_DEGREE  # a degree of longitude shrinks with the cosine
            return math.sqrt(x * metres * max(math.cos(math.radians((south + north) / 2)), 1e-6) * y * metres)
        try:
            return math.sqrt(x * y) * float(self.crs.linear_units_factor[1])
        except CRSError:  # a local or engineering CRS may have no unit that PROJ knows
            return None

    def strips(self, rows: int = 512) -> Iterator[Window]:
        """Full-width windows of `rows` rows, top to bottom."""
        for row in range(0, self.height, rows):
            yield Window(0, row, self.width, min(rows, self.height - row))

    def is_aligned(self, other: Grid) -> bool:
        """True when both have one CRS and pixels that coincide, to a thousandth of a pixel over the other's extent."""
        if self.crs != other.crs:
            return False
        offset = ~self.transform @ other.transform
        drift = max(abs(offset.a - 1), abs(offset.b), abs(offset.d), abs(offset.e - 1)) * max(other.shape)
        return bool(drift < 1e-3 and abs(offset.c - round(offset.c)) < 1e-3 and abs(offset.f - round(offset.f)) < 1e-3)

    def offset(self, other: Grid) -> tuple[int, int]:
        """Row and column of this grid at which another, aligned with it, begins; negative where it begins before."""
        offset = ~self.transform @ other.transform
        return round(offset.f), round(offset.c)

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this one (which may reach beyond it)."""
        corner = self.transform @ Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, corner, int(window.height), int(window.width))


def offsets(length: int, size: int, stride: int) -> list[int]:
    """Start pixels of spans of `size` that cover `length`; the last is moved back to end at `length`.

    >>> offsets(1000, size=512, stride=384)
    [0, 384, 488]
    >>> offsets(100, size=512, stride=384)
    [0]
    """
    if size < 1 or stride < 1:
        raise OptionError(f"spans of {size} pixels every {stride} cannot cover anything; both must be 1 or more")
    if length <= size:
        return [0]
    return [*range(0, length - size, stride), length - size]


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `value`.

    >>> round_up(97, 32)
    128
    """
    return -(-value // multiple) * multiple


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows that cover a scene: disjoint cores, each with a margin of context around it.

    Cores partition the scene row by row. Every window has the same size and its origin is a multiple of `stride`
    away from the scene's, so that a network which samples every `stride` pixels sees the same phase in each window as
    in a single pass. Windows reach beyond the scene at its edges; the reader decides what is there.

    Attributes:
        height, width: the scene, in pixels; any size from 1 x 1.
        core: largest side of a core, in pixels; rounded up to the stride, then shared out evenly.
        margin: context on each side, in pixels; rounded up to the stride.
        stride: phase of the network, in pixels.
    """

    height: int
    width: int
    core: int
    margin: int = 0
    stride: int = 1

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise OptionError(f"a scene of {self.height} x {self.width} pixels has no windows")
        if self.core < 1:
            raise OptionError(f"core is {self.core} pixels; it must be 1 or more")
        if self.margin < 0:
            raise OptionError(f"margin is {self.margin} pixels; it must be 0 or more")
        if self.stride < 1:
            raise OptionError(f"stride is {self.stride} pixels; it must be 1 or more")
        object.__setattr__(self, "margin", round_up(self.margin, self.stride))

    @property
    def core_shape(self) -> tuple[int, int]:
        """(rows, columns) of a core: as many as fit in `core`, shared out evenly, multiples of the stride."""
        return self._share(self.height), self._share(self.width)

    @property
    def window_shape(self) -> tuple[int, int]:
        """(rows, columns) of every window."""
        rows, cols = self.core_shape
        return rows + 2 * self.margin, cols + 2 * self.margin

    def __len__(self) -> int:
        rows, cols = self.core_shape
        return math.ceil(self.height / rows) * math.ceil(self.width / cols)

    def __iter__(self) -> Iterator[Window]:
        """Cores in row-major order, the last of each row and column cut at the scene's edge."""
        rows, cols = self.core_shape
        for row in range(0, self.height, rows):
            for col in range(0, self.width, cols):
                yield Window(col, row, min(cols, self.width - col), min(rows, self.height - row))

    def window(self, core: Window) -> Window:
        """The window around a core: full size, margin included, possibly beyond the scene."""
        rows, cols = self.window_shape
        return Window(core.col_off - self.margin, core.row_off - self.margin, cols, rows)

    def _share(self, length: int) -> int:
        parts = math.ceil(length / round_up(self.core, self.stride))
        return round_up(math.ceil(length / parts), self.stride)
