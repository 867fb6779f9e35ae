"""The class of all that is not labelled."""

from __future__ import annotations

from pathlib import Path

from geoseg.errors import LabelError, OptionError
from geoseg.legend import MAX_ID, Legend

NAME = "background"


def require_id(background: int | None) -> None:
    """Refuse what cannot be a class id.

    Raises:
        OptionError: not a whole number from 0 to 65535.
    """
    is_whole = isinstance(background, int) and not isinstance(background, bool)
    if background is not None and not (is_whole and 0 <= background <= MAX_ID):
        raise OptionError(f"background is {background}; it must be a class id, a whole number from 0 to {MAX_ID}")


def require_in_legend(legend: Legend | None, background: int | None) -> None:
    """Refuse a background that a given legend does not have.

    Raises:
        LabelError: it does not.
    """
    if legend is not None and background is not None and background not in legend.ids:
        classes = ", ".join(f"{item.id} {item.name}" for item in legend)
        raise LabelError(f"the legend has no class {background} for --background ({classes}); add it or choose another")


def with_background(legend: Legend, background: int | None, path: Path) -> Legend:
    """The legend of a file and the class of what is not labelled.

    Raises:
        LabelError: another class is called "background".
    """
    if background is None or background in legend.ids:
        return legend
    for item in legend:
        if item.name.casefold() == NAME:
            raise LabelError(
                f"{path}: class {item.id} is called '{item.name}'; give --background {item.id}, or another name to it"
            )
    return Legend.from_dict([*legend.to_dict(), {"id": background, "name": NAME}])
