"""From what was asked for to a job that is ready to run: everything that can be refused is refused here."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg import __version__
from geoseg.device import choose_device, device_among
from geoseg.disk import Stamp, fresh_file, stamps
from geoseg.documents import UNSOUND, parse_json
from geoseg.errors import BandMismatchError, OptionError
from geoseg.grid import Grid, WindowGrid
from geoseg.model import Model, ModelSpec, load_model, read_spec
from geoseg.output import digest, unfinished
from geoseg.prediction.budget import for_windows
from geoseg.prediction.context import Context, GlobalContext, choose_context, scene_mean, settled
from geoseg.prediction.crf_options import CrfOptions
from geoseg.prediction.engine import Job
from geoseg.prediction.layout import Request, WindowLayout, largest_window, left_out, plan
from geoseg.prediction.outputs import Outputs
from geoseg.prediction.runtimes import Runtime, open_runtime
from geoseg.prediction.strange import warn_of_strange_values
from geoseg.readers import ReadOptions, Source, Words, find_source, reprojected, warn_of_doubts
from geoseg.scene import Scene, band_places

WINDOWS = "windows.json"
"""Name of the note of an unfinished map's windows."""

COPIES = 4
"""Windows that are held at once beside the one in the network: read, waiting, being scaled, being reflected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `predict` was asked for; see there."""

    window: int | None
    margin: str | int
    blend: str
    memory: int | None
    runtime: str
    global_context: GlobalContext
    tta: bool
    crf: CrfOptions | None
    aoi: Path | None
    dst_crs: str | None
    device: str
    devices: int = 1

    @property
    def threads(self) -> int | None:
        """Of each process, None for what the runtime thinks best: processes on one CPU share its cores."""
        return None if self.devices == 1 or self.device != "cpu" else max(1, (os.cpu_count() or 1) // self.devices)


@dataclass(frozen=True, slots=True)
class Asked:
    """All that `predict` was asked for, as it was; paths, where several processes are to know it.

    Attributes:
        model, scene: what maps what.
        outputs: where the results go.
        settings: how.
        reading: how the scene is read.
    """

    model: str | Path | Model
    scene: Words | Source | Scene
    outputs: Outputs
    settings: Settings
    reading: ReadOptions

    def of_process(self, number: int) -> Settings:
        """The settings of one of the processes that map the scene, with its own device.

        Raises:
            OptionError: fewer devices than processes, or what is no file and cannot be told to another process.
        """
        settings = self.settings
        if settings.devices > 1 and (isinstance(self.model, Model) or isinstance(self.scene, Scene)):
            raise OptionError(f"devices is {settings.devices}; several processes need the model and the scene as files")
        return replace(settings, device=device_among(settings.device, number, settings.devices))


@dataclass(frozen=True, slots=True)
class Given:
    """What one process found and the others that map the same scene need not find again.

    Attributes:
        layout: the windows.
        mean: of the scene (C,), where the network takes it.
    """

    layout: WindowLayout
    mean: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job, what runs it, and what it is called.

    Attributes:
        job: the scene and its windows.
        runtime: of the network.
        settings: as they were asked for.
        tags: what is noted in the outputs.
        key: what makes two runs the same work; None where they cannot be told apart.
        largest: side of the largest window that fits into the memory, in pixels.
        mean: of the scene (C,), where the network takes it.
        sources: the files that are read, as they were before; none where they are open already.
        crf_side: side in pixels of what a CRF smooths at a time, 0 without one.
    """

    job: Job
    runtime: Runtime
    settings: Settings
    tags: dict[str, Any]
    key: str | None
    largest: int
    mean: npt.NDArray[np.float64] | None = None
    sources: tuple[Stamp, ...] = ()
    crf_side: int = 0

    @property
    def given(self) -> Given:
        """What other processes need not find again."""
        return Given(self.job.layout, self.mean)


def prepare(asked: Asked, number: int = 0, given: Given | None = None) -> Prepared:
    """Open a scene and a model, and plan the windows.

    Args:
        asked: what is to be done.
        number: which of the processes that share it this is, from 0.
        given: what another of them found already.

    Raises:
        GeosegError: see `predict`.
    """
    model, scene, outputs, reading = asked.model, asked.scene, asked.outputs, asked.reading
    settings = asked.of_process(number)
    outputs.refuse(tuple(str(file) for file in (model, settings.aoi) if isinstance(file, str | Path)))
    spec, name = (model.spec, model.name) if isinstance(model, Model) else (read_spec(model), str(model))
    has_reading = isinstance(scene, Source | Scene)
    if not has_reading:
        reading = spec.reading(reading)
    opened, files = _open(scene, outputs, reading)
    sources: tuple[Stamp, ...] = ()
    if files and not isinstance(model, Model):  # before the network is loaded, which takes seconds
        sources = stamps([model, *files, *([settings.aoi] if settings.aoi else [])])
    as_it_is, opened = opened, _as_asked(opened, settings, reading)
    # Bands that were asked of a path are all that was opened, in their order.
    bands = reading.get("bands")
    places = _places(spec, name, opened, opened.bands if bands and not has_reading else bands)
    warn_of_doubts(as_it_is)
    if number == 0:
        warn_of_strange_values(as_it_is, places, spec)
    context = choose_context(spec, name, settings.global_context)
    runtime = _runtime(model, spec, context, settings)
    named = {"model": name, "scene": opened.name, "architecture": spec.architecture}
    chosen = {
        "bands": [opened.bands[place] for place in places],
        "runtime": runtime.name,
        "tta": settings.tta,
        "crf": asdict(settings.crf) if settings.crf else None,
    } | ({"global_context": context} if spec.reach is None else {})
    key = _key(named | chosen, asked, settings, reading, sources)
    begun = given.layout if given else _noted(unfinished(outputs.classes, key, WINDOWS), opened.grid, spec.stride)
    memory = for_windows(settings.memory, settings.devices, runtime.room())
    job, largest = _job(opened, places, runtime, memory, begun, settings)
    crf_side = settings.crf.side(opened.grid.shape, len(places), len(spec.legend), memory) if settings.crf else 0
    mean = None
    if context == "scene":
        mean = _mean(model, job, settings) if given is None else given.mean
        runtime = _with_mean(model, mean, settings)
    tags = named | {"options": _windows(job.layout) | chosen}
    return Prepared(job, runtime, settings, tags, key, largest, mean, sources, crf_side)


def _key(
    chosen: dict[str, Any], asked: Asked, settings: Settings, reading: ReadOptions, sources: tuple[Stamp, ...]
) -> str | None:
    """What makes two runs the same work; None where something is open already, and may change unseen."""
    if not sources:
        return None
    how = dict(asked.scene.options) if isinstance(asked.scene, Source) else {}
    further = {"further": bool(asked.outputs.further), "version": __version__}
    return digest(chosen | {"asked": asdict(settings) | how | dict(reading) | further}, sources)


def note_windows(path: Path, layout: WindowLayout) -> None:
    """Write down the windows of an unfinished map, for whoever goes on with it when memory is another."""
    with fresh_file(path) as fresh:
        fresh.write_text(json.dumps(_windows(layout)), encoding="utf-8")


def _as_asked(scene: Scene, settings: Settings, reading: ReadOptions) -> Scene:
    """The scene on the grid of the CRS that is asked for, without what lies outside of the area of interest."""
    if settings.dst_crs is not None:
        scene = reprojected(scene, settings.dst_crs, reading.get("resampling") or "bilinear")
    if settings.aoi is not None:
        # GeoPandas and pandas take a second to start.
        from geoseg.prediction.aoi import clipped

        scene = clipped(scene, settings.aoi)
    return scene


def _open(scene: Words | Source | Scene, outputs: Outputs, reading: ReadOptions) -> tuple[Scene, tuple[str, ...]]:
    """The scene, and the files it is made of; none for one that is open already."""
    if isinstance(scene, Source | Scene):
        further = sorted(name for name, value in reading.items() if value is not None and name != "bands")
        if further:
            raise OptionError(f"{further[0]} goes with a path; a scene that is open already has its own")
    if isinstance(scene, Scene):
        return scene, ()
    source = scene if isinstance(scene, Source) else find_source(scene, **reading)
    outputs.refuse(source.files)
    return source.open(), source.files


def _places(spec: ModelSpec, name: str, scene: Scene, asked: tuple[str, ...] | None) -> tuple[int, ...]:
    """Where the model's bands are among the scene's; those a user put in order are taken so, whatever their names."""
    if asked is None:
        return spec.check(scene, name)
    places = band_places(asked, scene.bands, scene.name)
    if len(places) != len(spec.bands):
        raise BandMismatchError(
            f"{scene.name}: --bands names {len(places)} bands and {name} needs {len(spec.bands)} "
            f"({', '.join(spec.bands)}); name them in this order"
        )
    return places


def _runtime(model: str | Path | Model, spec: ModelSpec, context: Context, settings: Settings) -> Runtime:
    """The network in its runtime; with a mean of the scene that is not known yet, where it takes one."""
    if context == "tile":
        return _opened(settings.runtime, model, spec, settings)
    if context == "chip":
        model = settled(_loaded(model), context)
        return _opened(settings.runtime, model, model.spec, settings)
    import torch

    # What is fixed for one scene is no graph to keep: torch runs it.
    if settings.runtime not in ("auto", "torch"):
        raise OptionError(f"the runtime {settings.runtime} cannot take a mean of the scene; take --runtime torch")
    model = settled(_loaded(model), context, torch.zeros(1))
    return _opened("torch", model, model.spec, settings)


def _mean(model: str | Path | Model, job: Job, settings: Settings) -> npt.NDArray[np.float64]:
    whole = Job(job.scene, job.places, job.spec, WindowLayout.of(job.layout.grid))
    found: npt.NDArray[np.float64] = scene_mean(whole, _loaded(model), choose_device(settings.device)).numpy()
    return found


def _with_mean(model: str | Path | Model, mean: npt.NDArray[np.float64] | None, settings: Settings) -> Runtime:
    import torch

    model = settled(_loaded(model), "scene", None if mean is None else torch.from_numpy(mean))
    return _opened("torch", model, model.spec, settings)


def _opened(runtime: str, model: str | Path | Model, spec: ModelSpec, settings: Settings) -> Runtime:
    margin = left_out(spec, settings.margin, settings.blend)
    return open_runtime(runtime, model, settings.device, settings.threads, margin=margin)


def _loaded(model: str | Path | Model) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _job(
    scene: Scene,
    places: tuple[int, ...],
    runtime: Runtime,
    memory: int,
    begun: WindowLayout | None,
    settings: Settings,
) -> tuple[Job, int]:
    """The windows of a scene, those that were begun with where there are any; and the largest that would fit."""
    spec = runtime.spec
    beside = 4 * (COPIES * len(scene.bands) + 2 * len(spec.legend))

    def cost(height: int, width: int) -> int:
        return runtime.memory(height, width) + beside * height * width

    request = Request(settings.window, settings.margin, settings.blend, memory)
    layout = begun or plan(scene.grid, spec, request, cost)
    return Job(scene, places, spec, layout), largest_window(spec.stride, memory, cost)


def _windows(layout: WindowLayout) -> dict[str, Any]:
    grid = layout.grid
    return {
        "window": list(grid.window_shape),
        "core": grid.core,
        "margin": grid.margin,
        "fade": 2 * max(layout.rows.halves + layout.cols.halves),
    }


def _noted(begun: Path | None, grid: Grid, stride: int) -> WindowLayout | None:
    """The windows that were written down, None where there are none that make sense."""
    if begun is None:
        return None
    try:
        found = parse_json(begun.read_bytes())
        core, margin, fade = (int(found[name]) for name in ("core", "margin", "fade"))
        return WindowLayout.of(WindowGrid(grid.height, grid.width, core, margin, stride), fade)
    except (OSError, OptionError, *UNSOUND):
        return None
