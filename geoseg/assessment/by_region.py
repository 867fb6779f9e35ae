"""One confusion matrix per region."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from geoseg.assessment.sight import Sight
from geoseg.confusion import Matrix
from geoseg.legend import IGNORE
from geoseg.named_regions import NamedRegions


@dataclass(slots=True, eq=False)
class RegionTally:
    """Counts by region; polygons of one name are one region.

    Attributes:
        classes: K.
        regions: in the CRS of the map.
        matrices: (K, K) counts of each name, rows reference and columns map; in the order of the names.
    """

    classes: int
    regions: NamedRegions
    matrices: dict[str, Matrix] = field(init=False)

    def __post_init__(self) -> None:
        self.matrices = {name: np.zeros((self.classes, self.classes), np.int64) for name in self.regions.names}

    @property
    def margin(self) -> int:
        """None is needed."""
        return 0

    def add(self, sight: Sight) -> None:
        """Count one window."""
        number = self.regions.numbers(sight.grid)
        known = (number > 0) & sight.inside & (sight.mapped != IGNORE) & (sight.reference != IGNORE)
        if not known.any():
            return
        cells = self.classes**2
        codes = number[known].astype(np.int64) * cells
        codes += sight.reference[known].astype(np.int64) * self.classes + sight.mapped[known]
        found, counts = np.unique(codes, return_counts=True)
        for place in np.unique(found // cells):
            own = found // cells == place
            matrix = self.matrices[self.regions.names[place - 1]]
            matrix.ravel()[found[own] % cells] += counts[own]
