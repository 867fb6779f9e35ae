"""Turn a map into a file of polygons."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geoseg import progress
from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.errors import OptionError, OutputError
from geoseg.legend import Legend
from geoseg.output import new_output, refuse_existing
from geoseg.registry import suggestion
from geoseg.vectors.area import pixel_area
from geoseg.vectors.assemble import Polygons
from geoseg.vectors.stream import Settings, band_rows, polygons
from geoseg.writers import VectorWriter, vector_writer

logger = logging.getLogger(__name__)

BATCH_BYTES = 1 << 30
"""Geometry of one Arrow batch; its offsets have 32 bits."""

BANDS_PER_HANDLE = 4
"""Bands read before the map is opened anew: GDAL keeps blocks that are not needed again until the file is closed."""


@dataclass(frozen=True, slots=True)
class VectorizeResult:
    """What `vectorize` made.

    Attributes:
        output: the file.
        polygons: how many polygons are in it.
        classes: names of the classes that have polygons.
        vertices: points of all rings, the repeated last one of each included.
        pixels: area of all polygons, in pixels.
        area_m2: area of all polygons in square metres, None for a map that is not tied to the Earth.
    """

    output: Path
    polygons: int
    classes: tuple[str, ...]
    vertices: int
    pixels: float
    area_m2: float | None

    def __str__(self) -> str:
        area = f"{self.pixels:.0f} pixels" if self.area_m2 is None else f"{self.area_m2 / 1e6:.6g} km2"
        return (
            f"{self.output}: {self.polygons} polygons of {len(self.classes)} classes, {self.vertices} vertices, {area}"
        )


def vectorize(
    map_path: str | Path,
    output: str | Path,
    *,
    simplify: float = 0.0,
    classes: tuple[str, ...] | None = None,
    legend: Legend | None = None,
    overwrite: bool = False,
) -> VectorizeResult:
    """Turn a map into polygons that form one valid coverage: no gaps, no overlaps, shared borders simplified once.

    Each polygon is a 4-connected area of one class, whole however large it is. Columns: `class_id`, `class_name` and
    `area_m2`, the area on the ellipsoid. A map without a CRS keeps its pixel coordinates; its `area_m2` is null, and a
    column `pixels` gives the area in pixels.

    Args:
        map_path: a class raster.
        output: .gpkg, .geojson, .parquet or .fgb.
        simplify: how far borders between classes may move, in pixels (largest distance). 0 keeps the exact outline of
            the pixels; 1 removes their stairs. Borders to nodata never move, so no polygon covers nodata and all of
            them together cover exactly the valid pixels.
        classes: names or ids of the classes to keep; None for all.
        legend: the classes of the map, in place of those it names itself.
        overwrite: replace the output if it is there.

    Raises:
        OptionError: a tolerance below 0, an unknown class or extension.
        MapError: a map that cannot be read.
        OutputError: an output that is there already or cannot be written.
    """
    output = Path(output)
    if not (math.isfinite(simplify) and simplify >= 0):
        raise OptionError(f"a tolerance of {simplify} pixels cannot be; it must be 0 or more")
    writer = vector_writer(output)
    refuse_existing(output, overwrite)
    source = open_class_raster(map_path, legend=legend)
    wanted = _wanted(source.legend, classes)
    if source.grid.crs is None:
        logger.warning("%s has no CRS; the polygons are in its pixel coordinates, without square metres", source.path)
    settings = Settings(source.grid.transform, simplify, wanted, pixel_area(source.grid))
    layer = _Layer(source)
    with new_output(output, overwrite=overwrite) as workspace:
        with _writing(writer, workspace.main, layer, _description(source, simplify, classes)):
            for indices, made in polygons(_bands(source), source.grid.shape, settings):
                for batch, bounds in layer.batches(indices, made):
                    writer.write(batch, bounds)
        _check(writer, workspace.main, layer)
    if not layer.polygons:
        logger.warning("%s: no pixel of the classes asked for, so %s is an empty layer", source.path, output)
    return layer.result(output)


class _Layer:
    """The columns of the layer, and a count of what went into it."""

    def __init__(self, source: ClassRaster) -> None:
        self.polygons, self.vertices, self.pixels, self.metres = 0, 0, 0.0, 0.0
        self._legend = source.legend
        self._ids = np.array(source.legend.ids, np.int32)
        self._names = pa.array(source.legend.names)
        self._found = np.zeros(len(source.legend), bool)
        self.crs = source.grid.crs
        fields = [("class_id", pa.int32()), ("class_name", pa.string()), ("area_m2", pa.float64())]
        if self.crs is None:
            fields.append(("pixels", pa.float64()))
        self.schema = pa.schema([*fields, ("geometry", pa.binary())])

    def batches(
        self, indices: npt.NDArray[np.uint8], made: Polygons
    ) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.float64]]]:
        """Record batches of polygons of the given class indices, each with the polygons' bounds."""
        first = 0
        while first < len(indices):
            last = int(np.searchsorted(made.offsets, made.offsets[first] + BATCH_BYTES, side="right")) - 1
            part = slice(first, max(last, first + 1))
            yield self._batch(indices[part], made, part), made.bounds[part]
            first = part.stop
        self._found[indices] = True
        self.polygons += len(indices)
        self.vertices += int(made.vertices)
        self.pixels += float(made.pixels.sum())
        self.metres += float(made.metres.sum())

    def result(self, output: Path) -> VectorizeResult:
        """What was made."""
        names = tuple(name for name, found in zip(self._legend.names, self._found, strict=True) if found)
        area = self.metres if self.crs is not None and math.isfinite(self.metres) else None
        return VectorizeResult(output, self.polygons, names, self.vertices, self.pixels, area)

    def _batch(self, indices: npt.NDArray[np.uint8], made: Polygons, part: slice) -> pa.RecordBatch:
        offsets = made.offsets[part.start : part.stop + 1]
        if offsets[-1] - offsets[0] >= 1 << 31:
            raise OutputError("one polygon has more than 100 million vertices, too many for any format; simplify more")
        wkb = made.wkb[offsets[0] : offsets[-1]]
        starts = (offsets - offsets[0]).astype(np.int32)
        geometry = pa.Array.from_buffers(pa.binary(), len(indices), [None, pa.py_buffer(starts), pa.py_buffer(wkb)])
        names = self._names.take(pa.array(indices))
        columns = [pa.array(self._ids[indices]), names, pa.array(made.metres[part], from_pandas=True)]
        if self.crs is None:
            columns.append(pa.array(made.pixels[part]))
        return pa.RecordBatch.from_arrays([*columns, geometry], schema=self.schema)


