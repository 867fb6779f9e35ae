"""The curves of a training."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geoseg.assessment.figures.style import INK, MUTED, SERIES, plain_name, quiet
from geoseg.documents import read_document
from geoseg.errors import OptionError
from geoseg.raster import first_line

Curves = Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
"""Name of a training metric to its epochs and values."""

MAX_CURVES_BYTES = 50_000_000


def read_curves(path: Path) -> Curves:
    """Read the metrics.csv of a training: any numeric columns, with gaps, by `epoch` if there is such a column.

    Raises:
        OptionError: it cannot be read, or there is no number in it.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_document(path, MAX_CURVES_BYTES), newline=""), restval=""))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OptionError(f"{path}: cannot be read as the metrics.csv of a training: {reason}") from error
    curves = {}
    for name in rows[0] if rows else ():
        if name is None or name in ("epoch", "step"):
            continue
        points = [
            (_float(row.get("epoch", ""), number), _float(row.get(name), math.nan)) for number, row in enumerate(rows)
        ]
        kept = np.array([point for point in points if all(map(math.isfinite, point))]).reshape(-1, 2)
        if len(kept):
            curves[name] = (kept[:, 0], kept[:, 1])
    if not curves:
        raise OptionError(f"{path}: holds no numbers; the metrics.csv of a training has columns such as train_loss")
    return curves


def _float(text: Any, otherwise: float) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return otherwise


def curves_figure(curves: Curves) -> Figure:
    """Training curves: losses in one panel, scores between 0 and 1 in another; other columns if there is neither."""
    groups: dict[str, list[str]] = {"loss": [], "score": [], "other": []}
    for name, (_, values) in curves.items():
        is_score = bool(((values >= 0) & (values <= 1)).all()) and _is_score(name)
        groups["loss" if "loss" in name.lower() else "score" if is_score else "other"].append(name)
    shown = {title: names for title, names in groups.items() if names and title != "other"} or {
        "value": groups["other"]
    }
    figure = Figure(figsize=(4.4 * len(shown), 3.0), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown.items(), strict=True):
        for index, name in enumerate(names):
            epochs, values = curves[name]
            style: dict[str, Any] = {"marker": "o", "ms": 3} if len(values) <= 20 else {}
            axes.plot(epochs, values, color=SERIES[index % len(SERIES)], lw=1.5, label=plain_name(name), **style)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("epoch", fontsize=8.5, color=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        quiet(axes, "both")
        if title == "score":
            axes.set_ylim(0, 1)
            _mark_best(axes, curves, names)
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _is_score(name: str) -> bool:
    return any(word in name.lower() for word in ("iou", "acc", "f1", "dice", "precision", "recall", "score", "kappa"))


def _mark_best(axes: Any, curves: Curves, names: list[str]) -> None:
    """Ring the best epoch of the first validation score."""
    validation = [name for name in names if name.lower().startswith("val")] or names
    epochs, values = curves[validation[0]]
    best = int(values.argmax())
    axes.plot(epochs[best], values[best], marker="o", ms=8, mfc="none", mec=INK, mew=1.0, ls="")
    axes.annotate(
        f"{values[best]:.3f}",
        (epochs[best], values[best]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="center",
        fontsize=8,
        color=INK,
    )
