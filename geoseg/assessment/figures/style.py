"""What all figures have in common: how they are written, their colours and their words.

Matplotlib's objects are used without pyplot, so there is no global state, no window and nothing to close.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

DPI = 200
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#e6e6e6"
RIVALS = ("#9a9a9a", "#c4c4c4", "#7d8fa3", "#b9a58a")
SERIES = ("#1b6ca8", "#d1651f", "#2e8b57", "#8d5aa8", "#7a6a53", "#b2182b")
NAME_LENGTH = 32

_MARGIN = 0.08  # inches


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Draw a figure as PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    return _saved(figure, "png", dpi, {"Software": "geoseg"})


def svg(figure: Figure) -> bytes:
    """Draw a figure as SVG, its letters as outlines; the same figure gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "geoseg", "svg.fonttype": "path"}):
        return _saved(figure, "svg", DPI, {"Creator": "geoseg", "Date": None})


def _saved(figure: Figure, kind: str, dpi: int, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
            # Laid out once, for all formats: it is most of the time.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        edge = figure.get_tightbbox().padded(_MARGIN)
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata, facecolor="white", bbox_inches=edge)
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


def quiet(axes: Any, direction: str) -> None:
    """Take away all of a panel that says nothing; grid lines along "x", "y" or "both" stay."""
    axes.grid(axis=direction, color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, colors=MUTED)
