"""Scenes of several files that hold a band or some bands each, at any resolutions, stacked while they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import BandMismatchError, SceneError
from geoseg.grid import Grid
from geoseg.readers._names import band_names
from geoseg.readers._options import ReadOptions
from geoseg.readers._products import BandFile
from geoseg.readers._regrid import on_grid, overlaps, require_same_kind
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.scene import Scene, band_places, require_inside


@dataclass(frozen=True, slots=True)
class StackScene:
    """Layers on one grid, one after the other.

    Attributes:
        name: what to call it.
        grid: of all layers.
        bands: names of the layers' bands.
        layers: scenes on `grid`.
        nodata_rule: "any" when a pixel that one layer has no data of has none, "all" when only one that no layer has.
    """

    name: str
    grid: Grid
    bands: tuple[str, ...]
    layers: tuple[Scene, ...]
    nodata_rule: str = "any"

    @property
    def dtype(self) -> str:
        """A type that holds all layers' values."""
        return str(np.result_type(*(layer.dtype for layer in self.layers)))

    @property
    def is_complete(self) -> bool:
        """True when all layers are."""
        return all(layer.is_complete for layer in self.layers)

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        require_inside(window, self.grid, self.name)
        values = np.empty((len(self.bands), int(window.height), int(window.width)), self.dtype)
        needs_all = self.nodata_rule == "any"
        valid = np.full(values.shape[1:], needs_all)
        place = 0
        for layer in self.layers:
            found, mask = layer.read(window)
            values[place : place + len(found)] = found
            valid = valid & mask if needs_all else valid | mask
            place += len(found)
        if not needs_all and values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return values, valid


def open_stack(name: str, files: Sequence[BandFile], options: ReadOptions) -> StackScene:
    """Stack files into one scene.

    The grid is that of the file with the finest pixels among those used, or that of `like`.

    Args:
        name: what to call the scene.
        files: in the order of the bands; those without a name are named after what tells their file names apart.
        options: bands to use, nodata, `like`, resampling.

    Raises:
        SceneError: files in different CRSs, or that do not overlap.
        BandMismatchError: no such band, or two bands of one name.
    """
    opened = [_open(file, options) for file in files]
    named = _names(files, opened)
    twice = sorted({band for band in named if named.count(band) > 1})
    if twice:
        raise BandMismatchError(f"{name}: two bands are called '{twice[0]}'; take files whose names differ")
    asked = options.get("bands")
    places = band_places(asked, tuple(named), name) if asked else range(len(named))
    owners = [(file, layer, band) for file, layer in zip(files, opened, strict=True) for band in layer.bands]
    chosen = [
        layer if len(layer.bands) == 1 else _open(file, options, (band,))
        for file, layer, band in (owners[place] for place in places)
    ]
    grid = _grid(name, chosen, options)
    layers = tuple(on_grid(layer, grid, options.get("resampling") or "bilinear") for layer in chosen)
    rule = options.get("nodata_rule") or "any"
    return StackScene(name, grid, tuple(named[place] for place in places), layers, rule)


def _open(file: BandFile, options: ReadOptions, bands: tuple[str, ...] | None = None) -> GeoTiffScene:
    nodata = options.get("nodata")
    own: ReadOptions = {**options, "bands": bands, "nodata": file.nodata if nodata is None else nodata}
    return GeoTiffScene(file.path, own, scaling=file.scaling)


def _names(files: Sequence[BandFile], layers: Sequence[GeoTiffScene]) -> list[str]:
    """A name for each band of each file, in order."""
    told = band_names([Path(file.path).stem for file in files])
    names = []
    for file, layer, own in zip(files, layers, told, strict=True):
        base = file.name or own
        if len(layer.bands) == 1:
            names.append(base)
        else:
            names += [f"{base}_{band.removeprefix('band_')}" for band in layer.bands]
    return names


def _grid(name: str, layers: list[GeoTiffScene], options: ReadOptions) -> Grid:
    like = options.get("like")
    if like is not None:
        given = GeoTiffScene(like, {**options, "bands": None})
        grid, of = given.grid, given.name
    else:
        finest = min(layers, key=lambda layer: layer.grid.resolution[0] * layer.grid.resolution[1])
        grid, of = finest.grid, finest.name
    for layer in layers:
        require_same_kind(layer, grid, of)
        if like is None and layer.grid.crs != grid.crs:
            raise SceneError(
                f"{layer.name}: is in {_crs(layer.grid)} and {of} in {_crs(grid)}; the bands of {name} must share one. "
                "Warp it with 'gdalwarp -t_srs', or give the grid to use with --like"
            )
        if not overlaps(layer.grid, grid):
            raise SceneError(
                f"{layer.name}: does not overlap {of}, so they are not bands of one scene; check the files"
            )
    return grid


def _crs(grid: Grid) -> str:
    return grid.crs.to_string()[:60] if grid.crs else "no CRS"
