"""geoseg vectorize."""

from __future__ import annotations

from pathlib import Path

import click

from geoseg.cli import options


@options.command()
@click.argument("map_path", metavar="MAP", type=click.Path(path_type=Path))
@options.output
@click.option(
    "--simplify",
    type=float,
    default=0.0,
    show_default=True,
    metavar="PIXELS",
    help="How far borders between classes may move; 0 keeps the exact pixel outline, 1 removes its stairs.",
)
@click.option(
    "--classes", callback=options.split_names, metavar="NAMES", help="Classes to keep: names or ids, comma separated."
)
@options.legend
@options.overwrite
@options.json_
def command(
    map_path: Path,
    output: Path,
    simplify: float,
    classes: tuple[str, ...] | None,
    legend: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn MAP into polygons: .gpkg, .geojson, .parquet or .fgb.

    All classes are in one layer, with class_id, class_name and area_m2 (on the ellipsoid). The polygons are one valid
    coverage: no gaps, no overlaps, shared borders simplified once. Nodata is in none of them, and its border never
    moves.

    \b
    geoseg vectorize map.tif -o map.gpkg
    geoseg vectorize map.tif -o forest.parquet --classes forest,water --simplify 1
    """
    from geoseg.legend import read_legend
    from geoseg.vectors.vectorize import vectorize

    result = vectorize(
        map_path,
        output,
        simplify=simplify,
        classes=classes,
        legend=None if legend is None else read_legend(legend),
        overwrite=overwrite,
    )
    options.tell(result, as_json)
