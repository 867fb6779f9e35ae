"""GeoParquet 1.1: columns for analysis, with the bounds of each polygon so that readers can skip row groups."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
from rasterio.crs import CRS

from geoseg.errors import OutputError
from geoseg.raster import first_line
from geoseg.writers._tally import Tally

EXTENSIONS = (".parquet", ".geoparquet")

READ_ROWS = 1024

READ_BYTES = 1 << 20

BUFFER_ROWS, BUFFER_BYTES = 100_000, 1 << 26
"""Rows, and bytes of geometry, that are sorted together."""

GROUP_ROWS = 20_000
"""Rows of a row group: what a reader takes or skips as one."""

LARGE = 1 << 23
"""Bytes of a geometry that is a row group of its own."""

HILBERT_ORDER = 16

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Writer:
    """Writes GeoParquet with WKB geometries and a `bbox` column, sorted by place."""

    _tally: Tally | None = None

    def open(
        self,
        path: Path,
        crs: CRS | None,
        schema: pa.Schema,
        description: str = "",
        geometry_type: str = "Polygon",
    ) -> None:
        """Write the head of the file."""
        self._path, self._crs, self._description, self._geometry_type = path, crs, description, geometry_type
        self._tally = Tally(schema)
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._schema = schema.append(pa.field("bbox", pa.struct([(corner, pa.float64()) for corner in CORNERS])))
        self._waiting: list[pa.RecordBatch] = []
        self._boxes: list[npt.NDArray[np.float64]] = []
        self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "geoseg-parquet")
        self._written: Future[None] | None = None
        # Of geometries neither what repeats nor the least is of use, and a large one would be held several times.
        told = [field.name for field in self._schema if field.name not in ("geometry", "bbox")]
        told += [f"bbox.{corner}" for corner in CORNERS]
        texts = [field.name for field in self._schema if pa.types.is_string(field.type)]
        self._file = pq.ParquetWriter(
            path, self._schema, compression="zstd", use_dictionary=texts, write_statistics=told
        )

    def write(self, batch: pa.RecordBatch, bounds: npt.NDArray[np.float64]) -> None:
        """Append a batch; rows are written when enough have gathered to be sorted by place."""
        if self._tally is not None:
            self._tally.add(batch)
        columns = [pa.array(np.ascontiguousarray(bounds[:, corner])) for corner in range(4)]
        boxes = pa.StructArray.from_arrays(columns, names=CORNERS)
        self._waiting.append(pa.RecordBatch.from_arrays([*batch.columns, boxes], schema=self._schema))
        self._boxes.append(bounds)
        if len(bounds):
            self._bounds[:2] = np.minimum(self._bounds[:2], bounds[:, :2].min(0))
            self._bounds[2:] = np.maximum(self._bounds[2:], bounds[:, 2:].max(0))
        self._bytes += batch.nbytes
        if self._bytes > BUFFER_BYTES or sum(map(len, self._boxes)) > BUFFER_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Hand what has gathered to the thread that sorts and writes, once it is done with what came before."""
        self._wait()
        if self._waiting:
            self._written = self._thread.submit(self._write_sorted, self._waiting, self._boxes)
        self._waiting, self._boxes, self._bytes = [], [], 0

    def _wait(self) -> None:
        """Wait for the thread.

        Raises:
            OSError: it could not write.
        """
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write_sorted(self, batches: list[pa.RecordBatch], boxes: list[npt.NDArray[np.float64]]) -> None:
        """Write rows along a Hilbert curve, so that each row group lies in one place."""
        table = pa.Table.from_batches(batches)
        batches.clear()
        order = np.argsort(hilbert(np.concatenate(boxes)), kind="stable") if len(table) else np.empty(0, int)
        large = pc.greater(pc.binary_length(table["geometry"]), LARGE).to_numpy()
        self._file.write_table(table.take(pa.array(order[~large[order]])), row_group_size=GROUP_ROWS)
        for row in np.flatnonzero(large):  # by itself, without a copy
            self._file.write_table(table.slice(row, 1))

    def style(self, classes: list[tuple[int, str, str]]) -> None:
        """The format has no place for it."""

    def close(self) -> None:
        """Write the metadata, which holds the bounds of all, and finish the file."""
        self._flush()
        self._wait()
        self._thread.shutdown()
        metadata = {"geo": json.dumps(self._metadata())}
        if self._description:
            metadata["description"] = self._description
        self._file.add_key_value_metadata(metadata)
        self._file.close()

    def abort(self) -> None:
        """Close the file; what it holds is of no use."""
        self._thread.shutdown()
        self._file.close()

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Read every row; see `OgrWriter.read_back`."""
        count, found = 0, None if self._tally is None else self._tally.empty()
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
                names = tuple(name for name in file.schema_arrow.names if name not in {"geometry", "bbox"})
                geo = (file.metadata.metadata or {}).get(b"geo")
                for batch in file.iter_batches(READ_ROWS, use_threads=False):
                    count += batch.num_rows
                    if found is not None:
                        found.add(batch)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{path.name}: cannot be read back: {first_line(error)}; is the disk full?") from error
        if self._tally is not None and found is not None:
            self._tally.refuse_other(found, path.name)
            if geo != json.dumps(self._metadata()).encode():
                raise OutputError(
                    f"{path.name}: what it says of its geometries could not be read back; is the disk full?"
                )
        return count, names

    def _metadata(self) -> dict[str, Any]:
        """Metadata by the GeoParquet 1.1 specification; without a CRS it says null, which means unknown."""
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": [self._geometry_type],
            "crs": None if self._crs is None else pyproj.CRS.from_wkt(self._crs.to_wkt()).to_json_dict(),
            "orientation": "counterclockwise",
            "edges": "planar",
            "covering": {"bbox": {corner: ["bbox", corner] for corner in CORNERS}},
        }
        if np.isfinite(self._bounds).all():
            column["bbox"] = self._bounds.tolist()
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def hilbert(bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(N,) places of the middles of boxes on a Hilbert curve over all of them.

    Algorithm: Hamilton and Rau-Chaplin 2008, Compact Hilbert indices; here in two dimensions, bit by bit.
    """
    middles = (bounds[:, :2] + bounds[:, 2:]) / 2
    low = middles.min(0)
    size = max(float((middles.max(0) - low).max()), 1e-300)
    x, y = ((middles - low) / size * ((1 << HILBERT_ORDER) - 1)).astype(np.int64).T
    place = np.zeros(len(middles), np.int64)
    for bit in range(HILBERT_ORDER - 1, -1, -1):
        right, up = x >> bit & 1, y >> bit & 1
        place = place << 2 | (3 * right) ^ up
        # The curve in a lower quadrant is turned, in the lower right one also mirrored.
        mask = np.int64((1 << bit) - 1)
        x, y = x & mask, y & mask
        mirrored = (up == 0) & (right == 1)
        x, y = np.where(mirrored, mask - x, x), np.where(mirrored, mask - y, y)
        x, y = np.where(up == 0, y, x), np.where(up == 0, x, y)
    return place
