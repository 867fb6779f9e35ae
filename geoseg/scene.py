"""What a scene is to the rest of geoseg, whatever files it is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import BandMismatchError, SceneError
from geoseg.grid import Grid
from geoseg.registry import shortened


@runtime_checkable
class Scene(Protocol):
    """A raster to be mapped. Scenes are lazy, can be pickled, and may be read from many threads.

    Attributes:
        name: what to call it in messages: usually its path.
        grid: its georeferencing.
        bands: names of the bands that `read` returns, in order; "band_1" and so on where the files name none.
        dtype: numpy type of the values that `read` returns.
        is_complete: True when every pixel is known to be valid without reading any.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def bands(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> str: ...  # noqa: D102
    @property
    def is_complete(self) -> bool: ...  # noqa: D102

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene.

        Returns:
            values (bands, rows, cols) in `dtype`, and validity (rows, cols): False where any band has no data.
        """


@dataclass(frozen=True, slots=True)
class SceneView:
    """What a scene that is another one seen differently has in common with it; it adds `grid` and `read`.

    Attributes:
        source: the scene.
    """

    source: Scene

    @property
    def name(self) -> str:
        """The scene's own name."""
        return self.source.name

    @property
    def bands(self) -> tuple[str, ...]:
        """The scene's own bands."""
        return self.source.bands

    @property
    def dtype(self) -> str:
        """The scene's own type."""
        return self.source.dtype

    @property
    def is_complete(self) -> bool:
        """False: a view may show less than all is."""
        return False


def is_unnamed(bands: tuple[str, ...]) -> bool:
    """True when the names only count the bands, and so say nothing of what is in them.

    >>> is_unnamed(("band_1", "band_2")), is_unnamed(("red", "nir"))
    (True, False)
    """
    return all(re.fullmatch(r"band_\d+", name) for name in bands)


def band_places(asked: tuple[str, ...], names: tuple[str, ...], scene: str) -> tuple[int, ...]:
    """Places (from 0) of the bands asked for, by name or 1-based number.

    Raises:
        BandMismatchError: there is no such band, or one is named twice.
    """
    places = tuple(_place(band, names, scene) for band in asked)
    if len(set(places)) != len(places):
        raise BandMismatchError(f"{scene}: a band is named twice in --bands {shortened(asked)}; name each once")
    return places


def _place(band: str, names: tuple[str, ...], scene: str) -> int:
    place = find_name(band, names)
    if place is not None:
        return place
    if band.isdecimal() and 1 <= int(band) <= len(names):
        return int(band) - 1
    raise BandMismatchError(f"{scene}: has no band '{band}'; it has {shortened(names)} (or 1 to {len(names)})")


def find_name(name: str, names: tuple[str, ...]) -> int | None:
    """Place of a name: as written, or whatever the case where only one fits.

    >>> find_name("nir", ("NIR", "red")), find_name("NIR", ("nir", "NIR")), find_name("Nir", ("nir", "NIR"))
    (0, 1, None)
    """
    if name in names:
        return names.index(name)
    alike = [place for place, other in enumerate(names) if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def require_inside(window: Window, grid: Grid, name: str) -> None:
    """Refuse a window that reaches beyond the scene."""
    row, col = window.row_off, window.col_off
    if row < 0 or col < 0 or row + window.height > grid.height or col + window.width > grid.width:
        raise SceneError(f"{name}: the window {window} reaches beyond the scene of {grid.height} x {grid.width} pixels")


class ArrayScene:
    """A scene in memory: the fake that tests and notebooks use, and the least that a reader must do."""

    def __init__(
        self,
        values: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_] | None = None,
        *,
        grid: Grid | None = None,
        bands: tuple[str, ...] | None = None,
        name: str = "array",
    ) -> None:
        """Hold `values` (bands, rows, cols), valid everywhere unless `valid` (rows, cols) says otherwise."""
        from affine import Affine

        count, height, width = values.shape
        self.name = name
        self.grid = grid or Grid(None, Affine.identity(), height, width)
        self.bands = bands or tuple(f"band_{number}" for number in range(1, count + 1))
        self.dtype = str(values.dtype)
        self._values = values
        self.is_complete = valid is None
        self._valid = np.ones((height, width), bool) if valid is None else valid

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        require_inside(window, self.grid, self.name)
        rows, cols = window.toslices()
        return self._values[:, rows, cols], self._valid[rows, cols]
