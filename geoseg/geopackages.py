"""A look at a GeoPackage before GDAL gets it.

It is a database, and what looks like a layer of it can be a program: a view, or a column that is computed when it is
read, may never end, or take any amount of memory. So only tables are read, whose rows are all in the file.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from geoseg.disk import stamps
from geoseg.errors import GeosegError

MAGIC = b"SQLite format 3\0"

# GDAL asks these for what there is and where.
_NOTES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND (name LIKE 'gpkg%' OR name LIKE 'rtree%')"
_LAYERS = """
    SELECT contents.table_name FROM gpkg_contents AS contents
    JOIN gpkg_geometry_columns AS columns ON lower(columns.table_name) = lower(contents.table_name)
    WHERE contents.data_type = 'features'
      AND lower(contents.table_name) IN (SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view'))
    ORDER BY contents.rowid
"""
_NAMED = "SELECT type, sql FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(?)"
# SQLite notes a table with these words whatever it was made with; the index of the geometries is virtual and harmless.
_TABLE = re.compile(r"CREATE TABLE\b", re.IGNORECASE)
_RTREE = re.compile(r"CREATE VIRTUAL TABLE (\"[^\"]*\"|\w+) USING rtree\([\w\s,\"]*\)\s*", re.IGNORECASE)
_COMPUTED = (2, 3)

_MOST_OF_PATH = 504
"""Bytes that SQLite takes, with the names of what it makes beside a database in mind."""

# How a journal begins that is to be rolled back; others leave a journal whose head is zeros.
_HOT = bytes.fromhex("d9d505f920a163d7")
_ESCAPE = re.compile("%[0-9a-fA-F]{2}")


def layers_of(place: Path, path: Path, error: type[GeosegError]) -> list[str]:
    """Names of the layers with geometries.

    Nothing of a layer is read, be it a view or a table.

    Args:
        place: where it is read, see `left_alone`.
        path: what it is called in errors.
        error: their type.

    Raises:
        GeosegError: of the given type: what says which layers there are is computed itself, or contradicts itself.
        ValueError: it is no database, or a broken one, or no GeoPackage.
    """
    try:
        with closing(_opened(place)) as database:
            for (name,) in database.execute(_NOTES).fetchall():
                if reason := _why_computed(database, name):
                    raise error(f"{path}: is no plain GeoPackage: its '{name}' {reason}; save it anew as a GeoPackage")
            names = [name for (name,) in database.execute(_LAYERS) if isinstance(name, str)]
    except sqlite3.Error as cause:
        raise ValueError(f"{cause}; is it a GeoPackage?") from cause
    # GDAL would give both of them other names, by which something else could be read than what was looked at.
    if len({name.lower() for name in names}) < len(names):
        raise error(f"{path}: is no plain GeoPackage: it lists a layer twice; save it anew as a GeoPackage")
    return names


def refuse_computed(place: Path, path: Path, layer: str, error: type[GeosegError]) -> None:
    """Refuse a layer that is no plain table; the arguments are those of `layers_of`.

    Raises:
        GeosegError: of the given type: it is a view, a virtual table, or has columns that are computed.
        ValueError: the file is a broken database.
    """
    try:
        with closing(_opened(place)) as database:
            reason = _why_computed(database, layer)
    except sqlite3.Error as cause:
        raise ValueError(str(cause)) from cause
    if reason:
        raise error(f"{path}: layer '{layer}' {reason}; save it as a layer of its own in a new GeoPackage")


def crs_text_of(place: Path) -> str:
    """The text of all its coordinate systems; empty where it is broken, which GDAL finds too."""
    try:
        with closing(_opened(place)) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            rows = database.execute("SELECT * FROM gpkg_spatial_ref_sys").fetchall()
    except sqlite3.Error:
        return ""
    return "\n".join(value for row in rows for value in row if isinstance(value, str))


@contextmanager
def left_alone(path: Path, error: type[GeosegError]) -> Iterator[Path]:
    """Where to read it, with GDAL's option IMMUTABLE, so that nothing is written into it nor beside it.

    What another program that has it open (QGIS, say) keeps in a log is read, too, from a copy: GDAL would finish that
    program's work, and make and remove files of SQLite while it reads.

    Raises:
        GeosegError: of the given type: it is written to just now, a program left it in the middle of a change, or its
            path is too long.
        OSError: it, or what lies beside it, cannot be read or copied.
    """
    refuse_long_path(path, error)
    log, journal = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-journal"))
    if _holds(journal, _HOT):
        raise error(f"{path}: is in the middle of a change by another program, or was left so; close it there")
    has_changes = _holds(log, b"")
    if not (has_changes or os.path.lexists(log) or _ESCAPE.search(str(path.absolute()))):
        yield path.absolute()
        return
    with TemporaryDirectory(prefix="geoseg-") as folder:
        place = Path(folder) / "layers.gpkg"
        if has_changes:
            _copy_with(log, path, place, error)
        else:
            # GDAL removes an empty log whatever the option says, and takes a name such as "%20" for another.
            place.symlink_to(path.absolute())
        yield place


def refuse_long_path(path: Path, error: type[GeosegError]) -> None:
    """Refuse a GeoPackage at a path that SQLite does not take, of which it says that it cannot open it.

    Raises:
        GeosegError: of the given type.
    """
    size = len(os.fsencode(path.absolute()))
    if size > _MOST_OF_PATH:
        raise error(
            f"{path.name}: its path has {size:,} bytes, and that of a GeoPackage may have {_MOST_OF_PATH}; shorten its "
            "name, or put it into a folder higher up"
        )


def _copy_with(log: Path, path: Path, place: Path, error: type[GeosegError]) -> None:
    """Copy it as it is with the changes in its log."""
    before = stamps([path])
    shutil.copyfile(path, place)
    shutil.copyfile(log, place.with_name(f"{place.name}-wal"))
    if stamps([path]) != before:
        raise error(f"{path}: is written to by another program just now; try again when that is done")
    with closing(sqlite3.connect(place)) as database:
        database.execute("PRAGMA journal_mode = delete").fetchall()


def _holds(path: Path, mark: bytes) -> bool:
    """True when a file is there, with something in it that begins with a mark."""
    try:
        with path.open("rb") as file:
            head = file.read(max(len(mark), 1))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # beside a file of the longest name there is none of a longer one
            raise
        return False
    return bool(head) and head.startswith(mark)


def _opened(path: Path) -> sqlite3.Connection:
    """The database; nothing is written, and nothing made beside it."""
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)


def _why_computed(database: sqlite3.Connection, name: str) -> str | None:
    """What makes a table more than its rows, None for nothing."""
    for kind, sql in database.execute(_NAMED, (name,)).fetchall():
        if kind == "view":
            return "is a view, which is computed when it is read"
        if not (_TABLE.match(str(sql)) or _RTREE.fullmatch(str(sql))):
            return "is a virtual table, which is computed when it is read"
    kinds = database.execute("SELECT hidden FROM pragma_table_xinfo(?)", (name,))
    if any(kind in _COMPUTED for (kind,) in kinds):
        return "has columns that are computed when they are read"
    return None
