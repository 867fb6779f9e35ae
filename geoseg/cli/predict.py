"""geoseg predict: map scenes."""

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
    "--window", type=click.IntRange(min=1), metavar="PIXELS",
    help="Largest side of what the network sees at a time; as large as the memory allows.",
)  # fmt: skip
@click.option(
    "--memory",
    metavar="SIZE",
    help="What the whole process may take, such as 2GB; half of what is free, 2.2 GB at most.",
)
@click.option(
    "--margin", default="auto", show_default=True, metavar="auto|exact|PIXELS",
    help="Context around what is kept. auto: what the trained network needs; exact: as far as it can look.",
)  # fmt: skip
@click.option(
    "--blend", type=click.Choice(["auto", "none", "hann"]), default="auto", show_default=True,
    help="Fade windows into each other, or cut them. auto: fade where they cannot agree.",
)  # fmt: skip
@click.option(
    "--global-context", type=click.Choice(["auto", "tile", "chip", "scene"]), default="auto", show_default=True,
    help="What a network that takes a mean over its window (see geoseg models) takes it over. chip: what is around a "
    "pixel, as far as a training chip goes; scene: the whole scene, found in a first pass of the encoder, which takes "
    "nearly as long again; with both, windows agree. tile: each window. auto: chip where it can be.",
)  # fmt: skip
@click.option(
    "--runtime", type=click.Choice(["auto", "torch", "openvino", "onnx"]), default="auto", show_default=True,
    help="What runs the network. auto: on a CPU the fastest that is installed and gives the same labels.",
)  # fmt: skip
@click.option("--tta", is_flag=True, help="Mean over all eight flips and rotations; takes eight times as long.")
@click.option("--crf", is_flag=True, help="Smooth the map along the edges of the image, with a dense CRF.")
@click.option(
    "--crf-options", metavar="NAME=VALUE,...",
    help="How the CRF smooths; by default iterations=5,radius=4,dilation=1,appearance=3,smoothness=1,nearness=4,"
    "likeness=0.5,spread=2.",
)  # fmt: skip
@click.option(
    "--probabilities", type=click.Path(path_type=Path), metavar="FILE", help="Also make a raster with a band per class."
)
@click.option(
    "--confidence", type=click.Path(path_type=Path), metavar="FILE",
    help="Also make a raster with the highest probability, its lead over the second, and one minus the entropy.",
)  # fmt: skip
@click.option("--aoi", type=click.Path(path_type=Path), metavar="FILE", help="Polygons; only what is inside is mapped.")
@click.option("--dst-crs", metavar="CRS", help="CRS of the map, such as EPSG:32632, where it is not the scene's.")
@click.option(
    "--check-seams", is_flag=True,
    help="Also map the middle of the scene in one window, or in other ones, and say how much of the seams shows.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Make nothing; try some windows and say what the map would take.")
@click.option(
    "--co", multiple=True, metavar="NAME=VALUE",
    help="How the rasters are stored: COMPRESS, LEVEL, PREDICTOR, BLOCKSIZE, BIGTIFF or STATISTICS of GDAL's COG "
    "driver, such as COMPRESS=ZSTD. May be given several times.",
)  # fmt: skip
@options.device
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    help="Map a scene with N GPUs, or with --device cpu in N processes that share the cores and the memory.",
)  # fmt: skip
@options.output
@options.overwrite
@options.json_
def command(
    model: Path,
    scene: tuple[str, ...],
    output: Path,
    as_json: bool,
    memory: str | None,
    crf: bool,
    crf_options: str | None,
    **settings: Any,
) -> None:
    """Map SCENE with MODEL into a cloud-optimised GeoTIFF.

    The map has exactly the scene's grid. Pixels without data stay without data. Class names and colours come along for
    QGIS (.qml, .aux.xml). Scenes of any size go through in the same memory. A run that was killed goes on where it was
    when it is started again. Several files make one scene with --join; else each is mapped by itself, into the folder
    that -o names.

    \b
    geoseg predict model.safetensors scene.tif -o map.tif
    geoseg predict model.safetensors B02.tif B03.tif B8A.tif --join stack -o map.tif
    geoseg predict model.safetensors scenes/ -o maps/ --memory 2GB
    """
    from geoseg.prediction.budget import keep_freed_memory, parse_memory
    from geoseg.prediction.crf_options import CrfOptions
    from geoseg.prediction.predict import predict, predict_all

    if crf_options is not None and not crf:
        raise click.UsageError("--crf-options means nothing without --crf; give both, or neither")
    keep_freed_memory()
    settings["crf"] = CrfOptions.parse(crf_options or "") if crf else False
    settings["memory"] = parse_memory(memory) if memory else None
    if output.suffix:
        options.tell(predict(model, list(scene), output, **settings), as_json)
        return
    if settings["probabilities"] or settings["confidence"]:
        raise click.UsageError("--probabilities and --confidence name one file; map the scenes one by one")
    for result in predict_all(model, list(scene), output, **settings):
        options.tell(result, as_json)