def _wanted(legend: Legend, classes: tuple[str, ...] | None) -> npt.NDArray[np.bool_]:
    """(256,) whether each class index is kept."""
    wanted = np.zeros(256, bool)
    if classes is None:
        wanted[: len(legend)] = True
        return wanted
    index_of = {name: index for index, name in enumerate(legend.names)}
    for index, id_ in enumerate(legend.ids):
        index_of.setdefault(str(id_), index)
    for name in classes:
        if name not in index_of:
            raise OptionError(f"the map has no class '{name}'; {suggestion(name, legend.names)}")
        wanted[index_of[name]] = True
    return wanted


def _bands(source: ClassRaster) -> Iterator[npt.NDArray[np.uint8]]:
    height, width = source.grid.shape
    windows = source.windows(band_rows(width))
    with progress.bar("vectorize", height * width / 1e6, "MP") as bar:
        while group := list(islice(windows, BANDS_PER_HANDLE)):
            for window, indices in source.read_windows(iter(group)):
                yield indices
                bar.advance(window.height * width / 1e6)


def _description(source: ClassRaster, simplify: float, classes: tuple[str, ...] | None) -> str:
    options = {"map": source.path.name, "simplify": simplify, "classes": classes, "legend": source.legend.to_dict()}
    return "geoseg vectorize " + json.dumps(options, ensure_ascii=False)


@contextmanager
def _writing(writer: VectorWriter, path: Path, layer: _Layer, description: str) -> Iterator[None]:
    """Open a writer, and close it when all went well."""
    writer.open(path, layer.crs, layer.schema, description)
    try:
        yield
    except BaseException:
        writer.abort()
        raise
    writer.close()


def _check(writer: VectorWriter, path: Path, layer: _Layer) -> None:
    """Read the file back.

    Raises:
        OutputError: it does not hold what was written.
    """
    count, columns = writer.read_back(path)
    expected = tuple(layer.schema.names[:-1])
    if count != layer.polygons or (columns != expected and columns):
        raise OutputError(
            f"{path.name}: {count} polygons with {', '.join(columns)} could be read back of {layer.polygons} with "
            f"{', '.join(expected)}; is the disk full?"
        )
