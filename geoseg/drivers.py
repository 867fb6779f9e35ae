"""Which of GDAL's drivers may open a raster: the one that its content asks for, and no other."""

from __future__ import annotations

from pathlib import Path

from geoseg.documents import beginning, head_of
from geoseg.errors import GeosegError

# What a file's first bytes say it is. A VRT named scene.tif would otherwise open as a VRT and read any file it names.
# HDF5, and with it netCDF-4, is not among them: its pixels can lie in any other file that it names.
_MAGIC = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  ", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"EHFA_HEADER", "HFA"),
    (b"CDF\x01", "netCDF"),
    (b"CDF\x02", "netCDF"),
)

_HDF5 = b"\x89HDF\r\n\x1a\n"

# Of a remote file only the name is known; nothing but these is tried, least of all what points to other files.
_REMOTE = {".jp2": "JP2OpenJPEG", ".j2k": "JP2OpenJPEG", ".png": "PNG", ".jpg": "JPEG"}


def is_raster(path: str | Path) -> bool:
    """True when the file begins like a raster, or is something only GDAL can tell."""
    head = beginning(path)
    if head is None:
        return False
    return head.startswith((_HDF5, *(magic for magic, _ in _MAGIC))) or str(path).lower().endswith(".vrt")


def drivers_of(path: str, error: type[GeosegError], allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The driver that a local file's content asks for; of other content those that the user allows.

    Raises:
        GeosegError: of the given type: missing, no regular file, or nothing that a driver may open.
    """
    head = head_of(path, 20, "a raster file such as a GeoTIFF", error)
    for magic, driver in _MAGIC:
        if head.startswith(magic):
            return (driver,)
    if path.lower().endswith(".vrt"):
        return ("VRT",)
    if allowed:
        return allowed
    if head.startswith(_HDF5):
        raise error(
            f"{path}: is HDF5 or netCDF-4, which can name any other file to read pixels from; give --allow-driver "
            "netCDF (or HDF5) if you trust it, or convert it with 'gdal_translate IN OUT.tif'"
        )
    raise error(
        f"{path}: is not a raster that geoseg reads{_what(head)}; it takes GeoTIFF, COG, JPEG 2000, VRT, PNG and "
        "classic netCDF; name another driver of GDAL with --allow-driver, or convert it with 'gdal_translate IN "
        "OUT.tif'"
    )


def remote_driver(path: str, error: type[GeosegError], allow_remote: bool) -> str:
    """The driver that the name of a remote file asks for.

    Raises:
        GeosegError: of the given type: a VRT, unless it is allowed.
    """
    suffix = Path(path.partition("?")[0]).suffix.lower()
    if suffix == ".vrt":
        if not allow_remote:
            raise error(f"{path}: is a remote VRT, which can name any other file; give --allow-remote if you trust it")
        return "VRT"
    return _REMOTE.get(suffix, "GTiff")


def _what(head: bytes) -> str:
    """What some files are that are not rasters, by how they begin."""
    kinds = {
        b"version https://": " but a pointer of Git LFS: fetch it with 'git lfs pull'",
        b"<!doct": " but a web page, perhaps the error of a download",
        b"<html": " but a web page, perhaps the error of a download",
        b"\x1f\x8b": " but compressed with gzip: unpack it",
        b"PK\x03\x04": " but a zip archive: unpack it",
    }
    begin = head.lower() if head[:1] == b"<" else head
    return next((kind for magic, kind in kinds.items() if begin.startswith(magic)), "")
