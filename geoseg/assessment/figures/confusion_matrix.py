"""The confusion matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from geoseg.assessment.figures.style import INK, MUTED, plain_name, short_count
from geoseg.confusion import Accuracy


def confusion_figure(accuracy: Accuracy, names: Sequence[str]) -> Figure:
    """Heat map of a confusion matrix: rows are the reference and add up to 100 %, columns are the map.

    Beside it the pixels of each row, below it the user's accuracy of each column.
    """
    labels = [plain_name(name) for name in names]
    count = len(labels)
    cell = min(0.78, max(0.3, 9.5 / (count + 1)))
    margin = 0.3 + 0.078 * max(len(label) for label in labels)
    side = cell * (count + 1.3)
    spacing = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06)
    figure = Figure(figsize=(max(margin, 1.3) + side + 1.5, max(margin * 0.75, 0.6) + side + 0.6), layout=spacing)
    axes = figure.subplots()
    share = _row_percent(accuracy)
    axes.imshow(np.ma.masked_invalid(share), cmap="Blues", vmin=0, vmax=100)
    _draw_cells(axes, accuracy, share, cell)
    _draw_margins(axes, accuracy, cell)
    _matrix_ticks(axes, labels, cell)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 100), "Blues"), ax=axes, fraction=0.035, pad=0.02, aspect=30, shrink=0.75
    )
    bar.outline.set_visible(False)
    bar.set_label("% of the reference class", color=MUTED, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, colors=MUTED, length=0)
    return figure


def _row_percent(accuracy: Accuracy) -> npt.NDArray[np.float64]:
    rows = accuracy.reference[:, None]
    share = np.full(accuracy.matrix.shape, np.nan)
    return np.asarray(np.divide(100.0 * accuracy.matrix, rows, out=share, where=rows > 0))


def _draw_cells(axes: Any, accuracy: Accuracy, share: npt.NDArray[np.float64], cell: float) -> None:
    count = len(share)
    if count > 40:
        return  # the text would be smaller than print
    size = min(9.0, 14.0 * cell)
    with_counts = cell >= 0.44
    for row, column in np.ndindex(count, count):
        pixels = int(accuracy.matrix[row, column])
        if pixels == 0:
            continue
        color = "white" if share[row, column] > 55 else INK
        weight = "bold" if row == column else "normal"
        text = _percent(float(share[row, column]))
        shift = 0.1 if with_counts else 0.0
        axes.text(column, row - shift, text, ha="center", va="center", color=color, fontsize=size, fontweight=weight)
        if with_counts:
            axes.text(
                column,
                row + 0.24,
                short_count(pixels),
                ha="center",
                va="center",
                color=color,
                fontsize=min(6.0, 10 * cell),
                alpha=0.8,
            )
    for row in np.flatnonzero(accuracy.reference == 0):
        axes.text((count - 1) / 2, row, "not in the reference", ha="center", va="center", color=MUTED, fontsize=7)


def _percent(value: float) -> str:
    """A percentage in at most three characters, so that it fits a small cell; only what is 0 or 100 says so."""
    if 0 < value <= 0.5:
        return "<1"
    return f"{value:.0f}" if value < 99.5 or value == 100 else ">99"


def _draw_margins(axes: Any, accuracy: Accuracy, cell: float) -> None:
    count = len(accuracy.matrix)
    size = min(8.0, 13.0 * cell)
    axes.add_patch(Rectangle((-0.5, count - 0.3), count, 0.8, color="#f4f4f4", lw=0))
    axes.add_patch(Rectangle((count - 0.3, -0.5), 0.95, count, color="#f4f4f4", lw=0))
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "fontsize": size}
    for index, users in enumerate(accuracy.users):
        axes.text(index, count + 0.1, "\N{EN DASH}" if np.isnan(users) else _percent(100 * users), **style)
        axes.text(count + 0.18, index, short_count(int(accuracy.reference[index])), **style)
    axes.set_xlim(-0.5, count + 0.7)
    axes.set_ylim(count + 0.55, -0.5)


def _matrix_ticks(axes: Any, labels: list[str], cell: float) -> None:
    count = len(labels)
    size = min(9.0, 17 * cell)
    places = [*range(count)]
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(
        [*places, count + 0.18], [*labels, "pixels"], rotation=40, ha="left", rotation_mode="anchor", fontsize=size
    )
    axes.set_yticks([*places, count + 0.1], [*labels, "user's accuracy, %"], fontsize=size)
    axes.tick_params(length=0, labelcolor=INK)
    for tick in (axes.get_xticklabels()[-1], axes.get_yticklabels()[-1]):
        tick.set_color(MUTED)
        tick.set_style("italic")
    axes.set_xlabel("map", fontsize=10, fontweight="bold", color=INK)
    axes.set_ylabel("reference", fontsize=10, fontweight="bold", color=INK)
    edges = np.arange(count + 1) - 0.5
    axes.hlines(edges, -0.5, count - 0.5, colors="white", lw=1)
    axes.vlines(edges, -0.5, count - 0.5, colors="white", lw=1)
    axes.spines[:].set_visible(False)
