"""What the windows of a scene are told of what lies beyond them, by networks that take a mean over their window.

With another mean in each window neighbours disagree where they meet. With the running mean of a training chip's size,
or with one mean of the whole scene, they agree: stitching is then exact with the margin of `agreeing_reach`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from geoseg import progress
from geoseg.errors import OptionError
from geoseg.model import Model, ModelSpec
from geoseg.prediction.engine import Job, read

if TYPE_CHECKING:
    import torch

GlobalContext = Literal["auto", "tile", "chip", "scene"]
Context = Literal["tile", "chip", "scene"]


def choose_context(spec: ModelSpec, name: str, asked: GlobalContext) -> Context:
    """What a network is to take its mean over.

    Args:
        spec: of any model; one that sees locally takes no mean, and its windows agree already.
        name: of the model.
        asked: "tile" for each window, "chip" for what is around a pixel, "scene" for the whole scene, or "auto" for
            "chip" where the network can and "tile" where not.

    Raises:
        OptionError: "chip" or "scene" of a network that sees its window by other ways than one mean.
    """
    if asked not in get_args(GlobalContext):
        raise OptionError(f"global context is '{asked}'; it must be {', '.join(get_args(GlobalContext))}")
    if asked == "tile" or spec.reach is not None or (asked == "auto" and not spec.agreeing_reach):
        return "tile"
    chosen: Context = "chip" if asked == "auto" else asked
    if chosen not in spec.agreeing_reach:
        from geoseg import models

        raise OptionError(
            f"{name}: {spec.architecture} sees its whole window by other ways than one mean, so its windows cannot "
            f"agree; take --global-context tile, or train one of {', '.join(models.pooling())} with an encoder that "
            "sees locally"
        )
    return chosen


def settled(model: Model, context: Context, mean: torch.Tensor | None = None) -> Model:
    """The same model with a network that takes its mean as `choose_context` said.

    Args:
        model: is left as it is.
        context: what the mean is taken over; with "tile" the model itself is returned.
        mean: for "scene", the mean (C,), or (1,) while it is not known yet.
    """
    if context == "tile":
        return model
    from geoseg.models._context import settle

    network = copy.deepcopy(model.network)
    settle(network, model.spec.chip_size, mean)
    # The reach is now that of what is left of the network; graphs of the two never pass for each other either.
    return Model(model.name, replace(model.spec, reach=model.spec.agreeing_reach[context]), network)


def scene_mean(job: Job, model: Model, device: torch.device) -> torch.Tensor:
    """Mean over a scene (C,), float64, of the features that the network takes the mean of.

    Each feature counts as often as there are valid pixels in the square of `stride` pixels that it stands for, so
    neither margins nor what is reflected beyond the edge nor holes count, and windows of any size give the same mean.
    Windows without data are not computed. A scene without any has the mean 0.

    Args:
        job: the scene and its windows, which do not fade.
        model: with the network as it was trained.
        device: where to run it.
    """
    import torch

    from geoseg.models._context import pooled_features

    network = copy.deepcopy(model.network).eval().to(device).to(memory_format=torch.channels_last)
    total, pixels = torch.zeros(1, dtype=torch.float64), 0.0
    grid = job.scene.grid
    with (
        progress.bar("Looking at the whole scene", grid.height * grid.width / 1e6, "MP") as bar,
        torch.inference_mode(),
    ):
        for seen in read(job, job.layout.pieces()):
            if seen.values is not None:
                image = torch.from_numpy(seen.values)[None].to(device, memory_format=torch.channels_last)
                with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                    features = pooled_features(network, image)[0].double()
                inside = np.zeros(seen.values.shape[1:], bool)
                inside[seen.piece.within(inside.shape)] = seen.valid
                counts = _valid_pixels(inside, job.spec.stride, features)
                total = total + (features.flatten(1) @ counts.flatten()).cpu()
                pixels += float(counts.sum())
            bar.advance(seen.valid.size / 1e6)
    return total / max(pixels, 1.0)


def _valid_pixels(inside: npt.NDArray[np.bool_], stride: int, features: torch.Tensor) -> torch.Tensor:
    """How many of the pixels that count (rows, cols) each feature stands for: (h, w)."""
    import torch
    from torch.nn import functional as F

    rows, cols = (side // stride for side in inside.shape)
    counts = inside.reshape(rows, stride, cols, stride).sum((1, 3), dtype=np.float64)
    # A network pads windows that are smaller than its least; what is there is no part of the scene.
    height, width = features.shape[1:]
    return F.pad(torch.from_numpy(counts).to(features.device), (0, width - cols, 0, height - rows))
