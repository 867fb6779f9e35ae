"""The worst places of a map side by side: scene, map, reference and errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from geoseg.assessment.figures.map_panels import AGREE, DIFFER, UNLABELLED, agreement, colored, rgba
from geoseg.assessment.figures.style import INK, plain_name
from geoseg.assessment.words import degrees
from geoseg.assessment.worst import Spot
from geoseg.legend import IGNORE, Legend
from geoseg.viewing.composite import Image

CLEAR = (255, 255, 255, 0)


def spot_images(spot: Spot, legend: Legend) -> dict[str, Image]:
    """(rows, cols, 4) pictures of a place, by what they show."""
    panels = {} if spot.scene is None else {"scene": spot.scene}
    return panels | {
        "map": colored(spot.mapped, legend, CLEAR),
        "reference": colored(spot.reference, legend, rgba(UNLABELLED)),
        "errors": agreement(spot.mapped, spot.reference, spot.compared),
    }


def worst_figure(spots: Sequence[Spot], legend: Legend) -> Figure:
    """A row of pictures for each place, the worst on top; at least one place."""
    pictures = [spot_images(spot, legend) for spot in spots]
    fullest: dict[str, Image] = max(pictures, key=len)
    titles = list(fullest)
    figure = Figure(figsize=(1.75 * len(titles), 2.0 * len(spots) + 0.5), layout=ConstrainedLayoutEngine(h_pad=0.12))
    grid = figure.subplots(len(spots), len(titles), squeeze=False)
    for row, (spot, images) in enumerate(zip(spots, pictures, strict=True)):
        for axes, title in zip(grid[row], titles, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(color="#999999", linewidth=0.6)
            if title in images:
                axes.imshow(images[title], interpolation="nearest")
            else:
                axes.set_axis_off()
            if row == len(spots) - 1:
                axes.set_xlabel(title, fontsize=9, color=INK)
        caption = f"({chr(ord('a') + row)}) {degrees(spot)}: {100 * spot.share:.0f} % wrong"
        # As wide as the row, and no part of the layout: its panel must not grow with it.
        grid[row][0].set_title(caption, loc="left", fontsize=8, color=INK).set_in_layout(False)
    figure.legend(
        handles=_entries(spots, legend),
        loc="outside lower center",
        ncols=len(titles),
        fontsize=8,
        frameon=False,
        handlelength=1.2,
        handleheight=1.0,
        labelcolor=INK,
    )
    return figure


def _entries(spots: Sequence[Spot], legend: Legend) -> list[Patch]:
    """What the colours mean, of the classes that are to be seen."""
    seen = np.unique(np.concatenate([np.append(spot.mapped, spot.reference) for spot in spots]))
    used = [legend.classes[index] for index in seen if index != IGNORE]
    meant = [(item.color, plain_name(item.name)) for item in used]
    if any((spot.reference == IGNORE).any() for spot in spots):
        meant.append((UNLABELLED, "unlabelled"))
    meant += [(AGREE, "agree"), (DIFFER, "differ")]
    return [Patch(facecolor=color, label=label, edgecolor="#888888", linewidth=0.4) for color, label in meant]
