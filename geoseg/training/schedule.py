"""How fast to learn at each step, as a function of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("one-cycle", "poly", "cosine")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    A rate that depends on nothing but the number of the step is the same whether a training was interrupted or not.

    Attributes:
        steps: optimiser steps in all.
        kind: "one-cycle" (Smith and Topin 2018, arXiv:1708.07120), "poly" (Liu et al. 2015, arXiv:1506.04579) or
            "cosine" (Loshchilov and Hutter 2017, arXiv:1608.03983).
    """

    steps: int
    kind: str = "one-cycle"

    @property
    def average_decay(self) -> float:
        """Decay per step of the moving average of the weights: it spans a fiftieth of the training."""
        return min(0.999, max(0.5, 1 - 5 / self.steps))

    def factor(self, step: int) -> float:
        """Rate of the step that follows `step` others, as a share of the highest."""
        if self.kind == "one-cycle":
            return _wave(*self._cycle(step), 1 / 25, 1.0, 1 / 25e4)
        warm_up = max(1, round(0.05 * self.steps))
        if step < warm_up:
            return (step + 1) / warm_up
        done = min(1.0, (step - warm_up) / max(1, self.steps - warm_up))
        if self.kind == "poly":
            return float(max(1 - done, 1e-3) ** 0.9)
        return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2

    def momentum(self, step: int) -> float | None:
        """First beta of Adam, or momentum; None where it stays what it is."""
        return _wave(*self._cycle(step), 0.95, 0.85, 0.95) if self.kind == "one-cycle" else None

    def _cycle(self, step: int) -> tuple[bool, float]:
        """Whether the rate falls, and how far it has come on the way."""
        total = max(self.steps + 1, 8)
        top = 0.25 * total - 1
        step = min(step, total - 1)
        return (False, step / top) if step <= top else (True, (step - top) / (total - 1 - top))


def _wave(falls: bool, way: float, start: float, top: float, end: float) -> float:
    """Half a cosine from `start` to `top`, or from `top` to `end`."""
    before, after = (top, end) if falls else (start, top)
    return after + (before - after) * (1 + math.cos(math.pi * way)) / 2
