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
@click.option(
    "--global-context", type=click.Choice(["auto", "tile", "chip", "scene"]), default="auto", show_default=True,
    help="What a network that takes a mean over its window (see geoseg models) takes it over. chip: what is around a "
    "pixel, as far as a training chip goes; scene: the whole scene, found in a first pass of the encoder, which takes "
    "nearly as long again; with both, windows agree. tile: each window. auto: chip where it can be.",
)  # fmt: skip
@click.option("--crf", is_flag=True, help="Smooth the map along the edges of the image, with a dense CRF.")
@click.option(
    "--crf-options", metavar="NAME=VALUE,...",
    help="How the CRF smooths; by default iterations=5,radius=4,dilation=1,appearance=3,smoothness=1,nearness=4,"
    "likeness=0.5,spread=2.",
)  # fmt: skip
@options.device
@options.output
@options.overwrite
@options.json_
def command(
    model: Path, scene: tuple[str, ...], as_json: bool, crf: bool, crf_options: str | None, **settings: Any
) -> None:
    """Map SCENE with MODEL into a cloud-optimised GeoTIFF.

    The map has exactly the scene's grid. Pixels without data stay without data. Class names and colours come along for
    QGIS (.qml, .aux.xml). Scenes of any size go through in the same memory. Several files make one scene with --join.

    \b
    geoseg predict model.safetensors scene.tif -o map.tif
    geoseg predict model.safetensors B02.tif B03.tif B8A.tif --join stack -o map.tif
    """
    from geoseg.prediction.crf import CrfOptions
    from geoseg.prediction.predict import predict

    if crf_options is not None and not crf:
        raise click.UsageError("--crf-options means nothing without --crf; give both, or neither")
    smoothing = CrfOptions.parse(crf_options or "") if crf else False
    options.tell(predict(model, list(scene), crf=smoothing, **settings), as_json)
