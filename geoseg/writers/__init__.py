"""Outputs: one module per format, found by the extensions it names in `EXTENSIONS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from geoseg import registry
from geoseg.errors import OptionError


class VectorWriter(Protocol):
    """Writes a layer of polygons batch by batch; batches and bounds are Arrow and NumPy values.

    Whoever opens it ends with `close` when all is written, or with `abort` after an error.
    """

    def open(self, path: Path, crs: Any, schema: Any, description: str = "", geometry_type: str = "Polygon") -> None:
        """Begin a new layer.

        Args:
            path: a file that does not exist; its stem names the layer, as far as the format allows.
            crs: rasterio CRS, or None for pixel coordinates.
            schema: Arrow schema; the last column is "geometry", as WKB.
            description: one line about how the layer was made.
            geometry_type: "Polygon" or "MultiPolygon".
        """

    def write(self, batch: Any, bounds: Any) -> None:
        """Append a record batch and the (rows, 4) bounds of its polygons."""

    def style(self, classes: list[tuple[int, str, str]]) -> None:
        """Say with what (id, name, colour) each class is to be shown, before closing; not all formats keep it."""

    def close(self) -> None:
        """Finish the file."""

    def abort(self) -> None:
        """Let go of the file without finishing it."""

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Number of features of a finished file, and its columns without the geometry (none if it cannot tell)."""


def vector_writer(path: Path) -> VectorWriter:
    """A writer for the format that a file's extension asks for.

    Raises:
        OptionError: no writer for that extension; the sentence names those there are.
    """
    known: list[str] = []
    for name in registry.names("geoseg.writers"):
        module = registry.load("geoseg.writers", name)
        # Raster writers live in the same folder.
        if not hasattr(module, "Writer"):
            continue
        if path.suffix.lower() in module.EXTENSIONS:
            writer: VectorWriter = module.Writer()
            return writer
        known += module.EXTENSIONS
    raise OptionError(
        f"{path}: polygons cannot be written as '{path.suffix}'; choose one of {', '.join(sorted(known))}"
    )
