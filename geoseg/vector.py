"""The one door through which geoseg reads vector files."""

from __future__ import annotations

import logging
import stat
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from geoseg.errors import GeosegError, LabelError
from geoseg.raster import first_line

logger = logging.getLogger(__name__)

XML_FORMATS = (".gml", ".kml", ".gpx")


def read_vector(path: str | Path, *, error: type[GeosegError] = LabelError) -> gpd.GeoDataFrame:
    """Read the one spatial layer of a vector file, geometries repaired and the empty ones dropped.

    Raises:
        GeosegError: of the given type: missing, not a vector file, several spatial layers, or nothing in it.
    """
    path = Path(path)
    _refuse_unfit(path, error)
    try:
        frame = gpd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_layer(path, error)
    except GeosegError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as cause:
        raise error(f"{path}: cannot be read as a vector file: {first_line(cause)}") from cause
    return _cleaned(frame, path, error)


def _read_layer(path: Path, error: type[GeosegError]) -> gpd.GeoDataFrame:
    layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not layers:
        raise error(f"{path}: has no layer with geometries; a layer of polygons is needed")
    if len(layers) > 1:
        raise error(f"{path}: has {len(layers)} layers ({', '.join(layers)}); save the one to use in a file of its own")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns of what is checked below
        return pyogrio.read_dataframe(path, layer=layers[0])


def _refuse_unfit(path: Path, error: type[GeosegError]) -> None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise error(f"{path}: is {kind}; a vector file such as a GeoPackage is needed")
        with path.open("rb") as file:
            head = file.read(1_000_000)
    except FileNotFoundError as cause:
        raise error(f"{path}: there is no such file") from cause
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause
    if not head:
        raise error(f"{path}: the file is empty; a vector file such as a GeoPackage is needed")
    is_text = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    if path.suffix.lower() == ".vrt" or (is_text and (b"OGRVRT" in head or path.suffix.lower() not in XML_FORMATS)):
        # Such a description could make GDAL open any other file or address.
        raise error(f"{path}: is a description of other sources, or no vector file; save it as a GeoPackage first")


def _cleaned(frame: gpd.GeoDataFrame, path: Path, error: type[GeosegError]) -> gpd.GeoDataFrame:
    if not isinstance(frame, gpd.GeoDataFrame):
        raise error(f"{path}: has a table but no geometries; a layer of polygons is needed")
    geometry = frame.geometry.to_numpy()
    broken = ~(shapely.is_missing(geometry) | shapely.is_valid(geometry))
    if broken.any():
        logger.warning("%s: %d invalid geometries were repaired", path, broken.sum())
        # Only what has an area: a spike of a polygon must not become a line of its own.
        mended = shapely.make_valid(geometry[broken], method="structure", keep_collapsed=False)
        frame.loc[broken, frame.geometry.name] = mended
        geometry = frame.geometry.to_numpy()
    usable = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    usable[usable] = np.isfinite(shapely.bounds(geometry[usable])).all(axis=1)
    if not usable.any():
        raise error(f"{path}: holds no geometry; draw some polygons in it first")
    if not usable.all():
        logger.warning("%s: %d of %d features have no geometry and are left out", path, (~usable).sum(), len(frame))
    return frame[usable].reset_index(drop=True)
