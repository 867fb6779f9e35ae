"""Scenes from files: one module per kind of source."""

from __future__ import annotations

from pathlib import Path

from geoseg.readers.geotiff import GeoTiffScene
from geoseg.scene import Scene


def open_scene(path: str | Path, *, bands: tuple[str, ...] | None = None, nodata: float | None = None) -> Scene:
    """Open a scene by path or URL.

    Args:
        path: what GDAL opens: GeoTIFF, COG, VRT, JPEG 2000.
        bands: names or 1-based numbers of the bands to use, in that order; None for all.
        nodata: a value that means "no data" in every band, in place of what the file declares.

    Raises:
        SceneError: it cannot be opened.
        BandMismatchError: it has no such band.
    """
    return GeoTiffScene(path, bands=bands, nodata=nodata)
