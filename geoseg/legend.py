"""The classes of a map: ids, names, colours, and what stands for nodata."""

from __future__ import annotations

import colorsys
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.documents import parse_toml, read_document
from geoseg.errors import LegendError

IGNORE = 255
"""Class index of a pixel without a label: it is in no loss, no score and no map."""

MAX_CLASSES = 254
MAX_ID = 65535
MAX_BYTES = 1_000_000

# Colours that people expect for the words of land cover; tried in order, first word found wins. Whole words only:
# neither a driver nor a watermelon is water.
_EXPECTED = tuple(
    (re.compile(rf"(?<![^\W\d_])(?:{words})(?![^\W\d_])", re.IGNORECASE), color)
    for words, color in (
        (r"non.?forest(ed)?|bare(land)?|barren|soils?|cleared|fallow|fallen", "#d8b365"),
        (r"(fresh|ground|open)?water(s|body|bodies)?|rivers?|lakes?|seas?|oceans?", "#3b7dd8"),
        (r"(rain)?forest(s|ed|ry)?|trees?|(hard|soft)?wood(s|ed|lands?)?", "#1b7837"),
        (r"urban|built([ _-]?up)?|develop(ed|ment)|villages?|settlements?|hous(es?|ing)|roads?|streets?|impervious",
         "#d7301f"),
        (r"crop(s|ped|lands?)?|agri(culture|cultural)?|fields?|farm(s|ed|ing|lands?)?|arable", "#f2c14e"),
        (r"herb(s|aceous)?|grass(es|y|lands?)?|pastures?|meadows?", "#a6d96a"),
        (r"shrub(s|by|lands?)?|bush(es|lands?)?|scrub(s|by|lands?)?", "#8c9a3f"),
        (r"sand(s|y)?|sediments?|beach(es)?|dry", "#e8d8a0"),
        (r"wet(lands?)?|marsh(es|y)?|swamps?|mangroves?", "#5ab4ac"),
        (r"snow(y|fields?)?|ice", "#dff3ff"),
        (r"cloud(s|y)?", "#bdbdbd"),
    )
)  # fmt: skip

# Control characters, lone surrogates and line separators: nothing that is part of a word in any script.
_UNFIT_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}


