"""Names of files made from what data says."""

from __future__ import annotations

import re

_CHARACTERS, _BYTES = 60, 120
"""Longest name; with what is put around it, it stays below the 255 bytes that file systems take."""


def plain_name(name: str) -> str:
    """A name of letters of any script, digits, `-` and `_`: no path, no option, nothing a shell or a disk stumbles at.

    >>> plain_name("../Nord Süd.2"), plain_name("северный край")
    ('_Nord_Süd_2', 'северный_край')
    """
    plain = re.sub(r"[^\w-]+", "_", name)[:_CHARACTERS]
    return plain.encode("utf-8")[:_BYTES].decode("utf-8", "ignore").lstrip("-") or "_"
