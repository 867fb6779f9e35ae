"""`geoseg evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("map_path", metavar="MAP", type=click.Path(path_type=Path))
@click.argument("reference", metavar="REFERENCE", type=click.Path(path_type=Path))
@options.output
@options.class_field
@options.labelling
@click.option("--scene", help="The scene, to show it beside the map.")
@options.bands
@click.option(
    "--regions", type=click.Path(path_type=Path), help="Polygons; only pixels inside count. Test blocks, for instance."
)
@click.option("--curves", type=click.Path(path_type=Path), help="metrics.csv of the training, to draw its curves.")
@options.overwrite
@options.json_
def command(map_path: Path, reference: Path, output: Path, as_json: bool, **settings: Any) -> None:
    """Score MAP against REFERENCE and write a report.

    MAP is a class raster, REFERENCE another one on any grid, or polygons. The folder gets report.html (one file that
    opens anywhere), metrics.json, confusion.csv and the figures as PNG.

    \b
    geoseg evaluate map.tif truth.gpkg --class-field land_cover -o report/
    geoseg evaluate map.tif labels.tif --scene scene.tif --regions test_blocks.gpkg -o report/
    """
    from geoseg.assessment.evaluate import evaluate

    options.tell(evaluate(map_path, reference, output, **settings), as_json)
