"""GeoJSON by RFC 7946: longitude and latitude on WGS 84, 7 decimals (1 cm), counter-clockwise outlines."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
from rasterio.crs import CRS

from geoseg.errors import OptionError
from geoseg.placing import DEGREES, require_way
from geoseg.writers._ogr import OgrWriter
from geoseg.writers._tally import exact

logger = logging.getLogger(__name__)

EXTENSIONS = (".geojson",)


class Writer(OgrWriter):
    """Writes GeoJSON text; an empty layer has no columns, as the format keeps them with the features."""

    driver = "GeoJSON"

    def refuse(self, path: Path, crs: CRS | None) -> None:
        """See `OgrWriter.refuse`; without a CRS the coordinates stay pixels, and that is said.

        Raises:
            OptionError: the CRS has no way to the degrees that the format demands.
            OutputError: a path that pyogrio would take for another.
        """
        super().refuse(path, crs)
        if crs is None:
            logger.warning(
                "%s: without a CRS the coordinates are pixels, not the degrees GeoJSON readers expect", path.name
            )
        else:
            require_way(crs, DEGREES, path.name, OptionError)

    def kept(self, schema: pa.Schema) -> pa.Schema:
        """Texts and whole numbers; coordinates are others in degrees, and numbers have fewer digits."""
        return exact(schema)

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """RFC 7946 makes GDAL reproject, round, and turn rings the right way round."""
        options = {"RFC7946": "NO" if crs is None else "YES"}
        return options | ({"DESCRIPTION": description} if description else {})
