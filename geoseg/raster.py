"""The one door through which geoseg opens rasters."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoseg.crs import refuse_grid_elsewhere
from geoseg.disk import refuse_pipes_beside
from geoseg.drivers import drivers_of, remote_driver
from geoseg.embedded import refuse_names_inside
from geoseg.errors import GeosegError, SceneError
from geoseg.grid import Grid
from geoseg.limits import Limits
from geoseg.names import is_remote
from geoseg.surroundings import require_proj, settings_answered
from geoseg.vrt import MAX_BYTES, leads_elsewhere, vrt_sources

BLOCK_CACHE = 64_000_000
"""Bytes of decoded blocks GDAL may hold, per process: enough for overlapping windows, whatever the scene's size."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises: its own errors, and in some places those of GDAL as they are."""

_NOT_OPENED = (*GDAL_ERRORS, UnicodeError, ValueError)

_SETTINGS: dict[str, Any] = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "PROJ_NETWORK": "OFF",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "10",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}

_OWN = frozenset(_SETTINGS)

_threads: int | None = None
_limits = Limits()

_cache: ContextVar[int] = ContextVar("_cache", default=BLOCK_CACHE)


def use_threads(threads: int) -> None:
    """Let files that are opened from now on be decoded and compressed by so many threads each.

    It is for processes that share a machine with others of their kind.
    """
    global _threads
    _threads = threads


@contextmanager
def within(limits: Limits) -> Iterator[None]:
    """Hold rasters that this process opens to other limits, where nothing else is said of them."""
    global _limits
    before, _limits = _limits, limits
    try:
        yield
    finally:
        _limits = before


def current_limits() -> Limits:
    """What rasters may declare that are opened now."""
    return _limits


def writing_threads() -> str:
    """How many threads compress a file, in GDAL's words: all, unless `use_threads` said how many."""
    return str(_threads or "ALL_CPUS")


def gdal_settings() -> rasterio.Env:
    """GDAL's settings for reading and writing: set here, not taken from the user's environment."""
    return rasterio.Env(**settings_answered(_OWN) | _SETTINGS | {"GDAL_CACHEMAX": _cache.get()})


@contextmanager
def block_cache(size: int) -> Iterator[None]:
    """Let GDAL hold `size` bytes of decoded blocks, for work that reads each block once and in order."""
    before = _cache.set(size)
    try:
        yield
    finally:
        _cache.reset(before)


def open_raster(
    path: str | Path,
    *,
    error: type[GeosegError] = SceneError,
    allow_remote: bool = False,
    limits: Limits | None = None,
) -> rasterio.DatasetReader:
    """Open a raster for reading.

    Args:
        path: a file, a URL or one of GDAL's `/vsi` paths.
        error: type of what is raised.
        allow_remote: let a VRT read files outside of its folder, and URLs.
        limits: what it may declare, and further drivers that may be tried; `current_limits` when None.

    Raises:
        GeosegError: of the given type, when it is missing, no regular file, not a raster, broken, or beyond the limits.
    """
    require_proj()
    limits = limits or _limits
    if is_remote(path):
        drivers: tuple[str, ...] = (remote_driver(str(path), error, allow_remote), *limits.drivers)
    else:
        drivers = drivers_of(str(path), error, limits.drivers)
        _check_beside(str(path), error, allow_remote, limits)
        _check_head(path, drivers, error, limits)
        if drivers == ("VRT",):
            _check_sources(Path(path), error, allow_remote, limits)
    dataset = _opened(path, drivers, error)
    try:
        limits.require(dataset, path, error)
        _check_inside(dataset, path, error, allow_remote)
    except GeosegError:
        dataset.close()
        raise
    return dataset


def _opened(path: str | Path, drivers: tuple[str, ...], error: type[GeosegError]) -> rasterio.DatasetReader:
    """Open with the first driver that can."""
    with gdal_settings(), warnings.catch_warnings():
        # No georeferencing is legal; whoever needs it says so in a sentence of its own.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for driver in drivers[:-1]:
            with suppress(*_NOT_OPENED):
                return rasterio.open(path, driver=driver, **_open_options(driver))
        try:
            return rasterio.open(path, driver=drivers[-1], **_open_options(drivers[-1]))
        except _NOT_OPENED as cause:
            raise error(f"{path}: cannot be opened as a raster: {_reason(path, cause)}") from cause


def grid_of(dataset: rasterio.DatasetReader, path: str | Path, error: type[GeosegError] = SceneError) -> Grid:
    """The georeferencing of an open raster.

    Raises:
        GeosegError: of the given type: its pixels have no place, or lie on one line.
    """
    if not all(map(math.isfinite, tuple(dataset.transform)[:6])):
        raise error(f"{path}: its georeferencing holds numbers that are none; assign it with 'gdal_edit.py -a_ullr'")
    try:
        return Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
    except SceneError as cause:
        raise error(f"{path}: {cause}") from cause


@contextmanager
def create_raster(path: Path, **profile: Any) -> Iterator[rasterio.io.DatasetWriter]:
    """Create a GeoTIFF and close it on leaving the block."""
    with gdal_settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
            yield dataset


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


