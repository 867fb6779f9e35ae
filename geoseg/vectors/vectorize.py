"""Turn a map into a file of polygons."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.compiled import is_kept
from geoseg.disk import stamps_for
from geoseg.errors import OutputError
from geoseg.legend import Legend, read_legend
from geoseg.output import new_output, refuse_existing
from geoseg.vectors.job import Job
from geoseg.vectors.layer import Layer
from geoseg.vectors.merge import merge_faces
from geoseg.vectors.options import MOST_VERTICES, Options
from geoseg.vectors.source import MapSource, open_map
from geoseg.vectors.trace import mark_corners
from geoseg.writers import VectorWriter, vector_writer

logger = logging.getLogger(__name__)

TOLD_CHANGE = 0.005
"""Percent of a class's area from which a change is told."""


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
        area_change: by how many percent simplifying and smoothing changed the area of each class.
    """

    output: Path
    polygons: int
    classes: tuple[str, ...]
    vertices: int
    pixels: float
    area_m2: float | None
    area_change: dict[str, float]

    def __str__(self) -> str:
        area = f"{self.pixels:.0f} pixels" if self.area_m2 is None else f"{self.area_m2 / 1e6:.6g} km2"
        return (
            f"{self.output}: {self.polygons} polygons of {len(self.classes)} classes, {self.vertices} vertices, {area}"
        )


def vectorize(
    map_path: str | Path,
    output: str | Path,
    *,
    simplify: float | str = 0.0,
    smooth: float | str = 0.0,
    min_area: float | str = 0.0,
    min_hole: float | str = 0.0,
    fill_nodata: bool = False,
    classes: tuple[str, ...] | None = None,
    connectivity: int = 4,
    dissolve: bool = False,
    confidence: str | Path | None = None,
    by: str | Path | None = None,
    by_field: str | None = None,
    max_vertices: int = MOST_VERTICES,
    dst_crs: str | None = None,
    band: int | None = None,
    legend: str | Path | Legend | None = None,
    overwrite: bool = False,
) -> VectorizeResult:
    """Turn a map into polygons that form one valid coverage: no gaps, no overlaps, shared borders simplified once.

    Each polygon is a connected area of one class, whole up to millions of vertices. Columns: `id` (the number of its
    first pixel, counted along the rows), `class_id`, `class_name`, `area_m2` and `area_ha` (on the ellipsoid),
    `perimeter_m`, `pixels` (before simplifying), with a confidence raster `confidence_mean` and `confidence_min`, with
    regions `region`. A map without a CRS keeps its pixel coordinates; its square metres are null, and a `perimeter` in
    pixels takes the place of the one in metres.

    Sizes are numbers of pixels, or texts with a unit: "15m" for distances, "500m2" or "0.5ha" for areas.

    Args:
        map_path: a raster of whole numbers, each a class.
        output: .gpkg, .geojson, .geojsonl, .parquet or .fgb.
        simplify: how far borders between classes may move (largest distance). 0 keeps the exact outline of the pixels;
            1 removes their stairs. Borders to nodata never move, so no polygon covers nodata and all of them together
            cover exactly the valid pixels.
        smooth: how far borders between classes may move when their bends are rounded, after simplifying.
        min_area: smaller areas go to the neighbouring class with which they share the longest border, the smallest
            first. Those with nodata all around stay.
        min_hole: areas smaller than this go to the class around them, where there is only one.
        fill_nodata: treat holes of nodata smaller than `min_hole` in the same way. The outside is never filled.
        classes: names or ids of the classes to keep; None for all.
        connectivity: 8 makes areas that touch in corners one MultiPolygon.
        dissolve: one MultiPolygon for each class (and region). All polygons are then held in memory.
        confidence: a raster of one band on the grid of the map.
        by: polygons that cut the map along the pixels nearest to their borders. What lies in none of them is left out.
        by_field: column of their names; by default the one called name, region, ..., else they are numbered.
        max_vertices: cut polygons that would have more, along straight lines, so that memory is bounded; 0 for none.
        dst_crs: coordinate system of the polygons, in place of the map's own.
        band: the band that holds the classes, where there are several.
        legend: a legend, or a legend.toml: the classes of the map, in place of those it names itself.
        overwrite: replace the output if it is there.

    Raises:
        OptionError: a size that cannot be, an unknown class, band, column, coordinate system or extension.
        MapError: a map or confidence raster that cannot be read, or does not fit.
        LabelError: regions that cannot be read.
        OutputError: an output that is there already or cannot be written.
    """
    output = Path(output)
    options = Options.read(simplify, smooth, min_area, min_hole, fill_nodata, connectivity, dissolve, max_vertices)
    writer = vector_writer(output)
    refuse_existing(output, overwrite)
    files = (map_path, confidence, by, None if isinstance(legend, Legend) else legend)
    sources = stamps_for(output, [path for path in files if path is not None])
    if isinstance(legend, str | Path):
        legend = read_legend(Path(legend))
    source = open_map(map_path, band=band, legend=legend)
    if source.grid.crs is None:
        logger.warning("%s has no CRS; the polygons are in its pixel coordinates, without square metres", source.path)
    _tell_compiling(options)
    given = {"classes": classes, "confidence": confidence, "by": by, "by_field": by_field, "dst_crs": dst_crs}
    job = Job(source, options, classes=classes, confidence=confidence, by=by, by_field=by_field, dst_crs=dst_crs)
    with job.block_cache(), job, new_output(output, overwrite=overwrite, sources=sources) as workspace:
        with _writing(writer, workspace.main, job, _description(source, options, given)):
            _write(writer, job)
            writer.style(source.categories.style())
        _check(writer, workspace.main, job.layer)
    return _result(job.layer, source, output)


def _tell_compiling(options: Options) -> None:
    """Say why a first run takes longer."""
    sieves = options.min_area.value > 0 or options.min_hole.value > 0
    parts = {"tracer": not is_kept(mark_corners), "sieve": sieves and not is_kept(merge_faces)}
    for name, missing in parts.items():
        if missing:
            logger.info("Compiling the %s, which is done once and takes some 10 s", name)


def _result(layer: Layer, source: MapSource, output: Path) -> VectorizeResult:
    totals, changes = layer.totals, layer.class_changes()
    if not totals.polygons:
        logger.warning("%s: no pixel of the classes asked for, so %s is an empty layer", source.path, output)
    moved = {name: change for name, change in changes.items() if abs(change) >= TOLD_CHANGE}
    if moved:
        listing = ", ".join(f"{name} {change:+.2f} %" for name, change in list(moved.items())[:20])
        logger.info("Simplifying changed the area of classes: %s", listing)
    return VectorizeResult(
        output, totals.polygons, tuple(changes), totals.vertices, float(totals.drawn.sum()), layer.area_m2, changes
    )


def _description(source: MapSource, options: Options, given: dict[str, Any]) -> str:
    """The resolved options, for the layer's metadata."""
    legend = None
    if source.categories.fixed:
        legend = [{"id": id_, "name": name, "color": color} for id_, name, color in source.categories.style()]
    resolved = {"map": source.path.name, "band": source.band, **options.to_dict(), **given, "legend": legend}
    return "geoseg vectorize " + json.dumps(resolved, ensure_ascii=False, default=str)


@contextmanager
def _writing(writer: VectorWriter, path: Path, job: Job, description: str) -> Iterator[None]:
    """Open a writer, and close it when all went well."""
    writer.open(path, job.crs, job.layer.schema, description, job.geometry_type)
    try:
        yield
    except BaseException:
        writer.abort()
        raise
    writer.close()


def _write(writer: VectorWriter, job: Job) -> None:
    """Write all features; by themselves, so that nothing holds the last of them while the file is finished."""
    for faces, shapes in job.features():
        for batch, bounds in job.layer.batches(faces, shapes):
            writer.write(batch, bounds)


def _check(writer: VectorWriter, path: Path, layer: Layer) -> None:
    """Read the file back.

    Raises:
        OutputError: it does not hold what was written.
    """
    count, columns = writer.read_back(path)
    expected = tuple(layer.schema.names[:-1])
    if count != layer.totals.polygons or (columns != expected and columns):
        raise OutputError(
            f"{path.name}: {count} polygons with {', '.join(columns)} could be read back of {layer.totals.polygons} "
            f"with {', '.join(expected)}; is the disk full?"
        )
