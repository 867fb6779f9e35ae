"""How scenes are to be read: the options that every command which takes scenes shares."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

JOINS = ("stack", "mosaic")


class ReadOptions(TypedDict, total=False):
    """Options of `geoseg.open_scene`.

    Keys:
        bands: names or 1-based numbers of the bands to use, in that order; None for all.
        nodata: a value that means "no data" in every band, in place of what the files declare.
        join: "stack" when several files are bands of one scene, "mosaic" when they lie side by side; None when each
            is a scene of its own.
        like: a raster whose grid a stack or mosaic is to have.
        resampling: how values are laid on another grid: "nearest", "bilinear" (default), "cubic" or "average".
        allow_remote: let VRTs read files outside of their folder, and URLs.
    """

    bands: tuple[str, ...] | None
    nodata: float | None
    join: str | None
    like: str | Path | None
    resampling: str | None
    allow_remote: bool
