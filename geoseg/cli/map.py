"""geoseg map: whole regions, in batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in value.split(",")) if value else ()
    except ValueError as error:
        raise click.BadParameter("write whole numbers, such as 3,8,9,10") from error


def _resources(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float] | None:
    if value is None:
        return None
    try:
        pairs = (item.partition("=") for item in value.split(","))
        return {name.strip(): float(amount) for name, _, amount in pairs}
    except ValueError as error:
        raise click.BadParameter("write names and amounts, such as GPU=1") from error


@options.command(again="what is done stays done, and the same command goes on")
@click.argument("regions", required=False, type=click.Path(path_type=Path))
@click.option(
    "--scenes", multiple=True, required=True, metavar="FILE|GLOB|INDEX|ITEMS",
    help="Scenes: files, folders or patterns (may be repeated), an index of files (gdaltindex), or a STAC item "
    "collection. Those named first count first.",
)  # fmt: skip
@click.option(
    "--model", required=True, type=click.Path(path_type=Path), help="Model file; workers read it at this path."
)
@click.option("--grid", metavar="SIZE", help="Square regions of 100km, 5000m or 1deg; REGIONS are then cut by them.")
@click.option("--layer", help="Layer of REGIONS, where there are several.")
@click.option("--name-field", metavar="NAME", help="Column of the regions' names; name, region, id, ... by default.")
@click.option(
    "--assets", callback=options.split_names, metavar="NAMES", help="Assets of STAC items that are the bands."
)
@click.option("--mask-band", metavar="NAME", help="Band that says which pixels do not count, such as scl.")
@click.option("--mask-values", callback=_numbers, metavar="NUMBERS", help="What it holds there, such as 3,8,9,10.")
@click.option(
    "--cloud-classes", callback=options.split_names, metavar="NAMES",
    help="Classes of the model that mean cloud: they count only where no other scene has anything.",
)  # fmt: skip
@click.option(
    "--crs", default="auto", show_default=True, metavar="auto|utm|CRS",
    help="CRS of the maps. auto: that of the scenes; utm: the zone of each region.",
)  # fmt: skip
@click.option("--resolution", type=click.FloatRange(min=0, min_open=True), help="Side of a pixel, in units of the CRS.")
@click.option(
    "--mosaic", type=click.Choice(["mean", "best", "first"]), default="mean", show_default=True,
    help="Where scenes overlap: the mean of their probabilities, weighted by the distance to their edges; the surest; "
    "or the first.",
)  # fmt: skip
@click.option(
    "--feather", type=click.IntRange(min=0), default=64, show_default=True, metavar="PIXELS",
    help="How far a scene fades out towards its edge.",
)  # fmt: skip
@click.option(
    "--window", type=click.IntRange(min=1), default=1024, show_default=True, metavar="PIXELS",
    help="Side of what the network sees at a time, margins included.",
)  # fmt: skip
@click.option("--margin", default="auto", show_default=True, metavar="auto|exact|PIXELS", help="As of geoseg predict.")
@click.option(
    "--blend", type=click.Choice(["auto", "none", "hann"]), default="auto", show_default=True, help="As of predict."
)
@click.option(
    "--global-context",
    type=click.Choice(["auto", "tile", "chip"]),
    default="auto",
    show_default=True,
    help="As of predict.",
)
@click.option("--tta", is_flag=True, help="Mean over all eight flips and rotations; takes eight times as long.")
@click.option("--confidence", is_flag=True, help="Also make rasters of the highest probability.")
@click.option("--polygons/--no-polygons", default=True, show_default=True, help="Also make polygons.")
@click.option("--simplify", type=click.FloatRange(min=0), default=0.0, help="Tolerance of polygons, in pixels.")
@click.option(
    "--runtime", type=click.Choice(["auto", "torch", "openvino", "onnx"]), default="auto", show_default=True,
    help="What runs the network, as of predict.",
)  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Where it runs; with cuda, tasks ask for workers with the dask resource GPU.")  # fmt: skip
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Processes to start; as many as there are cores and memory."
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the CPU, for each process."
)
@click.option("--scheduler", metavar="ADDRESS", help="dask cluster to use instead, such as tcp://host:8786.")
@click.option("--resources", callback=_resources, metavar="NAME=N", help="dask resources that a task takes.")
@click.option("--dashboard", is_flag=True, help="Show dask's dashboard on this machine.")
@click.option(
    "--block", type=click.IntRange(min=64), default=4096, show_default=True, metavar="PIXELS",
    help="Side of the parts in which large regions are shared out.",
)  # fmt: skip
@click.option("--retries", type=click.IntRange(min=0), default=2, show_default=True, help="How often to try again.")
@click.option("--fail-fast", is_flag=True, help="Stop when a region has failed.")
@click.option(
    "--strict", is_flag=True, help="A scene that cannot be used is an error; otherwise it is left out and named."
)
@click.option("--dry-run", is_flag=True, help="Make nothing; try some windows and say what all would take.")
@options.reading
@options.output
@options.overwrite
@options.json_
def command(
    regions: Path | None,
    scenes: tuple[str, ...],
    model: Path,
    output: Path,
    as_json: bool,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Map REGIONS with a model, on this machine or a cluster.

    Each polygon of REGIONS becomes a folder with a map, polygons and a STAC item, made of all scenes that lie over it.
    Neighbours agree along their border. The same command goes on where it was: what is done is skipped, what failed is
    tried again. Exit code 3 when some regions failed.

    \b
    geoseg map districts.gpkg --scenes 'scenes/*.tif' --model model.safetensors -o atlas/
    geoseg map --grid 100km --scenes index.gpkg --model model.safetensors -o atlas/ --jobs 8
    geoseg map districts.gpkg --scenes items.json --assets red,green,blue,nir --allow-remote \\
        --model model.safetensors -o atlas/ --scheduler tcp://host:8786
    """
    from geoseg.atlas.batch import summary
    from geoseg.atlas.estimate import AtlasEstimate
    from geoseg.atlas.map import map as map_regions

    found = map_regions(regions, list(scenes), model, output, dry_run=dry_run, **settings)
    if isinstance(found, AtlasEstimate):
        options.tell(found, as_json)
        return
    click.echo(found.drop(columns="geometry").to_json(orient="records") if as_json else summary(found, output))
    if (found["state"] == "failed").any():
        click.get_current_context().exit(3)
