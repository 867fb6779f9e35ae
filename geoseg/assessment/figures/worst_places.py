"""The worst places of a map side by side: scene, map, reference and errors."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from geoseg.assessment.figures.map_panels import UNLABELLED, agreement, colored, rgba
from geoseg.assessment.figures.style import INK
from geoseg.assessment.words import degrees
from geoseg.assessment.worst import Spot
from geoseg.legend import Legend
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
    figure = Figure(figsize=(1.7 * len(titles) + 1.9, 1.72 * len(spots) + 0.25), layout="constrained")
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
            if row == 0:
                axes.set_title(title, fontsize=9, color=INK)
        label = f"{degrees(spot)}\n{100 * spot.share:.0f} % wrong"
        grid[row][0].set_ylabel(label, fontsize=7.5, color=INK, rotation=0, ha="right", va="center")
    return figure
