"""geoseg run: the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("scenes", nargs=-1, metavar="SCENE...")
@click.argument("labels", type=click.Path(path_type=Path))
@options.class_field
@options.labelling
@options.reading
@click.option("--chip-size", type=click.IntRange(min=8), help="Side of a chip in pixels; chosen from the labels.")
@click.option(
    "--split-by", type=click.Choice(["auto", "blocks", "scene"]), default="auto", show_default=True,
    help="What is held out: blocks of each scene, or whole scenes (auto: scenes from 8 on).",
)  # fmt: skip
@click.option("--arch", default="auto", show_default=True, help="unet_compact (auto), unet, ...; see geoseg models.")
@click.option("--encoder", help="Encoder of the networks that have one, such as resnet18.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of a fixed number of draws; default 12.")
@click.option("--allow-missing", is_flag=True, help="Train although a class has no training pixel.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=1, show_default=True,
    help="Processes that cut chips; 0: all cores.",
)  # fmt: skip
@click.option(
    "--simplify", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Tolerance of polygons, in pixels."
)
@click.option(
    "--polygons", type=click.Choice([".gpkg", ".geojson", ".parquet", ".fgb"]), default=".gpkg", show_default=True,
    help="Format of the polygons.",
)  # fmt: skip
@options.device
@options.seed
@options.output
@options.overwrite
@options.json_
def command(
    scenes: tuple[str, ...],
    labels: Path,
    as_json: bool,
    chip_size: int | None,
    split_by: str,
    arch: str,
    encoder: str | None,
    epochs: int | None,
    allow_missing: bool,
    **settings: Any,
) -> None:
    """Do the whole job on SCENE and LABELS: tile, train, predict, vectorize, evaluate.

    LABELS are polygons or a class raster, in any CRS. A SCENE may be a folder of scenes, and LABELS a folder with a
    file of the same name for each. Killed? The same command goes on with the step that was cut off.

    \b
    geoseg run scene.tif polygons.gpkg -o out/
    geoseg run images/ masks/ -o out/
    """
    if not scenes:
        raise click.UsageError(f"give scenes and their labels, in this order; there is only {labels}")
    from geoseg.workflow import run

    tiling = {"chip_size": chip_size, "split_by": split_by}
    training = {"arch": arch, "encoder": encoder, "epochs": epochs, "allow_missing": allow_missing}
    options.tell(run(list(scenes), labels, tiling=tiling, training=training, **settings), as_json)
