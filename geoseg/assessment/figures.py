"""Figures of an assessment, each a pure function of its data: good enough to print.

Matplotlib's objects are used without pyplot, so there is no global state, no window and nothing to close.
"""

from __future__ import annotations

import csv
import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from geoseg.assessment.preview import Preview
from geoseg.confusion import Accuracy
from geoseg.errors import OptionError
from geoseg.legend import IGNORE, Legend
from geoseg.raster import first_line
from geoseg.viewing.composite import Image

Curves = Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
"""Name of a training metric to its epochs and values."""

DPI = 200
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#e6e6e6"
UNLABELLED = "#f2f2f2"
AGREE, DIFFER = "#c9d6cf", "#b2182b"
RIVALS = ("#9a9a9a", "#c4c4c4", "#7d8fa3", "#b9a58a")
SERIES = ("#1b6ca8", "#d1651f", "#2e8b57", "#8d5aa8", "#7a6a53", "#b2182b")
NAME_LENGTH = 32
_NARROW = 1.4  # inches; a title does not fit over less
MAX_CURVES_BYTES = 50_000_000


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Draw a figure as PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        style: dict[str, Any] = {"facecolor": "white", "bbox_inches": "tight", "pad_inches": 0.08}
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "geoseg"}, **style)
    return buffer.getvalue()


def plain_name(name: str, longest: int = NAME_LENGTH) -> str:
    """A class name as matplotlib text: one line, not too long, and no dollar sign that starts a formula.

    >>> plain_name("Mosaic natural vegetation, more than 50 %", longest=24)
    'Mosaic natural…than 50 %'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"
    if len(line) > longest:
        tail = longest * 3 // 8  # legends often tell classes apart by how their names end
        line = f"{line[: longest - tail - 1].rstrip()}…{line[-tail:].lstrip()}"
    return line.replace("$", r"\$")


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


def short_count(pixels: int) -> str:
    """A count in few characters.

    >>> short_count(980), short_count(12_345), short_count(3_400_000)
    ('980', '12.3k', '3.4M')
    """
    for limit, divisor, unit in ((10_000, 1, ""), (999_500, 1e3, "k"), (999_500_000, 1e6, "M")):
        if pixels < limit:
            value = pixels / divisor
            return (
                f"{pixels:,}".replace(",", " ")
                if not unit
                else f"{value:.1f}{unit}"
                if value < 100
                else f"{value:.0f}{unit}"
            )
    return f"{pixels / 1e9:.1f}G"


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
        ("reference", colored(preview.reference, legend, _rgba(UNLABELLED))),
        ("agreement", agreement(preview)),
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


def agreement(preview: Preview) -> Image:
    """(rows, cols, 4) where map and reference agree and where they differ; clear where they were not compared."""
    compared = _compared(preview)
    image = np.zeros((*compared.shape, 4), np.uint8)
    image[compared & (preview.mapped == preview.reference)] = _rgba(AGREE)
    image[compared & (preview.mapped != preview.reference)] = _rgba(DIFFER)
    return image


def _compared(preview: Preview) -> npt.NDArray[np.bool_]:
    return np.asarray(preview.inside & (preview.mapped != IGNORE) & (preview.reference != IGNORE))


def _rgba(color: str) -> tuple[int, int, int, int]:
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
    if (~_compared(preview)).mean() > 0.001:
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
    _quiet(axes, "x")
    axes.tick_params(axis="y", colors=INK, labelsize=8.5)
    handles, _ = axes.get_legend_handles_labels()
    handles.sort(key=lambda handle: isinstance(handle, Line2D))  # bars first, as drawn
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _quiet(axes: Any, direction: str) -> None:
    axes.grid(axis=direction, color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, colors=MUTED)


def read_curves(path: Path) -> Curves:
    """Read the metrics.csv of a training: any numeric columns, with gaps, by `epoch` if there is such a column.

    Raises:
        OptionError: it cannot be read, or there is no number in it.
    """
    try:
        if path.stat().st_size > MAX_CURVES_BYTES:
            raise OptionError(
                f"{path}: is larger than {MAX_CURVES_BYTES} bytes; the metrics.csv of a training is needed"
            )
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
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
        _quiet(axes, "both")
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
