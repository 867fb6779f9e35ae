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

from geoseg.disk import LOCK, Stamp, flush, identity, is_that, locked, refuse_changed, stamps, unwritten
from geoseg.documents import UNSOUND, parse_json, read_document
from geoseg.errors import ClusterError, DamagedSceneError, OutputError, OutputExistsError, SceneError

logger = logging.getLogger(__name__)

MARKER = "geoseg-files.txt"
"""A folder that geoseg made holds a file of this name, which lists its files; only such folders are ever replaced."""

_MOST_OF_RECORD = 100_000
"""Bytes of what is written down of an output: its key, and the files that take their names together."""

_SCRATCH, _KEY, _RECORD = ".geoseg-scratch", ".geoseg-key", ".geoseg-record"

# Where the old files wait while the new ones take their names, and where they are thrown away once those have them.
_REPLACED, _SPENT = "replaced", "spent"


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
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def scratch_path(self, name: str) -> Path:
        """The same, without making anything."""
        return self.folder / _SCRATCH / name


def refuse_existing(target: Path, overwrite: bool, beside: tuple[str, ...] = ()) -> None:
    """Say early that an output is there already, or that its folder is not.

    What stands beside an output belongs to it: it is replaced together with it, and never without it, as it is another
    program's then.

    Args:
        target: the output.
        overwrite: let it be replaced.
        beside: names of the files that will stand beside it.

    Raises:
        OutputExistsError: `target` exists and `overwrite` is false, or a file beside it that geoseg did not make.
        OutputError: the folder does not exist or cannot be written to.
    """
    try:
        os.fspath(target).encode("utf-8")
    except UnicodeEncodeError as error:
        raise OutputError(f"{target!r}: the name is not valid text (UTF-8); choose another name") from error
    if "\0" in os.fspath(target):
        raise OutputError(f"{os.fspath(target)!r}: no file can have this name; choose another name")
    there = os.path.lexists(target)
    if there and not overwrite:
        tidy(target)
        raise OutputExistsError(f"{target} exists already; choose another name or give --overwrite")
    ours = set() if there else set(_published(Workspace.of(target)))
    for path in (target.parent / name for name in beside if name not in ours):
        if os.path.lexists(path) and not there:
            raise OutputExistsError(
                f"{path} exists already and {target.name} does not, so it is no part of it; move it away or choose "
                "another name"
            )
    require_folder(target)


