"""From regions and scenes to what is to be done: on which pixels, from which scenes, in which blocks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.antimeridian import goes_on, wrapped
from geoseg.atlas.lattice import Lattice, Lattices, laid
from geoseg.atlas.regions import Region
from geoseg.atlas.scenes import Cover, SceneRef, without_outline
from geoseg.atlas.state import REGIONS, work_of
from geoseg.atlas.tasks import OUTLINE, BlockResult, BlockTask, FinishTask, Place, Recipe
from geoseg.errors import OptionError, RegionError
from geoseg.grid import Grid
from geoseg.readers import pixel_places

_MOST_PIXELS = 2**40


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """A region and how it is to be mapped.

    Attributes:
        region: its name and outline.
        lattice: its CRS and pixels.
        shape: its outline there.
        window: the pixels it covers.
        scenes: that lie over it, in the order in which they count.
        key: what makes two maps of it the same work.
    """

    region: Region
    lattice: Lattice
    shape: shapely.Geometry
    window: Window
    scenes: tuple[SceneRef, ...]
    key: str

    @property
    def megapixels(self) -> float:
        """Of its polygon."""
        pixel = abs(self.lattice.transform.determinant)
        return float(self.shape.area) / pixel / 1e6


@dataclass(frozen=True)
class Planner:
    """Plans regions one by one, the same way whoever their neighbours are.

    Attributes:
        recipe: how they are mapped.
        cover: the scenes.
        lattices: the pixels.
        common: the CRS of all regions, None where they have different ones.
    """

    recipe: Recipe
    cover: Cover
    lattices: Lattices
    common: CRS | None
    _known: dict[CRS, Lattice] = field(default_factory=dict)

    def plan(self, region: Region) -> RegionPlan:
        """Plan a region.

        Raises:
            RegionError: it has no place in the CRS of the maps, or a scene over it has another one there.
            OptionError: it has more pixels than anybody means.
        """
        near = self.cover.over(region.outline)
        crs = self.lattices.of(region, near, self.common)
        if crs not in self._known:
            self._known[crs] = self.lattices.lattice(crs)
        lattice = self._known[crs]
        shape = laid(region, lattice)
        window = lattice.window(shape)
        if window.width * window.height > _MOST_PIXELS:
            raise OptionError(
                f"the region '{region.name}' would have {window.width:.0f} x {window.height:.0f} pixels; cut it with "
                "--grid, or give a coarser --resolution"
            )
        shapely.prepare(shape)
        scenes = tuple(without_outline(ref) for ref in near if _meets(ref.grid, lattice, shape))
        beyond = [] if not crs.is_geographic else [ref for ref in near if _meets_beyond(ref.grid, lattice, shape)]
        if beyond:
            raise RegionError(
                f"{beyond[0].name}: has longitudes beyond 180, and the region '{region.name}' lies there from -180 on; "
                f"in {crs.to_string()} these are two places, so give --crs utm, or a CRS that is whole there"
            )
        return RegionPlan(region, lattice, shape, window, scenes, self._key(lattice, shape, scenes))

    def _key(self, lattice: Lattice, shape: shapely.Geometry, scenes: tuple[SceneRef, ...]) -> str:
        """A hash of all that the map of a region depends on; not of where its model lies or what it is run on."""
        how = asdict(self.recipe) | {"model": None, "device": None, "threads": None, "strict": None}
        text = json.dumps([how, lattice.to_dict(), [ref.stamp for ref in scenes]], sort_keys=True)
        return hashlib.sha256(text.encode() + shapely.to_wkb(shape)).hexdigest()


def _meets(grid: Grid, lattice: Lattice, shape: shapely.Geometry) -> bool:
    """True when a scene and a polygon share ground, or nearly."""
    cols, rows = pixel_places(grid, lattice.grid(Window(0, 0, 1, 1)))
    if not len(cols):
        return False
    t = lattice.transform
    # Where grids are warped, the edges bulge between the points that are looked at.
    left, right = t.c + t.a * np.array([cols.min() - 1, cols.max() + 1])
    top, bottom = t.f + t.e * np.array([rows.min() - 1, rows.max() + 1])
    return bool(shapely.intersects(shape, shapely.box(left, bottom, right, top)))


def _meets_beyond(grid: Grid, lattice: Lattice, shape: shapely.Geometry) -> bool:
    """True when a scene in degrees and a polygon share ground, and are a whole turn apart."""
    return goes_on(grid) and any(_meets(grid, lattice, shapely.affinity.translate(shape, by)) for by in (-360, 360))


@dataclass(slots=True)
class RegionJob:
    """A region for the engine.

    Attributes:
        plan: of the region.
        place: what of it travels.
        windows: of its blocks.
    """

    plan: RegionPlan
    place: Place
    windows: tuple[Window, ...]
    recipe: Recipe
    tries: int
    folder: Path

    @classmethod
    def begin(cls, plan: RegionPlan, recipe: Recipe, folder: Path, block: int, retries: int) -> RegionJob:
        """Make the work folder of a region, or go on with the one it has."""
        slug = plan.region.slug
        work = work_of(folder, slug, plan.key)
        work.mkdir(parents=True, exist_ok=True)
        for mark in work.glob("*.begun"):
            mark.unlink()
        (work / OUTLINE).write_bytes(shapely.to_wkb(plan.shape))
        place = Place(plan.region.name, slug, plan.lattice, plan.window, plan.key, work, plan.scenes)
        windows = tuple(recipe.cutting.blocks(plan.window, block))
        return cls(plan, place, windows, recipe, retries + 1, folder)

    @property
    def name(self) -> str:
        """Of the region."""
        return self.plan.region.name

    @property
    def slug(self) -> str:
        """Name of its files."""
        return self.plan.region.slug

    @property
    def blocks(self) -> int:
        """How many."""
        return len(self.windows)

    def block(self, number: int, *, is_last: bool) -> BlockTask:
        """What to send for a block."""
        return BlockTask(self.place, number, self.windows[number], self.recipe, self.tries, is_last)

    def finish(self, results: list[BlockResult]) -> FinishTask:
        """What to send to put it together."""
        left_out: dict[str, str] = {}
        for result in results:
            left_out |= result.left_out
        outline = wrapped(self.plan.region.outline)
        west, south, east, north = self.plan.region.outline.bounds
        bounds = (west, south, east if east <= 180 else east - 360, north)
        target = self.folder / REGIONS / self.slug
        return FinishTask(self.place, self.windows, self.recipe, target, shapely.to_geojson(outline), bounds, left_out)


def digest(values: dict[str, Any]) -> str:
    """A short name for some plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
