"""The CRF over a whole map: window by window on the stitched probabilities, exactly as in a single pass."""

from __future__ import annotations

import numpy as np
import torch
from rasterio.windows import Window

from geoseg.legend import IGNORE
from geoseg.prediction.crf import refine
from geoseg.prediction.crf_options import CrfOptions
from geoseg.prediction.engine import Job, most_probable
from geoseg.prediction.store import Block, Store
from geoseg.prediction.windows import read_window
from geoseg.progress import Bar


def smooth(
    stitched: Store, refined: Store, job: Job, crf: CrfOptions, side: int, device: torch.device, bar: Bar
) -> None:
    """Refine what of a map is not refined yet.

    Args:
        stitched: the complete map with its probabilities.
        refined: where the refined map is kept; what is complete in it stays.
        job: the scene, whose bands say where edges are.
        crf: how to smooth.
        side: pixels that are refined at a time, halo not counted.
        device: where to do it.
        bar: counts megapixels.
    """
    height, width = job.scene.grid.shape
    bar.advance(refined.done * width / 1e6)
    for top in range(refined.done, height, side):
        for left in range(0, width, side):
            rows, cols = slice(top, min(top + side, height)), slice(left, min(left + side, width))
            refined.put(_refined(stitched, job, crf, device, rows, cols))
            bar.advance((rows.stop - rows.start) * (cols.stop - cols.start) / 1e6)
        refined.note(min(top + side, height))


def _refined(stitched: Store, job: Job, crf: CrfOptions, device: torch.device, rows: slice, cols: slice) -> Block:
    height, width = job.scene.grid.shape
    around = (
        slice(max(rows.start - crf.halo, 0), min(rows.stop + crf.halo, height)),
        slice(max(cols.start - crf.halo, 0), min(cols.stop + crf.halo, width)),
    )
    window = Window(
        around[1].start, around[0].start, around[1].stop - around[1].start, around[0].stop - around[0].start
    )
    values, valid = read_window(job.scene, window, job.places, job.spec.statistics)
    valid &= stitched.labels(*around) != IGNORE
    probabilities = stitched.probabilities(*around)
    with torch.inference_mode():
        beliefs, image, known = (
            torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in (probabilities, values, valid)
        )
        found = refine(beliefs, image, known, crf).cpu().numpy()
    inner = (
        slice(rows.start - around[0].start, rows.stop - around[0].start),
        slice(cols.start - around[1].start, cols.stop - around[1].start),
    )
    found = found[:, *inner]
    return Block(rows, cols, np.where(valid[inner], most_probable(found), np.uint8(IGNORE)), found)
