"""What the per-pixel rival would map, window by window, without a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.assessment.baseline import GaussianClassifier
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend
from geoseg.scene import Scene
from geoseg.statistics import BandStatistics


@dataclass(frozen=True, slots=True)
class PixelMap:
    """A scene seen through a per-pixel classifier; read like a `ClassRaster`.

    Attributes:
        scene: what is classified.
        classifier: of scaled bands.
        statistics: how to scale them.
        legend: the classes.
    """

    scene: Scene
    classifier: GaussianClassifier
    statistics: BandStatistics
    legend: Legend

    @property
    def path(self) -> Path:
        """What to call it in messages."""
        return Path(self.scene.name)

    @property
    def grid(self) -> Grid:
        """The scene's."""
        return self.scene.grid

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) of a window, `IGNORE` where the scene has no data."""
        values, valid = self.scene.read(window)
        indices = self.classifier.predict(self.statistics.scale(values, valid))
        return np.where(valid, indices, np.uint8(IGNORE))
