"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from geoseg.cli._command import LIMITS, command, tell
from geoseg.errors import GeosegError

__all__ = ["command", "tell"]  # commands have all they share from here


def split_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Callback: "red,green" to ("red", "green")."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one, such as red,green,nir or 1,2,3")
    return names


json_ = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
output = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="What to write; its folder must exist."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it is there already.")
bands = click.option(
    "--bands", callback=split_names, metavar="NAMES", help="Bands to use: names or 1-based numbers, comma separated."
)
nodata = click.option("--nodata", type=float, help="Value that means no data, in place of what the scene declares.")


def _note_limit(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Callback: what holds for every raster that the command opens, be it a scene, a map or labels."""
    if param.name == "max_block" and value is not None:
        value = _bytes(value, param)
    elif param.name == "allow_driver":
        value = split_names(ctx, param, value)
    ctx.meta.setdefault(LIMITS, {})[param.name] = value
    return value


def _bytes(text: str, param: click.Parameter) -> int:
    """Bytes of a text such as 512MB."""
    from geoseg.units import parse_bytes

    try:
        return parse_bytes(text, param.opts[-1].lstrip("-"))
    except GeosegError as error:
        raise click.BadParameter(str(error)) from error


def _limits(exposed: bool) -> tuple[Callable[..., Any], ...]:
    """Options of `geoseg.limits.Limits`; `exposed` hands them to the command too."""
    return (
        click.option(
            "--allow-driver", callback=_note_limit, expose_value=exposed, metavar="NAMES",
            help="Drivers of GDAL, such as ENVI, that may open what is no GeoTIFF, JPEG 2000, VRT or PNG, "
            "and netCDF for HDF5 and netCDF-4 that you trust.",
        ),
        click.option(
            "--max-pixels", type=click.IntRange(min=1), callback=_note_limit, expose_value=exposed, metavar="N",
            help="Refuse rasters that declare more pixels than this; 100,000,000,000 by default.",
        ),
        click.option(
            "--max-block", callback=_note_limit, expose_value=exposed, metavar="SIZE",
            help="Refuse rasters whose blocks are larger than this when decoded; 256MiB by default.",
        ),
    )  # fmt: skip


def limits(function: Callable[..., Any]) -> Callable[..., Any]:
    """What rasters may declare, for commands that read no scenes; `reading` has it for the others."""
    for option in reversed(_limits(exposed=False)):
        function = option(function)
    return function


_READING = (
    bands,
    nodata,
    click.option(
        "--nodata-rule", type=click.Choice(["any", "all"]),
        help="A pixel has no data where any band used has none, or only where all have none; by default any, and with "
        "a model what it was trained with.",
    ),
    click.option(
        "--join", type=click.Choice(["stack", "mosaic"]),
        help="Several files are one scene: stack for bands in files of their own, mosaic for files side by side.",
    ),
    click.option(
        "--like", type=click.Path(path_type=Path), help="Raster whose grid a stack or mosaic is to have."
    ),
    click.option(
        "--resampling", type=click.Choice(["nearest", "bilinear", "cubic", "average"]), default="bilinear",
        show_default=True, help="How a stack or mosaic lays values on another grid.",
    ),
    click.option("--allow-remote", is_flag=True, help="Let a VRT read URLs and files outside of its folder."),
    *_limits(exposed=True),
)  # fmt: skip


def reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `geoseg.readers.ReadOptions`."""
    for option in reversed(_READING):
        function = option(function)
    return function


seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of everything drawn at random.",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read chips."
)
legend = click.option(
    "--legend", type=click.Path(path_type=Path), help="legend.toml: id, name and colour of each class."
)
class_field = click.option("--class-field", help="Column of the labels that holds the class, as id or name.")

_LABELLING = (
    legend,
    click.option("--layer", help="Layer to read, of label files with several."),
    click.option("--buffer", type=float, metavar="METRES", help="Widen points and lines by this much."),
    click.option(
        "--on-conflict", type=click.Choice(["later", "ignore"]), default="later", show_default=True,
        help="Where labels of different classes overlap: the later one counts, or none.",
    ),
    click.option("--background", type=click.IntRange(min=0), metavar="ID", help="Class of all that is not labelled."),
)  # fmt: skip


def labelling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `geoseg.labels.LabelOptions`, and the legend."""
    for option in reversed(_LABELLING):
        function = option(function)
    return function
