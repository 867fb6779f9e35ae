"""How far each region is, on disk: replaced whole, so that whoever looks finds a table, and a run can go on from it."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from geoseg import __version__
from geoseg.atlas.tasks import OUTLINE, read_note
from geoseg.disk import LOCK, fresh_file, locked
from geoseg.documents import UNSOUND, checked, parse_json
from geoseg.errors import OutputExistsError
from geoseg.output import MARKER, refuse_existing, refuse_foreign, refuse_foreign_workspace, tidy
from geoseg.vector import read_parquet

NOTE, WORK, REGIONS, TABLE = "atlas.json", ".work", "regions", "regions.parquet"
WAITING, RUNNING, DONE, FAILED, NO_SCENE, NO_DATA = "waiting", "running", "done", "failed", "no scene", "no data"

_KEY_LETTERS = 16

_EVERY = 2.0
"""Seconds at least between two tables of a run; more where writing one takes long."""


@dataclass(slots=True)
class Outcome:
    """How far a region is.

    Attributes:
        name, slug: of the region.
        state: waiting, running, done, failed, no scene, or no data.
        why: it failed.
        scenes: how many lie over it.
        left_out: what was wrong with those that could not be read, by name.
        megapixels: that are mapped; of its grid until they are.
        seconds: of work, of all workers together.
        attempts: how often it was tried.
        key: what makes two maps of it the same work.
        map, polygons, item: its files, in the folder of the atlas.
    """

    name: str
    slug: str
    state: str = WAITING
    why: str = ""
    scenes: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    megapixels: float = 0.0
    seconds: float = 0.0
    attempts: int = 0
    key: str = ""
    map: str = ""
    polygons: str = ""
    item: str = ""


class Table:
    """The outcomes of all regions, and their file."""

    def __init__(self, folder: Path, outcomes: list[Outcome], outlines: list[shapely.Geometry]) -> None:
        """Begin with what is known; outlines are in longitude and latitude, cut at the antimeridian."""
        self._path = folder / TABLE
        self.outcomes = outcomes
        self._by_slug = {outcome.slug: outcome for outcome in outcomes}
        self._outlines = outlines
        self._saved, self._changed, self._every = -_EVERY, True, _EVERY

    def __getitem__(self, slug: str) -> Outcome:
        return self._by_slug[slug]

    def changed(self) -> None:
        """Note that an outcome is another."""
        self._changed = True

    def counts(self) -> Counter[str]:
        """How many regions are in each state."""
        return Counter(outcome.state for outcome in self.outcomes)

    def frame(self) -> gpd.GeoDataFrame:
        """One row for each region."""
        rows = [asdict(outcome) | {"left_out": json.dumps(outcome.left_out)} for outcome in self.outcomes]
        columns = list(Outcome.__dataclass_fields__)
        return gpd.GeoDataFrame(pd.DataFrame(rows, columns=columns), geometry=self._outlines, crs="EPSG:4326")

    def save(self, *, now: bool = False) -> None:
        """Write the table if it changed and the last is old enough, or `now`.

        Raises:
            OutputError: the disk is full.
        """
        if not self._changed or (not now and time.monotonic() - self._saved < self._every):
            return
        start = time.monotonic()
        with fresh_file(self._path) as fresh:
            self.frame().to_parquet(fresh)
        self._saved, self._changed = time.monotonic(), False
        self._every = max(_EVERY, 20 * (self._saved - start))


def earlier(folder: Path) -> dict[str, Outcome]:
    """The outcomes of an earlier run, by the names of their files; none where there is no table that can be read."""
    try:
        frame = read_parquet(folder / TABLE)
        rows = frame.drop(columns="geometry").to_dict("records")
        return {row["slug"]: checked(Outcome, row | {"left_out": parse_json(row["left_out"])}) for row in rows}
    except (OSError, MemoryError, *UNSOUND):
        return {}


@contextmanager
def opened(folder: Path, key: str, given: dict[str, Any], overwrite: bool) -> Iterator[None]:
    """Keep the folder of an atlas to this process; made, gone on with, or begun anew.

    Raises:
        OutputExistsError: it holds something else, or an atlas made with another model or options.
        OutputError: it cannot be made, or another run is at work in it.
    """
    if not folder.exists():
        refuse_existing(folder, overwrite)
        folder.mkdir()
    elif not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; choose a folder that does not exist yet")
    with locked(folder, folder):
        _begin(folder, key, given, overwrite)
        yield


def _begin(folder: Path, key: str, given: dict[str, Any], overwrite: bool) -> None:
    note = read_note(folder / NOTE)
    if note is None and any(entry.name not in (LOCK, NOTE, f".{NOTE}.new") for entry in folder.iterdir()):
        if (folder / NOTE).exists():
            raise OutputExistsError(
                f"{folder / NOTE}: cannot be read, and it says with what the atlas was made; put back what it was, or "
                "choose another name"
            )
        raise OutputExistsError(f"{folder} holds files that geoseg map did not make; choose another name")
    if note is not None and note.get("key") != key:
        if not overwrite:
            options = note.get("options")
            before = options if isinstance(options, dict) else {}
            other = next((name for name, value in given.items() if before.get(name) != value), "version")
            raise OutputExistsError(
                f"{folder} holds an atlas made with another {other.replace('_', ' ')} "
                f"({str(before.get(other, note.get('version')))[:80]}); choose another name or give --overwrite"
            )
        _empty(folder)
    # First of all: whoever finds the note knows that the rest is geoseg's.
    with fresh_file(folder / NOTE) as fresh:
        fresh.write_text(json.dumps({"version": __version__, "key": key, "options": given}, indent=1), encoding="utf-8")
    (folder / REGIONS).mkdir(exist_ok=True)
    (folder / WORK).mkdir(exist_ok=True)


def work_of(folder: Path, slug: str, key: str) -> Path:
    """Where what is done of a region is kept until it is complete."""
    return folder / WORK / f"{slug}-{key[:_KEY_LETTERS]}"


def sweep(folder: Path, outcomes: list[Outcome]) -> None:
    """Take away what runs that were killed left of regions that are complete."""
    done = {outcome.slug for outcome in outcomes if outcome.state == DONE}
    for slug in done:
        tidy(folder / REGIONS / slug)
    work = folder / WORK
    for entry in work.iterdir():
        if entry.name[: -_KEY_LETTERS - 1] in done and _is_work(entry):
            shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError):
        work.rmdir()


def _is_work(path: Path) -> bool:
    """True for a folder that was made by `work_of`; one that was only just made is empty."""
    return path.is_dir() and not path.is_symlink() and ((path / OUTLINE).is_file() or not any(path.iterdir()))


def _empty(folder: Path) -> None:
    """Take away the maps of another atlas, and nothing that geoseg did not make."""
    for region in sorted((folder / REGIONS).iterdir()) if (folder / REGIONS).is_dir() else ():
        if region.name.startswith(".") and region.name.endswith(".partial"):
            refuse_foreign_workspace(region)
            continue
        if not (region / MARKER).is_file():
            raise OutputExistsError(f"{region}: was not made by geoseg map; move it away or choose another name")
        refuse_foreign(region)
    for work in (folder / WORK).iterdir() if (folder / WORK).is_dir() else ():
        if not _is_work(work):
            raise OutputExistsError(f"{work}: was not made by geoseg map; move it away or choose another name")
    for name in (REGIONS, WORK):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / TABLE).unlink(missing_ok=True)
