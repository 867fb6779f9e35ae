"""The areas of classes in regions as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoseg.assessment.figures.style import MUTED, plain_name, png
from geoseg.legend import Legend

MOST = 40
"""Regions that have a bar of their own, the largest; the others share one."""


def areas_figure(names: list[str], areas: npt.NDArray[np.float64], legend: Legend) -> bytes:
    """Bars of the share of each class, a region each and one of all, with their area beside them, as PNG.

    Args:
        names: of the regions.
        areas: square metres (regions, classes).
        legend: of the classes.
    """
    names, areas = _largest(names, areas)
    height = 1.2 + 0.26 * len(names)
    figure = Figure(figsize=(9.0, height), layout="constrained")
    axes: Any = figure.subplots()
    shares = 100 * areas / np.maximum(areas.sum(1, keepdims=True), 1e-9)
    place = np.arange(len(names))
    left = np.zeros(len(names))
    for number, item in enumerate(legend):
        label = plain_name(item.name)
        axes.barh(place, shares[:, number], left=left, height=0.74, color=item.color, label=label, linewidth=0)
        left += shares[:, number]
    for row, total in enumerate(areas.sum(1)):
        axes.text(101.5, row, _area(total), va="center", fontsize=8, color=MUTED)
    axes.set_yticks(place, [plain_name(name) for name in names], fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the mapped area", color=MUTED, fontsize=8.5)
    axes.tick_params(length=0, labelsize=8.5)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5)
    return png(figure)


def _largest(names: list[str], areas: npt.NDArray[np.float64]) -> tuple[list[str], npt.NDArray[np.float64]]:
    order = np.argsort(-areas.sum(1), kind="stable")
    kept, others = order[:MOST], order[MOST:]
    labels, rows = [names[number] for number in kept], [*areas[kept]]
    if len(others):
        labels.append(f"{len(others)} others")
        rows.append(areas[others].sum(0))
    return ["all regions", *labels], np.array([areas.sum(0), *rows])


def _area(metres: float) -> str:
    if metres >= 1e6:
        return f"{metres / 1e6:,.4g} km²" if metres < 1e10 else f"{metres / 1e6:,.0f} km²"
    return f"{metres / 1e4:.3g} ha"
