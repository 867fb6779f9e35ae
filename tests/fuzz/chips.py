"""Doors of chip folders: their description, their index, the notes of a cut that was stopped."""

from __future__ import annotations

import io
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from fuzz.damage import STRANGE, json_twist
from fuzz.door import Door
from hypothesis import strategies as st

from geoseg.chips.cutter import Cut
from geoseg.chips.index import DESCRIPTION, INDEX, read_index
from geoseg.chips.journal import Journal
from geoseg.chips.pairs import open_pairs
from geoseg.chips.store import open_store
from geoseg.info import info
from training_chips import make_chips


def table_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """A GeoParquet table with columns of other values, or without some of them."""
    frame = gpd.read_parquet(io.BytesIO(sound))
    for _ in range(draw(st.integers(1, 3))):
        column = draw(st.sampled_from([name for name in frame.columns if name != frame.geometry.name]))
        kind = draw(st.sampled_from(("drop", "text", "strange", "float", "empty", "no rows", "crs", "no shapes")))
        if kind == "drop":
            frame = frame.drop(columns=column)
        elif kind == "text":
            frame[column] = frame[column].astype(str)
        elif kind == "strange":
            values = [item for item in STRANGE if isinstance(item, str | float | bool) or item is None]
            frame[column] = draw(st.sampled_from([item for item in values if item != "\ud800"]))
        elif kind == "float":
            frame[column] = draw(st.sampled_from((np.nan, np.inf, -1.0, 1e300)))
        elif kind == "empty":
            frame[column] = pd.Series([None] * len(frame), dtype="object")
        elif kind == "no rows":
            frame = frame.iloc[:0]
        elif kind == "crs":
            frame = frame.set_crs(draw(st.sampled_from((None, "EPSG:4326", "EPSG:3857"))), allow_override=True)
        else:
            frame = frame.set_geometry([None] * len(frame), crs=frame.crs)
        if len(frame.columns) < 2:
            break
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def _arrays_twist(draw: st.DrawFn, sound: bytes) -> bytes:
    """Named arrays of other shapes and types."""
    with np.load(io.BytesIO(sound)) as found:
        sound_arrays = dict(found)
    arrays = dict(sound_arrays)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(arrays)))
        kind = draw(st.sampled_from(("type", "shape", "value", "none")))
        if kind == "type":
            arrays[name] = sound_arrays[name].astype(draw(st.sampled_from(("U30", "f4", "?", "u1", "M8[s]"))))
        elif kind == "shape":
            arrays[name] = np.resize(arrays[name], draw(st.sampled_from(((0,), (), (3,), (1, 3), (2, 2, 2)))))
        elif kind == "value":
            arrays[name] = np.full_like(arrays[name], draw(st.sampled_from((0, 1, 127))))
        else:
            arrays[name] = np.zeros((0, 0))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read_chips(folder: Path) -> None:
    index = read_index(folder / "chips")
    index.require_files()
    for split in ("train", "val"):
        index.counts(split)
        for chip in index.rows(split)[:2]:
            open_store(index).read(chip)
    str(info(folder / "chips"))


def _note(folder: Path) -> None:
    make_chips(folder)
    rows = np.array([[0, 0, 0, 0, 8, 8, 64]])
    sizes, sums = np.array([[10, 10]]), np.array([[1, 2]])
    Journal(folder, folder).write(1, Cut(rows, sizes, sums, np.ones((4, 2), np.uint8), np.array([4])))


def _read_note(folder: Path) -> None:
    Journal(folder, folder).read(1, open_pairs(folder / "scene.tif", folder / "labels.tif"))


DOORS = (
    Door("chips", f"chips/{DESCRIPTION}", make_chips, _read_chips, json_twist),
    Door("chip index", f"chips/{INDEX}", make_chips, _read_chips, table_twist),
    Door("virtual chips", f"chips/{DESCRIPTION}", lambda folder: make_chips(folder, virtual=True), _read_chips,
         json_twist),
    Door("chip journal", "000001.npz", _note, _read_note, _arrays_twist),
)  # fmt: skip
