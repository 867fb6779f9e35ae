"""How scenes are to be read: the options that every command which takes scenes shares."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from geoseg.limits import Limits
from geoseg.raster import current_limits

JOINS = ("stack", "mosaic")
NODATA_RULES = ("any", "all")


class ReadOptions(TypedDict, total=False):
    """Options of `geoseg.open_scene`.

    Keys:
        bands: names or 1-based numbers of the bands to use, in that order; None for all.
        nodata: a value that means "no data" in every band, in place of what the files declare.
        nodata_rule: "any" (default) when a pixel without data in one of the bands used has none, "all" when only one
            without data in all of them has none, and what a band holds instead is taken for a value: for a nodata
            of 0 that real dark pixels have. NaN and infinite values are never data.
        join: "stack" when several files are bands of one scene, "mosaic" when they lie side by side; None when each
            is a scene of its own.
        like: a raster whose grid a stack or mosaic is to have.
        resampling: how values are laid on another grid: "nearest", "bilinear" (default), "cubic" or "average".
        allow_remote: let VRTs read files outside of their folder, and URLs.
        allow_driver: GDAL's short names of drivers that may open files geoseg does not know by their content.
        max_pixels: refuse files that declare more pixels.
        max_block: refuse files that declare blocks of more bytes, decoded.
    """

    bands: tuple[str, ...] | None
    nodata: float | None
    nodata_rule: str | None
    join: str | None
    like: str | Path | None
    resampling: str | None
    allow_remote: bool
    allow_driver: tuple[str, ...] | None
    max_pixels: int | None
    max_block: int | None


def limits_of(options: ReadOptions) -> Limits:
    """What files may declare, and which further drivers may open them.

    Raises:
        OptionError: a limit or a driver that cannot be.
    """
    usual = current_limits()
    return Limits(
        options.get("max_pixels") or usual.max_pixels,
        options.get("max_block") or usual.max_block,
        tuple(options.get("allow_driver") or usual.drivers),
    )
