"""Names of files: such as are made from what data says, and such as no file can have."""

from __future__ import annotations

import re
from pathlib import Path

from geoseg.errors import OptionError

_CHARACTERS, _BYTES = 60, 120
"""Longest name; with what is put around it, it stays below the 255 bytes that file systems take."""

_MOST_OF_NAME, _MOST_OF_PATH = 255, 3500
"""Bytes; what systems take of a path, and 600 less, for an output is made in a hidden folder of its own."""


def plain_name(name: str) -> str:
    """A name of letters of any script, digits, `-` and `_`: no path, no option, nothing a shell or a disk stumbles at.

    >>> plain_name("../Nord Süd.2"), plain_name("северный край")
    ('_Nord_Süd_2', 'северный_край')
    """
    plain = re.sub(r"[^\w-]+", "_", name)[:_CHARACTERS]
    return plain.encode("utf-8")[:_BYTES].decode("utf-8", "ignore").lstrip("-") or "_"


def is_remote(path: str | Path) -> bool:
    """True for URLs and GDAL's virtual paths, which are no files of this machine.

    >>> is_remote("https://example.org/scene.tif"), is_remote("scenes/scene.tif")
    (True, False)
    """
    return "://" in str(path) or str(path).startswith("/vsi")


def refuse_too_long(path: str) -> None:
    """Refuse a path that no system call takes: asked whether it is there, Python raises errors of its own.

    Raises:
        OptionError: it is too long, or a name in it is.
    """
    if is_remote(path):
        return  # an address, which has no such limit
    names = [part.encode("utf-8", "replace") for part in path.split("/")]
    if max(map(len, names)) > _MOST_OF_NAME or len(b"/".join(names)) > _MOST_OF_PATH:
        raise OptionError(
            f"{path[:_CHARACTERS]}...: the name is too long; a file's may have {_MOST_OF_NAME} bytes and its path "
            f"{_MOST_OF_PATH:,}, so shorten it"
        )
