"""How a CRF smooths; apart from the CRF itself, so that whoever asks for none need not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from geoseg import registry
from geoseg.errors import OptionError

SIDES = (512, 256, 128, 64, 32)
"""Pixels of a side that may be refined at a time, halo not counted; the result is the same."""

LARGEST = 1_000_000
"""Of a weight or a deviation, which is no less than one over it: its square and its quotients fit single precision."""


@dataclass(frozen=True, slots=True)
class CrfOptions:
    """How the CRF smooths.

    Attributes:
        iterations: of the mean field, T.
        radius: neighbours to each side, r; the window has 2r + 1 of them in a row.
        dilation: pixels from one neighbour to the next, d.
        appearance: weight of neighbours that look alike, 0 for none.
        smoothness: weight of all neighbours, 0 for none.
        nearness: deviation of the kernel of appearance in space, in neighbours.
        likeness: deviation of it in the bands, per band and in standard deviations of the training pixels.
        spread: deviation of the kernel of smoothness in space, in neighbours.
    """

    iterations: int = 5
    radius: int = 4
    dilation: int = 1
    appearance: float = 3.0
    smoothness: float = 1.0
    nearness: float = 4.0
    likeness: float = 0.5
    spread: float = 2.0

    def __post_init__(self) -> None:
        for name, count in (("iterations", self.iterations), ("radius", self.radius), ("dilation", self.dilation)):
            if count < 1:
                raise OptionError(f"{name} of the CRF is {count}; it must be 1 or more")
        for name, weight in (("appearance", self.appearance), ("smoothness", self.smoothness)):
            if not 0 <= weight <= LARGEST:
                raise OptionError(f"{name} of the CRF is {weight}; it must be from 0 to {LARGEST:.0f}")
        for name, sigma in (("nearness", self.nearness), ("likeness", self.likeness), ("spread", self.spread)):
            if not 1 / LARGEST <= sigma <= LARGEST:
                raise OptionError(f"{name} of the CRF is {sigma}; it must be from {1 / LARGEST:f} to {LARGEST:.0f}")

    @classmethod
    def parse(cls, text: str) -> CrfOptions:
        """Options written as "iterations=5,radius=4"; what is not named keeps its default.

        Raises:
            OptionError: no such option, or a number that it cannot be.
        """
        defaults = {field.name: field.default for field in fields(cls)}
        given = registry.assignments(text, tuple(defaults), "the CRF")
        return cls(**{name: _number(name, value, type(defaults[name])) for name, value in given.items()})

    @property
    def halo(self) -> int:
        """Pixels to one side that a result depends on: r * d * T."""
        return self.radius * self.dilation * self.iterations

    def side(self, shape: tuple[int, int], bands: int, classes: int, memory: int) -> int:
        """Pixels of a side to refine at a time, as many as fit into the memory.

        Args:
            shape: rows and columns of the scene.
            bands: of the model.
            classes: of the model.
            memory: bytes that it may take.

        Raises:
            OptionError: even the fewest do not fit.
        """
        # Half of the neighbours have a map of their kernel; the rest was measured.
        maps = 3 * bands + 20 * classes + (2 * self.radius * (self.radius + 1) if self.appearance else 0)
        for side in SIDES:
            rows, cols = (min(side + 2 * self.halo, length) for length in shape)
            needed = 4 * rows * cols * maps
            if needed <= memory:
                return side
        raise OptionError(
            f"the CRF takes {needed / 1e9:.1f} GB at a time, and {max(memory, 0) / 1e9:.1f} GB are left for it; give a "
            "smaller radius or dilation, or fewer iterations, with --crf-options, or more with --memory"
        )


def _number(name: str, text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise OptionError(f"{name} of the CRF is '{text}'; it must be {what}") from error
