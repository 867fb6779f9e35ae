"""Whatever bytes stand in a file, nothing comes out of its reader but geoseg's own errors.

`GEOSEG_FUZZ=24000 pytest tests/fuzz` tries so many cases in all, of another kind each time; by itself a few of each
kind, the same ones every time.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fuzz import chips, documents, maps, models, shapes
from fuzz.damage import raw, wounded
from fuzz.door import Door, only_foreseen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

DOORS = {door.name: door for module in (documents, models, chips, maps, shapes) for door in module.DOORS}
KINDS = ("raw", "wounded", "twisted")
TRIALS = [(name, kind) for name, door in DOORS.items() for kind in KINDS if kind != "twisted" or door.twist]
ASKED = os.environ.get("GEOSEG_FUZZ")
CASES = -(-int(ASKED or 6 * len(TRIALS)) // len(TRIALS))

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


@pytest.mark.parametrize(("name", "kind"), TRIALS, ids=[f"{name}-{kind}" for name, kind in TRIALS])
def test_only_foreseen_errors_come_out(name, kind, sound):
    door = DOORS[name]
    folder, content = sound(door)
    bytes_ = raw() if kind == "raw" else wounded(content) if kind == "wounded" else st.composite(door.twist)(content)

    @tried
    @given(bytes_)
    def attempt(damaged: bytes) -> None:
        path = folder / door.file
        if not path.parent.is_dir():
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir(parents=True)
        path.write_bytes(damaged)
        with only_foreseen():
            door.read(folder)

    attempt()
