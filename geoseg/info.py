"""Say what a file is: a scene, a map, a model or a chip folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from rasterio.windows import Window

from geoseg.chips.index import DESCRIPTION, read_index
from geoseg.chips.split import SPLITS
from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.drivers import is_raster
from geoseg.errors import SceneError
from geoseg.grid import Grid
from geoseg.model import read_spec
from geoseg.raster import open_raster
from geoseg.readers import ReadOptions, Words, find_source, limits_of, open_scene
from geoseg.scene import Scene
from geoseg.vector import LINE_FORMATS, XML_FORMATS, read_vector

_VECTORS = {".gpkg", ".geojson", ".parquet", ".fgb", ".shp", *XML_FORMATS, *LINE_FORMATS}


@dataclass(frozen=True, slots=True)
class Info:
    """What a file is.

    Attributes:
        path: the file.
        kind: "scene", "map", "model", "chips" or "vector".
        facts: what there is to say, by name.
    """

    path: str
    kind: str
    facts: dict[str, Any]

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = (f"  {name.replace('_', ' '):{width}}  {_text(value)}" for name, value in self.facts.items())
        return "\n".join([f"{self.path}: {self.kind}", *lines])


def info(path: Words, **reading: Unpack[ReadOptions]) -> Info:
    """Describe a file or folder, or the scene that several files make.

    Args:
        path: one path, or several with `join`.
        **reading: how a scene is read, see `geoseg.readers.ReadOptions`.

    Raises:
        GeosegError: it is nothing that geoseg knows, or broken.
    """
    words = [path] if isinstance(path, str | Path) else list(path)
    one = words[0]
    if len(words) > 1 or reading.get("join") is not None or _is_product(one):
        source = find_source(words, **reading)
        return Info(source.name, "scene", _scene_facts(source.open()) | {"files": len(source.files)})
    return _one(one, reading)


def _is_product(path: str | Path) -> bool:
    return os.path.isdir(path) and not (Path(path) / DESCRIPTION).exists()  # noqa: PTH112 - any name may be asked about


def _one(path: str | Path, reading: ReadOptions) -> Info:
    local = Path(path)
    if os.path.isdir(path):  # noqa: PTH112
        return Info(str(path), "chips", _chip_facts(local))
    if local.suffix == ".safetensors":
        return Info(str(path), "model", _model_facts(local))
    if (
        os.path.isfile(path)  # noqa: PTH113
        and not is_raster(local)
        and local.suffix.lower() in _VECTORS
    ):
        return Info(str(path), "vector", _vector_facts(local))
    with open_raster(path, allow_remote=reading.get("allow_remote", False), limits=limits_of(reading)) as dataset:
        is_map = LEGEND_TAG in dataset.tags()
        layout = (
            {"format": dataset.driver, "blocks": "{} x {}".format(*dataset.block_shapes[0])} if dataset.count else {}
        )
    if is_map:
        raster = open_class_raster(path)
        return Info(
            str(path), "map", _grid_facts(raster.grid) | {"classes": _classes(raster.legend.to_dict())} | layout
        )
    return Info(str(path), "scene", _scene_facts(open_scene(path, **reading)) | layout)


def _scene_facts(scene: Scene) -> dict[str, Any]:
    facts = _grid_facts(scene.grid) | {"bands": list(scene.bands), "type": scene.dtype}
    # A look at the middle costs the same for any scene.
    grid = scene.grid
    rows, cols = min(grid.height, 512), min(grid.width, 512)
    middle = Window((grid.width - cols) // 2, (grid.height - rows) // 2, cols, rows)
    values, valid = scene.read(middle)
    facts["valid"] = f"{100 * valid.mean():.1f} % of the middle {rows} x {cols} pixels"
    if valid.any():
        pixels = values[:, valid].astype(np.float64)
        facts["values"] = [f"{name}: {low:.6g} to {high:.6g}" for name, low, high in
                           zip(scene.bands, pixels.min(1), pixels.max(1), strict=True)]  # fmt: skip
    return facts


def _grid_facts(grid: Grid) -> dict[str, Any]:
    distance = grid.ground_sample_distance
    left, bottom, right, top = grid.bounds
    return {
        "size": f"{grid.height} rows x {grid.width} columns",
        "crs": grid.crs.to_string()[:120] if grid.crs else "none (pixel coordinates)",
        "pixel": f"{grid.resolution[0]:.6g} x {grid.resolution[1]:.6g}" + (f" ({distance:.4g} m)" if distance else ""),
        "bounds": f"{left:.10g} {bottom:.10g} {right:.10g} {top:.10g}",
    }


def _model_facts(path: Path) -> dict[str, Any]:
    spec = read_spec(path)
    validation = spec.part("validation")
    return {
        "architecture": spec.architecture,
        "options": spec.options,
        "bands": list(spec.bands),
        "classes": _classes(spec.legend.to_dict()),
        "pixel": f"{spec.ground_sample_distance:.4g} m" if spec.ground_sample_distance else "unknown",
        "context": f"{spec.context}, {spec.sees}",
        "stride": spec.stride,
        "chip_size": spec.chip_size,
        "validation_mean_iou": validation.get("mean_iou"),
        "validation_overall_accuracy": validation.get("overall_accuracy"),
        "made_by": spec.part("versions"),
    }


def _chip_facts(folder: Path) -> dict[str, Any]:
    index = read_index(folder)
    splits = {
        split: f"{len(index.of(split))} chips, "
        + ", ".join(
            f"{name} {count:,}" for name, count in zip(index.legend.names, index.counts(split).sum(0), strict=True)
        )
        for split in dict.fromkeys([*SPLITS, *sorted(index.frame["split"].unique())])
    }
    return {"bands": list(index.bands), "classes": _classes(index.legend.to_dict()), **splits, "options": index.options}


def _vector_facts(path: Path) -> dict[str, Any]:
    frame = read_vector(path, error=SceneError)
    return {
        "features": len(frame),
        "crs": frame.crs.to_string()[:120] if frame.crs else "none",
        "types": sorted(set(frame.geom_type)),
        "columns": [column for column in frame.columns if column != frame.geometry.name],
    }


def _classes(items: list[dict[str, Any]]) -> list[str]:
    return [f"{item['id']} {item['name']}" for item in items]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
