"""geoseg predict: map a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("scene", nargs=-1, required=True, metavar="SCENE...")
@options.reading
@click.option(
    "--window", type=click.IntRange(min=1), default=1024, show_default=True,
    help="Side of what the network sees at a time, in pixels.",
)  # fmt: skip
@click.option(
    "--margin", default="auto", show_default=True, metavar="auto|exact|PIXELS",
    help="Context around what is kept; exact: as far as the network can look.",
)  # fmt: skip
@click.option("--crf", is_flag=True, help="Smooth the map along the edges of the image, with a dense CRF.")
@options.device
@options.output
@options.overwrite
@options.json_
def command(model: Path, scene: tuple[str, ...], as_json: bool, **settings: Any) -> None:
    """Map SCENE with MODEL into a cloud-optimised GeoTIFF.

    The map has exactly the scene's grid. Pixels without data stay without data. Class names and colours come along for
    QGIS (.qml, .aux.xml). Scenes of any size go through in the same memory. Several files make one scene with --join.

    \b
    geoseg predict model.safetensors scene.tif -o map.tif
    geoseg predict model.safetensors B02.tif B03.tif B8A.tif --join stack -o map.tif
    """
    from geoseg.prediction.predict import predict

    options.tell(predict(model, list(scene), **settings), as_json)
