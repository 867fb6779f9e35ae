"""`geoseg view`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.output
@options.bands
@options.legend
@options.class_field
@click.option(
    "--longest", type=int, default=1500, show_default=True, help="Longest side of a raster on the page, in pixels."
)
@options.limits
@options.overwrite
@options.json_
def command(files: tuple[str, ...], output: Path, as_json: bool, **settings: Any) -> None:
    """Show scenes, maps and shapes in one HTML page.

    FILEs are scenes, maps, confidence rasters, polygons, lines or points of the same ground; in any CRS. The page is
    one file: it opens in a browser without a server or a network. Drag the line to compare what is left and right of
    it, switch layers and classes, and point at a place for its class, confidence and coordinates.

    \b
    geoseg view scene.tif map.tif -o map.html
    geoseg view scene.tif map.tif confidence.tif map.gpkg -o map.html
    geoseg view map_2000.tif map_2020.tif -o change.html
    """
    from geoseg.viewing.view import view

    options.tell(view(files, output, **settings), as_json)
