"""GeoPackage: what desktop GIS read best."""

from __future__ import annotations

from typing import Any

from rasterio.crs import CRS

from geoseg.writers._ogr import OgrWriter

EXTENSIONS = (".gpkg",)


class Writer(OgrWriter):
    """Writes a GeoPackage with one layer and a spatial index."""

    driver = "GPKG"

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """The description becomes the layer's."""
        return {"DESCRIPTION": description} if description else {}