def _check_sources(path: Path, error: type[GeosegError], allow_remote: bool, limits: Limits) -> None:
    """Refuse a VRT for what it names: what is not there, beyond the limits or, unless it is allowed, elsewhere."""
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
            if target in seen:
                continue
            # What a source is, is told by its content: GDAL would open a VRT of any name.
            drivers = drivers_of(str(target), error, limits.drivers)
            if drivers == ("VRT",):
                pending.append(target)
                continue
            seen.add(target)
            _check_beside(str(target), error, allow_remote, limits)
            _check_head(target, drivers, error, limits)
            status = target.stat()
            fault = _fault(target, status.st_mtime_ns, status.st_size, drivers, limits, allow_remote)
            if fault:
                raise error(f"{path}: names a source that cannot be read: {fault}")


def _check_beside(path: str, error: type[GeosegError], allow_remote: bool, limits: Limits) -> None:
    """Refuse what stands beside a raster under its name and would make GDAL open something else.

    Overviews and masks are opened by their content: one that is a VRT reads whatever it names. GDAL looks for them in
    small letters and in capitals.
    """
    refuse_pipes_beside(path, error)
    for beside in (f"{path}{ending}" for ending in (".ovr", ".OVR", ".msk", ".MSK")):
        if os.path.lexists(beside):
            drivers = drivers_of(beside, error)
            if drivers != ("GTiff",):
                raise error(f"{beside}: is not the GeoTIFF that its name says, so {path} is not read; remove it")
            _check_head(beside, drivers, error, Limits())
            _check_beside(beside, error, allow_remote, limits)
            _check_sound(beside, path, error, allow_remote)
    _check_notes(Path(path), error, limits)
    for notes in (Path(f"{path}.aux.xml"), Path(f"{path}.AUX.XML")):
        if allow_remote or not os.path.lexists(notes):
            continue
        if not notes.is_file() or notes.stat().st_size > MAX_BYTES or leads_elsewhere(notes.read_bytes()):
            raise error(f"{notes}: names other files to be opened with {path}; remove it, or give --allow-remote")


def _check_notes(path: Path, error: type[GeosegError], limits: Limits) -> None:
    """Refuse what ERDAS (.aux) and others (.hdr, .prj) write beside a raster, where it names files for GDAL to open."""
    for notes in {each for end in (".aux", ".AUX") for each in (path.with_suffix(end), Path(f"{path}{end}"))}:
        if notes != path and os.path.isfile(notes):  # noqa: PTH113 - whatever the name, this does not raise
            _check_head(notes, ("HFA",), error, limits)
    for notes in (path.with_suffix(end) for end in (".hdr", ".HDR", ".prj", ".PRJ")):
        if notes != path and os.path.isfile(notes) and notes.stat().st_size <= MAX_BYTES:  # noqa: PTH113
            refuse_grid_elsewhere(notes.read_text("latin-1"), notes, error)


def _check_sound(beside: str, path: str, error: type[GeosegError], allow_remote: bool) -> None:
    """Refuse overviews or a mask that the GeoTIFF driver cannot open: GDAL would go on to the next driver."""
    status = Path(beside).stat()
    fault = _fault(Path(beside), status.st_mtime_ns, status.st_size, ("GTiff",), Limits(), allow_remote)
    if fault:
        raise error(f"{path}: what lies beside it cannot be read: {fault}; remove {beside}")


def _check_inside(
    dataset: rasterio.DatasetReader, path: str | Path, error: type[GeosegError], allow_remote: bool
) -> None:
    """Refuse a raster that sends GDAL to another file for its overviews, or PROJ to one for its coordinate system."""
    refuse_grid_elsewhere(dataset.crs.to_wkt() if dataset.crs else "", path, error)
    # What a VRT names in them was looked at before it was opened.
    if allow_remote or dataset.driver == "VRT":
        return
    if any(key.upper() == "OVERVIEW_FILE" for key in dataset.tags(ns="OVERVIEWS")):
        raise error(
            f"{path}: its tags name another file as its overviews; write it anew with 'gdal_translate -nomd', or give "
            "--allow-remote if you trust it"
        )


def _check_head(path: str | Path, drivers: tuple[str, ...], error: type[GeosegError], limits: Limits) -> None:
    """Refuse a file that names others inside of it: opening it would open them too."""
    for driver in drivers:
        if driver != "HFA" or driver not in limits.drivers:
            refuse_names_inside(path, driver, error)


@lru_cache(maxsize=10_000)
def _fault(path: Path, mtime_ns: int, size: int, drivers: tuple[str, ...], limits: Limits, allow_remote: bool) -> str:
    """What is wrong with a file that a VRT names: broken or beyond the limits; empty for nothing.

    Remembered for a file as it is now (`mtime_ns`, `size`): each thread opens the VRT again.
    """
    try:
        with _opened(path, drivers, SceneError) as dataset:
            limits.require(dataset, path, SceneError)
            _check_inside(dataset, path, SceneError, allow_remote)
    except SceneError as error:
        return str(error)
    return ""