def require_folder(target: Path) -> None:
    """Say early that an output has no folder to stand in.

    Raises:
        OutputError: the folder does not exist or cannot be written to.
    """
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
    sources: Iterable[Stamp] = (),
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
        sources: the files that are read, as they were before (`geoseg.disk.stamps`). If one is changed meanwhile there
            is no output: it would be made of two different files.

    Raises:
        OutputExistsError: `target`, or a file beside it, exists and `overwrite` is false; or the hidden folder is not
            geoseg's.
        OutputError: the folder cannot be written, the disk is full, or another run is writing the same output.
        SceneError: a source was changed while it was read.
    """
    workspace = Workspace.of(target)
    target, folder = workspace.target, workspace.folder
    refuse_existing(target, overwrite, beside)
    if target.is_dir() and not target.is_symlink():
        refuse_foreign(target)
    with _made(folder, target), locked(folder, target):
        keep = False
        try:
            _take_back(workspace)
            refuse_existing(target, overwrite, beside)
            _begin(folder, key)
            yield workspace
            if not workspace.main.exists():
                raise OutputError(f"{target}: nothing was written")
            refuse_changed(sources, target)
            refuse_existing(target, overwrite, beside)
            if target.is_dir() and not target.is_symlink():
                refuse_foreign(target)  # again: the work may have taken hours
            _publish(workspace, beside, bulk)
        except OSError as error:
            keep = key is not None
            raise unwritten(error, target) from error
        except DamagedSceneError:
            raise  # there is nothing to go on with
        except (OutputError, SceneError, ClusterError, MemoryError, KeyboardInterrupt, SystemExit):
            keep = key is not None
            raise
        finally:
            if not keep and not _holds_replaced(workspace):
                with suppress(OSError):
                    _clear(folder)


def tidy(target: Path) -> None:
    """Take away the hidden folder of an output that is complete, which its run did not live to do."""
    workspace = Workspace.of(target)
    if workspace.target.name in _published(workspace):
        # Where it cannot be done now, the next run does it.
        with suppress(OSError, OutputError):
            give_up(target)


def give_up(target: Path) -> None:
    """Take away what a run made of an output that nobody is going to go on with.

    Raises:
        OutputExistsError: somebody else's files are there.
        OutputError: another run is at work on it.
    """
    folder = Workspace.of(target).folder
    if not os.path.lexists(folder):
        return
    refuse_foreign_workspace(folder)
    with locked(folder, target):
        _clear(folder)
    _remove_if_empty(folder)


def fingerprint(options: dict[str, Any], files: Iterable[str | Path]) -> str:
    """What makes two runs the same: their options, and the files they read, as they are now.

    Args:
        options: plain values.
        files: paths; those that are not there (URLs) count by name.
    """
    return digest(options, stamps(files))


def digest(options: dict[str, Any], sources: Iterable[Stamp]) -> str:
    """The same of files as they were when their stamps were taken."""
    text = json.dumps([options, list(sources)], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unfinished(target: Path, key: str | None, name: str) -> Path | None:
    """A scratch file that a stopped run of the same work left beside an output, None where there is no such run."""
    workspace = Workspace.of(target)
    path = workspace.folder / _KEY
    return workspace.scratch_path(name) if key is not None and _text_of(path) == key else None


def _begin(folder: Path, key: str | None) -> None:
    """Empty the folder, unless it holds what an earlier run of the same work made."""
    path = folder / _KEY
    if key is None or _text_of(path) != key:
        if key is not None and path.is_file():
            logger.warning("%s: an earlier run stopped here with other options or files; beginning anew", folder)
        _clear(folder)
    if key is not None:
        path.write_text(key, encoding="utf-8")


def _text_of(path: Path) -> str | None:
    """What a small file in the hidden folder says; None where there is none, or none that geoseg wrote."""
    try:
        return read_document(path, _MOST_OF_RECORD)
    except (OSError, ValueError):
        return None


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds anything geoseg did not make.

    Raises:
        OutputExistsError: names the first such file.
    """
    marker, made = folder / MARKER, set[str]()
    with suppress(OSError, UnicodeError):
        made = set(marker.read_text(encoding="utf-8").splitlines()) if marker.is_file() else made
    inside = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    found = {path.relative_to(folder).as_posix() for path in inside}
    foreign = sorted(found - made - {MARKER})
    if foreign:
        raise OutputExistsError(
            f"{folder} holds {foreign[0]}, which geoseg did not make; move it away or choose another name"
        )


@contextmanager
def _made(folder: Path, target: Path) -> Iterator[None]:
    """Make the hidden folder, and take it away in the end if nothing is kept in it.

    Raises:
        OutputExistsError: somebody else's files are there.
        OutputError: it cannot be made.
    """
    try:
        if os.path.lexists(folder):
            refuse_foreign_workspace(folder)
        folder.mkdir(exist_ok=True)
    except OutputExistsError:
        raise
    except OSError as error:
        raise unwritten(error, target) from error
    try:
        yield
    finally:
        _remove_if_empty(folder)


