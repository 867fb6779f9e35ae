"""The one door through which geoseg opens rasters."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoseg.errors import GeosegError, SceneError
from geoseg.vrt import vrt_sources

BLOCK_CACHE = 64_000_000
"""Bytes of decoded blocks GDAL may hold, per process: enough for overlapping windows, whatever the scene's size."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises: its own errors, and in some places those of GDAL as they are."""

_SETTINGS: dict[str, Any] = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "10",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}

_threads: int | None = None

# What a file's first bytes say it is. A VRT named scene.tif would otherwise open as a VRT and read any file it names.
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
    (b"\x89HDF\r\n\x1a\n", "netCDF"),
    (b"CDF\x01", "netCDF"),
    (b"CDF\x02", "netCDF"),
)

# Of a remote file only the name is known; nothing but these is tried, least of all what points to other files.
_REMOTE = {".jp2": "JP2OpenJPEG", ".j2k": "JP2OpenJPEG", ".png": "PNG", ".jpg": "JPEG", ".img": "HFA"}


_cache: ContextVar[int] = ContextVar("_cache", default=BLOCK_CACHE)


def use_threads(threads: int) -> None:
    """Let files that are opened from now on be decoded and compressed by so many threads each.

    It is for processes that share a machine with others of their kind.
    """
    global _threads
    _threads = threads


def writing_threads() -> str:
    """How many threads compress a file, in GDAL's words: all, unless `use_threads` said how many."""
    return str(_threads or "ALL_CPUS")


def gdal_settings() -> rasterio.Env:
    """GDAL's settings for reading and writing: set here, not taken from the user's environment."""
    return rasterio.Env(**_SETTINGS | {"GDAL_CACHEMAX": _cache.get()})


@contextmanager
def block_cache(size: int) -> Iterator[None]:
    """Let GDAL hold `size` bytes of decoded blocks, for work that reads each block once and in order."""
    before = _cache.set(size)
    try:
        yield
    finally:
        _cache.reset(before)


def open_raster(
    path: str | Path, *, error: type[GeosegError] = SceneError, allow_remote: bool = False
) -> rasterio.DatasetReader:
    """Open a raster for reading.

    Args:
        path: a file, a URL or one of GDAL's `/vsi` paths.
        error: type of what is raised.
        allow_remote: let a VRT read files outside of its folder, and URLs.

    Raises:
        GeosegError: of the given type, when it is missing, no regular file, not a raster, or broken.
    """
    if is_remote(path):
        driver = _remote_driver(str(path), error, allow_remote)
    else:
        driver = _driver(str(path), error)
        if driver == "VRT":
            _check_sources(Path(path), error, allow_remote)
    try:
        with gdal_settings(), warnings.catch_warnings():
            # No georeferencing is legal; whoever needs it says so in a sentence of its own.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver=driver, **_open_options(driver))
    except (*GDAL_ERRORS, UnicodeError, ValueError) as cause:
        raise error(f"{path}: cannot be opened as a raster: {_reason(path, cause)}") from cause


@contextmanager
def create_raster(path: Path, **profile: Any) -> Iterator[rasterio.io.DatasetWriter]:
    """Create a GeoTIFF and close it on leaving the block."""
    with gdal_settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
            yield dataset


def is_remote(path: str | Path) -> bool:
    """True for URLs and GDAL's virtual paths, which are no files of this machine.

    >>> is_remote("https://example.org/scene.tif"), is_remote("scenes/scene.tif")
    (True, False)
    """
    return "://" in str(path) or str(path).startswith("/vsi")


def is_raster(path: str | Path) -> bool:
    """True when the file begins like a raster, or is something only GDAL can tell."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    return any(head.startswith(magic) for magic, _ in _MAGIC) or str(path).lower().endswith(".vrt")


def first_line(error: BaseException) -> str:
    """The first line of a foreign error's text, to stand in a sentence of ours."""
    if error.__cause__ is not None and "previous exception" in str(error):
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _open_options(driver: str) -> dict[str, str]:
    # Blocks that one read touches are decoded side by side: nearly twice as fast on two cores.
    return {"num_threads": str(_threads or min(4, os.cpu_count() or 1))} if driver == "GTiff" else {}


def _reason(path: str | Path, cause: BaseException) -> str:
    reason = first_line(cause)
    return (
        f"{reason}; check the address and that it can be reached, or download the file first"
        if is_remote(path)
        else reason
    )


def _remote_driver(path: str, error: type[GeosegError], allow_remote: bool) -> str:
    suffix = Path(path.partition("?")[0]).suffix.lower()
    if suffix == ".vrt":
        if not allow_remote:
            raise error(f"{path}: is a remote VRT, which can name any other file; give --allow-remote if you trust it")
        return "VRT"
    return _REMOTE.get(suffix, "GTiff")


def _check_sources(path: Path, error: type[GeosegError], allow_remote: bool) -> None:
    """Refuse a VRT that names files which are not there or, unless they are allowed, lie outside of its folder."""
    home = path.resolve().parent
    pending, seen = [path.resolve()], set()
    while pending:
        vrt = pending.pop()
        seen.add(vrt)
        for source in vrt_sources(vrt, error):
            shown = source.name[:200]
            if source.is_description or is_remote(source.name):
                if not allow_remote:
                    raise error(f"{path}: reads from {shown}; give --allow-remote if you trust it to do so")
                continue
            target = source.resolved(vrt.parent)
            if not allow_remote and not target.is_relative_to(home):
                raise error(f"{path}: reads {shown}, outside of its folder {home}; give --allow-remote if you trust it")
            if not os.path.exists(target):  # noqa: PTH110 - whatever the name, this does not raise
                raise error(f"{path}: names the source {shown}, which is not there; restore it or mend the VRT")
            # What a source is, is told by its content: GDAL would open a VRT of any name.
            if _driver(str(target), error) == "VRT" and target not in seen:
                pending.append(target)


def _driver(path: str, error: type[GeosegError]) -> str:
    """The driver that a local file's content asks for."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise error(f"{path}: is {kind}; a raster file such as a GeoTIFF is needed")
        with Path(path).open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as cause:
        raise error(f"{path}: there is no such file") from cause
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause
    if not head:
        raise error(f"{path}: the file is empty; a raster such as a GeoTIFF is needed")
    for magic, driver in _MAGIC:
        if head.startswith(magic):
            return driver
    if path.lower().endswith(".vrt"):
        return "VRT"
    raise error(
        f"{path}: is not a raster that geoseg reads; it takes GeoTIFF, COG, JPEG 2000, VRT, PNG and netCDF; "
        "others can be converted with 'gdal_translate IN OUT.tif'"
    )
