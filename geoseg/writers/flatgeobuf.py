"""FlatGeobuf: small, quick, and readable in part over HTTP."""

from __future__ import annotations

from typing import Any

from rasterio.crs import CRS

from geoseg.writers._ogr import OgrWriter

EXTENSIONS = (".fgb",)


class Writer(OgrWriter):
    """Writes a FlatGeobuf file with its spatial index."""

    driver = "FlatGeobuf"

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """The description becomes the layer's."""
        return {"DESCRIPTION": description} if description else {}
