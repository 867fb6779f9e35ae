"""The part of a page that shows layers: the map with its swipe line, the list of layers, and the legend."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.embed import components
from markupsafe import Markup

from geoseg.legend import TerrainClass
from geoseg.viewing.layers import LEFT, RIGHT, ClassLayer, Layer, PictureLayer, ShapeLayer, ShareLayer
from geoseg.viewing.page import template, text
from geoseg.viewing.place import Place
from geoseg.viewing.plot import FILL, Plot, plot

# Model ids are counted by the process, ids of documents and elements are random.
_IDS = re.compile(r'"(p\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_KINDS = {PictureLayer: "picture", ClassLayer: "classes", ShareLayer: "share", ShapeLayer: "shapes"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """A viewer for a page.

    Attributes:
        body: HTML.
        script: what fills it.
    """

    body: Markup
    script: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A class as it stands in the legend.

    Attributes:
        name, color: as they are.
        group: its heading.
    """

    name: str
    color: str
    group: str


def behaviour() -> str:
    """The script that all viewers of a page share; it comes after theirs."""
    return text("geoseg.viewing", "viewer.js")


def viewer(layers: Sequence[Layer], place: Place, key: str = "map", *, wheel: bool = True) -> Viewer:
    """Show layers, the first one lowest.

    Args:
        layers: at least one.
        place: what of the ground is seen.
        key: tells it from other viewers of the page; a plain word.
        wheel: zoom with the wheel alone; else with Ctrl and the wheel, so that the page can be scrolled.
    """
    classes, places = _legend(layers)
    drawn = plot(list(layers), place, key, wheel=wheel)
    script, left, right = _steady(key, *_embedded(drawn))
    told: dict[str, Any] = place.to_dict() | {
        "key": key,
        "fill": FILL,
        "classes": [{"name": item.name, "color": item.color} for item in classes],
        "layers": [
            {
                "name": layer.name,
                "kind": _KINDS[type(layer)],
                "opacity": layer.opacity,
                "classes": own,
                **parts,
            }
            for layer, own, parts in zip(layers, places, drawn.drawn, strict=True)
        ],
    }
    body = template("geoseg.viewing", "viewer.html.j2").render(
        key=key,
        wheel=wheel,
        left=Markup(left),  # noqa: S704 - Bokeh's, and without names from data
        right=Markup(right),  # noqa: S704
        data=_as_script(told),
        layers=list(enumerate(layers))[::-1],
        groups=_groups(classes),
        has_shares=any(isinstance(layer, ShareLayer) for layer in layers),
    )
    return Viewer(Markup(body), script)  # noqa: S704 - rendered by an escaping template


def _embedded(drawn: Plot) -> tuple[str, str, str]:
    """The script of two figures, and the elements it fills."""
    script, roots = components({LEFT: drawn.left, RIGHT: drawn.right}, wrap_script=False)
    return script, roots[LEFT], roots[RIGHT]


def _steady(key: str, *texts: str) -> tuple[str, ...]:
    """Texts with the ids that Bokeh drew by chance or counted counted anew, so that the same layers give the same page.

    Ids stand in quotes, which names from data and pixels do not, as neither gets into a figure as text.
    """
    found = dict.fromkeys(_IDS.findall("".join(texts)))
    steady = {f'"{id_}"': f'"{key}-id-{number}"' for number, id_ in enumerate(found)}
    return tuple(_IDS.sub(lambda match: steady[match[0]], one) for one in texts)


def _as_script(values: Any) -> Markup:
    """JSON that can stand in a script element: no character of it can end one."""
    told = json.dumps(values, allow_nan=False)
    for character in "<>&":
        told = told.replace(character, f"\\u{ord(character):04x}")
    return Markup(told)  # noqa: S704


def _legend(layers: Iterable[Layer]) -> tuple[list[Shown], list[list[int]]]:
    """All classes once, and for each layer which of them its own are."""
    shown: dict[tuple[str, str], int] = {}
    classes: list[Shown] = []
    places: list[list[int]] = []
    for layer in layers:
        own: tuple[TerrainClass, ...] = layer.classes if isinstance(layer, ClassLayer | ShapeLayer) else ()
        for item in own:
            key = (layer.group, item.name.casefold())  # type: ignore[attr-defined]
            if key not in shown:
                shown[key] = len(classes)
                classes.append(Shown(item.name, item.color, key[0]))
        places.append([shown[layer.group, item.name.casefold()] for item in own])  # type: ignore[attr-defined]
    return classes, places


def _groups(classes: list[Shown]) -> dict[str, list[tuple[int, Shown]]]:
    groups: dict[str, list[tuple[int, Shown]]] = {}
    for number, item in enumerate(classes):
        groups.setdefault(item.group, []).append((number, item))
    return groups
