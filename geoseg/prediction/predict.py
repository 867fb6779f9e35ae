"""Map a scene with a model: exact where windows meet, in memory that does not grow, and safe to kill."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from geoseg import progress
from geoseg.device import choose_device
from geoseg.errors import OptionError
from geoseg.model import Model
from geoseg.names import plain_name
from geoseg.output import Workspace, new_output, refuse_existing
from geoseg.prediction.context import GlobalContext
from geoseg.prediction.crf_options import CrfOptions
from geoseg.prediction.engine import fill
from geoseg.prediction.outputs import Outputs, write_outputs
from geoseg.prediction.pipeline import Timing
from geoseg.prediction.prepare import WINDOWS, Asked, Prepared, Settings, note_windows, prepare
from geoseg.prediction.probe import estimate
from geoseg.prediction.result import Estimate, PredictResult, shares_of
from geoseg.prediction.seams import SeamScore, seam_score
from geoseg.prediction.share import keeps_probabilities, network_of, open_store, shared, sharing_cores
from geoseg.prediction.store import Store
from geoseg.readers import ReadOptions, Source, Words, find_sources
from geoseg.scene import Scene
from geoseg.writers.creation import creation_options
from geoseg.writers.geotiff import beside

logger = logging.getLogger(__name__)


def predict(
    model: str | Path | Model,
    scene: Words | Source | Scene,
    output: str | Path,
    *,
    window: int | None = None,
    margin: str | int = "auto",
    blend: str = "auto",
    memory: int | None = None,
    runtime: str = "auto",
    global_context: GlobalContext = "auto",
    tta: bool = False,
    crf: CrfOptions | bool = False,
    probabilities: str | Path | None = None,
    confidence: str | Path | None = None,
    aoi: str | Path | None = None,
    dst_crs: str | None = None,
    device: str = "auto",
    devices: int = 1,
    check_seams: bool = False,
    dry_run: bool = False,
    co: Sequence[str] = (),
    overwrite: bool = False,
    **reading: Unpack[ReadOptions],
) -> PredictResult | Estimate:
    """Map a scene with a model.

    A run that was killed goes on where it was when it is started again with the same options on the same files.

    Args:
        model: a model file, or a model that is loaded already.
        scene: what to map: as `geoseg.open_scene` takes it, what `geoseg.readers.find_source` found, or a `Scene` that
            is open already.
        output: the map to make, `.tif`: a cloud-optimised GeoTIFF on the scene's grid.
        window: largest side of the windows that the network sees, in pixels, margins included; as large as the memory
            allows when None.
        margin: context on each side of what is kept: pixels, "auto" for what the trained network needs, or "exact" for
            as far as it can look.
        blend: "hann" fades windows into each other, "none" cuts them, "auto" fades where they cannot agree exactly.
        memory: bytes that the whole process may take; chosen from the machine when None.
        runtime: "torch", "openvino", "onnx", or "auto" for the fastest that is installed and gives the same labels.
        global_context: what a network that takes a mean over its window is to take it over instead, so that windows
            agree: "chip" for what is around a pixel, as far as a training chip goes, "scene" for the whole scene, found
            in a first pass, or "tile" for each window, which then do not agree; "auto" for "chip" where it can be.
        tta: mean of the probabilities of all eight flips and rotations, at eight times the cost.
        crf: smooth the map along the edges of the image, True with the defaults of `CrfOptions`.
        probabilities: raster to make with a band per class.
        confidence: raster to make with the highest probability, its distance to the second, and one minus the entropy.
        aoi: polygons; what lies outside has no data in the map.
        dst_crs: the CRS of the map, such as "EPSG:32632", where it is not the scene's.
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: processes that map bands of the scene at the same time: a GPU each, or with `device` "cpu" a share of
            the cores and of `memory` each. A script that asks for several starts under `if __name__ == "__main__":`.
        check_seams: also map the middle of the scene in a single pass, or where that takes too much memory with other
            windows, and say how much of the seams shows.
        dry_run: make nothing; try some windows and say what the map would take.
        co: how the rasters are stored, such as "COMPRESS=ZSTD", see `geoseg.writers.creation.creation_options`.
        overwrite: replace the outputs if they are there.
        **reading: how the scene is read, see `geoseg.readers.ReadOptions`; `bands` are those that stand for the
            model's, in the model's order, and are matched by name when not given.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    start = time.monotonic()
    outputs = Outputs(Path(output), _path(probabilities), _path(confidence), overwrite, creation_options(co))
    smoothing = (CrfOptions() if crf else None) if isinstance(crf, bool) else crf
    settings = Settings(
        window, margin, blend, memory, runtime, global_context, tta, smoothing, _path(aoi), dst_crs, device, devices
    )
    asked = Asked(model, scene, outputs, settings, reading)
    with sharing_cores(settings):
        ready = prepare(asked)
        if dry_run:
            return _estimate(asked, ready)
        timing = Timing()
        counts, seams = _make(asked, ready, timing, check_seams)
    seconds, job = time.monotonic() - start, ready.job
    return PredictResult(
        str(output),
        *job.scene.grid.shape,
        *shares_of(counts, job.spec.legend, job.scene.name),
        seconds,
        ready.runtime.name,
        job.layout.grid.window_shape,
        job.layout.grid.margin,
        timing.bottleneck(seconds),
        seams,
    )


