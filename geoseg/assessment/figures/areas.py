"""Areas of the classes: as mapped, and as estimated from samples with their intervals."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geoseg.assessment.estimates import Estimate
from geoseg.assessment.figures.style import INK, MUTED, SERIES, plain_name, quiet


def areas_figure(estimate: Estimate) -> Figure:
    """Estimated areas with 95 % confidence intervals as points and bars, mapped areas as hollow marks.

    In hectares, or in percent of the ground for a map without a CRS.
    """
    classes = estimate.classes
    in_hectares = all(one.hectares is not None for one in classes)
    found = [one.hectares if in_hectares and one.hectares is not None else one.area_share for one in classes]
    mapped = [one.mapped_hectares if in_hectares else one.mapped_share for one in classes]
    factor = 1.0 if in_hectares else 100.0
    values, halves = (
        factor * np.array([np.nan if value is None else value for value in column])
        for column in ([one.value for one in found], [one.half_width for one in found])
    )
    counted = factor * np.array([np.nan if value is None else value for value in mapped])
    figure = Figure(figsize=(7.2, 1.15 + 0.36 * len(classes)), layout="constrained")
    axes: Any = figure.subplots()
    places = np.arange(len(classes))
    low, high = np.maximum(values - halves, 0), values + halves
    axes.hlines(places, low, high, colors=SERIES[0], lw=2)
    for ends in (low, high):
        axes.plot(ends, places, ls="", marker="|", ms=9, mew=1.6, color=SERIES[0])
    axes.plot(
        values, places, ls="", marker="o", ms=6, color=SERIES[0], mec=INK, mew=0.6, label="estimated, 95 % interval"
    )
    style: dict[str, Any] = {"mfc": "white", "mec": INK, "mew": 1, "zorder": 1.5}
    axes.plot(counted, places, ls="", marker="D", ms=6, label="mapped (pixels counted)", **style)
    for place in np.flatnonzero(np.isnan(values)):
        axes.text(0, place, " no estimate", va="center", fontsize=7.5, color=MUTED, style="italic")
    names = ["\n".join(textwrap.wrap(plain_name(one.name, 44), 24)) or "?" for one in classes]
    axes.set_yticks(places, names, fontsize=8.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("hectares" if in_hectares else "% of the ground", fontsize=8.5, color=MUTED)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace(",", " "))
    quiet(axes, "x")
    axes.tick_params(axis="y", colors=INK, labelsize=8.5)
    figure.legend(loc="outside upper left", ncols=2, fontsize=8, frameon=False, labelcolor=INK)
    return figure
