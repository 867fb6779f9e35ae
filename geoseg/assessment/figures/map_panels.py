"""The map beside scene, reference and where they agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from geoseg.assessment.figures.style import INK, plain_name
from geoseg.assessment.preview import Indices, Preview
from geoseg.legend import IGNORE, Legend
from geoseg.viewing.composite import Image

UNLABELLED = "#f2f2f2"
AGREE, DIFFER = "#c9d6cf", "#b2182b"
_NARROW = 1.4  # inches; a title does not fit over less


def maps_figure(preview: Preview, legend: Legend, scene: Image | None = None) -> Figure:
    """The map beside its reference, where they differ, and the scene, if there is one.

    Args:
        preview: map and reference as small pictures.
        legend: gives the colours.
        scene: (rows, cols, 4) colour composite on the same grid.
    """
    panels: list[tuple[str, Image]] = [] if scene is None else [("scene", scene)]
    panels += [
        ("map", colored(preview.mapped, legend, (255, 255, 255, 0))),
        ("reference", colored(preview.reference, legend, rgba(UNLABELLED))),
        ("agreement", agreement(preview.mapped, preview.reference, preview.compared)),
    ]
    aspect = _pixel_aspect(preview)
    rows, columns, size = _layout(len(panels), preview, aspect)
    width, height = max(size[0], _NARROW), size[1]
    narrow = size[0] < _NARROW
    used = _used(preview, legend)
    entries = _legend_entries(preview, legend, used)
    per_row = _legend_columns(entries, columns * width)
    extra = 0.24 * math.ceil(len(entries) / per_row) + 0.25
    spacing = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(columns * (width + 0.12), rows * (height + 0.32) + extra), layout=spacing)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for index, (axes, (title, image)) in enumerate(zip(grid.flat, panels, strict=False)):
        axes.imshow(image, interpolation="nearest", aspect=aspect)
        axes.set_title(f"({chr(ord('a') + index)}) {title}", loc="center" if narrow else "left", fontsize=10, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(color="#999999", linewidth=0.6)
        _outline(axes, preview)
    if not narrow:
        _scale_bar(grid.flat[0], preview)
    figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=per_row,
        fontsize=8.5,
        frameon=False,
        handlelength=1.2,
        handleheight=1.0,
        columnspacing=1.4,
        labelcolor=INK,
    )
    return figure


def colored(indices: npt.NDArray[np.uint8], legend: Legend, nothing: tuple[int, int, int, int]) -> Image:
    """(rows, cols, 4) colours of class indices, `nothing` where there is no class."""
    table = np.tile(np.array(nothing, np.uint8), (256, 1))
    table[: len(legend)] = [(*item.rgb, 255) for item in legend]
    return np.asarray(table[indices])


def agreement(mapped: Indices, reference: Indices, compared: npt.NDArray[np.bool_]) -> Image:
    """(rows, cols, 4) where map and reference agree and where they differ; clear where they were not compared."""
    image = np.zeros((*compared.shape, 4), np.uint8)
    image[compared & (mapped == reference)] = rgba(AGREE)
    image[compared & (mapped != reference)] = rgba(DIFFER)
    return image


def rgba(color: str) -> tuple[int, int, int, int]:
    """Red, green, blue and full opacity of "#rrggbb"."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16), 255


def _pixel_aspect(preview: Preview) -> float:
    """Height of a pixel over its width, as drawn; degrees are narrower than high away from the equator."""
    x, y = preview.grid.resolution
    if preview.grid.crs is not None and preview.grid.crs.is_geographic:
        _, south, _, north = preview.grid.bounds
        x *= max(math.cos(math.radians(min(max((south + north) / 2, -85), 85))), 0.05)
    return y / x


