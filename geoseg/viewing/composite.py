"""A scene as a picture in natural colours, as far as its bands allow."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp

from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.raster import open_raster
from geoseg.readers import ReadOptions, Source, limits_of, read_coarse
from geoseg.readers.geotiff import GeoTiffScene
from geoseg.scene import Scene

Image = npt.NDArray[np.uint8]

# By name, or by the number that the band has on Sentinel-2 and Landsat 8.
_COLORS = (
    (r"\b(red|b0?4)\b", ColorInterp.red),
    (r"\b(green|b0?3)\b", ColorInterp.green),
    (r"\b(blue|b0?2)\b", ColorInterp.blue),
)


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
    shown = source if bands is None else replace(source, options=source.options | {"bands": bands})
    chosen = _red_green_blue(shown.open(), source.options)
    values, valid = read_coarse(replace(source, options=source.options | {"bands": chosen}).open(), grid)
    if not valid.any():
        raise SceneError(f"{source.name}: has no data on this ground; check that it is the scene that is meant")
    image = np.zeros((*grid.shape, 4), np.uint8)
    image[..., :3] = np.moveaxis(_stretched(values, valid), 0, -1)
    image[..., 3] = np.where(valid, 255, 0)
    return image


def _red_green_blue(scene: Scene, reading: ReadOptions) -> tuple[str, ...]:
    """The three bands to show as red, green and blue, or one to show as grey."""
    kinds = _interpretations(scene, reading)
    found = []
    for pattern, kind in _COLORS:
        # Names tell more than the colour interpretation, which many writers set by habit.
        named = [band for band in scene.bands if re.search(pattern, re.sub(r"[\W_]+", " ", band), re.IGNORECASE)]
        tagged = [band for band in scene.bands if kinds.get(band) == kind]
        found += (named or tagged)[:1]
    if len(set(found)) == 3:
        return tuple(found)
    return scene.bands[:3] if len(scene.bands) >= 3 else scene.bands[:1]


def _interpretations(scene: Scene, reading: ReadOptions) -> dict[str, ColorInterp]:
    """What a file says that its bands look like; nothing for scenes of several files."""
    if not isinstance(scene, GeoTiffScene):
        return {}
    with open_raster(scene.name, allow_remote=reading.get("allow_remote", False), limits=limits_of(reading)) as dataset:
        texts = [(text or "").strip() for text in dataset.descriptions]
        kinds = list(dataset.colorinterp)
    numbered = {f"band_{number}": kind for number, kind in enumerate(kinds, start=1)}
    return numbered | {text: kind for text, kind in zip(texts, kinds, strict=True) if text}


def _stretched(values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Image:
    low, high = np.percentile(values[:, valid], (2, 98), axis=1)
    width = np.where(high > low, high - low, 1.0)[:, None, None]
    scaled = (np.where(valid, values, 0) - low[:, None, None]) / width
    return np.asarray(np.clip(np.round(scaled * 255), 0, 255), np.uint8)
