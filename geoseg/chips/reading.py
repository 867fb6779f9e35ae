"""How much of a scene is read at a time, so that memory stays bounded and no block is decoded twice."""

from __future__ import annotations

from geoseg.grid import round_up

BLOCK = 512
"""Side of a block that is usual in large files."""

SEGMENT_BYTES = 16_000_000
"""Pixels of one row of such blocks: well below what GDAL keeps decoded, so that what is read next finds them there."""


def segment_cols(pixel_bytes: int) -> int:
    """Columns of a scene that are gone through from top to bottom before the next ones; whole blocks.

    Args:
        pixel_bytes: of all bands together.

    >>> segment_cols(8)
    4096
    """
    return round_up(max(1, SEGMENT_BYTES // (BLOCK * pixel_bytes)), BLOCK)
