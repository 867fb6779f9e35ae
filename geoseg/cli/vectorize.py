"""geoseg vectorize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("map_path", metavar="MAP", type=click.Path(path_type=Path))
@options.output
@click.option(
    "--simplify",
    default="0",
    show_default=True,
    metavar="SIZE",
    help="How far borders between classes may move, in pixels or metres (1.5 or 15m); 0 keeps the exact pixel "
    "outline, 1 removes its stairs.",
)
@click.option(
    "--smooth",
    default="0",
    show_default=True,
    metavar="SIZE",
    help="How far borders may move when their bends are then rounded, in pixels or metres.",
)
@click.option(
    "--min-area",
    default="0",
    show_default=True,
    metavar="AREA",
    help="Smaller areas go to the neighbour with the longest shared border: 20 (pixels), 500m2 or 0.5ha.",
)
@click.option(
    "--min-hole",
    default="0",
    show_default=True,
    metavar="AREA",
    help="Areas smaller than this go to the class around them, where there is only one.",
)
@click.option("--fill-nodata", is_flag=True, help="Fill holes of nodata smaller than --min-hole too.")
@click.option(
    "--classes", callback=options.split_names, metavar="NAMES", help="Classes to keep: names or ids, comma separated."
)
@click.option(
    "--connectivity",
    type=click.Choice(["4", "8"]),
    default="4",
    show_default=True,
    help="With 8, areas that touch in corners are one MultiPolygon.",
)
@click.option("--dissolve/--no-dissolve", help="One MultiPolygon for each class (and region); all are held in memory.")
@click.option(
    "--confidence",
    type=click.Path(path_type=Path),
    help="Confidence raster on the map's grid: adds confidence_mean and confidence_min.",
)
@click.option("--by", type=click.Path(path_type=Path), help="Polygons to cut the map by: adds region.")
@click.option("--by-field", metavar="NAME", help="Column of the regions' names.")
@click.option(
    "--max-vertices",
    type=int,
    default=5_000_000,
    show_default=True,
    metavar="N",
    help="Cut polygons with more vertices along straight lines; 0 for none. Formats need much memory for huge ones.",
)
@click.option("--dst-crs", metavar="CRS", help="Coordinate system of the polygons, such as EPSG:4326.")
@click.option("--band", type=int, metavar="N", help="Band that holds the classes, where there are several.")
@options.legend
@options.limits
@options.overwrite
@options.json_
def command(map_path: Path, output: Path, connectivity: str, as_json: bool, **settings: Any) -> None:
    """Turn MAP into polygons: .gpkg, .geojson, .geojsonl, .parquet, .fgb or .pmtiles.

    All classes are in one layer: id, class_id, class_name, area_m2 and area_ha (on the ellipsoid), perimeter_m and
    pixels. The polygons are one valid coverage: no gaps, no overlaps, shared borders simplified once. Nodata is in none
    of them, and its border never moves. MAP may be any raster of whole numbers, larger than memory.

    \b
    geoseg vectorize map.tif -o map.gpkg
    geoseg vectorize map.tif -o forest.parquet --classes forest,water --simplify 1
    geoseg vectorize map.tif -o map.fgb --min-area 0.5ha --simplify 10m --confidence confidence.tif
    """
    from geoseg.vectors.vectorize import vectorize

    result = vectorize(map_path, output, connectivity=int(connectivity), **settings)
    options.tell(result, as_json)
