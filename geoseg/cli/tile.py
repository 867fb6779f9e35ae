"""geoseg tile: cut scenes and labels into chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


def _shares(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(part) for part in value.split(","))
    except ValueError:
        shares = ()
    if len(shares) != 3:
        raise click.BadParameter("give three shares that sum to 1, such as 0.7,0.15,0.15")
    return shares


@options.command()
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--labels", required=True, multiple=True, type=click.Path(path_type=Path),
    help="Polygons, points, lines or a class raster; once, or for each scene; or a folder with a file for each.",
)  # fmt: skip
@click.option(
    "--class-field",
    multiple=True,
    help="Column of the labels that holds the class, as id or name; or one for each scene.",
)
@options.labelling
@options.reading
@click.option("--chip-size", type=click.IntRange(min=8), help="Side of a chip in pixels; chosen from the labels.")
@click.option("--overlap", type=float, default=0.25, show_default=True, help="Share of a chip that neighbours share.")
@click.option("--block-size", type=click.IntRange(min=8), help="Side of the blocks that are split, in pixels; chosen.")
@click.option(
    "--split", default="0.7,0.15,0.15", show_default=True, callback=_shares, help="Training, validation, test."
)
@click.option(
    "--split-by", type=click.Choice(["auto", "blocks", "scene"]), default="auto", show_default=True,
    help="What is held out: blocks of each scene, or whole scenes (auto: scenes from 8 on).",
)  # fmt: skip
@click.option("--folds", type=click.IntRange(min=2), help="Cut equal folds for cross-validation in place of --split.")
@click.option("--areas", type=click.Path(path_type=Path), help="Polygons that say what is for train, val and test.")
@click.option("--area-column", help="Column of --areas that says so; split when not given.")
@click.option(
    "--min-labelled", type=click.FloatRange(0, 1), default=0.0, show_default=True,
    help="Least labelled share of a chip; one pixel at least.",
)  # fmt: skip
@click.option(
    "--min-valid", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Least share with data of a chip."
)
@click.option(
    "--compress", type=click.Choice(["deflate", "zstd", "lzw", "none"]), default="deflate", show_default=True,
    help="Of the chips' files; none reads fastest.",
)  # fmt: skip
@click.option("--virtual", is_flag=True, help="Write no pixels; the index points into the scenes.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that cut; 0: all cores."
)
@click.option("--dry-run", is_flag=True, help="Write nothing; print chips per split and class, and the disk they need.")
@options.seed
@options.output
@options.overwrite
@options.json_
def command(
    scenes: tuple[str, ...], labels: tuple[Path, ...], class_field: tuple[str, ...], as_json: bool, **settings: Any
) -> None:
    """Cut scenes and labels into overlapping chips.

    Training, validation and test are blocks of ground with a gap between them, so that no score is flattered by
    neighbours. A SCENE may be a folder; then --labels may be a folder with a file of the same name for each scene. A
    run that was killed goes on where it stopped when it is started again.

    \b
    geoseg tile scene.tif --labels polygons.gpkg --class-field class -o chips/
    geoseg tile 'LC08_B*.tif' --join stack --labels points.gpkg --buffer 30 -o chips/
    geoseg tile S2A_MSIL2A.SAFE --labels polygons.gpkg --bands B02,B03,B04,B08 -o chips/
    """
    from geoseg.chips.work import prepare

    prepare(settings["jobs"])
    from geoseg.chips.tiler import tile

    options.tell(tile(list(scenes), list(labels), class_field=class_field or None, **settings), as_json)
