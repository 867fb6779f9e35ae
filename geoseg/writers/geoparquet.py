"""GeoParquet 1.1: columns for analysis, with the bounds of each polygon so that readers can skip row groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from rasterio.crs import CRS

from geoseg.errors import OutputError
from geoseg.raster import first_line

EXTENSIONS = (".parquet", ".geoparquet")

READ_ROWS = 1024

READ_BYTES = 1 << 20

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Writer:
    """Writes GeoParquet with WKB geometries, a `bbox` column, and a row group for each batch."""

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
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._schema = schema.append(pa.field("bbox", pa.struct([(corner, pa.float64()) for corner in CORNERS])))
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, batch: pa.RecordBatch, bounds: npt.NDArray[np.float64]) -> None:
        """Append a batch as a row group."""
        columns = [pa.array(np.ascontiguousarray(bounds[:, corner])) for corner in range(4)]
        boxes = pa.StructArray.from_arrays(columns, names=CORNERS)
        self._file.write_batch(pa.RecordBatch.from_arrays([*batch.columns, boxes], schema=self._schema))
        if len(bounds):
            least, greatest = bounds[:, :2].min(0), bounds[:, 2:].max(0)
            self._bounds[:2] = np.minimum(self._bounds[:2], least)
            self._bounds[2:] = np.maximum(self._bounds[2:], greatest)

    def style(self, classes: list[tuple[int, str, str]]) -> None:
        """The format has no place for it."""

    def close(self) -> None:
        """Write the metadata, which holds the bounds of all, and finish the file."""
        metadata = {"geo": json.dumps(self._metadata())}
        if self._description:
            metadata["description"] = self._description
        self._file.add_key_value_metadata(metadata)
        self._file.close()

    def abort(self) -> None:
        """Close the file; what it holds is of no use."""
        self._file.close()

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Read every row."""
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
                names = tuple(name for name in file.schema_arrow.names if name not in {"geometry", "bbox"})
                return sum(batch.num_rows for batch in file.iter_batches(READ_ROWS, use_threads=False)), names
        except (OSError, pa.ArrowException) as error:
            raise OutputError(f"{path.name}: cannot be read back: {first_line(error)}; is the disk full?") from error

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