def refuse_foreign_workspace(folder: Path) -> None:
    """Refuse a hidden folder that no run of geoseg left.

    Raises:
        OutputExistsError: names it.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise OutputExistsError(f"{folder} is in the way, and geoseg did not make it; move it away")
    found = {entry.name for entry in folder.iterdir()}
    if found and not found & {LOCK, _KEY, _RECORD, _SCRATCH}:
        raise OutputExistsError(
            f"{folder} is where geoseg would work, and it holds files that geoseg did not make; move it away"
        )


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _clear(folder: Path) -> None:
    """Take all away but the lock; the record last, by which a later run knows that the rest is of no use."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == _RECORD):
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _publish(workspace: Workspace, beside: tuple[str, ...], bulk: tuple[str, ...]) -> None:
    """Give the files their names; all of them, or after an error none, and what was there before is there again."""
    target = workspace.target
    if workspace.main.is_dir():
        marker = workspace.main / MARKER
        # A run that was killed here has left one.
        marker.unlink(missing_ok=True)
        files = sorted(p.relative_to(workspace.main).as_posix() for p in workspace.main.rglob("*") if p.is_file())
        marker.write_text("\n".join(files), encoding="utf-8")
    made = [*(workspace.beside(name) for name in beside), workspace.main]
    _discard(workspace, _SPENT)
    _make_durable(workspace, made, bulk)
    _record(workspace, made)
    moves = [(path, target.parent / path.name) for path in made]
    before = [goal for _, goal in moves if os.path.lexists(goal)]
    at_once = len(made) == 1 and not target.is_dir()
    if not at_once:
        # Several files cannot be replaced at once: what was there goes first, so that old and new never stand together.
        moves = [(path, workspace.scratch(f"{_REPLACED}/{path.name}")) for path in before] + moves
    try:
        for source, goal in moves:
            source.replace(goal)
        flush(target.parent)
    except BaseException:
        if not (at_once and before):
            # By what is where: a signal may have come between a move and any note of it.
            for source, goal in reversed(moves):
                if os.path.lexists(goal) and not os.path.lexists(source):
                    goal.replace(source)
        raise
    # From here on nothing comes back, whatever happens to what is in the way.
    if os.path.lexists(workspace.scratch_path(_REPLACED)):
        workspace.scratch_path(_REPLACED).replace(workspace.scratch_path(_SPENT))


def _holds_replaced(workspace: Workspace) -> bool:
    """True where files of the user wait that could not be brought back; the next run does that."""
    replaced = workspace.scratch_path(_REPLACED)
    names = [path.name for path in replaced.iterdir()] if replaced.is_dir() else []
    return any(not os.path.lexists(workspace.target.parent / name) for name in names)


def _discard(workspace: Workspace, name: str) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(workspace.scratch_path(name))


def _make_durable(workspace: Workspace, made: list[Path], bulk: tuple[str, ...]) -> None:
    # Some libraries make files that only their owner can read; a new file shows what is usual here.
    fresh = workspace.scratch("fresh")
    fresh.touch()
    mode = fresh.stat().st_mode & 0o777
    for path in made:
        for file in _files(path, bulk):
            if not file.is_dir():
                file.chmod(mode)
            flush(file)


def _files(path: Path, bulk: tuple[str, ...]) -> Iterator[Path]:
    """A file, or all of a folder and the folder itself."""
    if path.is_dir():
        for entry in path.iterdir():
            if entry.name not in bulk:
                yield from _files(entry, ())
    yield path


def _record(workspace: Workspace, made: list[Path]) -> None:
    """Write down which files are about to take their names, for a run that finds them after this one was killed."""
    record = workspace.folder / _RECORD
    record.write_text(json.dumps({path.name: identity(path) for path in made}), encoding="utf-8")
    flush(record)
    flush(workspace.folder)


def _published(workspace: Workspace) -> list[str]:
    """Names that an earlier run, which was killed then, had given to its files."""
    try:
        record = parse_json(read_document(workspace.folder / _RECORD, _MOST_OF_RECORD))
        names = [name for name in record if Path(name).name == name]
        return [name for name in names if is_that(workspace.target.parent / name, record[name])]
    except (OSError, *UNSOUND):
        return []


def _take_back(workspace: Workspace) -> None:
    """Undo what a run did that was killed while it gave names: a set of files that never became whole."""
    names, parent = _published(workspace), workspace.target.parent
    if workspace.target.name not in names:
        for name in names:
            (parent / name).replace(workspace.beside(name))
        replaced = workspace.scratch_path(_REPLACED)
        for path in replaced.iterdir() if replaced.is_dir() else ():
            if not os.path.lexists(parent / path.name):
                path.replace(parent / path.name)
    for name in (_REPLACED, _SPENT):
        _discard(workspace, name)
    (workspace.folder / _RECORD).unlink(missing_ok=True)
