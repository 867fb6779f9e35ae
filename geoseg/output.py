"""Outputs that are finished or absent: the one way geoseg puts a file under its name.

Every writer works in a hidden folder beside the output. Only when all is written, read back and flushed to disk do the
files take their names, the main one last. A run that dies leaves nothing but that folder, and the next run of the same
command takes it over: from the start, or, where the work has a key that says it is the same, from where it stopped. A
lock inside it keeps two runs from writing one output.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geoseg.errors import DamagedSceneError, OutputError, OutputExistsError, SceneError

logger = logging.getLogger(__name__)

MARKER = ".geoseg"
"""A folder that geoseg made holds a file of this name, which lists its files; only such folders are ever replaced."""

_LOCK, _SCRATCH, _KEY = ".geoseg-lock", ".geoseg-scratch", ".geoseg-key"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The hidden folder in which one output is made.

    Attributes:
        target: the output's final path.
        folder: where its files are made, on the same file system.
    """

    target: Path
    folder: Path

    @classmethod
    def of(cls, target: Path) -> Workspace:
        """That of an output, which may not be there."""
        target = target.absolute()
        return cls(target, target.parent / f".{target.name}.partial")

    @property
    def main(self) -> Path:
        """Where to make the output itself."""
        return self.folder / self.target.name

    def beside(self, name: str) -> Path:
        """Where to make a file that is published beside the output."""
        return self.folder / name

    def scratch(self, name: str) -> Path:
        """Where to keep a file that is never published."""
        path = self.scratch_path(name)
        path.parent.mkdir(exist_ok=True)
        return path

    def scratch_path(self, name: str) -> Path:
        """The same, without making anything."""
        return self.folder / _SCRATCH / name


