"""What is known of each face while the map goes by."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from geoseg.connected import Floats, Int32s, Int64s

FIRST = np.iinfo(np.int64).max


class Faces(NamedTuple):
    """Columns of F faces.

    Attributes:
        code: (F,) what the pixels hold.
        pixels: (F,) pixels, before borders are simplified.
        first: (F,) number of the first pixel, counted along the rows of the raster.
        area: (F,) area within the drawn borders, in pixels.
        metres: (F,) the same in square metres, or NaN.
        length: (F,) length of the drawn borders in metres, or in pixels for a map that is not tied to the Earth.
        vertices: (F,) points of the drawn borders so far.
        rated: (F,) pixels with a confidence.
        total: (F,) sum of the confidence.
        least: (F,) least confidence, infinity without any.
    """

    code: Int32s
    pixels: Int64s
    first: Int64s
    area: Floats
    metres: Floats
    length: Floats
    vertices: Int64s
    rated: Int64s
    total: Floats
    least: Floats

    @classmethod
    def of(cls, code: Int32s) -> Self:
        """Faces of which only the codes are known."""
        count = len(code)

        def floats() -> Floats:
            return np.zeros(count)

        def ints() -> Int64s:
            return np.zeros(count, np.int64)

        first, least = np.full(count, FIRST), np.full(count, np.inf)
        return cls(code, ints(), first, floats(), floats(), floats(), ints(), ints(), floats(), least)

    def add(self, others: Faces, into: npt.NDArray[np.integer]) -> None:
        """Add each of `others` to the face `into` says."""
        for name in ("pixels", "area", "metres", "length", "vertices", "rated", "total"):
            np.add.at(getattr(self, name), into, getattr(others, name))
        np.minimum.at(self.first, into, others.first)
        np.minimum.at(self.least, into, others.least)

    def take(self, which: npt.NDArray[np.integer]) -> Self:
        """Some of the faces."""
        return type(self)(*(column[which] for column in self))

    @classmethod
    def joined(cls, parts: list[Faces]) -> Self:
        """The faces of all parts."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
