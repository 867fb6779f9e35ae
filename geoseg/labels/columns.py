"""Which column of a vector file holds the class, and what is in it."""

from __future__ import annotations

import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError, LegendError
from geoseg.labels.background import NAME, with_background
from geoseg.legend import IGNORE, MAX_ID, Legend, one_spelling
from geoseg.registry import suggestion

logger = logging.getLogger(__name__)

_NAME_FIELDS = ("class_name", "class", "classname", "label", "land_cover", "landcover", "category", "name", "type")
_ID_FIELDS = ("class_id", "classid", "class", "code", "value", "label", "land_cover", "landcover", "gridcode", "id")
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


@dataclass(frozen=True, slots=True)
class Classes:
    """The features that have a class.

    Attributes:
        frame: the features.
        legend: the classes.
        indices: class index of each feature.
        numbered: True when the classes had names only, and geoseg gave them their ids.
    """

    frame: gpd.GeoDataFrame
    legend: Legend
    indices: npt.NDArray[np.uint8]
    numbered: bool


def classes_of(
    path: Path, frame: gpd.GeoDataFrame, name: str | None, legend: Legend | None, background: int | None
) -> Classes:
    """The classes of the features of a file.

    Args:
        path: the file, for messages.
        frame: its features.
        name: column that holds the class, found by its name when None.
        legend: the classes; made from the features when None.
        background: id of the class of what is not labelled, which a legend made here gets too.

    Raises:
        LabelError: no such column, or values that are no classes or not in the legend.
    """
    column = _class_column(path, frame, name)
    present = ~_is_blank(frame[column])
    if not present.any():
        raise LabelError(f"{path}: column '{column}' is empty; give the polygons their classes")
    if not present.all():
        missing = int((~present).sum())
        logger.warning("%s: %d of %d features have no '%s' and are left out", path, missing, len(frame), column)
        frame = frame[present]
    values = frame[column]
    ids = _ids(path, column, values, legend)
    names = None if ids is not None else _names(path, values)
    numbered = False
    if legend is None:
        try:
            legend, numbered = _legend_of(path, frame, column, ids, names, background)
        except LegendError as error:
            raise LabelError(f"{path}: column '{column}': {error}") from error
        legend = with_background(legend, background, path)
    return Classes(frame, legend, _indices(path, column, ids, names, legend), numbered)


def _class_column(path: Path, frame: gpd.GeoDataFrame, name: str | None) -> str:
    columns = _columns(frame)
    if name is not None:
        matches = [name] if name in columns else [column for column in columns if column.lower() == name.lower()]
        if not matches:
            known = suggestion(name, columns) if columns else "it has no columns"
            raise LabelError(f"{path}: has no column '{name}'; {known}. Name one with --class-field")
        if len(matches) > 1:
            raise LabelError(f"{path}: has the columns {', '.join(matches)}; write the one to use exactly so")
        return matches[0]
    # What is called class_id is the class, whatever is in it: what is wrong with a value is then said of the value.
    for wanted, fits in ((_NAME_FIELDS, _is_text), (_ID_FIELDS, _is_whole), (_ID_FIELDS[:2], _is_filled)):
        for candidate in wanted:
            for column in columns:
                if column.lower() == candidate and fits(frame[column]):
                    return column
    listing = ", ".join(columns) or "no columns"
    raise LabelError(f"{path}: cannot tell which column holds the class; it has {listing}. Name it with --class-field")


def _columns(frame: gpd.GeoDataFrame) -> list[str]:
    return [str(column) for column in frame.columns if column != frame.geometry.name]


def _is_blank(values: Any) -> npt.NDArray[np.bool_]:
    blank = values.isna().to_numpy(bool)
    if values.dtype.kind not in "iufbmM":
        blank = blank | (values.astype(str).str.strip() == "").to_numpy(bool)
    return np.asarray(blank)


def _is_filled(values: Any) -> bool:
    return not _is_blank(values).all()


def _is_text(values: Any) -> bool:
    return values.dtype.kind not in "iufbmM" and _is_filled(values)


def _is_whole(values: Any) -> bool:
    """True for whole numbers, which a column with gaps holds as floats and some formats as text."""
    values = values[~_is_blank(values)]
    if _is_text(values):
        return bool(values.astype(str).str.strip().str.fullmatch(_WHOLE).all())
    if values.dtype.kind not in "iuf" or not len(values):
        return False
    numbers = values.to_numpy(np.float64)
    return bool((numbers == np.round(numbers)).all())


