"""What of the user's environment must not count: it would change what GDAL reads from a file, or writes.

GDAL takes any of its several hundred settings from a variable of that name. A profile that some other program needed
once would then decide whether damage is told, and where pixels lie. So a command forgets them all; a Python program
keeps its environment, and the settings that are known are answered by what GDAL does without them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from geoseg.errors import GeosegError

logger = logging.getLogger(__name__)

_PREFIXES = (
    "GDAL_", "GDALWARP_", "GTIFF_", "GEOTIFF_", "TIFF_", "COG_", "VRT_", "JP2", "JPEG_", "PNG_", "HFA_", "NETCDF_",
    "OGR_", "OSR_", "GML_", "GPX_", "GPKG_", "KML_", "LIBKML_", "GEOJSON_", "SHAPE_", "SQLITE_", "ESRI_XML_PAM",
    "USE_RRD", "USE_OPENJPEG_", "USE_OSR_", "IGNORE_COG_", "CHECK_WITH_INVERT_PROJ", "CHECK_DISK_FREE_SPACE",
    "CENTER_LONG", "BIGTIFF_OVERVIEW", "COMPRESS_OVERVIEW", "PREDICTOR_OVERVIEW", "INTERLEAVE_OVERVIEW",
)  # fmt: skip

# How files far away are reached, where the installation lies, and how many threads and bytes are used. The encoding of
# a shapefile that does not say it is known to its user alone.
_HARMLESS = (
    "GDAL_HTTP_", "GDAL_PROXY", "GDAL_CURL_", "GDAL_GSSAPI_", "GDAL_MAX_CONNECTIONS", "GDAL_DAAS_", "GDAL_DATA",
    "GDAL_DRIVER_PATH", "GDAL_NUM_THREADS", "GDAL_CACHEMAX", "SHAPE_ENCODING",
)  # fmt: skip

# What GDAL does without them; said where the environment says something else.
_DEFAULTS = {
    "CHECK_DISK_FREE_SPACE": "YES",
    "CHECK_WITH_INVERT_PROJ": "NO",
    "ESRI_XML_PAM": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "NO",
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL,TABFILE,WORLDFILE,XML",
    "GDAL_GTIFF_PREDICTOR_CHECKS": "YES",
    "GDAL_IGNORE_AXIS_ORIENTATION": "NO",
    "GDAL_JP2K_ALT_OFFSETVECTOR_ORDER": "NO",
    "GDAL_JPEG_TO_RGB": "YES",
    "GDAL_NETCDF_ASSUME_LONGLAT": "NO",
    "GDAL_NETCDF_CENTERLONG_180": "YES",
    "GDAL_NETCDF_IGNORE_XY_AXIS_NAME_CHECKS": "NO",
    "GDAL_NO_COSTLY_OVERVIEW": "NO",
    "GDAL_PAM_ENABLED": "YES",
    "GDAL_PAM_MODE": "PAM",
    "GDAL_TIFF_ENDIANNESS": "NATIVE",
    "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": "YES",
    "GDAL_USE_GEOJP2": "YES",
    "GDAL_USE_GMLJP2": "YES",
    "GDAL_VALIDATE_CREATION_OPTIONS": "YES",
    "GML_CONSIDER_EPSG_AS_URN": "AUTO",
    "GML_INVERT_AXIS_ORDER_IF_LAT_LONG": "YES",
    "GML_SWAP_COORDINATES": "AUTO",
    "GTIFF_ALPHA": "UNSPECIFIED",
    "GTIFF_DELETE_ON_ERROR": "YES",
    "GTIFF_DIRECT_IO": "NO",
    "GTIFF_DONT_WRITE_BLOCKS": "NO",
    "GTIFF_ESRI_CITATION": "YES",
    "GTIFF_HONOUR_NEGATIVE_SCALEY": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_IMPORT_FROM_EPSG": "YES",
    "GTIFF_LINEAR_UNITS": "DEFAULT",
    "GTIFF_POINT_GEO_IGNORE": "NO",
    "GTIFF_READ_ANGULAR_PARAMS_IN_DEGREE": "NO",
    "GTIFF_SRS_SOURCE": "",
    "GTIFF_USE_MMAP": "NO",
    "GTIFF_VIRTUAL_MEM_IO": "NO",
    "GTIFF_WRITE_ANGULAR_PARAMS_IN_DEGREE": "NO",
    "GTIFF_WRITE_IMAGE_STRUCTURE_METADATA": "YES",
    "GTIFF_WRITE_TOWGS84": "AUTO",
    "HFA_USE_ESRI_PE_STRING": "YES",
    "HFA_USE_RRD": "NO",
    "JPEG_READ_MASK": "YES",
    "OGR_APPLY_GEOM_SET_PRECISION": "YES",
    "OGR_ARC_MAX_GAP": "0",
    "OGR_ARC_STEPSIZE": "4",
    "OGR_CT_FORCE_TRADITIONAL_GIS_ORDER": "NO",
    "OGR_ENABLE_PARTIAL_REPROJECTION": "NO",
    "OGR_FORCE_ASCII": "YES",
    "OGR_GEOJSON_ARRAY_AS_STRING": "NO",
    "OGR_ORGANIZE_POLYGONS": "DEFAULT",
    "OGR_PROMOTE_TO_INTEGER64": "NO",
    "OGR_STROKE_CURVE": "NO",
    "OSR_ADD_TOWGS84_ON_EXPORT_TO_WKT1": "NO",
    "OSR_ADD_TOWGS84_ON_IMPORT_FROM_EPSG": "NO",
    "OSR_DEFAULT_AXIS_MAPPING_STRATEGY": "AUTHORITY_COMPLIANT",
    "OSR_STRIP_TOWGS84": "YES",
    "OSR_USE_NON_DEPRECATED": "YES",
    "SHAPE_RESTORE_SHX": "NO",
    "TIFF_READ_STREAMING": "NO",
    "TIFF_USE_OVR": "NO",
    "USE_RRD": "NO",
    "VRT_SHARED_SOURCE": "YES",
    "VRT_VIRTUAL_OVERVIEWS": "NO",
}  # fmt: skip


@contextmanager
def without_gdal_settings() -> Iterator[None]:
    """Inside the block, this process and those it starts have no settings of GDAL from the user's environment.

    It is for commands, which have their process to themselves; GDAL must not have been used before.
    """
    hidden = {name: os.environ.pop(name) for name in _settings_here()}
    # Otherwise it reads ~/.gdal/gdalrc, which may hold any of them.
    os.environ["GDAL_CONFIG_FILE"] = os.devnull
    try:
        yield
    finally:
        os.environ.pop("GDAL_CONFIG_FILE", None)
        os.environ.update(hidden)


def settings_answered(own: frozenset[str]) -> dict[str, str]:
    """Settings of GDAL that undo what the environment says, for programs that keep theirs.

    Args:
        own: settings that the caller gives.
    """
    here = [name for name in _settings_here() if name.upper() not in own]
    _warn_of(tuple(name for name in here if name.upper() not in _DEFAULTS))
    return {name.upper(): _DEFAULTS[name.upper()] for name in here if name.upper() in _DEFAULTS}


@lru_cache(maxsize=1)
def require_proj() -> None:
    """Refuse to work without the tables of PROJ: coordinate systems would be lost, or be written without their codes.

    Raises:
        GeosegError: rasterio's PROJ or that of pyproj does not know WGS 84.
    """
    import pyproj
    import rasterio
    from pyproj.exceptions import ProjError
    from rasterio.errors import CRSError

    try:
        with rasterio.Env():  # where GDAL says what is wrong to a logger, not on stderr
            rasterio.CRS.from_epsg(4326)
        pyproj.CRS.from_epsg(4326)
    except (ProjError, CRSError) as cause:
        named = [f"{name}={os.environ[name]}" for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ]
        if named:
            raise GeosegError(
                f"{' and '.join(named)}: there is no proj.db that fits, so no coordinate system is known; unset it, "
                "or give the folder of this installation"
            ) from cause
        raise GeosegError(
            "proj.db: is not where rasterio or pyproj look for it, so no coordinate system is known; install both anew"
        ) from cause


def names_proj() -> bool:
    """True when the environment says where PROJ's tables are."""
    return any(name in os.environ for name in ("PROJ_DATA", "PROJ_LIB"))


def _settings_here() -> list[str]:
    """Variables that are settings of GDAL; where names are looked up in either case, they are found in either."""
    return [
        name for name in os.environ if name.upper().startswith(_PREFIXES) and not name.upper().startswith(_HARMLESS)
    ]


@lru_cache(maxsize=1)
def _warn_of(names: tuple[str, ...]) -> None:
    """Once for the same names."""
    foreign = [name for name in names if name != "GDAL_CONFIG_FILE" or os.environ.get(name) != os.devnull]
    if foreign:
        logger.warning(
            "the environment sets %s, which may change what GDAL reads or writes; unset it", ", ".join(foreign)
        )
