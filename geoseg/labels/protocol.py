"""What labels are, whatever they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from geoseg.grid import Grid
from geoseg.legend import Legend


class Labels(Protocol):
    """What is known of the ground: a class for some pixels, nothing for the rest."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def legend(self) -> Legend: ...  # noqa: D102

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid, `IGNORE` where nothing is labelled."""


class LabelOptions(TypedDict, total=False):
    """How labels are read, beside their class field and legend; see `open_labels`."""

    layer: str | None
    buffer: float | None
    on_conflict: str
    background: int | None
