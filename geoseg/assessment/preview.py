"""Small pictures of large rasters: every n-th pixel of map and reference, and a colour composite of the scene."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.legend import IGNORE
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings, open_raster
from geoseg.readers import Source, on_grid
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.scene import band_places

Indices = npt.NDArray[np.uint8]
Image = npt.NDArray[np.uint8]

LONGEST = 1000
"""Longest side of a picture, in pixels."""

# By name, or by the number that the band has on Sentinel-2 and Landsat 8.
_COLORS = (
    (r"\b(red|b0?4)\b", ColorInterp.red),
    (r"\b(green|b0?3)\b", ColorInterp.green),
    (r"\b(blue|b0?2)\b", ColorInterp.blue),
)


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """Map and reference at every `step`-th pixel, filled window by window while the map is read anyway.

    Attributes:
        grid: the grid of the picture, `step` times coarser than the map's.
        step: pixels of the map per pixel of the picture, along both axes.
        rows, cols: the row and column of the map that each row and column of the picture shows.
        mapped, reference: (rows, cols) class indices, `IGNORE` where there is no class.
        inside: (rows, cols) True where pixels count.
    """

    grid: Grid
    step: int
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    mapped: Indices
    reference: Indices
    inside: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid, longest: int = LONGEST) -> Preview:
        """An empty picture of a map on `grid`, at most `longest` pixels a side."""
        step = -(-max(grid.shape) // longest)
        rows, cols = _centres(grid.height, step), _centres(grid.width, step)
        coarse = Grid(grid.crs, grid.transform @ Affine.scale(step), len(rows), len(cols))
        blank = np.full(coarse.shape, IGNORE, np.uint8)
        return cls(coarse, step, rows, cols, blank, blank.copy(), np.zeros(coarse.shape, bool))

    def add(self, row: int, col: int, mapped: Indices, reference: Indices, inside: npt.NDArray[np.bool_]) -> None:
        """Take the pixels that the picture needs from a window that begins at `row` and `col` of the map."""
        down = slice(*np.searchsorted(self.rows, (row, row + mapped.shape[0])))
        across = slice(*np.searchsorted(self.cols, (col, col + mapped.shape[1])))
        picked = np.ix_(self.rows[down] - row, self.cols[across] - col)
        self.mapped[down, across] = mapped[picked]
        self.reference[down, across] = reference[picked]
        self.inside[down, across] = inside[picked]


def _centres(length: int, step: int) -> npt.NDArray[np.int64]:
    """The middle pixel of each span of `step`; the last span may be cut."""
    return np.minimum(np.arange(-(-length // step)) * step + step // 2, length - 1)


def composite(source: Source, grid: Grid, bands: tuple[str, ...] | None = None) -> Image:
    """Read a scene as a picture on a (coarse) grid.

    Red, green and blue are found by the file's colour interpretation or the bands' names, else the first three bands
    are taken, or one alone as grey. Each is stretched from its 2nd to its 98th percentile.

    Args:
        source: the scene.
        grid: where to put it.
        bands: the bands to choose from, all by default.

    Returns:
        (rows, cols, 4) red, green, blue and opacity, 0 to 255; transparent where the scene has no data.

    Raises:
        SceneError: it cannot be read, or has no data on the grid.
    """
    scene = source.open()
    if isinstance(scene, GeoTiffScene):
        values, valid = _from_file(source, scene, grid, bands)
    else:
        places = _red_green_blue(scene.bands, list(scene.bands), (ColorInterp.undefined,) * len(scene.bands))
        values, valid = on_grid(scene, grid, "average").read(grid.window)
        values = values[[place - 1 for place in places]].astype(np.float32)
    valid &= np.isfinite(values).all(axis=0)
    if not valid.any():
        raise SceneError(f"{source.name}: has no data where the map lies; give the scene that the map was made from")
    image = np.zeros((*grid.shape, 4), np.uint8)
    image[..., :3] = np.moveaxis(_stretched(values, valid), 0, -1)
    image[..., 3] = np.where(valid, 255, 0)
    return image


def _from_file(
    source: Source, scene: GeoTiffScene, grid: Grid, bands: tuple[str, ...] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Red, green and blue of one file, from its overviews where it has any."""
    used = (
        scene.bands
        if bands is None
        else tuple(scene.bands[place] for place in band_places(bands, scene.bands, scene.name))
    )
    with open_raster(scene.name, allow_remote=bool(source.options.get("allow_remote"))) as dataset:
        names = [text or f"band_{number}" for number, text in enumerate(dataset.descriptions, start=1)]
        try:
            with gdal_settings():
                return _read_on(dataset, _red_green_blue(used, names, dataset.colorinterp), grid)
        except GDAL_ERRORS as error:
            raise SceneError(f"{scene.name}: cannot be read for a picture: {first_line(error)}") from error


def _red_green_blue(used: tuple[str, ...], names: list[str], kinds: tuple[ColorInterp, ...]) -> list[int]:
    """1-based numbers of three bands to show as red, green and blue, or of one to show as grey."""
    numbers = [_number(band, names) for band in used]
    found = []
    for pattern, kind in _COLORS:
        # Names tell more than the colour interpretation, which many writers set by habit.
        named = [n for n in numbers if re.search(pattern, re.sub(r"[\W_]+", " ", names[n - 1]), re.IGNORECASE)]
        tagged = [n for n in numbers if kinds[n - 1] == kind]
        found += (named or tagged)[:1]
    if len(set(found)) == 3:
        return found
    return numbers[:3] if len(numbers) >= 3 else numbers[:1]


def _number(band: str, names: list[str]) -> int:
    return names.index(band) + 1 if band in names else int(band.removeprefix("band_"))


def _read_on(dataset: Any, numbers: list[int], grid: Grid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Values (bands, rows, cols) averaged onto a grid, and where all of them have data."""
    if grid.crs is None or dataset.crs is None:
        # Without a CRS there is nothing to warp; map and scene are taken to be the same rectangle.
        values = dataset.read(numbers, out_shape=grid.shape, resampling=Resampling.average, out_dtype="float32")
        return values, dataset.dataset_mask(out_shape=grid.shape) != 0
    unmasked = all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums)
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.average,
        add_alpha=unmasked,  # else what lies beyond the scene would be black
        warp_mem_limit=64,
    ) as warped:
        masks = np.stack([warped.read_masks(number) for number in numbers])
        return warped.read(numbers, out_dtype="float32"), (masks != 0).all(axis=0)


def _stretched(values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Image:
    low, high = np.percentile(values[:, valid], (2, 98), axis=1)
    width = np.where(high > low, high - low, 1.0)[:, None, None]
    scaled = (np.where(valid, values, 0) - low[:, None, None]) / width
    return np.asarray(np.clip(np.round(scaled * 255), 0, 255), np.uint8)