def _layout(count: int, preview: Preview, aspect: float) -> tuple[int, int, tuple[float, float]]:
    """Rows and columns of panels, and a panel's (width, height) in inches.

    The arrangement is the one with the largest panels on a wide page; the panels then take a whole page.
    """
    shape = preview.grid.height * aspect / preview.grid.width

    def size(columns: int, page_height: float) -> float:
        rows = math.ceil(count / columns)
        return min(9.6 / columns, page_height / rows / shape, 5.2)

    columns = max(range(1, count + 1), key=lambda tried: (size(tried, 6.2) * (0.7 if count % tried else 1.0), tried))
    width = size(columns, 9.0)
    return math.ceil(count / columns), columns, (width, max(width * shape, 0.4))


def _used(preview: Preview, legend: Legend) -> list[int]:
    """Class indices that a picture shows; with few classes all of them."""
    if len(legend) <= 24:
        return list(range(len(legend)))
    shown = np.union1d(np.unique(preview.mapped), np.unique(preview.reference))
    return [int(index) for index in shown if index != IGNORE]


def _legend_entries(preview: Preview, legend: Legend, used: list[int]) -> list[Any]:
    edge: dict[str, Any] = {"edgecolor": "#888888", "linewidth": 0.4}
    entries: list[Any] = [
        Patch(facecolor=legend.classes[index].color, label=plain_name(legend.names[index]), **edge) for index in used
    ]
    if (preview.reference == IGNORE).mean() > 0.001:  # not for a stray pixel that nobody can see
        entries.append(Patch(facecolor=UNLABELLED, label="unlabelled", **edge))
    if (~preview.compared).mean() > 0.001:
        entries.append(Patch(facecolor="white", label="no class, not compared", **edge))
    entries += [Patch(facecolor=AGREE, label="agree", **edge), Patch(facecolor=DIFFER, label="differ", **edge)]
    if not preview.inside.all():
        entries.append(Line2D([], [], color="black", lw=0.9, label="compared inside"))
    return entries


def _legend_columns(entries: list[Any], width: float) -> int:
    longest = max(len(entry.get_label()) for entry in entries)
    return int(max(1, min(len(entries), width // (0.45 + 0.068 * longest))))


def _outline(axes: Any, preview: Preview) -> None:
    if preview.inside.all() or min(preview.inside.shape) < 2 or not preview.inside.any():
        return
    padded = np.pad(preview.inside.astype(float), 1)
    rows, columns = np.arange(padded.shape[0]) - 1, np.arange(padded.shape[1]) - 1
    for color, width in (("white", 2.2), ("black", 0.9)):  # seen on dark ground and on light
        axes.contour(columns, rows, padded, levels=[0.5], colors=color, linewidths=width)
    axes.set_xlim(-0.5, preview.grid.width - 0.5)
    axes.set_ylim(preview.grid.height - 0.5, -0.5)


def _scale_bar(axes: Any, preview: Preview) -> None:
    """A bar of a round length, about a quarter of the width, in the lower left corner."""
    metres = _metres_per_column(preview)
    if metres is None or preview.grid.width < 8:
        return
    wanted = 0.28 * preview.grid.width * metres
    power = 10 ** math.floor(math.log10(wanted))
    length = power * max(step for step in (1, 2, 5) if step * power <= wanted)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    span = length / metres / preview.grid.width
    box: dict[str, Any] = {"transform": axes.transAxes, "zorder": 5}
    axes.add_patch(Rectangle((0.025, 0.025), span + 0.03, 0.085, facecolor="white", alpha=0.85, lw=0, **box))
    axes.plot([0.04, 0.04 + span], [0.045, 0.045], color=INK, lw=2, solid_capstyle="butt", **box)
    axes.text(0.04 + span / 2, 0.056, text, ha="center", va="bottom", fontsize=7.5, color=INK, **box)


def _metres_per_column(preview: Preview) -> float | None:
    sample = preview.grid.ground_sample_distance
    if sample is None:
        return None
    return sample / math.sqrt(_pixel_aspect(preview))  # the mean side, given back its shape
