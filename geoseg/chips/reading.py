"""How much of a scene is read at a time, so that memory stays bounded and no block is decoded twice."""

from __future__ import annotations

BLOCK_ROWS = 512
"""Rows of a block that are usual in large files."""

SEGMENT_BYTES = 16_000_000
"""Pixels of one row of such blocks: well below what GDAL keeps decoded, so that what is read next finds them there."""


def segment_cols(pixel_bytes: int) -> int:
    """Columns of a scene that are gone through from top to bottom before the next ones.

    Args:
        pixel_bytes: of all bands together.
    """
    return max(1, SEGMENT_BYTES // (BLOCK_ROWS * pixel_bytes))
