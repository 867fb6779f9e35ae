"""Doors of maps and of work that was stopped: tags, rows that are done, windows, runs, atlases."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from atlas.conftest import scene
from fuzz.chips import table_twist
from fuzz.damage import json_twist, lines_twist
from fuzz.door import Door
from rasterio.windows import Window

from conftest import CORNER, UTM, legend_of
from geoseg.assessment.provenance import provenance
from geoseg.atlas import state
from geoseg.atlas.block import _keep, done_block
from geoseg.atlas.finish import _made_before
from geoseg.atlas.lattice import Cutting
from geoseg.atlas.sources import find_candidates
from geoseg.atlas.tasks import BlockResult, BlockTask, FinishTask, Place, Recipe
from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.errors import OutputExistsError
from geoseg.grid import Grid
from geoseg.prediction.prepare import _noted
from geoseg.prediction.store import Block, Store
from geoseg.steps import Steps

RECIPE = Recipe(
    model="m", model_hash="0", runtime="torch", device="cpu", threads=1, global_context="tile", tta=False,
    cutting=Cutting(64, 8, 8, 0), mosaic="mean", clouds=(), resampling="bilinear", confidence=False, polygons=False,
    simplify=0.0, strict=False, version="0",
)  # fmt: skip

ITEM = {
    "type": "Feature", "id": "a", "bbox": [0, 0, 1, 1],
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
    "properties": {
        "datetime": "2020-01-01T00:00:00Z", "eo:cloud_cover": 10, "geoseg:key": "key", "geoseg:pixels": {"forest": 5},
        "geoseg:area_m2": {"forest": 1.5}, "geoseg:seconds": 1.5, "geoseg:left_out": {"b": "is gone"},
    },
    "assets": {"map": {"href": "./a.tif", "roles": ["data"]}},
}  # fmt: skip


def _tagged(folder: Path) -> None:
    """The text that is damaged lies in a file of its own, and is written into a raster when it is read."""
    (folder / "tags.json").write_text(
        json.dumps(
            {LEGEND_TAG: legend_of(2).to_dict(), "GEOSEG_SEAMS": {"score": 0.5}, "GEOSEG_MODEL": "../m.safetensors"}
        )
    )


def _read_tagged(folder: Path) -> None:
    content = (folder / "tags.json").read_bytes()
    try:
        found = json.loads(content)
        texts = {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}
        tags = {name: text.replace("\0", "").encode("utf-8", "replace").decode() for name, text in texts.items()}
    except (ValueError, AttributeError, RecursionError):
        tags = {LEGEND_TAG: content.decode("utf-8", "replace").replace("\0", "")}
    path = folder / "map.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 0, "crs": UTM, "transform": CORNER}
    with rasterio.open(path, "w", width=4, height=4, count=1, **profile) as dataset:
        dataset.write(np.ones((1, 4, 4), np.uint8))
        dataset.update_tags(**{name: text for name, text in tags.items() if name.isidentifier()})
    try:
        provenance(path)
        open_class_raster(path)
    finally:
        path.unlink()


def _store(folder: Path) -> Store:
    return Store(folder, 16, 8)


def _put_rows(folder: Path) -> None:
    store = _store(folder)
    for top in (0, 8):
        store.put(Block(slice(top, top + 8), slice(0, 8), np.full((8, 8), 1, np.uint8)))
        store.note(top + 8)


def _windows(folder: Path) -> None:
    (folder / "windows.json").write_text(json.dumps({"window": [64, 64], "core": 48, "margin": 8, "fade": 16}))


def _read_windows(folder: Path) -> None:
    grid = Grid(None, Affine.identity(), 100, 120)
    layout = _noted(folder / "windows.json", grid, 8)
    if layout is not None:
        assert sum(1 for _ in layout.pieces()) < 10_000


def _run(folder: Path, overwrite: bool = False) -> None:
    with Steps.open(folder / "run", {"epochs": 3}, [], overwrite) as steps:
        steps.do("tile", lambda **_: (folder / "run" / "chips").mkdir(exist_ok=True), folder / "run" / "chips")


def _read_run(folder: Path) -> None:
    (folder / "canary").touch()
    try:
        _run(folder, overwrite=True)
    finally:
        assert (folder / "canary").exists()


def _begin_atlas(folder: Path, overwrite: bool = False) -> None:
    with state.opened(folder / "atlas", "key", {"mosaic": "mean", "crs": "auto"}, overwrite):
        pass


def _read_atlas(folder: Path) -> None:
    note = (folder / "atlas" / state.NOTE).read_bytes()
    for overwrite in (False, True):
        (folder / "atlas" / state.NOTE).write_bytes(note)
        with (
            suppress(*(() if overwrite else [OutputExistsError])),
            state.opened(folder / "atlas", "other", {"mosaic": "best", "crs": "auto"}, overwrite),
        ):
            pass


def _save_table(folder: Path) -> None:
    outcome = state.Outcome("A", "a", state=state.DONE, scenes=2, megapixels=1.5, attempts=1, key="key")
    state.Table(folder, [outcome, replace(outcome, name="B", slug="b")], [shapely.box(0, 0, 1, 1)] * 2).save(now=True)


def _read_table(folder: Path) -> None:
    outcomes = list(state.earlier(folder).values())
    table = state.Table(folder, outcomes, [shapely.box(0, 0, 1, 1)] * len(outcomes))
    table.counts()
    for outcome in outcomes:
        outcome.left_out |= {}
        outcome.attempts += 1
        outcome.seconds += 1.0
    table.frame().to_parquet(folder / "again.parquet")


def _place(folder: Path) -> Place:
    return Place("A", "a", None, Window(0, 0, 8, 8), "key", folder / "work", ())  # type: ignore[arg-type]


def _block(folder: Path) -> BlockTask:
    return BlockTask(_place(folder), 1, Window(0, 0, 8, 8), RECIPE, 3)


def _keep_block(folder: Path) -> None:
    (folder / "work").mkdir()
    _keep(_block(folder), np.ones((8, 8), np.uint8), None, BlockResult(1, 0.5, 64, {"b": "is gone"}))


def _read_block(folder: Path) -> None:
    result = done_block(_block(folder))
    if result is not None:
        outcome = state.Outcome("A", "a")
        outcome.seconds += result.seconds
        outcome.attempts += result.deaths
        outcome.left_out |= result.left_out
        outcome.megapixels = result.pixels / 1e6
        state.Table(folder, [outcome], [shapely.box(0, 0, 1, 1)]).save(now=True)


def _item(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "a.json").write_text(json.dumps(ITEM))
    (folder / "a" / "a.tif").touch()


def _read_item(folder: Path) -> None:
    result = _made_before(FinishTask(_place(folder), (), RECIPE, folder / "a", "", (0, 0, 1, 1), {}))
    if result is not None:
        outcome = state.Outcome("A", "a", megapixels=result.pixels / 1e6, seconds=0.0 + result.seconds)
        state.Table(folder, [outcome], [shapely.box(0, 0, 1, 1)]).save(now=True)


def _items(folder: Path) -> None:
    scene(folder / "a.tif", 0, 0, 8, 8)
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [ITEM, ITEM]}))


DOORS = (
    Door("tags", "tags.json", _tagged, _read_tagged, json_twist),
    Door("rows of a map", "rows-0-16.jsonl", _put_rows, lambda folder: _store(folder).is_complete, lines_twist),
    Door("windows of a map", "windows.json", _windows, _read_windows, json_twist),
    Door("run", "run/run.json", _run, _read_run, json_twist),
    Door("atlas", f"atlas/{state.NOTE}", _begin_atlas, _read_atlas, json_twist),
    Door("atlas table", state.TABLE, _save_table, _read_table, table_twist),
    Door("block of an atlas", "work/00001.json", _keep_block, _read_block, json_twist),
    Door("item of an atlas", "a/a.json", _item, _read_item, json_twist),
    Door("items of scenes", "items.json", _items, lambda folder: find_candidates(folder / "items.json"), json_twist),
)  # fmt: skip
