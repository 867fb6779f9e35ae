"""A region as a STAC item: where it lies, what its map is made of, and how large its classes are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from geoseg.atlas.tasks import FinishTask, RegionResult
from geoseg.grid import Grid
from geoseg.model import ModelSpec
from geoseg.names import is_remote

STAC = "1.1.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PARQUET = "application/vnd.apache.parquet"


def item_of(
    task: FinishTask, spec: ModelSpec, grid: Grid, result: RegionResult, counts: dict[str, int]
) -> dict[str, Any]:
    """The item of a finished region, as plain values."""
    times = [moment for ref in task.place.scenes for moment in ref.times]
    assert grid.crs is not None  # noqa: S101
    code = grid.crs.to_authority()
    properties = {
        "title": task.place.name,
        "datetime": max(times),
        "start_datetime": min(times),
        "end_datetime": max(times),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "proj:code": ":".join(code) if code else None,
        **({} if code else {"proj:wkt2": grid.crs.to_wkt()}),
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "geoseg:key": task.place.key,
        "geoseg:version": task.recipe.version,
        "geoseg:model": task.recipe.model,
        "geoseg:model_sha256": task.recipe.model_hash,
        "geoseg:mosaic": task.recipe.mosaic,
        "geoseg:scenes": [ref.name for ref in task.place.scenes],
        "geoseg:left_out": task.left_out,
        "geoseg:pixels": counts,
        "geoseg:area_m2": {name: round(area, 3) for name, area in result.areas.items()},
        "geoseg:seconds": round(result.seconds, 3),
    }
    return {
        "type": "Feature",
        "stac_version": STAC,
        "stac_extensions": [PROJECTION, RASTER, CLASSIFICATION],
        "id": task.place.slug,
        "geometry": json.loads(task.outline),
        "bbox": list(task.bounds),
        "properties": properties,
        "links": [*_links(task)],
        "assets": _assets(task, spec, grid),
        "collection": task.target.parent.parent.name or "atlas",
    }


def _links(task: FinishTask) -> list[dict[str, str]]:
    up = "../../collection.json"
    links = [{"rel": rel, "href": up, "type": "application/json"} for rel in ("root", "parent", "collection")]
    files = [(file, ref.name) for ref in task.place.scenes for file in ref.opener.files]
    return links + [
        {"rel": "derived_from", "href": file if is_remote(file) else f"file://{file}", "title": name}
        for file, name in files
    ]


def _assets(task: FinishTask, spec: ModelSpec, grid: Grid) -> dict[str, Any]:
    slug = task.place.slug
    classes = [
        {"value": item.id, "name": _token(item.name), "title": item.name, "color_hint": item.color[1:].upper()}
        for item in spec.legend
    ]
    assets: dict[str, Any] = {
        "map": {
            "href": f"./{slug}.tif",
            "type": COG,
            "roles": ["data"],
            "title": "land cover",
            "data_type": spec.legend.dtype,
            "nodata": spec.legend.nodata,
            "raster:spatial_resolution": grid.ground_sample_distance,
            "raster:sampling": "area",
            "classification:classes": classes,
        },
        "style": {
            "href": f"./{slug}.qml",
            "type": "application/xml",
            "roles": ["style"],
            "title": "style for QGIS",
        },
    }
    if task.recipe.polygons:
        assets["polygons"] = {"href": f"./{slug}.parquet", "type": PARQUET, "roles": ["data"]}
    if task.recipe.confidence:
        assets["confidence"] = {
            "href": "./confidence.tif",
            "type": COG,
            "roles": ["metadata"],
            "data_type": "uint8",
            "nodata": 255,
            "raster:scale": 1 / 250,
        }
    return assets


def _token(name: str) -> str:
    """A class name in the letters that the classification extension allows."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name) or "class"