def refuse_existing(target: Path, overwrite: bool, beside: tuple[str, ...] = ()) -> None:
    """Say early that an output is there already, or that its folder is not.

    Args:
        target: the output.
        overwrite: let it be replaced.
        beside: names of the files that will stand beside it.

    Raises:
        OutputExistsError: `target`, or a file beside it, exists and `overwrite` is false.
        OutputError: the folder does not exist or cannot be written to.
    """
    try:
        os.fspath(target).encode("utf-8")
    except UnicodeEncodeError as error:
        raise OutputError(f"{target!r}: the name is not valid text (UTF-8); choose another name") from error
    for path in (target, *(target.parent / name for name in beside)):
        if os.path.lexists(path) and not overwrite:
            raise OutputExistsError(f"{path} exists already; choose another name or give --overwrite")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the folder {target.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: the folder {target.parent} cannot be written to; check its permissions")


@contextmanager
def new_output(
    target: Path,
    *,
    overwrite: bool = False,
    beside: tuple[str, ...] = (),
    key: str | None = None,
    bulk: tuple[str, ...] = (),
) -> Iterator[Workspace]:
    """Make an output (a file with others beside it, or a folder) that appears under its name only when complete.

    Inside the block, write `workspace.main` and the files beside it. On leaving it they are flushed to disk and
    renamed, the main one last; on an error everything is removed, unless the work can go on from there.

    Args:
        target: the output.
        overwrite: replace what is there.
        beside: names of the files that will stand beside it.
        key: what makes two runs the same work (see `fingerprint`). With it, a run that was killed, stopped or found the
            disk full leaves what it made, and a run of the same key finds it; the caller knows what is complete.
        bulk: folders of the output with many files that are not waited for until the disk has them. Their sizes must
            stand in another file of the output, so that what a power cut took is found missing.

    Raises:
        OutputExistsError: `target`, or a file beside it, exists and `overwrite` is false.
        OutputError: the folder cannot be written, the disk is full, or another run is writing the same output.
    """
    workspace = Workspace.of(target)
    target, folder = workspace.target, workspace.folder
    refuse_existing(target, overwrite, beside)
    if target.is_dir() and not target.is_symlink():
        refuse_foreign(target)
    with _locked(folder, target):
        keep = False
        try:
            _begin(folder, key)
            yield workspace
            if not workspace.main.exists():
                raise OutputError(f"{target}: nothing was written")
            refuse_existing(target, overwrite, beside)
            _publish(workspace, beside, bulk)
        except OSError as error:
            keep = key is not None
            raise _translated(error, target) from error
        except DamagedSceneError:
            raise  # there is nothing to go on with
        except (OutputError, SceneError, KeyboardInterrupt, SystemExit):
            keep = key is not None
            raise
        finally:
            if not keep:
                _clear(folder)


def fingerprint(options: dict[str, Any], files: Iterable[str | Path]) -> str:
    """What makes two runs the same: their options, and the files they read, as they are now.

    Args:
        options: plain values.
        files: paths; those that are not there (URLs) count by name.
    """
    stamps = []
    for path in files:
        local = Path(path).absolute()
        status = local.stat() if local.exists() else None
        stamps.append((str(local), status.st_size, status.st_mtime_ns) if status else (str(path),))
    text = json.dumps([options, stamps], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unfinished(target: Path, key: str | None, name: str) -> Path | None:
    """A scratch file that a stopped run of the same work left beside an output, None where there is no such run."""
    workspace = Workspace.of(target)
    path = workspace.folder / _KEY
    if key is None or not path.is_file() or path.read_text(encoding="utf-8") != key:
        return None
    return workspace.scratch_path(name)


def _begin(folder: Path, key: str | None) -> None:
    """Empty the folder, unless it holds what an earlier run of the same work made."""
    path = folder / _KEY
    if key is None or not path.is_file() or path.read_text(encoding="utf-8") != key:
        if key is not None and path.is_file():
            logger.warning("%s: an earlier run stopped here with other options or files; beginning anew", folder)
        _clear(folder)
    if key is not None:
        path.write_text(key, encoding="utf-8")


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds anything geoseg did not make.

    Raises:
        OutputExistsError: names the first such file.
    """
    marker = folder / MARKER
    made = set(marker.read_text(encoding="utf-8").splitlines()) if marker.is_file() else set()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(found - made - {MARKER})
    if foreign:
        raise OutputExistsError(
            f"{folder} holds {foreign[0]}, which geoseg did not make; move it away or choose another name"
        )


@contextmanager
def _locked(folder: Path, target: Path) -> Iterator[None]:
    try:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OutputError(f"{target} is being written by another run; wait for it or choose another name") from error
    except OSError as error:
        raise _translated(error, target) from error
    try:
        yield
    finally:
        # Before the lock is given back: afterwards it may be another run's.
        with suppress(OSError):
            (folder / _LOCK).unlink()
        lock.release()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _publish(workspace: Workspace, beside: tuple[str, ...], bulk: tuple[str, ...]) -> None:
    target = workspace.target
    if workspace.main.is_dir():
        files = sorted(p.relative_to(workspace.main).as_posix() for p in workspace.main.rglob("*") if p.is_file())
        (workspace.main / MARKER).write_text("\n".join(files), encoding="utf-8")
    made = [workspace.main, *(workspace.beside(name) for name in beside)]
    # Some libraries make files that only their owner can read; a new file shows what is usual here.
    fresh = workspace.scratch("fresh")
    fresh.touch()
    mode = fresh.stat().st_mode & 0o777
    for path in made:
        for file in _files(path, bulk):
            file.chmod(mode)
            flush(file)
    for path in made[1:]:
        path.replace(target.parent / path.name)
    if target.is_dir() and not target.is_symlink():
        target.replace(workspace.scratch("replaced"))
    workspace.main.replace(target)
    flush(target.parent)


def _files(path: Path, bulk: tuple[str, ...]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in path.iterdir():
        if entry.name not in bulk:
            yield from _files(entry, ())


def flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _translated(error: OSError, target: Path) -> OutputError:
    if isinstance(error, OutputError):
        return error
    reason = error.strerror or str(error)
    return OutputError(f"{target}: cannot be written: {reason}. Nothing was left under that name")
