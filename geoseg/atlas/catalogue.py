"""All regions together: a STAC collection, one layer of polygons, one raster of maps, and the areas of classes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from rasterio.crs import CRS

from geoseg.atlas.globe import in_degrees
from geoseg.atlas.items import STAC
from geoseg.atlas.mosaics import write_mosaic
from geoseg.atlas.picture import areas_figure
from geoseg.atlas.state import DONE, Outcome, Table
from geoseg.atlas.tasks import Recipe, read_note
from geoseg.legend import Legend
from geoseg.model import ModelSpec
from geoseg.output import new_output
from geoseg.table import write_table
from geoseg.writers.geoparquet import Writer

COLLECTION, POLYGONS, AREAS, PICTURE = "collection.json", "polygons.parquet", "areas.csv", "areas.png"
_ROWS = 4096


def write_catalogue(folder: Path, table: Table, spec: ModelSpec, recipe: Recipe) -> None:
    """Write what covers all finished regions; where there are none, nothing.

    Raises:
        OutputError: the disk is full.
    """
    done = [outcome for outcome in table.outcomes if outcome.state == DONE]
    items = [read_note(folder / outcome.item) or {} for outcome in done]
    if not done:
        return
    _write(folder / COLLECTION, json.dumps(_collection(folder, done, items, spec, recipe), indent=1).encode())
    write_mosaic(folder, [outcome.map for outcome in done], items, spec.legend)
    if recipe.polygons:
        _merge(folder, done, items)
    areas = np.array([[item["properties"]["geoseg:area_m2"][name] for name in spec.legend.names] for item in items])
    names = [outcome.name for outcome in done]
    _write(folder / AREAS, _table_of_areas(names, areas, spec.legend).encode())
    _write(folder / PICTURE, areas_figure(names, areas, spec.legend))


def _write(path: Path, content: bytes) -> None:
    with new_output(path, overwrite=True) as workspace:
        workspace.main.write_bytes(content)


def _collection(
    folder: Path, done: list[Outcome], items: list[dict[str, Any]], spec: ModelSpec, recipe: Recipe
) -> dict[str, Any]:
    boxes = np.array([item["bbox"] for item in items])
    times = [item["properties"][key] for item in items for key in ("start_datetime", "end_datetime")]
    classes = items[0]["assets"]["map"]["classification:classes"]
    codes = sorted({code for item in items if (code := item["properties"]["proj:code"])})
    crossing = bool((boxes[:, 0] > boxes[:, 2]).any())
    west, east = (-180.0, 180.0) if crossing else (float(boxes[:, 0].min()), float(boxes[:, 2].max()))
    whole = [west, float(boxes[:, 1].min()), east, float(boxes[:, 3].max())]
    links = [{"rel": "root", "href": "./collection.json", "type": "application/json"}]
    links += [
        {"rel": "item", "href": f"./{outcome.item}", "type": "application/geo+json", "title": outcome.name}
        for outcome in done
    ]
    return {
        "type": "Collection",
        "stac_version": STAC,
        "stac_extensions": items[0]["stac_extensions"],
        "id": folder.absolute().name or "atlas",
        "title": folder.absolute().name or "atlas",
        "description": f"Land-cover maps of {len(done)} regions, made by geoseg with {Path(recipe.model).name}",
        "license": "other",
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[min(times), max(times)]]}},
        "summaries": {"proj:code": codes, "classification:classes": classes},
        "links": links,
    }


def _merge(folder: Path, done: list[Outcome], items: list[dict[str, Any]]) -> None:
    """One layer of all polygons, batch by batch; in longitude and latitude where the regions have several CRSs."""
    systems = [_crs(item) for item in items]
    common = systems[0] if all(crs == systems[0] for crs in systems) else CRS.from_epsg(4326)
    writer = Writer()
    with new_output(folder / POLYGONS, overwrite=True) as workspace:
        opened = False
        try:
            for outcome, crs in zip(done, systems, strict=True):
                move = _to_degrees(crs) if crs != common else None
                with pq.ParquetFile(folder / outcome.polygons) as file:
                    for batch in file.iter_batches(_ROWS):
                        part = _with_region(batch, outcome.name, move)
                        if not opened:
                            writer.open(workspace.main, common, part.schema, "polygons of all regions", _kind(file))
                            opened = True
                        writer.write(part, shapely.bounds(shapely.from_wkb(part["geometry"].to_numpy(False))))
        except BaseException:
            if opened:
                writer.abort()
            raise
        writer.close()
        writer.read_back(workspace.main)


def _with_region(batch: pa.RecordBatch, name: str, move: Callable[[Any], Any] | None) -> pa.RecordBatch:
    """A batch with the name of its region, its geometries moved."""
    names = [field.name for field in batch.schema if field.name not in ("geometry", "bbox")]
    geometry = batch["geometry"]
    if move is not None:
        geometry = pa.array(shapely.to_wkb(move(shapely.from_wkb(geometry.to_numpy(False)))), pa.binary())
    columns = [*(batch[column] for column in names), pa.array([name] * len(batch), pa.string()), geometry]
    return pa.RecordBatch.from_arrays(columns, names=[*names, "region", "geometry"])


def _to_degrees(crs: CRS) -> Callable[[Any], Any]:
    return lambda shapes: np.array([in_degrees(shape, crs) for shape in shapes], object)


def _kind(file: pq.ParquetFile) -> str:
    return str(json.loads(file.metadata.metadata[b"geo"])["columns"]["geometry"]["geometry_types"][0])


def _crs(item: dict[str, Any]) -> CRS:
    properties = item["properties"]
    return CRS.from_user_input(properties["proj:code"] or properties["proj:wkt2"])


def _table_of_areas(names: list[str], areas: Any, legend: Legend) -> str:
    """Square kilometres of each class in each region."""
    rows: list[list[str]] = [["region", *(f"{name}_km2" for name in legend.names), "total_km2"]]
    for name, row in zip([*names, "all regions"], [*areas, areas.sum(0)], strict=True):
        rows.append([name, *(f"{value / 1e6:.6f}" for value in row), f"{row.sum() / 1e6:.6f}"])
    text = io.StringIO()
    write_table(text, rows)
    return text.getvalue()
