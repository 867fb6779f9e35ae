"""What an atlas would take: some of its windows are mapped to know."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import shapely
from rasterio.windows import Window

from geoseg.atlas.block import map_block
from geoseg.atlas.cluster import default_jobs
from geoseg.atlas.loaded import network
from geoseg.atlas.plan import RegionJob, RegionPlan
from geoseg.atlas.tasks import OUTLINE, BlockTask, Recipe
from geoseg.errors import OptionError
from geoseg.model import ModelSpec
from geoseg.prediction.budget import peak_memory
from geoseg.prediction.runtimes import has_gpu

PROBES = 3
"""Windows that are mapped, in as many regions."""

_MAP_BYTES, _POLYGON_BYTES = 0.25, 3.3
"""Bytes of a finished pixel, in maps and in polygons of regions and of all: measured on speckled maps, so at most."""

_FINISH_SECONDS = 1.2
"""Seconds per megapixel to put a region together and draw its polygons, measured in the same way."""


@dataclass(frozen=True, slots=True)
class AtlasEstimate:
    """What an atlas would take.

    Attributes:
        output: its folder.
        regions: how many; of these `no_scene` have nothing to be mapped from.
        no_scene: regions without scenes.
        scenes: how many are used.
        megapixels: of the regions.
        predicted: megapixels that the network sees: with margins, and each scene over a pixel by itself.
        hours: with `jobs` workers.
        jobs: workers on this machine.
        device: "cpu" or "cuda".
        runtime: what would run the network.
        disk: bytes of the finished atlas.
        scratch: bytes beside it while the largest regions are at work.
        memory: bytes of all workers.
    """

    output: str
    regions: int
    no_scene: int
    scenes: int
    megapixels: float
    predicted: float
    hours: float
    jobs: int
    device: str
    runtime: str
    disk: int
    scratch: int
    memory: int

    def __str__(self) -> str:
        nothing = f" ({self.no_scene} without a scene)" if self.no_scene else ""
        time_ = f"{self.hours * 60:.2g} minutes" if self.hours < 2 else f"{self.hours:.3g} hours"
        return (
            f"{self.output}: would be {self.regions} regions{nothing} from {self.scenes} scenes, {self.megapixels:.4g} "
            f"MP of map, {self.predicted:.4g} MP through the network: about {time_} with {self.jobs} workers on "
            f"{'GPUs' if self.device == 'cuda' else 'CPU cores'} ({self.runtime}), {_bytes(self.disk)} of disk and "
            f"{_bytes(self.scratch)} more while it works, {_bytes(self.memory)} of memory"
        )


def estimate(
    folder: Path, plans: list[RegionPlan], recipe: Recipe, spec: ModelSpec, jobs: int | None, block: int
) -> AtlasEstimate:
    """Map some windows, and say what all of them would take.

    Raises:
        OptionError: no region has a scene, so there is nothing to try.
    """
    mapped = [plan for plan in plans if plan.scenes]
    if not mapped:
        raise OptionError(f"none of the {len(plans)} regions has a scene over it; check the CRS of both")
    gpu = recipe.device == "cuda" or (recipe.device == "auto" and has_gpu())
    workers = jobs or default_jobs(gpu, recipe.threads)
    loads = {id(plan): _through_network(plan, recipe) for plan in mapped}
    rate, runtime = _probe(mapped, loads, recipe)
    predicted, megapixels = sum(loads.values()), sum(plan.megapixels for plan in mapped)
    seconds = predicted * rate + megapixels * _FINISH_SECONDS * (1 if recipe.polygons else 0.3)
    most = sorted((plan.window.width * plan.window.height for plan in mapped), reverse=True)[:workers]
    bands = 2 if recipe.confidence else 1
    return AtlasEstimate(
        str(folder),
        len(plans),
        len(plans) - len(mapped),
        len({ref.name for plan in mapped for ref in plan.scenes}),
        megapixels,
        predicted,
        seconds / workers / 3600,
        workers,
        "cuda" if gpu else "cpu",
        runtime,
        round(megapixels * 1e6 * (_MAP_BYTES * bands + _POLYGON_BYTES * recipe.polygons)),
        round(3 * bands * sum(most)),
        round(peak_memory() * workers),
    )


def _through_network(plan: RegionPlan, recipe: Recipe) -> float:
    """Megapixels of windows, margins included, that a region takes, each scene by itself."""
    cutting, t = recipe.cutting, plan.lattice.transform
    pixel = abs(t.determinant)
    each = (cutting.side / cutting.core) ** 2
    total = 0.0
    for ref in plan.scenes:
        west, south, east, north = _bounds(plan, ref.grid.bounds, ref.grid.crs)
        total += shapely.intersection(plan.shape, shapely.box(west, south, east, north)).area / pixel * each
    return total / 1e6


def _bounds(plan: RegionPlan, bounds: tuple[float, ...], crs: object) -> tuple[float, float, float, float]:
    from rasterio.warp import transform_bounds

    if crs == plan.lattice.crs:
        return bounds  # type: ignore[return-value]
    found: tuple[float, float, float, float] = transform_bounds(crs, plan.lattice.crs, *bounds)
    return found


def _probe(plans: list[RegionPlan], loads: dict[int, float], recipe: Recipe) -> tuple[float, str]:
    """Seconds per megapixel of windows, and what runs the network."""
    step = max(1, len(plans) // PROBES)
    chosen = plans[::step][:PROBES]
    runtime = network(recipe)
    seconds = seen = 0.0
    with tempfile.TemporaryDirectory() as folder:
        # The first is not counted: what it loads others find loaded.
        for number, plan in enumerate([chosen[0], *chosen]):
            task, share = _sample(plan, recipe, Path(folder) / str(number))
            start = time.monotonic()
            map_block(task)
            if number:
                seconds += time.monotonic() - start
                seen += loads[id(plan)] * share
    return seconds / max(seen, 1e-9), runtime.name


def _sample(plan: RegionPlan, recipe: Recipe, folder: Path) -> tuple[BlockTask, float]:
    """One window's core in the middle of a region, as a task; and its share of the region."""
    job = RegionJob.begin(plan, recipe, folder, 1 << 20, 0)
    middle = plan.shape.point_on_surface()
    col, row = ~plan.lattice.transform @ (middle.x, middle.y)
    core = recipe.cutting.core
    top, left = int(row // core * core), int(col // core * core)
    window = plan.window.intersection(Window(left, top, core, core))
    block = Window(round(window.col_off), round(window.row_off), round(window.width), round(window.height))
    west, north = plan.lattice.transform @ (block.col_off, block.row_off)
    east, south = plan.lattice.transform @ (block.col_off + block.width, block.row_off + block.height)
    part = shapely.intersection(plan.shape, shapely.box(west, south, east, north))
    (job.place.work / OUTLINE).write_bytes(shapely.to_wkb(plan.shape))
    return BlockTask(job.place, 0, block, recipe, 1), part.area / max(plan.shape.area, 1e-300)


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count >= 1e8 else f"{count / 1e6:.2g} MB"
