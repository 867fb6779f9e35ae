"""How much each class counts in the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg.documents import parse_json, parse_toml, read_document
from geoseg.errors import OptionError
from geoseg.legend import Legend
from geoseg.raster import first_line
from geoseg.registry import suggestion

POWERS = {"none": 0.0, "auto": 0.25, "sqrt": 0.5}
"""Names of class weights, with the power of the frequency each takes."""

MEDIAN = "median_frequency"
MAX_BYTES = 1_000_000
LARGEST = torch.finfo(torch.float32).max
"""Weight that the loss can be computed with."""


def class_weights(asked: str, counts: npt.NDArray[np.int64], legend: Legend) -> Tensor | None:
    """Weights (K,) by class index, None for equal ones.

    Args:
        asked: a name of `POWERS`, `MEDIAN`, or the path of a table, see `read_table`.
        counts: (chips, K) labelled pixels of the training chips.
        legend: the classes.

    Raises:
        OptionError: no such weights, or a table that does not fit the legend.
    """
    if asked == "none":
        return None
    if asked in POWERS:
        return balancing_weights(counts.sum(0), POWERS[asked])
    if asked == MEDIAN:
        return median_frequency(counts)
    path = Path(asked)
    if path.suffix.lower() not in (".toml", ".json"):
        raise OptionError(
            f"class_weights is '{asked}'; it must be {', '.join(POWERS)}, {MEDIAN}, or a .toml or .json file"
        )
    return read_table(path, legend)


def balancing_weights(pixels: npt.NDArray[np.int64], power: float) -> Tensor:
    """Class weights: frequency to the power of -`power`, scaled so that the average pixel weighs 1.

    Args:
        pixels: labelled pixels per class (K,); a class without any weighs nothing.
        power: 0 for equal weights, 1 for equal classes.
    """
    present = pixels > 0
    weights = np.zeros(len(pixels))
    weights[present] = (pixels[present] / pixels.sum()) ** -power
    weights /= (weights * pixels).sum() / pixels.sum()
    return torch.tensor(weights, dtype=torch.float32)


def median_frequency(counts: npt.NDArray[np.int64]) -> Tensor:
    """The median of all frequencies divided by that of the class, scaled so that the average pixel weighs 1.

    The frequency of a class is its share of the chips in which it is (Eigen and Fergus 2015, arXiv:1411.4734).

    Args:
        counts: (chips, K) labelled pixels; a class without any weighs nothing.
    """
    total = counts.sum(0)
    present = total > 0
    beside = np.where(counts > 0, counts.sum(1, keepdims=True), 0).sum(0)
    frequency = total[present] / beside[present]
    weights = np.zeros(len(total))
    weights[present] = np.median(frequency) / frequency
    weights /= (weights * total).sum() / total.sum()
    return torch.tensor(weights, dtype=torch.float32)


def read_table(path: Path, legend: Legend) -> Tensor:
    """Weights from a TOML or JSON table of class names, such as `forest = 1.0`; they are taken as they are.

    Raises:
        OptionError: not readable, not a table, or it does not name each class of the legend once with a number.
    """
    table = _table(path)
    unknown = [name for name in table if name not in legend.names]
    if unknown:
        raise OptionError(f"{path}: there is no class '{unknown[0]}'; {suggestion(unknown[0], list(legend.names))}")
    missing = [name for name in legend.names if name not in table]
    if missing:
        raise OptionError(f"{path}: has no weight for '{missing[0]}'; give one for each of {', '.join(legend.names)}")
    for name, weight in table.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= LARGEST:
            raise OptionError(
                f"{path}: the weight of '{name}' is {weight!r}; it must be a number, 0 or more, up to {LARGEST:.0e}"
            )
    if not any(table.values()):
        raise OptionError(f"{path}: all weights are 0, so there would be nothing to learn; give one that is more")
    return torch.tensor([float(table[name]) for name in legend.names])


def _table(path: Path) -> dict[str, Any]:
    try:
        text = read_document(path, MAX_BYTES)
        table = parse_toml(text) if path.suffix.lower() == ".toml" else parse_json(text)
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}; check the path of the class weights") from error
    except ValueError as error:
        raise OptionError(f"{path}: is no table of class weights ({first_line(error)}); write name = number") from error
    if not isinstance(table, dict):
        raise OptionError(f"{path}: is no table but {type(table).__name__}; write a name and a number for each class")
    return table
