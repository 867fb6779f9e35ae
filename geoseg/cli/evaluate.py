"""`geoseg evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options

PATH = click.Path(path_type=Path)


@options.command()
@click.argument("files", nargs=-1, required=True, metavar="MAP... [REFERENCE]", type=PATH)
@click.option("-o", "--output", type=PATH, help="Folder of the report to write; without it the numbers are told only.")
@click.option(
    "--samples", type=PATH,
    help="Points that geoseg sample drew and people labelled: areas and accuracies with intervals. Then all files are "
    "maps, unless --reference is given.",
)  # fmt: skip
@click.option("--reference", type=PATH, help="The reference, in place of the last file.")
@click.option("--together", is_flag=True, help="The maps are scenes of one job: counted together, and one by one.")
@options.class_field
@options.labelling
@options.limits
@click.option("--scene", help="The scene of the first map, to show it beside it.")
@options.bands
@click.option(
    "--baseline", "baseline_labels", type=PATH, metavar="LABELS",
    help="Labels to train a classifier on that sees one pixel of --scene at a time, to compare the map with.",
)  # fmt: skip
@click.option("--regions", type=PATH, help="Polygons; only pixels inside count. Test blocks, for instance.")
@click.option("--by", type=PATH, help="Polygons to score one by one.")
@click.option("--by-field", metavar="NAME", help="Column of the names of --by.")
@click.option(
    "--boundary", default="5.43px", show_default=True, metavar="DISTANCE|none",
    help="How far borders of classes may lie apart, such as 30m or 3px; none for no boundary scores.",
)  # fmt: skip
@click.option(
    "--confidence", multiple=True, type=PATH, help="How sure the map is, for its calibration; once for each map."
)
@click.option(
    "--probabilities", multiple=True, type=PATH, help="A band per class, in place of --confidence; once for each map."
)
@click.option(
    "--polygons", metavar="AREA",
    help="Score polygons too, those of at least this area, such as 0.5ha or 20px; 0 for all. Memory grows with them.",
)  # fmt: skip
@click.option(
    "--spacing", type=click.IntRange(min=1), metavar="PIXELS",
    help="Between the pixels at which two maps are tested; found from how far their differences reach.",
)  # fmt: skip
@click.option(
    "--model", type=PATH, help="The model that made the first map, to tell of it; the one beside the map by default."
)
@click.option(
    "--curves", type=PATH, help="metrics.csv of the training, to draw its curves; the one beside the model by default."
)
@options.overwrite
@options.json_
def command(
    files: tuple[Path, ...], output: Path | None, reference: Path | None, as_json: bool, **settings: Any
) -> None:
    """Score MAP against REFERENCE, and write a report with -o.

    MAP is a class raster, REFERENCE another one on any grid, polygons or points. Several maps are shown side by side
    and tested against each other. The folder gets report.html (one file that opens anywhere), metrics.json,
    confusion.csv and the figures as PNG.

    \b
    geoseg evaluate map.tif truth.tif
    geoseg evaluate map.tif truth.gpkg --class-field land_cover -o report/
    geoseg evaluate map.tif labels.tif --scene scene.tif --regions test_blocks.gpkg -o report/
    geoseg evaluate old.tif new.tif truth.tif --by districts.gpkg --polygons 0.5ha -o report/
    geoseg evaluate map.tif truth.tif --confidence confidence.tif --boundary 30m -o report/
    geoseg evaluate map.tif --samples points.gpkg -o report/
    """
    from geoseg.assessment.evaluate import evaluate

    maps = list(files)
    if reference is None and settings["samples"] is None:
        if len(maps) < 2:
            raise click.UsageError("give a map and its reference, or --samples")
        reference = maps.pop()
    for name in ("confidence", "probabilities"):
        settings[name] = settings[name] or None
    if settings["boundary"].lower() == "none":
        settings["boundary"] = None
    options.tell(evaluate(maps, reference, output, **settings), as_json)
