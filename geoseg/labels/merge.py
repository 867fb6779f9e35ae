"""One legend for labels in several files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import LabelError
from geoseg.labels.polygons import PolygonLabels
from geoseg.labels.protocol import Labels
from geoseg.legend import MAX_ID, Legend, TerrainClass


@dataclass(frozen=True, slots=True)
class _Known:
    """A class that a file itself numbers."""

    name: str
    path: Path
    is_made_up: bool


def merged_legend(labels: Sequence[Labels]) -> Legend:
    """One legend for labels in several files.

    Ids that the files themselves give must mean the same everywhere. Files with names only join by name; names that no
    other file numbers are numbered after the highest id.

    Raises:
        LabelError: two files use one id for different classes, or two ids for one class.
    """
    first = labels[0].legend
    if all((own.legend.ids, own.legend.names) == (first.ids, first.names) for own in labels):
        return first
    known: dict[int, _Known] = {}
    highest = 0
    for own in labels:
        for item in own.legend:
            if not _is_numbered(own, item):
                known[item.id] = _agreed(item, known.get(item.id), own.path)
                highest = highest if _is_background(own, item) else max(highest, item.id)
    ids = _ids_by_name(known)
    names = {item.name.casefold(): item.name for own in labels for item in own.legend if _is_numbered(own, item)}
    free = _free(known, highest)
    new = [(next(free), name) for key, name in sorted(names.items()) if key not in ids]
    return Legend.from_names(sorted([*((id_, one.name) for id_, one in known.items()), *new]))


def _is_numbered(own: Labels, item: TerrainClass) -> bool:
    """True for a class that had no id in its file."""
    return isinstance(own, PolygonLabels) and own.numbered and not _is_background(own, item)


def _is_background(own: Labels, item: TerrainClass) -> bool:
    index = getattr(own, "background", None)
    return index is not None and own.legend.ids[index] == item.id


def _agreed(item: TerrainClass, known: _Known | None, path: Path) -> _Known:
    """What the files call a class; a real name goes before one that geoseg made up."""
    found = _Known(item.name, path, item.name == f"class {item.id}")
    if known is None or (known.is_made_up and not found.is_made_up):
        return found
    if not found.is_made_up and found.name.casefold() != known.name.casefold():
        raise LabelError(
            f"{path}: calls class {item.id} '{item.name}', {known.path} calls it '{known.name}'; give a --legend"
        )
    return known


def _ids_by_name(known: dict[int, _Known]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for id_, one in known.items():
        other = ids.setdefault(one.name.casefold(), id_)
        if other != id_:
            raise LabelError(
                f"{one.path}: '{one.name}' is class {id_}, in {known[other].path} it is class {other}; give them one id"
            )
    return ids


def _free(known: dict[int, _Known], highest: int) -> Iterator[int]:
    candidates = [*range(highest + 1, MAX_ID + 1), *range(1, highest)]
    return (id_ for id_ in candidates if id_ not in known)
