"""Whatever bytes stand in a file, nothing comes out of its reader but geoseg's own errors.

`GEOSEG_FUZZ=24000 pytest tests/fuzz` tries so many cases in all, others each time, and every strange value at every
place of a document; by itself a few of each kind, the same ones every time.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from fuzz import chips, documents, maps, models, shapes
from fuzz.damage import SWEPT, raw, swept, wounded
from fuzz.door import Door, only_foreseen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

DOORS = {door.name: door for module in (documents, models, chips, maps, shapes) for door in module.DOORS}
KINDS = ("raw", "wounded", "twisted")
TRIALS = [(name, kind) for name, door in DOORS.items() for kind in KINDS if kind != "twisted" or door.twist]
ASKED = os.environ.get("GEOSEG_FUZZ")
CASES = -(-int(ASKED or 4 * len(TRIALS)) // len(TRIALS))

tried = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=ASKED is None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """The folder of a door with sound files, and their content."""
    made: dict[str, tuple[Path, bytes]] = {}

    def find(door: Door) -> tuple[Path, bytes]:
        if door.name not in made:
            folder = tmp_path_factory.mktemp("door")
            door.fill(folder)
            made[door.name] = folder, (folder / door.file).read_bytes()
        return made[door.name]

    return find


@pytest.mark.parametrize("name", DOORS)
def test_what_is_sound_passes(name, sound):
    """Else the damage would be tried on a door that is shut."""
    folder, content = sound(DOORS[name])
    (folder / DOORS[name].file).write_bytes(content)
    with only_foreseen() as refused:
        DOORS[name].read(folder)
    assert name in SHUT or refused.error is None


SHUT = {"vrt", "sentinel", "landsat", "scene index"}
"""Doors behind which scenes are missing, so that sound files are refused too."""


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize(("name", "kind"), TRIALS, ids=[f"{name}-{kind}" for name, kind in TRIALS])
def test_only_foreseen_errors_come_out(name, kind, sound):
    door = DOORS[name]
    content = sound(door)[1]
    bytes_ = raw() if kind == "raw" else wounded(content) if kind == "wounded" else st.composite(door.twist)(content)

    @tried
    @given(bytes_)
    def attempt(damaged: bytes) -> None:
        pass_through(door, sound(door)[0], damaged)

    attempt()


@pytest.mark.parametrize("name", [name for name, door in DOORS.items() if door.twist in SWEPT])
def test_any_one_value_may_be_strange(name, sound):
    door = DOORS[name]
    folder, content = sound(door)
    cases = list(swept(content, door.twist))
    for damaged in cases if ASKED else random.Random(name).sample(cases, min(10, len(cases))):
        pass_through(door, folder, damaged)


def pass_through(door: Door, folder: Path, damaged: bytes) -> None:
    path = folder / door.file
    if not path.parent.is_dir():
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir(parents=True)
    path.write_bytes(damaged)
    with only_foreseen():
        door.read(folder)


def _with(**changes: Any) -> Callable[[bytes], bytes]:
    """JSON with other values at the top."""
    return lambda content: json.dumps(json.loads(content) | changes).encode()


def _entries(flags: bytes) -> Callable[[bytes], bytes]:
    """An archive whose list of entries says other flags and another way of packing."""
    head = b"PK\x01\x02-\x03-\x00"
    return lambda content: content.replace(head + bytes(4), head + flags)


def _table(**changes: Any) -> Callable[[bytes], bytes]:
    """A GeoParquet table with other values in its first row."""

    def change(content: bytes) -> bytes:
        frame, buffer = gpd.read_parquet(io.BytesIO(content)), io.BytesIO()
        for name, value in changes.items():
            frame.loc[0, name] = value
        frame.to_parquet(buffer)
        return buffer.getvalue()

    return change


DEEPLY = b"[" * 3000 + b"]" * 3000

FOUND: dict[str, tuple[bytes | Callable[[bytes], bytes], ...]] = {
    "legend": (b"value = 1" + b"0" * 5000, b"class = " + DEEPLY),
    "weights.toml": (b'"class 1" = 1' + b"0" * 400 + b'\n"class 2" = 1', b'"class 1" = 1e300\n"class 2" = 1'),
    "weights.json": (
        lambda content: content.replace(b"0.5", b"9" * 400), lambda content: content.replace(b"0.5", b"1e99"),
    ),
    "config": (
        b"a = " + DEEPLY, b'map = {"strict" = -1}', b"[predict]\ndevice = true", b"[tile]\noverlap = 1" + b"0" * 400,
        b"[tile]\nlegend = 3", b'[tile]\nlegend = "\\u0000"',
    ),
    "model": (lambda content: content.replace(b'"reach\\": 0', b'"reach\\":1e9999', 1),),
    "checkpoint": (lambda content: content.replace(b'\\"key\\"', b'\\"kez\\"', 1),),
    "chips": (
        DEEPLY, _with(options={"gap": 1e999}), _with(options={"gap": 2**63}), _with(statistics={"mean": [10**400]}),
    ),
    "virtual chips": (
        _with(label_files=[3]), _with(label_files=[]), _with(label_options=None), _with(label_fields=None),
        _with(options={"gap": 1, "virtual": True, "areas": True}), _with(sources=[{"options": {"bands": 3}}]),
    ),
    "chip index": (
        lambda content: content.replace(b'"type": "ProjectedCRS"', b'"type": "ProjectedXRS"'),
        _table(width=2**62), _table(geometry=shapely.Polygon([(math.inf, 0), (1, 1), (0, 1)])),
    ),
    "chip journal": (
        b"PK\x03\x04", lambda content: content[: len(content) // 2],
        _entries(b"\x01\x00\x00\x00"), _entries(b"\x00\x00\x63\x00"),  # locked, or packed as nobody does
    ),
    "rows of a map": (b"\x80", DEEPLY),
    "run": (
        DEEPLY, _with(files=None), _with(files=[[]]), _with(files=["9" * 5000]), _with(files=["\0"]), _with(done=None),
    ),
    "block of an atlas": (
        DEEPLY, lambda content: content.replace(b"0.5", b'"0"'), lambda content: content.replace(b"0.5", b"9" * 400),
        lambda content: content.replace(b'"deaths": 0', b'"deaths": -9223372036854775809'),
    ),
    "item of an atlas": (DEEPLY, b"{}", b'{"properties": []}', lambda content: content.replace(b"1.5", b"{}")),
    "samples": (
        lambda content: content.replace(b'"reference_id": 1', b'"reference_id": "1' + b"0" * 5000 + b'"', 1),
        lambda content: content.replace(b'"stratum_id": 1', b'"stratum_id": 1e999', 1),
        lambda content: content.replace(b'"stratum_id": 1', b'"stratum_id": 1.5', 1),
    ),
    "scene index": (lambda content: content.replace(b"2020-01-01", b"\xff020-01-01", 1),),
    "kml labels": (b'<?xml version="1.0" encoding="ttf-8" ?>', b'<?xml version="1.0" encoding="utf-7" ?>'),
    "landsat": (lambda content: content.replace(b"149.0", b"149.149.0", 1),),
    "vrt": (b'<?xml version="1.0" encoding="ttf-8" ?><VRTDataset/>',),
    "tags": (b'{"GEOSEG_MODEL": "' + b"9" * 5000 + b'.safetensors"}',),
    "items of scenes": (
        lambda content: content.replace(b"./a.tif", b"./a\\u0000.tif"),
        lambda content: content.replace(b'"roles": ["data"]', b'"roles": 3'),
        lambda content: content.replace(b"[1, 1]", b"[NaN, 1]"),
        lambda content: content.replace(b"[1, 1]", b"[1" + b"0" * 400 + b", 1]"),
        lambda content: content.replace(b'"eo:cloud_cover": 10', b'"eo:cloud_cover": 1' + b"0" * 400),
        lambda content: content.replace(b'"map": {', b'"sky": 3, "map": {'),
        lambda content: content.replace(b'"properties": {', b'"properties": [], "old": {'),
    ),
}  # fmt: skip
"""What once let a foreign exception out: the bytes, or how sound ones become them."""


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in FOUND for number in range(len(FOUND[name]))])
def test_what_once_came_through_is_refused(name, number, sound):
    folder, content = sound(DOORS[name])
    damage = FOUND[name][number]
    damaged = damage if isinstance(damage, bytes) else damage(content)
    assert damaged != content
    pass_through(DOORS[name], folder, damaged)
