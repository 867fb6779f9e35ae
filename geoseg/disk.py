"""What the disk has for certain: flushed files, notes that are never torn, locks, and which file is which."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geoseg.errors import GeosegError, OutputError, SceneError
from geoseg.names import is_remote
from geoseg.vrt import vrt_sources

LOCK = ".geoseg-lock"

# GDAL looks for notes of satellites' ground stations under names that are not the raster's.
_NOTES = (".txt", ".xml", ".dim", ".ige", ".rrd")

Stamp = tuple[str, int, int] | tuple[str]


def flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Replace a small file whole: a note of how far a run is, which its readers find old or new and never torn.

    Inside the block, write the path that is given. On leaving it, it is flushed to disk and takes its name; after an
    error what was there stays.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        try:
            yield fresh
            flush(fresh)
            fresh.replace(path)
            flush(path.parent)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {_why(error, '; is the disk full?')}") from error
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


@contextmanager
def locked(folder: Path, target: Path) -> Iterator[None]:
    """Keep a folder to this process, by a lock file in it that the system forgets when the process ends.

    Raises:
        OutputError: another run has it, or the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(f"{target} is being written by another run; wait for it or choose another name") from error
    except OSError as error:
        raise unwritten(error, target) from error
    try:
        yield
    finally:
        # Before the lock is given back: afterwards it may be another run's.
        with suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def stamp(path: str | Path) -> Stamp:
    """A file as it is now; its name alone where there is none, from the root, as it is the same from any folder."""
    local = Path(path).absolute()
    try:
        status = local.stat()
    except (OSError, ValueError):
        return (str(path if is_remote(path) else local),)
    return str(local), status.st_size, status.st_mtime_ns


def stamps(paths: Iterable[str | Path]) -> tuple[Stamp, ...]:
    """Files as they are now, with all that is read along with them, for `refuse_changed` after they were read."""
    return tuple(stamp(each) for path in paths for each in (path, *_read_with(path)))


def stamps_for(target: str | Path, paths: Iterable[str | Path]) -> tuple[Stamp, ...]:
    """The same of the files that an output is made from.

    Raises:
        OutputError: the output is one of them.
    """
    found = stamps(paths)
    refuse_read(target, (known[0] for known in found))
    return found


def refuse_read(target: str | Path, sources: Iterable[str | Path]) -> None:
    """Refuse an output that is one of the files that are read, under whatever name, or a folder that holds one.

    Args:
        target: the output.
        sources: files, and what is none (URLs).

    Raises:
        OutputError: names the file.
    """
    own = _status(Path(target))
    if own is None:
        return
    for source in sources:
        file = Path(source)
        places = [file, *file.absolute().parents, *file.resolve().parents] if stat.S_ISDIR(own.st_mode) else [file]
        if any(os.path.samestat(own, there) for there in map(_status, places) if there is not None):
            raise OutputError(f"{target}: is one of the files that are read ({source}); choose another name")


def _status(path: Path) -> os.stat_result | None:
    """What the disk says of a file, None where there is none."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _read_with(path: str | Path) -> list[Path]:
    """Files that hold a part of what a file says, be they there or not: another program may change them alone.

    The mask of a raster, what a VRT reads from, the table of a shapefile, the latest entries of a GeoPackage. Not what
    GIS programs write beside what they only look at, overviews and statistics (`.ovr`, `.aux.xml`).
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix == ".vrt":
        return [file.with_name(f"{file.name}.msk"), *_behind(file)]
    if suffix == ".shp":
        return [file.with_suffix(end) for end in (".dbf", ".shx", ".prj", ".cpg")]
    if suffix in (".gpkg", ".sqlite"):
        return [file.with_name(f"{file.name}{end}") for end in ("-wal", "-journal")]
    if suffix in (".tif", ".tiff"):
        return [file.with_name(f"{file.name}.msk"), file.with_suffix(".tfw")]
    return []


def _behind(vrt: Path) -> list[Path]:
    """All files that a VRT reads from, through other VRTs too; those of one that is broken are not known."""
    pending, found = [vrt], dict.fromkeys([vrt])
    while pending:
        one = pending.pop()
        with suppress(GeosegError, OSError, ValueError):
            fresh = [
                source.resolved(one.parent) for source in vrt_sources(one, SceneError) if not source.is_description
            ]
            pending += [path for path in fresh if path not in found and path.suffix.lower() == ".vrt"]
            found |= dict.fromkeys(fresh)
    return list(found)[1:]


def refuse_changed(before: Iterable[Stamp], target: Path) -> None:
    """Refuse sources that were written to while they were read; one that is gone was read to its end.

    Raises:
        SceneError: names the first.
    """
    for known in before:
        now = stamp(known[0])
        if len(now) > 1 and now != known:
            raise SceneError(
                f"{known[0]}: was changed while it was read, so {target} was not made; start again when nobody writes "
                "to it"
            )


def refuse_pipes_beside(path: str | Path, error: type[GeosegError]) -> None:
    """Refuse a file of a folder where something that never ends has a name that GDAL would open with it.

    World files, notes, indices, logs of databases: there are far too many such names to ask for each.

    Raises:
        GeosegError: of the given type: a pipe, a socket or a device, or a link to one.
    """
    folder, stem = Path(path).absolute().parent, Path(path).stem.lower()
    try:
        endless = _endless(folder, folder.stat().st_mtime_ns)
    except OSError:
        return  # a folder that cannot be listed
    for name in endless:
        here = name.lower()
        if here.startswith((f"{stem}.", f"{stem}_")) or here.endswith(_NOTES):
            raise error(
                f"{folder / name}: is a pipe, a socket or a device under a name that is opened with {path}; move it "
                "elsewhere"
            )


@lru_cache(maxsize=100)
def _endless(folder: Path, mtime_ns: int) -> tuple[str, ...]:
    """Names in a folder of what is neither a file nor a folder; looked for once in a folder as it is now."""
    with os.scandir(folder) as entries:
        return tuple(entry.name for entry in entries if not _ends(entry))


def _ends(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or entry.is_dir() or not Path(entry.path).exists()
    except OSError:  # a link in a circle
        return True


def identity(path: Path) -> list[int]:
    """What stays as it is when a file is renamed, and is another for any other file."""
    status = path.lstat()
    return [status.st_ino] if stat.S_ISDIR(status.st_mode) else [status.st_ino, status.st_size, status.st_mtime_ns]


def is_that(path: Path, known: Any) -> bool:
    """True when a path is the file of that identity."""
    try:
        return bool(identity(path) == known)
    except OSError:
        return False


def unwritten(error: OSError, target: Path) -> OutputError:
    """The error for users, of an output that could not be written."""
    if isinstance(error, OutputError):
        return error
    return OutputError(f"{target}: cannot be written: {_why(error, '. Nothing was left under that name')}")


def _why(error: OSError, otherwise: str) -> str:
    """The reason of the system, and what to do where it tells; else what to say after it."""
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long, with what is put around it while it is made; shorten it"
    return f"{error.strerror or error}{otherwise}"
