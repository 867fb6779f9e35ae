"""GeoPackage: what desktop GIS read best, with the style QGIS opens it in."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from geoseg.errors import OutputError
from geoseg.geopackages import refuse_long_path
from geoseg.raster import first_line
from geoseg.writers._ogr import OgrWriter
from geoseg.writers._qml import polygon_style, sample_style

EXTENSIONS = (".gpkg",)

# The table in which QGIS looks for styles, with its own columns; listed in gpkg_contents, as the standard demands.
_TABLE = """CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""
_LISTED = "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', ?)"
_STYLE = """INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
    styleQML, styleSLD, useAsDefault, description, owner) SELECT '', '', table_name, column_name, 'classes', ?, '', 1,
    'colours of the classes', '' FROM gpkg_geometry_columns"""

# Punctuation, and the names that the format, SQLite and QGIS keep for themselves.
_REFUSED = re.compile(r"\A[!-/:-@\[-^`{-~]+\s*")
_RESERVED = re.compile(r"gpkg|sqlite_|rtree_|layer_styles\Z", re.IGNORECASE)


class Writer(OgrWriter):
    """Writes a GeoPackage with one layer, a spatial index and a style."""

    driver = "GPKG"

    def refuse(self, path: Path, crs: CRS | None) -> None:
        """See `OgrWriter.refuse`.

        Raises:
            OutputError: a path that SQLite does not take, or that pyogrio would take for another.
        """
        refuse_long_path(path, OutputError)
        super().refuse(path, crs)

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """The description becomes the layer's."""
        return {"DESCRIPTION": description} if description else {}

    def layer_name(self, stem: str) -> str:
        """The stem, without what GDAL refuses at the beginning of a table's name, and no name of the format itself."""
        name = _REFUSED.sub("", stem) or "map"
        return f"map_{name}" if _RESERVED.match(name) else name

    def style(self, classes: list[tuple[int, str, str]]) -> None:
        """Put the style into the file when it is closed."""
        self._style = polygon_style(classes) if classes else None

    def labelling(self, field: str, classes: list[tuple[int, str, str]], hidden: tuple[str, ...]) -> None:
        """Make QGIS show points to label: `field` is chosen from the classes' names, `hidden` fields are not shown."""
        self._style = sample_style(field, classes, hidden)

    def close(self) -> None:
        """Finish the file, then add the style.

        Raises:
            OutputError: GDAL or SQLite could not write it.
        """
        super().close()
        style = getattr(self, "_style", None)
        if style is None:
            return
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute(_TABLE)
                database.execute(_LISTED, ("layer_styles",))
                database.execute(_STYLE, (style,))
        except sqlite3.Error as error:
            raise OutputError(
                f"{self._path.name}: cannot be written: {first_line(error)}; is the disk full?"
            ) from error

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Read every feature, and see that the spatial index has them all: GDAL leaves it out where the disk is full.

        Raises:
            OutputError: something is not there.
        """
        count, columns = super().read_back(path)
        indexed = 0
        try:
            with closing(sqlite3.connect(path)) as database:
                for name in database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall():
                    table = "_".join(("rtree", *name)).replace('"', '""')
                    indexed += int(database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608
        except sqlite3.Error as error:
            raise OutputError(f"{path.name}: has no whole index: {first_line(error)}; is the disk full?") from error
        if indexed != count:
            raise OutputError(f"{path.name}: {indexed} of {count} features are in its index; is the disk full?")
        return count, columns
