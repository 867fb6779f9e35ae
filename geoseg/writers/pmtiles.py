"""PMTiles: vector tiles in one file, to be shown on the web from any file server."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from geoseg.errors import OptionError, OutputError
from geoseg.raster import first_line
from geoseg.writers._ogr import READ_ROWS, OgrWriter

EXTENSIONS = (".pmtiles",)

WORLD = 2 * math.pi * 6378137
"""Width of the world in Web Mercator, in metres."""

EXTENT = 4096
"""Steps of the coordinates across a tile."""

STEPS = 8
"""Steps that a pixel of the map has at least at the deepest zoom."""

DEEPEST, USUAL = 22, 14


class Writer(OgrWriter):
    """Writes the polygons as tiles, cut at their edges and coarser at lower zooms; they keep their `id`."""

    driver = "PMTiles"

    def open(
        self,
        path: Path,
        crs: CRS | None,
        schema: pa.Schema,
        description: str = "",
        geometry_type: str = "Polygon",
    ) -> None:
        """Take note; the first polygons tell how deep the tiles have to go.

        Raises:
            OptionError: the map has no CRS.
            OutputError: a path that pyogrio would take for another.
        """
        self.refuse(path, crs)
        self._path, self._asked = path, (path, crs, schema, description, geometry_type)
        self._zoom: int | None = None

    def refuse(self, path: Path, crs: CRS | None) -> None:
        """See `OgrWriter.refuse`.

        Raises:
            OptionError: the map has no CRS, and tiles lie on the Earth.
            OutputError: a path that pyogrio would take for another.
        """
        super().refuse(path, crs)
        if crs is None:
            raise OptionError(f"{path}: the map has no CRS and tiles need one; write GeoPackage or FlatGeobuf instead")

    def write(self, batch: pa.RecordBatch, bounds: Any) -> None:
        """Append a batch; see `OgrWriter.write`."""
        self._begin(batch)
        super().write(batch, bounds)

    def close(self) -> None:
        """Finish the file; see `OgrWriter.close`."""
        self._begin(None)
        super().close()

    def abort(self) -> None:
        """Stop the thread, if it runs."""
        if self._zoom is not None:
            super().abort()

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """How deep, and nothing thrown away for the sake of small tiles."""
        told = {"DESCRIPTION": description} if description else {}
        limits = {"MAX_SIZE": 50_000_000, "MAX_FEATURES": 10_000_000, "EXTENT": EXTENT}
        return told | limits | {"MINZOOM": 0, "MAXZOOM": self._zoom, "NAME": self._path.stem}

    def kept(self, schema: pa.Schema) -> pa.Schema:
        """None: tiles hold other columns, and each polygon in parts."""
        return pa.schema([])

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Count the polygons of the deepest zoom, each once however many tiles it lies in; the columns are others."""
        found = np.empty(0, np.int64)
        try:
            with pyogrio.open_arrow(path, layer=0, columns=["id"], read_geometry=False, batch_size=READ_ROWS) as (
                _,
                stream,
            ):
                for batch in pa.RecordBatchReader.from_stream(stream):
                    found = np.union1d(found, batch.column("id").to_numpy(zero_copy_only=False))
        except (DataSourceError, DataLayerError, OSError, pa.ArrowException) as error:
            raise OutputError(f"{path.name}: cannot be read back: {first_line(error)}; is the disk full?") from error
        return len(found), ()

    def _begin(self, batch: pa.RecordBatch | None) -> None:
        if self._zoom is None:
            self._zoom = USUAL if batch is None else _depth(batch)
            super().open(*self._asked)


def _depth(batch: pa.RecordBatch) -> int:
    """The zoom at which a pixel of the map has `STEPS` steps, at the equator where its tiles are largest."""
    pixels, metres = (np.asarray(batch.column(name), float).sum() for name in ("pixels", "area_m2"))
    if not metres > 0 or not pixels > 0:
        return USUAL
    deep = math.ceil(math.log2(STEPS * WORLD / EXTENT / math.sqrt(metres / pixels)))
    return min(max(deep, 0), DEEPEST)
