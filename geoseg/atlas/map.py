"""Map whole regions: plan, run on workers, and catalogue; started again, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import geopandas as gpd

from geoseg import __version__
from geoseg.atlas.batch import Batch
from geoseg.atlas.block import map_block
from geoseg.atlas.catalogue import write_catalogue
from geoseg.atlas.cluster import connected, require_resources
from geoseg.atlas.engine import Engine, Rules
from geoseg.atlas.estimate import AtlasEstimate, estimate
from geoseg.atlas.finish import finish_region
from geoseg.atlas.lattice import Cutting, Lattices
from geoseg.atlas.loaded import model_hash
from geoseg.atlas.mosaic import MODES
from geoseg.atlas.plan import Planner, digest
from geoseg.atlas.regions import Region, Size, grid_regions, read_regions
from geoseg.atlas.scenes import Cover, Mask, Scenes, open_scenes
from geoseg.atlas.sources import find_candidates
from geoseg.atlas.state import opened, sweep
from geoseg.atlas.tasks import Recipe
from geoseg.errors import BandMismatchError, OptionError, RegionError
from geoseg.model import ModelSpec, read_spec
from geoseg.prediction.context import GlobalContext, choose_context
from geoseg.prediction.runtimes import has_gpu
from geoseg.readers import ReadOptions, Words
from geoseg.registry import suggestion

if TYPE_CHECKING:
    from distributed import Client


def map(
    regions: str | Path | None,
    scenes: Words,
    model: str | Path,
    output: str | Path,
    *,
    grid: str | None = None,
    layer: str | None = None,
    name_field: str | None = None,
    assets: Sequence[str] | None = None,
    mask_band: str | None = None,
    mask_values: Sequence[int] = (),
    cloud_classes: Sequence[str] | None = None,
    crs: str = "auto",
    resolution: float | None = None,
    mosaic: str = "mean",
    feather: int = 64,
    window: int = 1024,
    margin: str | int = "auto",
    blend: str = "auto",
    global_context: GlobalContext = "auto",
    tta: bool = False,
    confidence: bool = False,
    polygons: bool = True,
    simplify: float = 0.0,
    runtime: str = "auto",
    device: str = "auto",
    threads: int = 1,
    block: int = 4096,
    jobs: int | None = None,
    scheduler: str | None = None,
    client: Client | None = None,
    resources: dict[str, float] | None = None,
    retries: int = 2,
    fail_fast: bool = False,
    strict: bool = False,
    dashboard: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    **reading: Unpack[ReadOptions],
) -> gpd.GeoDataFrame | AtlasEstimate:
    """Map regions with a model, on processes of this machine or on a dask cluster.

    Every region becomes a folder with a map, polygons and a STAC item; all of them a catalogue. A pixel depends on the
    scenes and the model alone, so neighbours agree along their border, and it is the same however the work was cut and
    whoever did it. The same call on the same folder does what is not done yet.

    Scripts that let it start processes need `if __name__ == "__main__":`, as with any multiprocessing.

    Args:
        regions: polygons of any vector file; None, with `grid`, for all that the scenes cover.
        scenes: files, folders or patterns; an index of files; a STAC item collection; or "stac+https://..." for a STAC
            API. Those named first count first.
        model: a model file; workers read it at this path.
        output: the folder of the atlas.
        grid: side of square regions, such as "100km" or "1deg"; with `regions`, these are cut by it.
        layer: of the regions' file, where it has several.
        name_field: column of the regions' names.
        assets: of STAC items, which are the bands.
        mask_band: name or number of a band that says which pixels do not count, such as a scene classification.
        mask_values: what it holds there.
        cloud_classes: classes of the model that mean cloud: they count only where no other scene has anything.
        crs: of the maps, "auto" for that of the scenes, or "utm" for the zone of each region.
        resolution: side of a pixel in units of the CRS; that of the scenes when None.
        mosaic: where scenes overlap, "mean" of their probabilities, "best" for the surest, "first" for the first.
        feather: pixels over which a scene fades out at its edge.
        window: side of what the network sees at a time, margins included, in pixels.
        margin: as in `geoseg.predict`.
        blend: as in `geoseg.predict`.
        global_context: as in `geoseg.predict`, without "scene".
        tta: as in `geoseg.predict`.
        confidence: also make rasters of the highest probability, and put it into the polygons.
        polygons: also make polygons.
        simplify: their tolerance in pixels.
        runtime: as in `geoseg.predict`.
        device: "auto", "cpu", or "cuda"; with the last, tasks ask for workers with the dask resource GPU.
        threads: of the CPU for each task; more workers of one thread are faster than fewer of many.
        block: side of the parts in which large regions are shared out, in pixels.
        jobs: processes to start on this machine; as many as it has cores and memory when None.
        scheduler: address of a dask cluster to use instead.
        client: a dask client to use instead; it is left open.
        resources: dask resources that a task takes.
        retries: how often a task that failed is tried again.
        fail_fast: stop when a region has failed.
        strict: a scene that cannot be used is an error, one that cannot be read fails its regions; otherwise such
            scenes are left out and named.
        dashboard: show dask's dashboard.
        dry_run: make nothing; try some windows, and say what all would take.
        overwrite: replace an atlas of another model or other options.
        **reading: how scenes are read, see `geoseg.readers.ReadOptions`.

    Returns:
        A row for each region: name, state (done, failed, no scene, no data, waiting), why it failed, scenes, left_out,
        megapixels, seconds, attempts, map, polygons, item, and its outline in longitude and latitude. With `dry_run`,
        what it would take.

    Raises:
        GeosegError: what can be refused before any work; a region that fails is no error, but an outcome.
    """
    folder = Path(output)
    spec = read_spec(model)
    recipe = Recipe(
        model=str(Path(model).absolute()),
        model_hash=model_hash(model),
        runtime=runtime,
        device=device,
        threads=threads,
        global_context=_context(spec, str(model), global_context),
        tta=tta,
        cutting=Cutting.choose(spec, window, margin, blend, feather),
        mosaic=_known_mosaic(mosaic),
        clouds=_clouds(spec, str(model), cloud_classes or ()),
        resampling=reading.get("resampling") or "bilinear",
        confidence=confidence,
        polygons=polygons,
        simplify=simplify,
        strict=strict,
        version=__version__,
    )
    _check(jobs, threads, block, retries, device, mask_band, mask_values)
    size = None if grid is None else Size.parse(grid)
    asked = None if regions is None else read_regions(regions, layer=layer, name_field=name_field)
    if asked is None and size is None:
        raise OptionError(
            "there are no regions; give a file of polygons, or --grid 100km for all that the scenes cover"
        )
    found = _open_scenes(scenes, spec, str(model), assets, mask_band, mask_values, asked, strict, spec.reading(reading))
    planner, wanted = _plan(found, recipe, Lattices(crs, resolution, found.usable), asked, size)
    if dry_run:
        return estimate(folder, [planner.plan(region) for region in wanted], recipe, spec, jobs, block)
    how = asdict(recipe) | {"model": recipe.model_hash, "device": None, "threads": None, "strict": None}
    given = {**how, "crs": crs, "resolution": resolution}
    gpu = device.startswith("cuda") or (device == "auto" and scheduler is None and client is None and has_gpu())
    needs = resources if resources is not None else {"GPU": 1.0} if gpu else {}
    workers = partial(
        connected, client=client, scheduler=scheduler, jobs=jobs, threads=threads, gpu=gpu, dashboard=dashboard
    )
    with opened(folder, digest(given), given, overwrite):
        batch = Batch.begin(folder, wanted, planner)
        _work(batch, workers, Rules(retries, fail_fast, needs), block)
        write_catalogue(folder, batch.table, spec, recipe)
        sweep(folder, batch.table.outcomes)
        return batch.table.frame()


def _work(batch: Batch, workers: Callable[[], AbstractContextManager[Client]], rules: Rules, block: int) -> None:
    """Map what is not done yet, and leave a table to go on from however that ends."""
    try:
        if batch.todo():
            with workers() as client:
                require_resources(client, rules.resources)
                batch.run(Engine(client, rules, map_block, finish_region), block, rules.retries)
    finally:
        batch.stop()


def _open_scenes(
    scenes: Words,
    spec: ModelSpec,
    model: str,
    assets: Sequence[str] | None,
    mask_band: str | None,
    mask_values: Sequence[int],
    regions: list[Region] | None,
    strict: bool,
    reading: ReadOptions,
) -> Scenes:
    outlines = None if regions is None else [region.outline for region in regions]
    bands = reading.get("bands")
    opening = reading
    if bands is not None and mask_band is not None:
        opening = {**reading, "bands": (*bands, mask_band)}
    found = open_scenes(
        find_candidates(scenes, assets=tuple(assets) if assets else None, regions=outlines, **opening),
        spec,
        model,
        bands=bands,
        mask=None if mask_band is None else Mask(mask_band, tuple(mask_values)),
        near=outlines,
    )
    if strict and found.left_out:
        raise BandMismatchError(
            f"{len(found.left_out)} scenes cannot be used, the first: {next(iter(found.left_out.values()))}; leave "
            "them out, or leave --strict out"
        )
    return found


def _plan(
    found: Scenes, recipe: Recipe, lattices: Lattices, asked: list[Region] | None, size: Size | None
) -> tuple[Planner, list[Region]]:
    """Who plans, and for which regions."""
    cover = Cover(found.usable)
    areas = [region.outline for region in asked] if asked is not None else [ref.outline for ref in found.usable]
    covered = [area for area in areas if cover.over(area)]
    common = lattices.common(covered) if covered else None
    planner = Planner(recipe, cover, lattices, common)
    if size is None:
        return planner, asked or []
    if common is None:
        raise OptionError("a grid of regions needs one CRS for all, and the scenes have several far apart; give --crs")
    cells = grid_regions(size, common, areas, clip=asked is not None)
    if not cells:
        raise RegionError("the grid has no cell that meets the regions; check their place")
    return planner, cells


def _context(spec: ModelSpec, model: str, asked: GlobalContext) -> GlobalContext:
    if asked == "scene":
        raise OptionError("a mean of the whole scene is not for regions, which are of many; take chip or tile")
    return choose_context(spec, model, asked)


def _known_mosaic(mode: str) -> str:
    if mode not in MODES:
        raise OptionError(f"mosaic '{mode}' is unknown; {suggestion(mode, MODES)}")
    return mode


def _clouds(spec: ModelSpec, model: str, names: Sequence[str]) -> tuple[int, ...]:
    for name in names:
        if name not in spec.legend.names:
            raise OptionError(f"{model} has no class '{name}'; {suggestion(name, spec.legend.names)}")
    return tuple(spec.legend.names.index(name) for name in names)


def _check(
    jobs: int | None,
    threads: int,
    block: int,
    retries: int,
    device: str,
    mask_band: str | None,
    mask_values: Sequence[int],
) -> None:
    for name, value, least in (
        ("jobs", jobs, 1),
        ("threads", threads, 1),
        ("block", block, 64),
        ("retries", retries, 0),
    ):
        if value is not None and value < least:
            raise OptionError(f"{name} is {value}; it must be {least} or more")
    if device not in ("auto", "cpu", "cuda"):
        raise OptionError(f"device is '{device}'; it must be auto, cpu or cuda: workers share out the GPUs themselves")
    if (mask_band is None) != (not mask_values):
        raise OptionError("--mask-band and --mask-values go together; give both, or neither")
