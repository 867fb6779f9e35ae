"""The columns of a layer of polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geoseg.errors import OutputError
from geoseg.vectors import regions
from geoseg.vectors.encode import Shapes
from geoseg.vectors.faces import Faces
from geoseg.vectors.source import Categories, MapSource

BATCH_BYTES = 1 << 28
"""Geometry of one Arrow batch; its offsets have 32 bits."""

Bounds = npt.NDArray[np.float64]


@dataclass(slots=True)
class Totals:
    """What went into a layer.

    Attributes:
        polygons, vertices: how many.
        metres: area in square metres.
        drawn, exact: area of each class in pixels, as drawn and as it is on the map.
    """

    polygons: int = 0
    vertices: int = 0
    metres: float = 0.0
    drawn: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    exact: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, classes: Any, faces: Faces, shapes: Shapes) -> None:
        """Count polygons of the given classes."""
        self.polygons += len(classes)
        self.vertices += int(shapes.vertices.sum())
        self.metres += float(faces.metres.sum())
        size = max(len(self.drawn), int(classes.max(initial=-1)) + 1)
        self.drawn = np.pad(self.drawn, (0, size - len(self.drawn)))
        np.add.at(self.drawn, classes, faces.area)
        self.exact = np.pad(self.exact, (0, size - len(self.exact)))
        np.add.at(self.exact, classes, faces.pixels)


class Layer:
    """Turns faces and their shapes into record batches."""

    def __init__(self, source: MapSource, confidence: bool, names: list[str] | None) -> None:
        self.totals = Totals()
        self.crs = source.grid.crs
        self._categories: Categories = source.categories
        self._regions = None if names is None else pa.array(names, pa.string())
        self._confidence = confidence
        wide = not np.can_cast(source.dtype, np.int32) and not source.categories.fixed
        id_type = pa.int64() if wide else pa.int32()
        length = "perimeter_m" if self.crs is not None else "perimeter"
        fields = [("id", pa.int64()), ("class_id", id_type), ("class_name", pa.string())]
        fields += [(name, pa.float64()) for name in ("area_m2", "area_ha", length)]
        fields.append(("pixels", pa.int64()))
        if confidence:
            fields += [("confidence_mean", pa.float64()), ("confidence_min", pa.float64())]
        if names is not None:
            fields.append(("region", pa.string()))
        self.schema = pa.schema([*fields, ("geometry", pa.binary())])

    def batches(self, faces: Faces, shapes: Shapes) -> Iterator[tuple[pa.RecordBatch, Bounds]]:
        """Record batches of polygons, each with the polygons' bounds."""
        classes = faces.code if self._regions is None else regions.class_of(faces.code)
        self.totals.add(classes, faces, shapes)
        first = 0
        while first < len(classes):
            last = int(np.searchsorted(shapes.offsets, shapes.offsets[first] + BATCH_BYTES, side="right")) - 1
            part = slice(first, max(last, first + 1))
            yield self._batch(classes, faces, shapes, part), shapes.bounds[part]
            first = part.stop

    def _batch(self, classes: Any, faces: Faces, shapes: Shapes, part: slice) -> pa.RecordBatch:
        offsets = shapes.offsets[part.start : part.stop + 1]
        if offsets[-1] - offsets[0] >= 1 << 31:
            raise OutputError(
                "one polygon has more than 100 million vertices, too many for any format; "
                "cut it with --max-vertices 1000000"
            )
        wkb = shapes.wkb[offsets[0] : offsets[-1]]
        starts = (offsets - offsets[0]).astype(np.int32)
        count = part.stop - part.start
        geometry = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(starts), pa.py_buffer(wkb)])
        faces = faces.take(np.arange(part.start, part.stop))
        return pa.RecordBatch.from_arrays([*self._columns(classes[part], faces), geometry], schema=self.schema)

    def _columns(self, classes: Any, faces: Faces) -> Iterator[pa.Array]:
        yield pa.array(faces.first)
        ids = np.array(self._categories.ids, np.int64)
        yield pa.array(ids[classes], self.schema.field("class_id").type)
        yield pa.array(self._categories.names, pa.string()).take(pa.array(classes))
        yield pa.array(faces.metres, from_pandas=True)
        yield pa.array(faces.metres / 1e4, from_pandas=True)
        yield pa.array(faces.length)
        yield pa.array(faces.pixels)
        if self._confidence:
            none = faces.rated == 0
            yield pa.array(faces.total / np.maximum(faces.rated, 1), mask=none)
            yield pa.array(np.where(none, 0.0, faces.least), mask=none)
        if self._regions is not None:
            yield self._regions.take(pa.array(regions.region_of(faces.code)))

    @property
    def area_m2(self) -> float | None:
        """Area of all polygons, None for a map that is not tied to the Earth."""
        return self.totals.metres if self.crs is not None and math.isfinite(self.totals.metres) else None

    def class_changes(self) -> dict[str, float]:
        """By how many percent of itself the area of each class there is was changed by simplifying and smoothing."""
        drawn, exact = self.totals.drawn, self.totals.exact
        there = np.flatnonzero(exact)
        return {self._categories.names[i]: float(100 * (drawn[i] / exact[i] - 1)) for i in there}
