"""What a map would take: a few of its windows are done to know."""

from __future__ import annotations

import itertools
import time

from geoseg.prediction.budget import peak_memory
from geoseg.prediction.crf_options import CrfOptions
from geoseg.prediction.engine import Job, Network, Seen, read
from geoseg.prediction.result import Estimate

WINDOWS = 5
"""Windows that are tried, spread over the scene, after one that is not counted."""


def estimate(
    output: str, job: Job, network: Network, runtime: str, keeps: bool, crf: CrfOptions | None, side: int = 0
) -> Estimate:
    """Do some windows of a map, and say what all of them would take.

    Args:
        output: the map.
        job: what to map.
        network: what maps it.
        runtime: its name.
        keeps: probabilities are kept on disk meanwhile.
        crf: how the map is smoothed after, if it is.
        side: pixels that are smoothed at a time.
    """
    pieces = list(job.layout.pieces())
    count = min(WINDOWS, len(pieces))
    chosen = [pieces[number * len(pieces) // count] for number in range(count)]
    start = 0.0
    for number, seen in enumerate(read(job, [chosen[0], *chosen])):
        if number == 1:
            start = time.monotonic()
        _try(seen, network, crf, side)
    seconds = (time.monotonic() - start) / count * len(pieces)
    grid = job.scene.grid
    pixels = grid.height * grid.width
    # Class indices, half precision probabilities, and the rasters before and after they are optimised.
    disk = pixels * (1 + 2 + (2 * len(job.spec.legend) if keeps or crf else 0))
    windows = job.layout.grid
    return Estimate(
        output, pixels / 1e6, len(pieces), windows.window_shape, windows.margin, seconds, peak_memory(), disk, runtime
    )


def _try(seen: Seen, network: Network, crf: CrfOptions | None, side: int) -> None:
    if seen.values is None:
        return
    if crf is None:
        network.classes(seen.values[None])
        return
    import torch

    from geoseg.prediction.crf import refine

    found = network.probabilities(seen.values[None])[0]
    kept = seen.piece.within(found.shape), seen.piece.within(seen.values.shape)
    probabilities, image, valid = (
        torch.from_numpy(part) for part in (found[:, *kept[0]], seen.values[:, *kept[1]], seen.valid)
    )
    with torch.inference_mode():
        for top, left in itertools.product(*(range(0, length, side) for length in valid.shape)):
            part = slice(top, top + side), slice(left, left + side)
            refine(probabilities[:, *part], image[:, *part], valid[part], crf)
