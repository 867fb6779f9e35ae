"""GeoJSON text sequences: a feature a line, so that readers need not hold the whole; coordinates as in GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from rasterio.crs import CRS

from geoseg.errors import OptionError
from geoseg.placing import DEGREES, require_way
from geoseg.writers._ogr import OgrWriter
from geoseg.writers._tally import exact

EXTENSIONS = (".geojsonl", ".geojsons", ".ndjson")


class Writer(OgrWriter):
    """Writes a feature a line; GDAL reprojects to WGS 84."""

    driver = "GeoJSONSeq"

    def kept(self, schema: pa.Schema) -> pa.Schema:
        """Texts and whole numbers; coordinates are others in degrees, and numbers have fewer digits."""
        return exact(schema)

    def refuse(self, path: Path, crs: CRS | None) -> None:
        """See `OgrWriter.refuse`.

        Raises:
            OptionError: there is no CRS, or it has no way to the degrees that the format demands.
            OutputError: a path that pyogrio would take for another.
        """
        super().refuse(path, crs)
        if crs is None:
            raise OptionError(
                f"{path.name}: GeoJSON sequences hold degrees, and the map has no CRS; write .gpkg or .parquet"
            )
        require_way(crs, DEGREES, path.name, OptionError)

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """Seven decimals; a line feed between features, which every reader takes."""
        return {"COORDINATE_PRECISION": "7", "RS": "NO"}

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Read every feature; a sequence of none is an empty file, which GDAL does not take for one."""
        if path.is_file() and path.stat().st_size == 0:
            return 0, ()
        return super().read_back(path)