def _ids(path: Path, column: str, values: Any, legend: Legend | None) -> npt.NDArray[np.int64] | None:
    """Class ids of a column without blanks, None for one of names."""
    if _is_text(values):
        texts = _texts(values)
        known = set() if legend is None else {name.casefold() for name in legend.names}
        if not _is_whole(values) or known.issuperset(texts.str.casefold()):
            return None
        numbers = [float(text) for text in texts]  # of any number of digits
    elif values.dtype.kind in "iuf":
        numbers = values.to_numpy(np.float64 if values.dtype.kind == "f" else np.int64).tolist()
    else:
        raise LabelError(f"{path}: column '{column}' holds {values.dtype} values; classes are names or whole numbers")
    for number in sorted(set(numbers)):
        if not (0 <= number <= MAX_ID and number == int(number)):
            raise LabelError(
                f"{path}: column '{column}' holds {number:g}; class ids are whole numbers from 0 to {MAX_ID}"
            )
    return np.array(numbers, np.int64)


def _names(path: Path | None, values: Any) -> list[str]:
    """Names of a column of text; those that differ in case only become one, the most frequent."""
    texts = _texts(values)
    spelled: dict[str, str] = {}
    for text, _ in sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0])):
        chosen = spelled.setdefault(text.casefold(), text)
        if chosen != text and path is not None:
            logger.warning("%s: '%s' and '%s' are taken as one class", path, chosen, text)
    return [spelled[text.casefold()] for text in texts]


def _texts(values: Any) -> Any:
    return values.astype(str).str.strip().map(one_spelling)


def _legend_of(
    path: Path,
    frame: gpd.GeoDataFrame,
    column: str,
    ids: npt.NDArray[np.int64] | None,
    names: list[str] | None,
    background: int | None,
) -> tuple[Legend, bool]:
    """A legend from the features, and whether geoseg numbered it.

    Ids with the names beside them, or names with the ids beside them, or names alone.
    """
    if ids is not None:
        found = _partner(frame, column, ids.tolist(), _NAME_FIELDS, _as_names)
        pairs = found or {id_: f"class {id_}" for id_ in ids.tolist()}
        return Legend.from_names(sorted(pairs.items())), False
    names = names or []
    found = _partner(frame, column, names, _ID_FIELDS, lambda values: _as_ids(path, values))
    if found:
        return Legend.from_names(sorted((id_, name) for name, id_ in found.items())), False
    own = next((name for name in names if name.casefold() == NAME and background is not None), None)
    free = (id_ for id_ in itertools.count(1) if id_ != background)
    numbered = [(background if name == own else next(free), name) for name in sorted(set(names))]
    return Legend.from_names(sorted((int(id_ or 0), name) for id_, name in numbered)), True


def _partner(
    frame: gpd.GeoDataFrame,
    column: str,
    own: list[Any],
    wanted: tuple[str, ...],
    read: Callable[[Any], list[Any] | None],
) -> dict[Any, Any] | None:
    """What another column calls the same classes: one value of it for each of `column`, and back."""
    for candidate in _columns(frame):
        if candidate == column or candidate.lower() not in wanted:
            continue
        theirs = read(frame[candidate])
        if theirs is None:
            continue
        pairs = set(zip(own, theirs, strict=True))
        is_running_number = candidate.lower() == "id" and len(set(theirs)) == len(theirs)
        if not is_running_number and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
            return dict(pairs)
    return None


def _as_names(values: Any) -> list[str] | None:
    if not _is_text(values) or _is_whole(values) or _is_blank(values).any():
        return None
    return _names(None, values)


def _as_ids(path: Path, values: Any) -> list[int] | None:
    if not _is_whole(values) or _is_blank(values).any():
        return None
    try:
        ids = _ids(path, str(values.name), values, None)
    except LabelError:
        return None
    return None if ids is None else ids.tolist()


def _indices(
    path: Path, column: str, ids: npt.NDArray[np.int64] | None, names: list[str] | None, legend: Legend
) -> npt.NDArray[np.uint8]:
    strangers: list[Any]
    if ids is not None:
        indices = legend.encode(ids)
        strangers = sorted(set(ids[indices == IGNORE].tolist()))
    else:
        # A legend has no two names that differ in case only.
        table = {name.casefold(): index for index, name in enumerate(legend.names)}
        names = names or []
        strangers = sorted({name for name in names if name.casefold() not in table})
        indices = np.array([table.get(name.casefold(), IGNORE) for name in names], np.uint8)
    if strangers:
        listing = ", ".join(repr(item) for item in strangers[:5])
        raise LabelError(f"{path}: column '{column}' holds {listing}, not in the legend ({', '.join(legend.names)})")
    return indices
