"""`geoseg sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


def _accuracies(ctx: click.Context, param: click.Parameter, value: str) -> float | dict[str, float]:
    """Callback: "0.8", or "water=0.95,urban=0.6"."""
    try:
        if "=" not in value:
            return float(value)
        pairs = (item.rpartition("=") for item in value.split(","))
        return {name.strip(): float(number) for name, _, number in pairs}
    except ValueError as error:
        raise click.BadParameter("write a number such as 0.8, or one for each class: water=0.95,urban=0.6") from error


@options.command()
@click.argument("map_path", metavar="MAP", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="GeoPackage to write; its folder must exist."
)
@click.option("--size", type=click.IntRange(min=2), help="Points in all, in place of what the standard error needs.")
@click.option("--standard-error", type=float, default=0.01, show_default=True, help="Of the overall accuracy, wanted.")
@click.option(
    "--accuracy", default="0.8", show_default=True, callback=_accuracies, metavar="SHARE|NAME=SHARE,...",
    help="User's accuracy to expect, of all classes or by name.",
)  # fmt: skip
@click.option("--least", type=int, default=50, show_default=True, help="Points of a rare class.")
@click.option(
    "--strata",
    type=click.Path(path_type=Path),
    help="Class raster whose classes are the strata, in place of the map's.",
)
@options.legend
@options.seed
@options.limits
@options.overwrite
@options.json_
def command(map_path: Path, output: Path, as_json: bool, **settings: Any) -> None:
    """Draw points at which MAP is to be judged, as a stratified random sample.

    Size and allocation are those of Olofsson et al. 2014. Open the file in QGIS, look at each point in imagery better
    than the map's, and choose its class from the list of reference_id. Then let geoseg evaluate estimate accuracy and
    areas from it.

    \b
    geoseg sample map.tif -o points.gpkg
    geoseg sample map.tif --standard-error 0.02 --least 75 --accuracy forest=0.95,urban=0.6 -o points.gpkg
    geoseg sample map.tif --strata districts.tif --size 400 -o points.gpkg
    geoseg evaluate map.tif --samples points.gpkg -o report/
    """
    from geoseg.assessment.sample import sample

    options.tell(sample(map_path, output, **settings), as_json)
