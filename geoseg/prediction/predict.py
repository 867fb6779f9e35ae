"""Map a scene with a model: windows in, rows of the map out, in memory that does not grow with the scene."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from geoseg import progress
from geoseg.device import choose_device
from geoseg.errors import BandMismatchError, OptionError, OutputError
from geoseg.grid import WindowGrid
from geoseg.legend import IGNORE
from geoseg.model import Model, ModelSpec, load_model
from geoseg.output import new_output, refuse_existing
from geoseg.prediction.context import GlobalContext, agreeing_windows, choose_context
from geoseg.prediction.crf import CrfOptions
from geoseg.prediction.forward import Forwarder
from geoseg.prediction.stitch import RowStitcher
from geoseg.prediction.windows import core_slices, read_window
from geoseg.readers import ReadOptions, Words, find_source
from geoseg.scene import Scene, band_places, warn_of_no_crs
from geoseg.writers.geotiff import EXTENSIONS, MapWriter, beside

logger = logging.getLogger(__name__)

WINDOW = 1024
MARGIN = 128
"""Default context in pixels: on trained networks labels deeper in a window than this differ in 0.02 % of pixels."""


@dataclass(frozen=True, slots=True)
class PredictResult:
    """What `predict` made.

    Attributes:
        output: the map.
        height, width: in pixels.
        shares: share of each class among the mapped pixels.
        nodata: share of pixels without data.
        seconds: in all.
        network_seconds: of them in the network.
    """

    output: str
    height: int
    width: int
    shares: dict[str, float]
    nodata: float
    seconds: float
    network_seconds: float

    def __str__(self) -> str:
        classes = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        rate = self.height * self.width / 1e6 / max(self.seconds, 1e-9)
        network = 100 * self.network_seconds / max(self.seconds, 1e-9)
        return (
            f"{self.output}: {self.height} x {self.width} pixels, {classes}, no data {100 * self.nodata:.1f} % "
            f"({self.seconds:.1f} s, {rate:.2f} MP/s, {network:.0f} % of it in the network)"
        )


def predict(
    model: str | Path | Model,
    scene: Words | Scene,
    output: str | Path,
    *,
    window: int = WINDOW,
    margin: str | int = "auto",
    global_context: GlobalContext = "auto",
    crf: CrfOptions | bool = False,
    device: str = "auto",
    overwrite: bool = False,
    **reading: Unpack[ReadOptions],
) -> PredictResult:
    """Map a scene with a model.

    Args:
        model: a model file, or a model that is loaded already.
        scene: what to map: as `geoseg.open_scene` takes it, or a `Scene` that is open already.
        output: the map to make, `.tif`: a cloud-optimised GeoTIFF on the scene's grid.
        window: side of the windows that the network sees, in pixels, margins included.
        margin: context on each side of what is kept: pixels, "auto", or "exact" for as far as the network can look.
        global_context: what a network that takes a mean over its window is to take it over instead, so that windows
            agree: "chip" for what is around a pixel, as far as a training chip goes, "scene" for the whole scene, found
            in a first pass, or "tile" for each window, which then do not agree; "auto" for "chip" where it can be.
        crf: smooth the map along the edges of the image, True with the defaults of `CrfOptions`. Its own context comes
            on top of the margin, so that windows agree as they do without it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: replace the map if it is there.
        **reading: how the scene is read, see `geoseg.readers.ReadOptions`; `bands` are those that stand for the
            model's, in the model's order, and are matched by name when not given.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    start = time.monotonic()
    output = Path(output)
    if output.suffix.lower() not in EXTENSIONS:
        raise OptionError(f"{output}: a map is a GeoTIFF; name it .tif")
    refuse_existing(output, overwrite, beside(output))
    loaded = model if isinstance(model, Model) else load_model(model)
    opened = _open(scene, output, reading)
    warn_of_no_crs(opened)
    # Bands that were asked of a path are all that was opened, in their order.
    bands = reading.get("bands")
    places = _places(loaded, opened, opened.bands if bands and not isinstance(scene, Scene) else bands)
    smoothing = (CrfOptions() if crf else None) if isinstance(crf, bool) else crf
    context, reach = choose_context(loaded, global_context)
    grid = window_grid(opened, replace(loaded.spec, reach=reach), window, margin, smoothing.halo if smoothing else 0)
    counts = np.zeros(256, np.int64)
    forwarder = Forwarder(loaded, choose_device(device), smoothing)
    tags = {
        "model": loaded.name,
        "scene": opened.name,
        "architecture": loaded.spec.architecture,
        "options": {"window": list(grid.window_shape), "margin": grid.margin, "bands": list(opened.bands)}
        | ({"global_context": context} if loaded.spec.context == "global" else {})
        | ({"crf": asdict(smoothing)} if smoothing else {}),
    }
    megapixels = opened.grid.height * opened.grid.width / 1e6
    made = new_output(output, overwrite=overwrite, beside=beside(output))
    with (
        made as workspace,
        agreeing_windows(opened, forwarder, grid, places, context),
        progress.bar("Predicting", megapixels, "MP") as bar,
        MapWriter(workspace, opened.grid, loaded.spec.legend, tags) as writer,
    ):
        for rows in predict_rows(opened, forwarder, grid, places):
            counts += np.bincount(rows.ravel(), minlength=256)
            writer.write_rows(rows)
            bar.advance(rows.size / 1e6)
    return _result(output, opened, loaded.spec, counts, time.monotonic() - start, forwarder.seconds)


