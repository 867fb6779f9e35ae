"""The worst places of a map: where most of what was compared is wrong, seen closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from rasterio.warp import transform as warp_points
from rasterio.windows import Window

from geoseg.assessment.compare import Mapped
from geoseg.assessment.preview import Indices, Preview
from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.legend import IGNORE
from geoseg.raster import GDAL_ERRORS
from geoseg.readers import Source
from geoseg.viewing.composite import Image, composite

SIDE = 64
"""Pixels of the map along a place."""

COUNT = 6
_LEAST_SEEN = 16  # pixels of the picture along a place: with fewer a place would be chosen by chance


class Reference(Protocol):
    """What is compared with: class indices on any grid."""

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """One of the worst places.

    Attributes:
        window: in pixels of the map.
        grid: of the window.
        compared: (rows, cols) True for pixels that were compared.
        wrong: how many of them differ.
        mistake: reference and mapped class index of the most frequent confusion there.
        lonlat: longitude and latitude of its middle, None where the map has no CRS.
        mapped, reference: (rows, cols) class indices, `IGNORE` where there is no class.
        scene: (rows, cols, 4) colours, None where there is no scene.
    """

    window: Window
    grid: Grid
    compared: npt.NDArray[np.bool_]
    wrong: int
    mistake: tuple[int, int]
    lonlat: tuple[float, float] | None
    mapped: Indices
    reference: Indices
    scene: Image | None

    @property
    def share(self) -> float:
        """Share of the compared pixels that is wrong, 0 to 1."""
        return self.wrong / int(self.compared.sum())

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle in coordinates of the map."""
        x, y = self.grid.transform @ (self.grid.width / 2, self.grid.height / 2)
        return float(x), float(y)


def worst_places(
    preview: Preview,
    mapped: Mapped,
    reference: Reference,
    source: Source | None = None,
    bands: tuple[str, ...] | None = None,
    count: int = COUNT,
) -> tuple[Spot, ...]:
    """The places with most errors, the worst first; none overlaps another.

    They are found on the small picture and then read in full, so what is counted in them is exact and which of them are
    the worst is, in maps that are larger than the picture, an estimate.

    Args:
        preview: of the comparison.
        mapped, reference: what was compared.
        source: the scene, to show it beside them.
        bands: of the scene, to choose red, green and blue from.
        count: how many at most.
    """
    side = max(-(-SIDE // preview.step), _LEAST_SEEN)
    wrong = preview.compared & (preview.mapped != preview.reference)
    spots = []
    for row, col in peaks(wrong, side, count):
        window = _window(row, col, side, preview.step, mapped.grid)
        spot = _spot(window, preview, mapped, reference, source, bands)
        if spot is not None:
            spots.append(spot)
    return tuple(sorted(spots, key=lambda one: -one.wrong))


def peaks(marked: npt.NDArray[np.bool_], side: int, count: int) -> list[tuple[int, int]]:
    """Upper left corners (row, col) of the squares with most marked pixels; no two overlap.

    >>> marked = np.zeros((6, 6), bool)
    >>> marked[4:, 3:5] = True
    >>> peaks(marked, 2, 5)
    [(4, 3)]
    """
    height, width = (min(side, length) for length in marked.shape)
    sums = np.zeros((marked.shape[0] + 1, marked.shape[1] + 1), np.int64)
    sums[1:, 1:] = marked.cumsum(0, dtype=np.int64).cumsum(1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    found: list[tuple[int, int]] = []
    while len(found) < count and inside.max() > 0:
        row, col = (int(place) for place in np.unravel_index(int(inside.argmax()), inside.shape))
        found.append((row, col))
        inside[max(row - height + 1, 0) : row + height, max(col - width + 1, 0) : col + width] = 0
    return found


def _window(row: int, col: int, side: int, step: int, grid: Grid) -> Window:
    """The window of the map under a square of the picture."""
    height, width = min(side * step, grid.height), min(side * step, grid.width)
    return Window(min(col * step, grid.width - width), min(row * step, grid.height - height), width, height)


def _spot(
    window: Window,
    preview: Preview,
    mapped: Mapped,
    reference: Reference,
    source: Source | None,
    bands: tuple[str, ...] | None,
) -> Spot | None:
    grid = mapped.grid.crop(window)
    ours, theirs = mapped.read(window), reference.read(grid)
    theirs = np.where(theirs < len(mapped.legend), theirs, np.uint8(IGNORE))
    # Where pixels count is known of the picture's pixels.
    rows = np.arange(window.row_off, window.row_off + window.height) // preview.step
    cols = np.arange(window.col_off, window.col_off + window.width) // preview.step
    inside = preview.inside[np.ix_(rows, cols)]
    both = inside & (ours != IGNORE) & (theirs != IGNORE)
    wrong = both & (ours != theirs)
    if not wrong.any():
        return None
    pairs = np.bincount(theirs[wrong].astype(np.int64) * 256 + ours[wrong])
    mistake = divmod(int(pairs.argmax()), 256)
    return Spot(
        window=window,
        grid=grid,
        compared=both,
        wrong=int(wrong.sum()),
        mistake=mistake,
        lonlat=_lonlat(grid),
        mapped=ours,
        reference=theirs,
        scene=_scene(source, grid, bands),
    )


def _scene(source: Source | None, grid: Grid, bands: tuple[str, ...] | None) -> Image | None:
    if source is None or grid.crs is None:
        return None  # without a CRS a scene can be laid on the whole map only
    try:
        return composite(source, grid, bands)
    except SceneError:
        return None  # it has no data here


def _lonlat(grid: Grid) -> tuple[float, float] | None:
    if grid.crs is None:
        return None
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    try:
        (lon,), (lat,) = warp_points(grid.crs, "EPSG:4326", [x], [y])
    except GDAL_ERRORS:
        return None
    return (lon, lat) if np.isfinite([lon, lat]).all() else None