def predict_all(
    model: str | Path, scenes: Words, folder: str | Path, **options: Any
) -> Iterator[PredictResult | Estimate]:
    """Map each of several scenes into a folder.

    Args:
        model: a model file.
        scenes: paths, folders or patterns, as `geoseg.readers.find_sources` takes them.
        folder: made if it is not there; each map has the name of its scene.
        **options: as `predict`.

    Raises:
        OptionError: two scenes would have maps of one name.
    """
    folder = Path(folder)
    reading = {name: value for name, value in options.items() if name in ReadOptions.__annotations__}
    sources = find_sources(scenes, **reading)
    names = [f"{plain_name(source.stem)}.tif" for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{folder}: two scenes would both become {name}; map them one by one")
    refuse_existing(folder, overwrite=True)
    folder.mkdir(exist_ok=True)
    for source, name in zip(sources, names, strict=True):
        yield predict(model, list(source.paths), folder / name, **options)


def _estimate(asked: Asked, ready: Prepared) -> Estimate:
    outputs, settings = asked.outputs, asked.settings
    further = bool(outputs.further)
    found = estimate(
        str(outputs.classes), ready.job, network_of(ready), ready.runtime.name, further, settings.crf, ready.crf_side
    )
    return replace(found, seconds=found.seconds / settings.devices, memory=found.memory * settings.devices)


def _make(
    asked: Asked, ready: Prepared, timing: Timing, check_seams: bool
) -> tuple[npt.NDArray[np.int64], SeamScore | None]:
    """Make the map, and what was asked for beside it; pixels per class index (256,), and how its seams show."""
    outputs, job = asked.outputs, ready.job
    made = new_output(
        outputs.classes,
        overwrite=outputs.overwrite,
        beside=beside(outputs.classes),
        key=ready.key,
        sources=ready.sources,
    )
    with made as workspace:
        store = _map(workspace, asked, ready, timing)
        if asked.settings.crf is not None:
            store = _refined(workspace, ready, asked.settings.crf, store, bool(outputs.further), timing)
        seams = seam_score(job, network_of(ready), ready.largest) if check_seams else None
        # What was found of the seams goes into the map, so that whoever judges it later can tell.
        tags = ready.tags if seams is None else ready.tags | {"seams": seams.to_dict()}
        with timing.of("writing"):
            counts = write_outputs(workspace, outputs, store, job.scene.grid, job.spec.legend, tags, ready.sources)
    return counts, seams


def _map(workspace: Workspace, asked: Asked, ready: Prepared, timing: Timing) -> Store:
    """Fill the store of a map, going on from what is in it."""
    job, folder, keeps = ready.job, workspace.scratch("map"), keeps_probabilities(asked)
    height, width = job.scene.grid.shape
    note_windows(workspace.scratch(WINDOWS), job.layout)
    bands = job.layout.bands(asked.settings.devices)
    store = open_store(ready, folder, keeps, bands[0])
    if store.start < store.done < store.stop:
        logger.info("Going on at row %d of %d, where an earlier run of this command stopped", store.done, height)
    megapixels = height * width / 1e6
    with progress.bar("Predicting", megapixels, "MP") as bar, shared(asked, ready.given, folder, bands, bar) as others:
        fill(store, job, network_of(ready), others, timing, keeps)
        with timing.of("network"):
            others.wait()
    return store


def _refined(workspace: Workspace, ready: Prepared, crf: CrfOptions, store: Store, keep: bool, timing: Timing) -> Store:
    """The store of a map that is smoothed by its CRF."""
    from geoseg.prediction.smooth import smooth

    refined = open_store(ready, workspace.scratch("refined"), keep)
    grid = ready.job.scene.grid
    with progress.bar("Smoothing", grid.height * grid.width / 1e6, "MP") as bar, timing.of("network"):
        smooth(store, refined, ready.job, crf, ready.crf_side, choose_device(ready.settings.device), bar)
    return refined


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
