"""Scores per class as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geoseg.assessment.figures.style import INK, MUTED, RIVALS, SERIES, plain_name, quiet
from geoseg.confusion import Accuracy


def bars_figure(accuracy: Accuracy, names: Sequence[str], rivals: Mapping[str, Accuracy] | None = None) -> Figure:
    """IoU per class as bars, user's and producer's accuracy as marks on them; rivals as grey bars below."""
    rivals = rivals or {}
    labels = ["\n".join(textwrap.wrap(plain_name(name, 44), 24)) or "?" for name in names]
    count, lanes = len(labels), 1 + len(rivals)
    pitch = max(0.3, 0.2 * lanes + 0.12)
    figure = Figure(figsize=(7.2, 1.2 + pitch * count), layout="constrained")
    axes = figure.subplots()
    thickness = 0.8 / lanes
    for lane, (name, scores) in enumerate({"map": accuracy, **rivals}.items()):
        places = np.arange(count) - 0.4 + thickness * (lane + 0.5)
        color = SERIES[0] if lane == 0 else RIVALS[(lane - 1) % len(RIVALS)]
        label = f"IoU, {plain_name(name)} (mean {scores.mean_iou:.3f})"
        axes.barh(places, np.nan_to_num(100 * scores.iou), thickness * 0.9, color=color, label=label)
    own = np.arange(count) - 0.4 + thickness / 2
    style: dict[str, Any] = {"ls": "", "mec": INK, "mew": 0.8, "zorder": 3, "clip_on": False}
    axes.plot(100 * accuracy.users, own, marker="o", mfc="white", ms=5, label="user's accuracy (precision)", **style)
    axes.plot(100 * accuracy.producers, own, marker="D", mfc=INK, ms=3.6, label="producer's accuracy (recall)", **style)
    for index in np.flatnonzero(np.isnan(accuracy.iou)):
        axes.text(1, own[index], "absent", va="center", fontsize=7.5, color=MUTED, style="italic")
    axes.axvline(100 * accuracy.mean_iou, color=SERIES[0], lw=0.9, ls=(0, (4, 3)), zorder=0)
    axes.set_yticks(np.arange(count), labels, fontsize=8.5)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("%", fontsize=8.5, color=MUTED)
    quiet(axes, "x")
    axes.tick_params(axis="y", colors=INK, labelsize=8.5)
    handles, _ = axes.get_legend_handles_labels()
    handles.sort(key=lambda handle: isinstance(handle, Line2D))  # bars first, as drawn
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=8, frameon=False, labelcolor=INK)
    return figure
