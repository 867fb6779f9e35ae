"""The per-pixel rival of a map, trained on labels of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from geoseg.assessment import baseline
from geoseg.assessment.compare import windows
from geoseg.assessment.matching import MatchedLabels, open_reference
from geoseg.assessment.pixel_map import PixelMap
from geoseg.errors import LabelError
from geoseg.labels import LabelOptions
from geoseg.legend import Legend
from geoseg.scene import Scene
from geoseg.statistics import BandStatistics

MOST = 200_000
"""Training pixels that are used; of more, every second, third, ... is taken."""


def pixel_rival(
    scene: Scene, training: Path, legend: Legend, *, field: str | None = None, **labelling: Unpack[LabelOptions]
) -> PixelMap:
    """A scene as a Gaussian classifier maps it that was trained on labels, one pixel at a time.

    Args:
        scene: what is mapped.
        training: labels to train on, of any kind.
        legend: of the map that it is to be compared with.
        field: column of the class.
        **labelling: how the labels are read.

    Raises:
        LabelError: they cannot be used, or label no pixel with data.
    """
    labels = open_reference(training, legend, field=field, **labelling)
    total = sum(int(known.sum()) for _, _, known in _labelled(scene, labels, legend))
    if not total:
        raise LabelError(f"{training}: labels no pixel of {scene.name}; check that they cover the same ground")
    step = -(-total // MOST)
    values, classes = [], []
    for window, indices, known in _labelled(scene, labels, legend):
        found, valid = scene.read(window)
        usable = known & valid
        values.append(found[:, usable].T[::step])
        classes.append(indices[usable][::step])
    pixels, of = np.concatenate(values), np.concatenate(classes)
    if not len(pixels):
        raise LabelError(f"{training}: labels {scene.name} only where it has no data")
    statistics = BandStatistics.of(pixels)
    scaled = statistics.scale(pixels.T[:, None], np.ones((1, len(pixels)), bool))[:, 0].T
    return PixelMap(scene, baseline.fit(scaled, of, len(legend)), statistics, legend)


def _labelled(
    scene: Scene, labels: MatchedLabels, legend: Legend
) -> Iterator[tuple[Any, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]:
    """Windows of a scene with labels in them, class indices, and where they are classes of the legend."""
    for window in windows(scene.grid):
        indices = labels.read(scene.grid.crop(window))
        known = indices < len(legend)
        if known.any():
            yield window, indices, known
