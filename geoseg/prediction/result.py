"""What predicting made, and what it would take."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE, Legend
from geoseg.prediction.seams import SeamScore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PredictResult:
    """What `predict` made.

    Attributes:
        output: the map.
        height, width: in pixels.
        shares: share of each class among the mapped pixels.
        nodata: share of pixels without data.
        seconds: in all.
        runtime: what ran the network.
        windows: rows and columns of a window, margins included.
        margin: of its context on each side, in pixels.
        bottleneck: what took most of the time.
        seams: how much shows of where windows meet, None where nobody asked.
    """

    output: str
    height: int
    width: int
    shares: dict[str, float]
    nodata: float
    seconds: float
    runtime: str
    windows: tuple[int, int]
    margin: int
    bottleneck: str
    seams: SeamScore | None = None

    def __str__(self) -> str:
        classes = ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares.items())
        rate = self.height * self.width / 1e6 / max(self.seconds, 1e-9)
        rows, cols = self.windows
        return (
            f"{self.output}: {self.height} x {self.width} pixels, {classes}, no data {100 * self.nodata:.1f} % "
            f"({self.seconds:.1f} s, {rate:.2f} MP/s in windows of {rows} x {cols} with a margin of {self.margin}, "
            f"{self.runtime}; {self.bottleneck})" + (f"\n{self.seams}" if self.seams else "")
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `predict` would take.

    Attributes:
        output: the map.
        megapixels: of the scene.
        windows: how many.
        window: rows and columns of one, margins included.
        margin: of its context on each side, in pixels.
        seconds: in all, from the windows that were tried.
        memory: bytes at the peak of the tried windows, of the whole process.
        disk: bytes at most while it works, and after.
        runtime: what would run the network.
    """

    output: str
    megapixels: float
    windows: int
    window: tuple[int, int]
    margin: int
    seconds: float
    memory: int
    disk: int
    runtime: str

    def __str__(self) -> str:
        rows, cols = self.window
        return (
            f"{self.output}: would be {self.megapixels:.4g} MP in {self.windows} windows of {rows} x {cols} pixels "
            f"with a margin of {self.margin}, about {_duration(self.seconds)} with {self.runtime}, "
            f"{self.memory / 1e9:.1f} GB of memory, {self.disk / 1e9:.2g} GB of disk at most"
        )


def shares_of(counts: npt.NDArray[np.int64], legend: Legend, scene: str) -> tuple[dict[str, float], float]:
    """Share of each class among the mapped pixels, and of pixels without data, from counts per class index (256,)."""
    mapped = int(counts[: len(legend)].sum())
    if mapped == 0:
        logger.warning("%s has no valid pixel; the map is nodata all over", scene)
    shares = {name: float(counts[i]) / max(mapped, 1) for i, name in enumerate(legend.names)}
    return shares, float(counts[IGNORE]) / float(counts.sum())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
