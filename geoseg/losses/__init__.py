"""Losses, one file each, found by file name, and sums of them such as "ce+dice" or "focal(gamma=3):1+dice:0.5".

Each file has `loss(logits, labels, weights)`: logits (N, K, H, W), class indices (N, H, W) with `IGNORE` where there is
no label, weights (K,) or None, to a scalar. It computes in float32 and is 0 with zero gradient when nothing is
labelled. `OPTIONS` of a file names its further arguments, with the least and the largest value of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from geoseg import registry
from geoseg.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

_TERM = re.compile(r"(?P<name>[^:(]*)(\((?P<options>[^()]*)\))?(:(?P<weight>.*))?")


class Term(NamedTuple):
    """A summand: a loss, how much it counts, and its options."""

    name: str
    weight: float
    options: dict[str, float]


def parse(text: str) -> list[Term]:
    """The summands of a sum of losses.

    >>> parse("ce(smoothing=0.1)+dice:0.5")
    [Term(name='ce', weight=1.0, options={'smoothing': 0.1}), Term(name='dice', weight=0.5, options={})]

    Raises:
        OptionError: no such loss or option, or a number that it cannot be.
    """
    return [_term(term.strip()) for term in text.split("+")]


def _term(text: str) -> Term:
    match = _TERM.fullmatch(text)
    if match is None:
        raise OptionError(f"'{text}' is no loss; write it as in ce, dice:0.5 or focal(gamma=3):0.5")
    name = match["name"].strip()
    if name not in registry.names(__name__):
        raise OptionError(f"there is no loss '{name}'; {registry.suggestion(name, registry.names(__name__))}")
    weight = 1.0 if match["weight"] is None else _number(match["weight"])
    if not 0 < weight < float("inf"):
        raise OptionError(f"loss '{text}' has the weight '{match['weight']}'; write a positive number, as in dice:0.5")
    ranges: dict[str, tuple[float, float]] = getattr(registry.load(__name__, name), "OPTIONS", {})
    given = registry.assignments(match["options"] or "", tuple(ranges), f"loss '{name}'")
    return Term(name, weight, {key: _option(name, key, value, *ranges[key]) for key, value in given.items()})


def _option(name: str, key: str, text: str, least: float, most: float) -> float:
    value = _number(text)
    if not least <= value <= most:
        raise OptionError(f"{key} of loss '{name}' is '{text}'; it must be {least:g} to {most:g}")
    return value


def _number(text: str) -> float:
    """The number, or NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def build(text: str) -> Loss:
    """The loss that `text` asks for; see `parse`."""
    terms = [(term.weight, partial(registry.load(__name__, term.name).loss, **term.options)) for term in parse(text)]

    def total(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        values = [weight * loss(logits, labels, weights) for weight, loss in terms]
        result: Tensor = sum(values[1:], start=values[0])
        return result

    return total
