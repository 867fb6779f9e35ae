"""`view`: scenes, maps and shapes in one page that opens anywhere."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup
from rasterio.crs import CRS

from geoseg.disk import stamps_for
from geoseg.errors import OptionError, ViewError
from geoseg.legend import read_legend
from geoseg.output import new_output
from geoseg.viewing.files import Found, Wanted, files_of, find
from geoseg.viewing.layers import LEFT, RIGHT, SIDES, Layer, PictureLayer, ShapeLayer, ShareLayer
from geoseg.viewing.page import document, template
from geoseg.viewing.place import Place, joined
from geoseg.viewing.viewer import behaviour, viewer

logger = logging.getLogger(__name__)

LONGEST = 1500
"""Longest side of a raster on a page, in pixels."""

MOST_LAYERS = 24
_EXTENSIONS = (".html", ".htm")
# Scenes lie lowest, what is drawn on them above.
_ORDER = ("scene", "confidence", "map", "shapes")


@dataclass(frozen=True, slots=True)
class ViewResult:
    """A page that was made.

    Attributes:
        output: the page.
        layers: what is in it, the lowest first.
        bytes: its size.
    """

    output: str
    layers: tuple[str, ...]
    bytes: int

    def __str__(self) -> str:
        count = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return f"{self.output}: {count}, {self.bytes / 1e6:.1f} MB; open it in a browser"


def view(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    bands: tuple[str, ...] | None = None,
    legend: str | Path | None = None,
    class_field: str | None = None,
    longest: int = LONGEST,
    overwrite: bool = False,
) -> ViewResult:
    """Show scenes, maps and shapes in one HTML page, to pan, zoom and swipe; it needs neither server nor network.

    Rasters of any size are shown as overviews. All must show the same ground; what is in other CRSs is laid on that of
    the first raster.

    Args:
        files: scenes, maps, confidence rasters, polygons, lines or points; folders stand for the rasters in them.
        output: the page, .html.
        bands: bands of the scenes, to choose red, green and blue from.
        legend: legend.toml, for class rasters that do not name their classes themselves.
        class_field: column of the vector files that holds the class; found by its name when not given.
        longest: side of a raster on the page, in pixels.
        overwrite: replace the page if it is there.

    Raises:
        OptionError: not the name of a page, no file, too many, or no pixels.
        ViewError: a file is none that can be shown, or does not lie with the others.
        GeosegError: a file is broken; see the classes of `geoseg.errors`.
        OutputError: the page exists already or cannot be written.
    """
    words = [str(file) for file in ([files] if isinstance(files, str | Path) else files)]
    target = Path(output)
    _refuse_unfit(words, target, longest)
    sources = stamps_for(target, [*files_of(words), *([legend] if legend is not None else [])])
    with new_output(target, overwrite=overwrite, sources=sources) as workspace:
        wanted = Wanted(bands, None if legend is None else read_legend(Path(legend)), class_field, longest)
        found = sorted(find(words, wanted), key=lambda one: _ORDER.index(one.kind))
        if len(found) > MOST_LAYERS:
            raise OptionError(f"{target}: {len(found)} files are too many for one page; view {MOST_LAYERS} at a time")
        place = placed(found)
        layers = _told_apart(_in_one_coloring([one.layer(place) for one in found]))
        layers = _sided(layers)
        page = _page([layer.name for layer in layers], layers, place)
        workspace.main.write_text(page, encoding="utf-8", errors="replace")  # file names may be no text
    return ViewResult(str(target), tuple(layer.name for layer in layers), target.stat().st_size)


def _refuse_unfit(words: list[str], target: Path, longest: int) -> None:
    if target.suffix.lower() not in _EXTENSIONS:
        raise OptionError(f"{target}: the page is HTML; name it .html")
    if not words:
        raise OptionError(f"{target}: there is nothing to view; name at least one scene, map or vector file")
    if not 16 <= longest <= 8192:
        raise OptionError(f"longest is {longest}; it must be 16 to 8192 pixels")


def placed(found: list[Found]) -> Place:
    """The place of a page that shows all of the files.

    Raises:
        ViewError: some have a CRS and others none, or they do not overlap.
    """
    having = [one for one in found if one.crs is not None]
    lacking = [one for one in found if one.crs is None]
    if having and lacking:
        raise ViewError(
            f"{lacking[0].name}: has no CRS and {having[0].name} has one, so they cannot be laid on each other; "
            "assign it"
        )
    crs: CRS | None = None
    if having:
        crs = next((one.crs for one in having if one.grid is not None), having[0].crs)
    elif found:
        logger.warning("%s has no CRS; showing its pixel coordinates", found[0].name)
    down = crs is None and any(one.grid is not None and one.grid.transform.e > 0 for one in found)
    anywhere = Place(crs, (0.0, 0.0, 1.0, 1.0), down)
    left, bottom, right, top = joined(
        {_unique(found, number): one.bounds(anywhere) for number, one in enumerate(found)}
    )
    # A single point has no extent, and a page needs some.
    least = 1e-9 if left == right and bottom == top and crs is None else 0.0
    margin = max(right - left, top - bottom) * 0.001 or least or 1e-4
    return Place(crs, (left - margin, bottom - margin, right + margin, top + margin), down)


def _unique(found: list[Found], number: int) -> str:
    """The name of a file, or with its number where one is given twice."""
    name = found[number].name
    earlier = sum(one.name == name for one in found[:number])
    return name if not earlier else f"{name} ({earlier + 1})"


def _in_one_coloring(layers: list[Layer]) -> list[Layer]:
    """Shapes in the colours that maps have for classes of the same name."""
    colors = {
        item.name.casefold(): item.color
        for layer in layers
        if not isinstance(layer, ShapeLayer)
        for item in getattr(layer, "classes", ())
    }
    return [
        replace(
            layer,
            classes=tuple(replace(item, color=colors.get(item.name.casefold(), item.color)) for item in layer.classes),
        )
        if isinstance(layer, ShapeLayer)
        else layer
        for layer in layers
    ]


def _told_apart(layers: list[Layer]) -> list[Layer]:
    """Layers of one name get a number."""
    times = Counter(layer.name for layer in layers)
    seen: Counter[str] = Counter()
    named = []
    for layer in layers:
        seen[layer.name] += 1
        several = times[layer.name] > 1
        named.append(replace(layer, name=f"{layer.name} ({seen[layer.name]})") if several else layer)
    return named


def _sided(layers: list[Layer]) -> list[Layer]:
    """What is seen left and right of the line at first, so that there is something to compare.

    One scene lies under everything. Else the lowest layer is left and the others right. A confidence is seen only where
    nothing but scenes is shown with it.
    """
    if len(layers) == 1:
        return [replace(layers[0], sides=SIDES)]
    scenes = [layer for layer in layers if isinstance(layer, PictureLayer)]
    drawn = [layer for layer in layers if not isinstance(layer, PictureLayer | ShareLayer)]
    lowest = (scenes or drawn or layers)[0]
    sided = []
    for layer in layers:
        sides: tuple[str, ...] = (RIGHT,)
        if layer is lowest:
            sides = SIDES if len(scenes) == 1 else (LEFT,)
        elif isinstance(layer, ShareLayer) and drawn:
            sides = ()
        sided.append(replace(layer, sides=sides))
    return sided


def _page(names: list[str], layers: list[Layer], place: Place) -> str:
    made = viewer(layers, place)
    title = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    body = template("geoseg.viewing", "view.html.j2").render(title=title, viewer=made.body, crs=place.crs)
    return document(title, Markup(body), scripts=[made.script, behaviour()])  # noqa: S704 - an escaping template's
