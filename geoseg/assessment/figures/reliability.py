"""How far a confidence can be believed, as a reliability diagram."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from geoseg.assessment.figures.style import INK, MUTED, SERIES, quiet
from geoseg.assessment.scores import Calibration


def reliability_figure(calibration: Calibration) -> Figure:
    """Accuracy against confidence, bin by bin, and below it how many pixels there are in each bin.

    A confidence that means what it says lies on the diagonal: of pixels with confidence .8, 80 % are right (Guo et al.
    2017, arXiv:1706.04599).
    """
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    filled = [one for one in calibration.bins if one.accuracy is not None and one.confidence is not None]
    middles = [50 * (one.lower + one.upper) for one in filled]
    widths = [96 * (one.upper - one.lower) for one in filled]
    sure = [100 * (one.confidence or 0.0) for one in filled]
    right = [100 * (one.accuracy or 0.0) for one in filled]
    upper.bar(middles, right, widths, color=SERIES[0], alpha=0.3, label="right")
    upper.plot([0, 100], [0, 100], color=MUTED, lw=0.9, ls=(0, (4, 3)), label="as sure as right")
    upper.vlines(sure, sure, right, colors=SERIES[5], lw=1.4, label="gap")
    upper.plot(sure, right, ls="", marker="o", ms=4.5, color=SERIES[0], mec=INK, mew=0.6, clip_on=False)
    upper.set(xlim=(0, 100), ylim=(0, 100))
    upper.set_ylabel("right, %", fontsize=8.5, color=INK)
    upper.legend(fontsize=8, frameon=False, labelcolor=INK, loc="upper left")
    total = sum(one.pixels for one in filled) or 1
    lower.bar(middles, [100 * one.pixels / total for one in filled], widths, color=SERIES[0])
    lower.set_xlabel("confidence, %", fontsize=8.5, color=INK)
    lower.set_ylabel("of pixels, %", fontsize=8.5, color=INK)
    axes: Any
    for axes in (upper, lower):
        quiet(axes, "both")
    return figure