def _open(scene: Words | Scene, output: Path, reading: ReadOptions) -> Scene:
    if isinstance(scene, Scene):
        further = sorted(name for name, value in reading.items() if value is not None and name != "bands")
        if further:
            raise OptionError(f"{further[0]} goes with a path; a scene that is open already has its own")
        return scene
    source = find_source(scene, **reading)
    for file in source.files:
        if output.exists() and Path(file).exists() and output.samefile(file):
            raise OutputError(f"{output}: is the scene itself; choose another name")
    return source.open()


def predict_rows(
    scene: Scene, forwarder: Forwarder, grid: WindowGrid, places: tuple[int, ...]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Rows of class indices (rows, width) from top to bottom, `IGNORE` where the scene has no data."""
    stitcher = RowStitcher(scene.grid.width)
    for core in grid:
        values, valid = read_window(scene, grid.window(core), places, forwarder.spec.statistics)
        kept = core_slices(core, grid.margin)
        inside = valid[kept]
        if inside.any():
            labels = np.where(inside, forwarder.classes(values, valid, kept), np.uint8(IGNORE))
        else:
            labels = np.full(inside.shape, IGNORE, np.uint8)
        rows = stitcher.add(core, labels)
        if rows is not None:
            yield rows


def window_grid(scene: Scene, spec: ModelSpec, window: int, margin: str | int, halo: int = 0) -> WindowGrid:
    """The windows of a scene for a model.

    Args:
        scene: what is mapped.
        spec: its stride and reach decide where windows may begin and how much context is enough.
        window: largest side of a window, margins included.
        margin: pixels, "auto" (what shows no more, at most a quarter of the window and the reach), or "exact" (the
            reach).
        halo: further pixels, for what is done with the network's outputs.

    Raises:
        OptionError: the margin leaves nothing of the window, or there is no exact one.
    """
    if margin == "exact":
        if spec.reach is None:
            hint = ", or --global-context chip" if spec.agreeing_reach else ""
            raise OptionError(
                f"{spec.architecture} sees the whole window, so no margin is exact; use --margin auto{hint}"
            )
        pixels = spec.reach
    elif margin == "auto":
        # More than a quarter on each side would leave less than a quarter of a window's work as its core.
        pixels = min(MARGIN, window // 4, MARGIN if spec.reach is None else spec.reach)
    elif str(margin).isdecimal():
        pixels = int(margin)
    else:
        raise OptionError(f"margin is '{margin}'; it must be auto, exact, or a number of pixels")
    around = WindowGrid(1, 1, 1, pixels + halo, spec.stride).margin
    core = (window - 2 * around) // spec.stride * spec.stride
    if core < spec.stride:
        least = 2 * around + spec.stride
        raise OptionError(
            f"a window of {window} pixels has no core with a margin of {around}; use --window {least} or more"
        )
    return WindowGrid(scene.grid.height, scene.grid.width, core, around, spec.stride)


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


def _result(
    output: Path, scene: Scene, spec: ModelSpec, counts: npt.NDArray[np.int64], seconds: float, network: float
) -> PredictResult:
    mapped = int(counts[: len(spec.legend)].sum())
    if mapped == 0:
        logger.warning("%s has no valid pixel; the map is nodata all over", scene.name)
    shares = {name: float(counts[i]) / max(mapped, 1) for i, name in enumerate(spec.legend.names)}
    empty = float(counts[IGNORE]) / float(counts.sum())
    return PredictResult(str(output), scene.grid.height, scene.grid.width, shares, empty, seconds, network)
