"""Make a graph of a network and try it against torch; this part needs torch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from geoseg.errors import GeosegError
from geoseg.grid import round_up
from geoseg.model import Model, load_model
from geoseg.models._inner import inner
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction.runtimes._fuse import fused
from geoseg.prediction.runtimes._heads import Floats, most_probable
from geoseg.prediction.runtimes._memory import memory_of
from geoseg.raster import first_line

if TYPE_CHECKING:
    from geoseg.prediction.runtimes._graph import Backend

logger = logging.getLogger(__name__)

SHARE = 2e-5
"""Largest share of labels that may differ, and two pixels: where two classes are equal but for rounding."""

SIDE = 256


def export(
    backend: Backend, source: str | Path | Model, folder: Path, threads: int | None, margin: int
) -> dict[str, object]:
    """Write the graph of a model, without a margin, into a folder; what is to be known of it, and why it is refused.

    It is made from windows of one size and tried on another, so that a graph in which sizes are fixed does not pass.
    """
    model = source if isinstance(source, Model) else load_model(source)
    bands = len(model.spec.bands)
    network = inner(fused(model.network, bands), margin, bands)
    about: dict[str, object] = {
        "stride": network.stride,
        "min_size": network.min_size,
        "memory": memory_of(network, bands),
    }
    logger.info("making the %s graph of %s, once", backend.name, model.name)
    reason = _refusal(backend, network, bands, folder, threads)
    if reason:
        for file in folder.iterdir():
            file.unlink()
    return about | {"refused": reason}


def _refusal(
    backend: Backend, network: SegmentationNetwork, bands: int, folder: Path, threads: int | None
) -> str | None:
    side = round_up(max(64, network.min_size, 2 * network.margin + network.stride), network.stride)
    example = _window(bands, side, side + network.stride, batch=2)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of tracing: that it is old, and that sizes may be fixed, which is tried below.
            warnings.simplefilter("ignore")
            backend.write(network.body, example, folder)
        infer = backend.load(folder, threads)
        longer = round_up(max(SIDE + 2 * network.margin, side + 2 * network.stride), network.stride)
        window = _window(bands, longer, longer + network.stride)
        with torch.inference_mode():
            return _difference(network.body(window).numpy(), infer(window.numpy()))
    except (GeosegError, MemoryError, OSError, KeyboardInterrupt):
        raise
    except Exception as error:  # what converters raise has no common base
        return f"the network cannot be converted: {first_line(error)}"


def _difference(expected: Floats, found: Floats) -> str | None:
    """Why the logits of a graph are not those of torch, None where they are."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        return "its outputs are not those of torch"
    pixels = expected[:, 0].size
    wrong = int((most_probable(expected) != most_probable(found)).sum())
    return f"{wrong} of {pixels} labels are not those of torch" if wrong > 2 + SHARE * pixels else None


def _window(bands: int, height: int, width: int, batch: int = 1) -> torch.Tensor:
    """Scaled windows with structure from single pixels to many, as scenes have."""
    generator = torch.Generator().manual_seed(0)
    window = torch.zeros(batch, bands, height, width)
    for step in (1, 4, 16, 64):
        shape = (batch, bands, -(-height // step), -(-width // step))
        coarse = torch.randn(shape, generator=generator)
        window += F.interpolate(coarse, size=(height, width), mode="bilinear") / 2
    return window
