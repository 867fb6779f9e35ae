"""A scene laid on another grid while it is read."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject, transform
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.placing import placing
from geoseg.raster import GDAL_ERRORS, first_line
from geoseg.scene import Scene, SceneView, require_inside

RESAMPLINGS = ("nearest", "bilinear", "cubic", "average")
_RADIUS = {"nearest": 1, "bilinear": 1, "cubic": 2, "average": 1}
_HALF_WORLD = 2e7
"""Metres."""

_MOST_PIXELS = 4_000_000
"""Source pixels that are read at a time; where a finer scene is shrunk, more would be needed for one window."""

_STRIP = 128
"""Columns that are placed together in another CRS.

GDAL places the ends of a row, and the rest in between as it comes, up to an eighth of a pixel: in rows with other ends
the same pixels would lie elsewhere.
"""


@dataclass(frozen=True, slots=True)
class RegriddedScene(SceneView):
    """A scene on a grid that is not its own; pixels outside of it are invalid.

    Where the two grids differ by whole pixels only, values are copied. Elsewhere they are resampled from valid pixels
    alone, and a pixel is valid where the scene's pixel under its centre is. Windows of any cut agree, but for rounding
    where the CRSs differ.

    Attributes:
        grid: the grid to read it on; same kind of coordinates (both with a CRS, or both without).
        resampling: "nearest", "bilinear", "cubic" or "average".
    """

    grid: Grid
    resampling: str = "bilinear"

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the grid; see `Scene.read`."""
        require_inside(window, self.grid, self.name)
        whole = self._in_whole_strips(window)
        target = self.grid.crop(whole)
        values = np.zeros((len(self.bands), *target.shape), self.dtype)
        valid = np.zeros(target.shape, bool)
        if self.source.grid.is_aligned(self.grid):
            self._copy(target, values, valid)
        else:
            self._resample(target, values, valid)
        first = int(window.col_off - whole.col_off)
        wanted = slice(first, first + int(window.width))
        return values[..., wanted], valid[:, wanted]

    def _in_whole_strips(self, window: Window) -> Window:
        """A window of the grid with all of the strips that it cuts, where the CRSs differ."""
        if self.grid.crs == self.source.grid.crs:
            return window
        left, right = int(window.col_off), int(window.col_off + window.width)
        first, last = left // _STRIP * _STRIP, min(-(-right // _STRIP) * _STRIP, self.grid.width)
        return Window(first, int(window.row_off), last - first, int(window.height))

    def _copy(self, target: Grid, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        own = self.source.grid
        row, col = own.offset(target)
        part = _clipped(own, row, col, row + target.height, col + target.width)
        if part is None:
            return
        inside = (
            slice(int(part.row_off) - row, int(part.row_off + part.height) - row),
            slice(int(part.col_off) - col, int(part.col_off + part.width) - col),
        )
        values[:, *inside], valid[inside] = self.source.read(part)

    def _resample(self, target: Grid, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        part = self._needed(target)
        if part is None:
            return
        if part.height * part.width > _MOST_PIXELS and max(target.shape) > 1:
            self._resample_halves(target, values, valid)
            return
        found, mask = self.source.read(part)
        if not mask.any():
            return
        own = self.source.grid.crop(part)
        # Doubles hold what single precision would round.
        exact = found.dtype.itemsize <= 2 or found.dtype == np.float32
        known = np.where(mask, found, np.nan).astype(np.float32 if exact else np.float64, copy=False)
        laid = np.full(values.shape, np.nan, known.dtype)
        shrink = self._shrink()
        _reproject(known, laid, own, target, self.resampling, np.nan, shrink)
        covered = np.zeros(target.shape, np.uint8)
        _reproject(mask.astype(np.uint8), covered, own, target, "nearest", 0, shrink)
        valid[:] = (covered != 0) & np.isfinite(laid).all(axis=0)
        laid[:, ~valid] = 0
        values[:] = _rounded(laid, values.dtype)

    def _resample_halves(self, target: Grid, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        height, width = target.shape
        if height > 1 and (height >= width or width <= _STRIP):
            parts = [Window(0, 0, width, height // 2), Window(0, height // 2, width, height - height // 2)]
        else:
            cut = max(width // 2 // _STRIP, 1) * _STRIP if width > _STRIP else width // 2
            parts = [Window(0, 0, cut, height), Window(cut, 0, width - cut, height)]
        for part in parts:
            inside = part.toslices()
            self._resample(target.crop(part), values[:, *inside], valid[inside])

    def _needed(self, target: Grid) -> Window | None:
        """The window of the scene that the pixels of `target` depend on, None when they lie outside of it."""
        own = self.source.grid
        cols, rows = pixel_places(target, own)
        if not len(cols):
            return None
        margin = math.ceil(_RADIUS[self.resampling] * max(self._shrink())) + 2
        return _clipped(
            own,
            math.floor(rows.min()) - margin,
            math.floor(cols.min()) - margin,
            math.ceil(rows.max()) + margin,
            math.ceil(cols.max()) + margin,
        )

    def _shrink(self) -> tuple[float, float]:
        """Pixels of the scene in one of the grid along its columns and rows, at the scene's middle; 1 for fewer."""
        own = self.source.grid
        middle = Window(own.width // 2, own.height // 2, 1, 1)
        cols, rows = pixel_places(own.crop(middle), self.grid)
        sizes = (np.ptp(cols), np.ptp(rows)) if len(cols) else (1.0, 1.0)
        # A picture of a pixel that is turned a little is a little wider; that shrinks nothing.
        across, down = (1 / size if 0 < size < 0.9 else 1.0 for size in sizes)
        return float(across), float(down)


def on_grid(scene: Scene, grid: Grid, resampling: str) -> Scene:
    """The scene read on a grid; the scene itself where that is its own."""
    own = scene.grid
    is_own = own.shape == grid.shape and own.is_aligned(grid) and own.offset(grid) == (0, 0)
    return scene if is_own else RegriddedScene(scene, grid, resampling)


def reprojected(scene: Scene, crs: str, resampling: str) -> Scene:
    """The scene read in another CRS, with pixels of about the same size on the ground.

    Raises:
        SceneError: the scene has no CRS, there is no such CRS, or the scene has no place in it or lies where it is cut.
    """
    own = scene.grid
    if own.crs is None:
        raise SceneError(f"{scene.name}: has no CRS, so it cannot be laid in {crs}; assign it")
    try:
        wanted = CRS.from_user_input(crs)
        with warnings.catch_warnings():
            # rasterio multiplies transforms in a way that affine will do away with.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            with placing(scene.name, own.crs, wanted, SceneError):
                width, height = _upright(own)
                found = calculate_default_transform(own.crs, wanted, width, height, *own.bounds)
    except ValueError as error:
        raise SceneError(
            f"{scene.name}: cannot be laid in {crs}: {first_line(error)}; name a CRS as EPSG:32632"
        ) from error
    place, width, height = found
    grid = Grid(wanted, place, max(1, int(height)), max(1, int(width)))
    if _is_cut(own, grid):
        raise SceneError(
            f"{scene.name}: lies across the antimeridian, where {crs} is cut; name a CRS that is whole there, such as "
            "that of its UTM zone"
        )
    return on_grid(scene, grid, resampling)


def _upright(grid: Grid) -> tuple[int, int]:
    """Columns and rows of pixels of a grid's size over its bounds; GDAL takes every grid for one that is not turned."""
    west, south, east, north = grid.bounds
    if not (grid.transform.b or grid.transform.d):
        return grid.width, grid.height
    side = math.sqrt(abs(grid.transform.determinant))
    return max(1, round((east - west) / side)), max(1, round((north - south) / side))


def _is_cut(own: Grid, laid: Grid) -> bool:
    """True when a grid lies across the antimeridian, and in another CRS at both ends of the world."""
    assert own.crs is not None  # noqa: S101
    assert laid.crs is not None  # noqa: S101
    if own.crs.is_geographic and laid.crs.is_geographic:  # longitudes go on
        return False
    longitudes = pixel_places(own, Grid(CRS.from_epsg(4326), Affine.identity(), 1, 1))[0]
    if not len(longitudes) or max(np.ptp(longitudes), np.abs(longitudes).max()) <= 180:
        return False
    if np.ptp(longitudes % 360) > 180:  # the whole world, or a pole
        return False
    west, _, east, _ = laid.bounds
    return bool(laid.crs.is_geographic or (east - west) * laid.crs.linear_units_factor[1] > _HALF_WORLD)


def overlaps(own: Grid, other: Grid) -> bool:
    """True when two grids share ground, judged by points on them."""
    cols, rows = pixel_places(own, other)
    if not len(cols):
        return False
    return bool(cols.max() > 0 and rows.max() > 0 and cols.min() < other.width and rows.min() < other.height)


def pixel_places(grid: Grid, on: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows, in pixels of `on`, of points along the edges and inside of `grid`; those it can place."""
    rows, cols = (np.linspace(0, length, 21) for length in grid.shape)
    col, row = (axis.ravel() for axis in np.meshgrid(cols, rows))
    x, y = _apply(grid.transform, col, row)
    if grid.crs != on.crs:
        x, y = _in_crs(x, y, grid.crs, on.crs)
        if on.crs is not None and on.crs.is_geographic:
            # Longitudes come from -180 to 180, and a raster across the antimeridian goes on.
            west, _, east, _ = on.bounds
            turn = 2 * math.pi / on.crs.units_factor[1]
            x = x - turn * np.round((x - (west + east) / 2) / turn)
    inside = np.isfinite(x) & np.isfinite(y)
    return _apply(~on.transform, x[inside], y[inside])


def _in_crs(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], crs: CRS, other: CRS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points in another CRS; infinite where it has no place for them."""
    try:
        xs, ys = transform(crs, other, x, y)
    except GDAL_ERRORS:
        # One point may fail for all.
        if len(x) == 1:
            return np.array([np.inf]), np.array([np.inf])
        half = len(x) // 2
        parts = (_in_crs(x[part], y[part], crs, other) for part in (slice(half), slice(half, None)))
        xs, ys = (np.concatenate(axes) for axes in zip(*parts, strict=True))
    return np.asarray(xs), np.asarray(ys)


def _apply(t: Affine, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def require_same_kind(scene: Scene, grid: Grid, of: str) -> None:
    """Refuse to lay a scene with a CRS on a grid without one, or the other way round."""
    if (scene.grid.crs is None) != (grid.crs is None):
        lacking, having = (scene.name, of) if scene.grid.crs is None else (of, scene.name)
        raise SceneError(f"{lacking}: has no CRS and {having} has one, so neither can be laid on the other; assign it")


def _clipped(grid: Grid, top: int, left: int, bottom: int, right: int) -> Window | None:
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, grid.height), min(right, grid.width)
    return Window(left, top, right - left, bottom - top) if top < bottom and left < right else None


def _reproject(
    values: npt.NDArray[Any],
    out: npt.NDArray[Any],
    own: Grid,
    target: Grid,
    resampling: str,
    nodata: float,
    shrink: tuple[float, float],
) -> None:
    # Without a CRS both are in the same plain coordinates; any projected CRS stands for them.
    plain = "EPSG:3857"
    step = target.width if own.crs == target.crs else _STRIP
    for left in range(0, target.width, step):
        strip = slice(left, min(left + step, target.width))
        laid = np.ascontiguousarray(out[..., strip])
        reproject(
            values,
            laid,
            src_transform=own.transform,
            src_crs=own.crs or plain,
            dst_transform=target.transform @ Affine.translation(left, 0),
            dst_crs=target.crs or plain,
            src_nodata=nodata,
            dst_nodata=nodata,
            resampling=Resampling[resampling],
            # Left to itself GDAL takes these from the window, and windows would not agree.
            XSCALE=1 / shrink[0],
            YSCALE=1 / shrink[1],
            num_threads=1,
        )
        out[..., strip] = laid


def _rounded(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(values), limits.min, limits.max), dtype)
