"""Legends side by side: the classes of one in terms of the other, by name where both have names, else by id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from geoseg.class_raster import ClassRaster, tagged_legend
from geoseg.drivers import is_raster
from geoseg.errors import LabelError, MapError
from geoseg.grid import Grid
from geoseg.labels import LabelOptions, Labels, PolygonLabels, open_labels
from geoseg.legend import IGNORE, MAX_CLASSES, Legend
from geoseg.raster import open_raster

STRANGER = MAX_CLASSES
"""Class index of a pixel whose class the other legend does not have; legends have at most this many classes."""

_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """How to say the classes of one legend in another.

    Attributes:
        table: (256,) class index of the one to that of the other, `STRANGER` for classes that the other lacks.
        lacking: names of these classes.
        unused: names of classes of the other that the one lacks.
        classes: how many the one has.
    """

    table: npt.NDArray[np.uint8]
    lacking: tuple[str, ...]
    unused: tuple[str, ...]
    classes: int

    @property
    def is_same(self) -> bool:
        """True when every class has the same index in both."""
        return not self.lacking and bool((self.table[: self.classes] == np.arange(self.classes)).all())


def match(own: Legend, other: Legend, *, by_id: bool | None = None) -> Match:
    """Find the classes of `own` in `other`: by name, in any case, or by id where one of them has no names.

    Args:
        own, other: the legends.
        by_id: go by ids whatever the names; told by the names when None.
    """
    if by_id is None:
        by_id = not (is_named(own) and is_named(other))
    keys = [[str(item.id) if by_id else item.name.casefold() for item in legend] for legend in (own, other)]
    places = {key: index for index, key in enumerate(keys[1])}
    table = np.full(256, IGNORE, np.uint8)
    table[: len(own)] = [places.get(key, STRANGER) for key in keys[0]]
    lacking = tuple(item.name for item, key in zip(own, keys[0], strict=True) if key not in places)
    known = set(keys[0])
    unused = tuple(item.name for item, key in zip(other, keys[1], strict=True) if key not in known)
    return Match(table, lacking, unused, len(own))


def is_named(legend: Legend) -> bool:
    """False for a legend that geoseg made up from the values of a raster."""
    return any(item.name != f"class {item.id}" for item in legend)


@dataclass(frozen=True, slots=True)
class MatchedLabels:
    """Labels in the classes of a map's legend.

    Attributes:
        labels: in a legend of their own.
        legend: the map's.
        match: from the one to the other.
    """

    labels: Labels
    legend: Legend
    match: Match

    @property
    def path(self) -> Path:
        """The file."""
        return self.labels.path

    @property
    def has_points_only(self) -> bool:
        """True for labels without any extent: they have no borders and no polygons to compare."""
        return isinstance(self.labels, PolygonLabels) and bool((self.labels.shapes.geom_type == "Point").all())

    def read(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid; `STRANGER` for classes that the map's legend lacks."""
        own = self.labels.read(grid)
        return own if self.match.is_same else np.asarray(self.match.table[own])


@dataclass(frozen=True, slots=True)
class MatchedMap:
    """A map in the classes of another map's legend; what that lacks is `STRANGER`, wrong wherever it is compared.

    Attributes:
        raster: the map.
        legend: the other map's.
        match: from the one to the other.
    """

    raster: ClassRaster
    legend: Legend
    match: Match

    def read_on(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """Class indices (rows, cols) on a grid."""
        return np.asarray(self.match.table[self.raster.read_on(grid)])


def open_reference(
    path: Path, legend: Legend, *, field: str | None = None, **labelling: Unpack[LabelOptions]
) -> MatchedLabels:
    """Open a reference for a map of some legend.

    A reference that names its classes itself is matched by name, and the rest is left out; one that gives numbers only
    must keep to the ids of the map.

    Args:
        path: class raster, polygons or points.
        legend: the map's.
        field: column of the class.
        **labelling: how it is read.

    Raises:
        LabelError: it cannot be used, has ids the legend lacks, or no class of it.
    """
    if labelling.get("background") is not None or _has_ids_only(path):
        labels = open_labels(path, field=field, legend=legend, **labelling)
        return MatchedLabels(labels, legend, match(labels.legend, legend, by_id=True))
    labels = open_labels(path, field=field, **labelling)
    numbered = isinstance(labels, PolygonLabels) and labels.numbered
    return MatchedLabels(labels, legend, require_match(path, labels.legend, legend, numbered=numbered))


def require_match(path: Path, own: Legend, legend: Legend, *, numbered: bool) -> Match:
    """The classes of a reference in a map's legend.

    Args:
        path: the reference, for messages.
        own: its legend.
        legend: the map's.
        numbered: True when the reference has names only, and its ids are made up.

    Raises:
        LabelError: they have no class in common, or one has names only and the other numbers.
    """
    if numbered and not is_named(legend):
        raise LabelError(
            f"{path}: names its classes ({_listing(own.names)}) and the map has numbers only; "
            "give the map's names with --legend"
        )
    found = match(own, legend)
    by_name = is_named(own) and is_named(legend)
    if len(found.lacking) == len(own) or (found.lacking and not by_name):
        wrong = found.lacking if by_name else [name.removeprefix("class ") for name in found.lacking]
        known = legend.names if by_name else [f"{item.id} {item.name}" for item in legend]
        raise LabelError(
            f"{path}: holds {_listing(wrong)}, which the map's legend ({_listing(known)}) does not have; classes are "
            f"matched by {'name' if by_name else 'id'}, so change them or give --legend"
        )
    return found


def matched_map(raster: ClassRaster, first: ClassRaster) -> MatchedMap:
    """A map in the classes of the first one.

    Raises:
        MapError: they have no class in common.
    """
    found = match(raster.legend, first.legend)
    if len(found.lacking) == len(raster.legend):
        raise MapError(
            f"{raster.path}: none of its classes ({_listing(raster.legend.names)}) is in the legend of {first.path} "
            f"({_listing(first.legend.names)}); maps are compared class by class, so name them alike"
        )
    return MatchedMap(raster, first.legend, found)


def told(found: Match, reference: Path) -> list[str]:
    """What was left out, in sentences."""
    lines = []
    if found.lacking:
        lines.append(f"{reference.name} has classes that the map's legend lacks, left out: {_listing(found.lacking)}.")
    if found.unused:
        lines.append(f"The map's legend has classes that {reference.name} lacks: {_listing(found.unused)}.")
    return lines


def _has_ids_only(path: Path) -> bool:
    """True for a raster without a legend in its tags."""
    if not is_raster(path):
        return False
    with open_raster(path, error=LabelError) as dataset:
        return tagged_legend(dataset, path, LabelError) is None


def _listing(names: Any) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
