"""Losses, one file each, found by file name, and sums of them such as "ce+dice" or "ce:1+dice:0.5".

Each file has `loss(logits, labels, weights)`: logits (N, K, H, W), class indices (N, H, W) with `IGNORE` where there is
no label, weights (K,) or None, to a scalar. It computes in float32 and is 0 with zero gradient when nothing is
labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from geoseg import registry
from geoseg.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def parse(text: str) -> list[tuple[str, float]]:
    """Names and weights of a sum of losses.

    >>> parse("ce+dice:0.5")
    [('ce', 1.0), ('dice', 0.5)]

    Raises:
        OptionError: no such loss, or a weight that is no positive number.
    """
    terms = []
    for term in text.split("+"):
        name, _, factor = term.strip().partition(":")
        if name not in registry.names(__name__):
            raise OptionError(f"there is no loss '{name}'; {registry.suggestion(name, registry.names(__name__))}")
        try:
            weight = float(factor or 1)
        except ValueError:
            weight = -1.0
        if not 0 < weight < float("inf"):
            raise OptionError(f"loss '{term}' has the weight '{factor}'; write a positive number, as in ce:1+dice:0.5")
        terms.append((name, weight))
    return terms


def build(text: str) -> Loss:
    """The loss that `text` asks for; see `parse`."""
    terms = [(registry.load(__name__, name).loss, weight) for name, weight in parse(text)]

    def total(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        values = [weight * loss(logits, labels, weights) for loss, weight in terms]
        result: Tensor = sum(values[1:], start=values[0])
        return result

    return total
