"""Map a scene with a model: exact where windows meet, in memory that does not grow, and safe to kill."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Unpack

import torch

from geoseg import __version__, progress
from geoseg.device import choose_device
from geoseg.errors import BandMismatchError, OptionError
from geoseg.model import Model, load_model
from geoseg.output import Workspace, fingerprint, new_output
from geoseg.prediction.aoi import clipped
from geoseg.prediction.crf import CrfOptions
from geoseg.prediction.engine import Job, Network, fill
from geoseg.prediction.forward import TorchNetwork, Turned
from geoseg.prediction.layout import Request, plan
from geoseg.prediction.outputs import Outputs, write_outputs
from geoseg.prediction.pipeline import Timing
from geoseg.prediction.result import PredictResult, shares_of
from geoseg.prediction.smooth import smooth
from geoseg.prediction.store import Store
from geoseg.readers import ReadOptions, Words, find_source
from geoseg.scene import Scene, band_places, warn_of_no_crs
from geoseg.writers.geotiff import beside

logger = logging.getLogger(__name__)


def predict(
    model: str | Path | Model,
    scene: Words | Scene,
    output: str | Path,
    *,
    window: int | None = None,
    margin: str | int = "auto",
    blend: str = "auto",
    memory: int | None = None,
    tta: bool = False,
    crf: CrfOptions | bool = False,
    probabilities: str | Path | None = None,
    confidence: str | Path | None = None,
    aoi: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    **reading: Unpack[ReadOptions],
) -> PredictResult:
    """Map a scene with a model.

    A run that was killed goes on where it was when it is started again with the same options on the same files.

    Args:
        model: a model file, or a model that is loaded already.
        scene: what to map: as `geoseg.open_scene` takes it, or a `Scene` that is open already.
        output: the map to make, `.tif`: a cloud-optimised GeoTIFF on the scene's grid.
        window: largest side of the windows that the network sees, in pixels, margins included; as large as the memory
            allows when None.
        margin: context on each side of what is kept: pixels, "auto" for what the trained network needs, or "exact" for
            as far as it can look.
        blend: "hann" fades windows into each other, "none" cuts them, "auto" fades where they cannot agree exactly.
        memory: bytes that the whole process may take; chosen from the machine when None.
        tta: mean of the probabilities of all eight flips and rotations, at eight times the cost.
        crf: smooth the map along the edges of the image, True with the defaults of `CrfOptions`.
        probabilities: raster to make with a band per class.
        confidence: raster to make with the highest probability, its distance to the second, and one minus the entropy.
        aoi: polygons; what lies outside has no data in the map.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: replace the outputs if they are there.
        **reading: how the scene is read, see `geoseg.readers.ReadOptions`; `bands` are those that stand for the
            model's, in the model's order, and are matched by name when not given.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    start = time.monotonic()
    outputs = Outputs(Path(output), _path(probabilities), _path(confidence), overwrite)
    opened, files = _open(scene, outputs, reading)
    loaded = model if isinstance(model, Model) else load_model(model)
    warn_of_no_crs(opened)
    if aoi is not None:
        opened = clipped(opened, aoi)
    # Bands that were asked of a path are all that was opened, in their order.
    bands = reading.get("bands")
    places = _places(loaded, opened, opened.bands if bands and not isinstance(scene, Scene) else bands)
    chosen = choose_device(device)
    network: Network = TorchNetwork(loaded, chosen)
    layout = plan(opened.grid, loaded.spec, Request(window, margin, blend, memory or 2_000_000_000), 500.0)
    job = Job(opened, places, loaded.spec, layout)
    finish = Finish((CrfOptions() if crf else None) if isinstance(crf, bool) else crf, bool(outputs.further), chosen)
    options = {
        "window": list(layout.grid.window_shape),
        "core": list(layout.grid.core_shape),
        "margin": layout.grid.margin,
        "fade": max(layout.rows.halves + layout.cols.halves) * 2,
        "bands": [opened.bands[place] for place in places],
        "tta": tta,
        "crf": asdict(finish.crf) if finish.crf else None,
    }
    named = {"model": loaded.name, "scene": opened.name, "architecture": loaded.spec.architecture}
    key = None
    if files and isinstance(model, str | Path):
        whole = options | named | reading | {"keep": finish.keep, "device": str(chosen), "version": __version__}
        key = fingerprint(whole, [model, *files, *([aoi] if aoi else [])])
    timing = Timing()
    with new_output(outputs.classes, overwrite=overwrite, beside=beside(outputs.classes), key=key) as workspace:
        store = _map(workspace, job, Turned(network) if tta else network, finish, timing)
        with timing.of("writing"):
            counts = write_outputs(
                workspace, outputs, store, opened.grid, loaded.spec.legend, named | {"options": options}
            )
    seconds = time.monotonic() - start
    return PredictResult(
        str(output),
        *opened.grid.shape,
        *shares_of(counts, loaded.spec.legend, opened.name),
        seconds,
        "torch",
        layout.grid.window_shape,
        layout.grid.margin,
        timing.bottleneck(seconds),
    )


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with the stitched probabilities.

    Attributes:
        crf: smooth them, or None.
        keep: they are written out.
        device: where the CRF runs.
    """

    crf: CrfOptions | None
    keep: bool
    device: torch.device


def _map(workspace: Workspace, job: Job, network: Network, finish: Finish, timing: Timing) -> Store:
    """Fill the store of a map, going on from what is in it."""
    height, width = job.scene.grid.shape
    megapixels, classes = height * width / 1e6, len(job.spec.legend)
    wanted = finish.keep or finish.crf is not None
    store = Store(workspace.scratch("map"), height, width, classes if wanted else 0)
    if 0 < store.done < height:
        logger.info("Going on at row %d of %d, where an earlier run of this command stopped", store.done, height)
    with progress.bar("Predicting", megapixels, "MP") as bar:
        fill(store, job, network, bar, timing, wanted)
    if finish.crf is None:
        return store
    refined = Store(workspace.scratch("refined"), height, width, classes if finish.keep else 0)
    with progress.bar("Smoothing", megapixels, "MP") as bar, timing.of("network"):
        smooth(store, refined, job, finish.crf, finish.device, bar)
    return refined


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _open(scene: Words | Scene, outputs: Outputs, reading: ReadOptions) -> tuple[Scene, tuple[str, ...]]:
    """The scene, and the files it is made of; none for one that is open already."""
    if isinstance(scene, Scene):
        further = sorted(name for name, value in reading.items() if value is not None and name != "bands")
        if further:
            raise OptionError(f"{further[0]} goes with a path; a scene that is open already has its own")
        outputs.refuse(())
        return scene, ()
    outputs.refuse(())
    source = find_source(scene, **reading)
    outputs.refuse(source.files)
    return source.open(), source.files


def _places(model: Model, scene: Scene, asked: tuple[str, ...] | None) -> tuple[int, ...]:
    """Where the model's bands are among the scene's; those a user put in order are taken so, whatever their names."""
    if asked is None:
        return model.check(scene)
    places = band_places(asked, scene.bands, scene.name)
    if len(places) != len(model.spec.bands):
        raise BandMismatchError(
            f"{scene.name}: --bands names {len(places)} bands and {model.name} needs {len(model.spec.bands)} "
            f"({', '.join(model.spec.bands)}); name them in this order"
        )
    return places
