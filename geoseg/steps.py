"""The steps of a run, and how far it is: kept in its folder, so that the same run goes on where it was cut off."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from geoseg import __version__
from geoseg.disk import LOCK, Stamp, fresh_file, locked, refuse_changed, stamps
from geoseg.documents import UNSOUND, checked, parse_json
from geoseg.errors import OutputExistsError
from geoseg.output import digest, give_up, refuse_existing, refuse_foreign
from geoseg.training.checkpoint import discard

logger = logging.getLogger(__name__)

STATE, FRESH = "run.json", ".run.json.new"


class _State(TypedDict):
    """How far a run is."""

    version: str
    key: str
    options: dict[str, Any]
    files: list[str]
    done: list[str]
    scores: dict[str, Any] | None


class Steps:
    """Which steps of a run are complete, kept in its folder."""

    def __init__(
        self, folder: Path, key: str, given: dict[str, Any], overwrite: bool, sources: tuple[Stamp, ...] = ()
    ) -> None:
        """Begin a run in an empty folder, or go on with the same run in its own."""
        self._folder, self._sources = folder, sources
        state = _previous(folder)
        if state is None or state["key"] != key or state["scores"] is not None:
            if state is not None and not overwrite:
                what = "another run" if state["key"] != key else "this run, complete"
                raise OutputExistsError(f"{folder} holds {what}; choose another name or give --overwrite")
            if state is not None:
                _remove(folder, state["files"])
            state = _State(version=__version__, key=key, options=given, files=[], done=[], scores=None)
        self._state = state
        self._save()

    @classmethod
    @contextmanager
    def open(cls, folder: Path, given: dict[str, Any], files: list[str | Path], overwrite: bool) -> Iterator[Steps]:
        """Keep the folder of a run to this process.

        Raises:
            OutputExistsError: the folder holds something else.
            OutputError: it cannot be made, or another run is at work in it.
        """
        sources = stamps(files)
        key = digest({"version": __version__} | given, sources)
        is_new = not folder.exists()
        if is_new:
            refuse_existing(folder, overwrite)
            folder.mkdir()
        elif not folder.is_dir():
            raise OutputExistsError(f"{folder} is a file; choose a folder that does not exist yet")
        try:
            with locked(folder, folder):
                yield cls(folder, key, given, overwrite, sources)
        finally:
            if is_new:
                _leave_no_beginning(folder)

    def begin(self, *files: Path) -> bool:
        """Note files that are about to be made; True where they are this run's own, made before it was cut off."""
        # Noted before they are made, so that whoever begins anew knows what to take away.
        fresh = [file.relative_to(self._folder).as_posix() for file in files]
        ours = set(fresh) <= set(self._state["files"])
        if not ours:
            self._state["files"] += fresh
            self._save()
        return ours

    def do(
        self, name: str, work: Callable[..., object], *files: Path, is_whole: Callable[[], bool] = lambda: True
    ) -> None:
        """Do a step that makes `files`, unless it is complete.

        Args:
            name: of the step.
            work: does it, and is told whether it may overwrite.
            *files: what it makes.
            is_whole: whether what it made is still all there, where the disk may not have had it all.

        Raises:
            SceneError: a file that the run reads was changed since it began; its steps would not belong together.
        """
        if name in self._state["done"]:
            if is_whole():
                logger.info("%s: done before", name)
                return
            logger.warning("%s: was done before, and part of it is lost; doing it again", name)
        refuse_changed(self._sources, self._folder)
        done = work(overwrite=self.begin(*files))
        refuse_changed(self._sources, self._folder)
        logger.info("%s", done)
        if name not in self._state["done"]:
            self._state["done"].append(name)
        self._save()

    def finish(self, scores: dict[str, Any]) -> None:
        """Note that all is complete.

        Raises:
            SceneError: as `do`.
        """
        refuse_changed(self._sources, self._folder)
        self._state["scores"] = scores
        self._save()

    def _save(self) -> None:
        with fresh_file(self._folder / STATE) as fresh:
            fresh.write_text(json.dumps(self._state, indent=1, default=str), encoding="utf-8")


def _leave_no_beginning(folder: Path) -> None:
    """Take away the folder of a run that was refused before it made anything."""
    if [entry.name for entry in folder.iterdir()] == [STATE]:
        (folder / STATE).unlink()
        folder.rmdir()


def _previous(folder: Path) -> _State | None:
    """The state of the run that the folder holds, None for an empty folder."""
    path = folder / STATE
    if not path.exists():
        if any(entry.name not in {LOCK, FRESH} for entry in folder.iterdir()):
            raise OutputExistsError(f"{folder} holds files that geoseg run did not make; choose another name")
        return None
    try:
        return checked(_State, parse_json(path.read_bytes()))
    except (OSError, *UNSOUND) as error:
        raise OutputExistsError(f"{path}: cannot be read, so the run cannot go on; choose another name") from error


def _remove(folder: Path, files: list[str]) -> None:
    """Take away what an earlier run made, and nothing that lies elsewhere."""
    for name in files:
        path = folder / name
        try:
            place = path.resolve()
            path.is_dir()
        except (OSError, ValueError) as error:
            raise OutputExistsError(
                f"{folder / STATE}: lists what is no name of a file; choose another name"
            ) from error
        if not place.is_relative_to(folder.resolve()) or place == folder.resolve():
            raise OutputExistsError(f"{folder / STATE}: lists {name}, which is not in the folder; choose another name")
        if path.is_dir() and not path.is_symlink():
            refuse_foreign(path)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        # What the earlier run had begun.
        give_up(path)
        discard(path)
