"""What the windows of a scene are told of what lies beyond them, by networks that take a mean over their window.

With another mean in each window neighbours disagree where they meet. With the running mean of a training chip's size,
or with one mean of the whole scene, they agree: stitching is then exact with the margin of `agreeing_reach`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from geoseg import models, progress
from geoseg.errors import OptionError
from geoseg.grid import WindowGrid
from geoseg.model import Model
from geoseg.prediction.forward import Forwarder
from geoseg.prediction.windows import core_slices, read_window
from geoseg.scene import Scene

GlobalContext = Literal["auto", "tile", "chip", "scene"]


def choose_context(model: Model, asked: GlobalContext) -> tuple[Literal["tile", "chip", "scene"], int | None]:
    """What a network is to take its mean over, and how far an output then looks, in pixels to one side.

    Args:
        model: any; one that sees locally takes no mean, and its windows agree already.
        asked: "tile" for each window, "chip" for what is around a pixel, "scene" for the whole scene, or "auto" for
            "chip" where the network can and "tile" where not.

    Returns:
        What it is, and the reach; None when it sees the whole window.

    Raises:
        OptionError: "chip" or "scene" of a network that sees its window by other ways than one mean.
    """
    if asked not in get_args(GlobalContext):
        raise OptionError(f"global context is '{asked}'; it must be {', '.join(get_args(GlobalContext))}")
    reaches = model.spec.agreeing_reach
    if asked == "tile" or model.spec.reach is not None or (asked == "auto" and not reaches):
        return "tile", model.spec.reach
    chosen = "chip" if asked == "auto" else asked
    if chosen not in reaches:
        raise OptionError(
            f"{model.name}: {model.spec.architecture} sees its whole window by other ways than one mean, so its "
            f"windows cannot agree; take --global-context tile, or train one of {', '.join(models.pooling())} with an "
            "encoder that sees locally"
        )
    return chosen, reaches[chosen]


@contextmanager
def agreeing_windows(
    scene: Scene,
    forwarder: Forwarder,
    grid: WindowGrid,
    places: tuple[int, ...],
    context: Literal["tile", "chip", "scene"],
) -> Iterator[None]:
    """Let a network take its mean as `choose_context` said, while windows of a scene are predicted.

    Args:
        scene: what is mapped; of "scene" it is gone through once, before.
        forwarder: of the network.
        grid: the windows, also of that first pass.
        places: which of the scene's bands to take, in the model's order.
        context: what the mean is taken over.
    """
    if context == "tile":
        yield
        return
    mean = scene_mean(scene, forwarder, grid, places) if context == "scene" else None
    with forwarder.agreeing(mean):
        yield


def scene_mean(scene: Scene, forwarder: Forwarder, grid: WindowGrid, places: tuple[int, ...]) -> torch.Tensor:
    """Mean over a scene (C,), float64, of the features that the network takes the mean of.

    Each feature counts as often as there are valid pixels in the square of `stride` pixels that it stands for, so
    neither margins nor what is reflected beyond the edge nor holes count, and windows of any size give the same mean.
    Windows without data are not computed. A scene without any has the mean 0.
    """
    total = torch.zeros(1, dtype=torch.float64)
    pixels = 0.0
    megapixels = scene.grid.height * scene.grid.width / 1e6
    with progress.bar("Looking at the whole scene", megapixels, "MP") as bar:
        for core in grid:
            values, valid = read_window(scene, grid.window(core), places, forwarder.spec.statistics)
            kept = core_slices(core, grid.margin)
            if valid[kept].any():
                features = forwarder.pooled_features(values)
                counts = _valid_pixels(valid, kept, grid.stride, features)
                total = total + (features.flatten(1).double() @ counts.flatten()).cpu()
                pixels += float(counts.sum())
            bar.advance(core.height * core.width / 1e6)
    return total / max(pixels, 1.0)


def _valid_pixels(
    valid: npt.NDArray[np.bool_], kept: tuple[slice, slice], stride: int, features: torch.Tensor
) -> torch.Tensor:
    """How many valid pixels of the kept part of a window each feature (C, h, w) stands for: (h, w)."""
    inside = np.zeros_like(valid)
    inside[kept] = valid[kept]
    rows, cols = (side // stride for side in valid.shape)
    counts = inside.reshape(rows, stride, cols, stride).sum((1, 3), dtype=np.float64)
    # A network pads windows that are smaller than its least; what is there is no part of the scene.
    height, width = features.shape[1:]
    return F.pad(torch.from_numpy(counts).to(features.device), (0, width - cols, 0, height - rows))