def one_spelling(name: str) -> str:
    """A name with each letter and its accents as one sign: there are two ways to write them, which look the same."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True, slots=True)
class TerrainClass:
    """One class of a legend.

    Attributes:
        id: value in maps and label rasters, 0 to 65535.
        name: what it is called, not empty.
        color: "#rrggbb".
    """

    id: int
    name: str
    color: str

    def __post_init__(self) -> None:
        if isinstance(self.id, bool) or not isinstance(self.id, int) or not 0 <= self.id <= MAX_ID:
            raise LegendError(f"class id {self.id!r} must be a whole number from 0 to {MAX_ID}")
        if not isinstance(self.name, str) or not self.name.strip():
            raise LegendError(f"class {self.id} has no name; give it one")
        object.__setattr__(self, "name", one_spelling(self.name))
        if any(unicodedata.category(character) in _UNFIT_IN_NAMES for character in self.name):
            raise LegendError(f"the name of class {self.id} holds control characters ({self.name!r}); write it anew")
        if not isinstance(self.color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise LegendError(f"class {self.id} has colour {self.color!r}; write it as '#rrggbb'")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a map, in the order of the network's outputs (by id).

    Networks, losses and scores count classes by index 0 to K-1, with `IGNORE` for what is unlabelled; files hold the
    legend's own ids, with `nodata` for the rest. `encode` and `decode` go from one to the other.
    """

    classes: tuple[TerrainClass, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(sorted(self.classes, key=lambda item: item.id)))
        if not self.classes:
            raise LegendError("a legend needs at least one class")
        if len(self.classes) > MAX_CLASSES:
            raise LegendError(f"a legend of {len(self.classes)} classes is too long; geoseg takes up to {MAX_CLASSES}")
        for what, keys in (("id", [str(id_) for id_ in self.ids]), ("name", [name.casefold() for name in self.names])):
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                raise LegendError(f"two classes have the {what} '{twice[0]}'; each needs its own")

    @property
    def ids(self) -> tuple[int, ...]:
        """Class ids by index."""
        return tuple(item.id for item in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        return tuple(item.name for item in self.classes)

    @property
    def nodata(self) -> int:
        """The value of no class in a map: 0 when free, else the highest free one of the type."""
        if 0 not in self.ids:
            return 0
        highest = 255 if max(self.ids) < 255 else MAX_ID
        return next(value for value in range(highest, 0, -1) if value not in self.ids)

    @property
    def dtype(self) -> str:
        """Type of a map: "uint8", or "uint16" when ids or nodata need it."""
        return "uint8" if max(*self.ids, self.nodata) <= 255 else "uint16"

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[TerrainClass]:
        return iter(self.classes)

    def encode(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Class ids (any integer array) to class indices; ids outside the legend become `IGNORE`."""
        table = np.full(MAX_ID + 1, IGNORE, np.uint8)
        table[list(self.ids)] = np.arange(len(self), dtype=np.uint8)
        if ids.dtype in (np.uint8, np.uint16):
            indices: npt.NDArray[np.uint8] = table[ids]
            return indices
        inside = (ids >= 0) & (ids <= MAX_ID)
        return np.where(inside, table[np.where(inside, ids, 0).astype(np.int64)], np.uint8(IGNORE))

    def decode(self, indices: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Class indices to class ids in the map's type; `IGNORE` becomes `nodata`."""
        table = np.full(256, self.nodata, self.dtype)
        table[: len(self)] = self.ids
        return table[indices]

    def colormap(self) -> dict[int, tuple[int, int, int, int]]:
        """Colour table of a map: class ids opaque, nodata transparent."""
        table = {item.id: (*item.rgb, 255) for item in self.classes}
        return table | {self.nodata: (0, 0, 0, 0)}

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, for JSON."""
        return [{"id": item.id, "name": item.name, "color": item.color} for item in self.classes]

    @classmethod
    def from_dict(cls, items: Any) -> Legend:
        """The inverse of `to_dict`; colours may be missing.

        Raises:
            LegendError: not a list of tables with id and name.
        """
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise LegendError("a legend is a list of classes, each with an id and a name")
        for item in items:
            unknown = set(item) - {"id", "name", "color"}
            if unknown:
                raise LegendError(f"a class has the unknown key {sorted(unknown)[0]!r}; it takes id, name and color")
            if "id" not in item or "name" not in item:
                raise LegendError(f"a class needs an id and a name; found {item!r}")
        given = [item["color"] for item in items if isinstance(item.get("color"), str)]
        colors = distinct_colors([str(item["name"]) for item in items], given)
        return cls(
            tuple(
                TerrainClass(item["id"], item["name"], item.get("color", color))
                for item, color in zip(items, colors, strict=True)
            )
        )

    @classmethod
    def from_names(cls, names: Iterable[tuple[int, str]]) -> Legend:
        """A legend of (id, name) pairs, with colours chosen by name."""
        return cls.from_dict([{"id": int(id_), "name": name} for id_, name in names])


def read_legend(path: Path) -> Legend:
    """Read a legend file.

    ```toml
    [[class]]
    id = 1
    name = "forest"
    color = "#1b7837"   # optional
    ```

    Raises:
        LegendError: not readable, not TOML, or not a legend.
    """
    try:
        tables = parse_toml(read_document(path, MAX_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        raise LegendError(f"{path}: cannot read the legend: {error}") from error
    except ValueError as error:
        raise LegendError(f"{path}: not a TOML file: {error}. A legend has a [[class]] table per class") from error
    if set(tables) != {"class"}:
        raise LegendError(
            f"{path}: a legend has [[class]] tables and nothing else; found {sorted(tables) or 'nothing'}"
        )
    try:
        return Legend.from_dict(tables["class"])
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error


def distinct_colors(names: list[str], taken: Sequence[str] = ()) -> list[str]:
    """A colour for each name: the expected one where a word is known and it is free, else evenly spaced hues.

    Args:
        names: of the classes.
        taken: colours that others have already.
    """
    colors: list[str] = []
    for number, name in enumerate(names):
        expected = (color for pattern, color in _EXPECTED if pattern.search(name))
        color = next(expected, None)
        if color is None or color in colors or color in taken:
            hue = (0.08 + 0.618034 * number) % 1.0  # the golden ratio keeps neighbours far apart
            red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 if number % 2 else 0.8, 0.85)
            color = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
        colors.append(color)
    return colors
