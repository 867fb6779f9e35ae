"""Small documents that others may have written: JSON and TOML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

UNSOUND = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What comes of using a document that is of its format, and does not hold what it should."""


def parse_json(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, or nested deeper than anything that anybody means.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML says.

    Raises:
        ValueError: it is none, or nested deeper than anything that anybody means.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
