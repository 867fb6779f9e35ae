"""geoseg train: fit a network to chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command()
@click.argument("chips", type=click.Path(path_type=Path))
@click.option("--fold", type=click.IntRange(min=0), help="Of chips cut in folds, the one held out for validation.")
@click.option("--cross-validate", is_flag=True, help="Hold out each fold in turn; OUTPUT names a table and its models.")
@click.option("--arch", default="auto", show_default=True, help="unet_compact (auto), unet, ...; see geoseg models.")
@click.option("--encoder", help="Encoder of the networks that have one, such as resnet18; see geoseg models NAME.")
@click.option("--depth", type=int, help="Halvings, of the U-shaped networks and segnet.")
@click.option("--weights", metavar="imagenet|FILE", help="Begin with a trained encoder: .safetensors, .pth or .pt.")
@click.option(
    "--weight-bands", metavar="SET|NAMES",
    help="Bands that FILE was trained on: rgb, sentinel2, landsat-tm, ...; told from their number where it can be.",
)  # fmt: skip
@click.option(
    "--extra-bands", type=click.Choice(["mean", "zero"]), default="mean", show_default=True,
    help="How bands begin that the weights do not know: as the mean of the others, or without influence.",
)  # fmt: skip
@click.option(
    "--reduce-bands", type=click.IntRange(min=1), metavar="N",
    help="Project many bands to N, learned from principal components on.",
)  # fmt: skip
@click.option("--loss", default="ce+dice", show_default=True, help="ce, dice, focal, ... or a sum such as ce+dice:0.5.")
@click.option(
    "--class-weights", default="auto", show_default=True, metavar="auto|sqrt|none|median_frequency|FILE",
    help="How much rare classes count: mildly more, more, by their pixels, all alike, or as a .toml or .json says.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of a fixed number of draws; default 12.")
@click.option("--chips-per-epoch", type=click.IntRange(min=1), help="Chips drawn in an epoch; chosen from the chips.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Chips per step; chosen from the chip size.")
@click.option("--lr", type=float, help="Highest learning rate; chosen for the architecture.")
@click.option("--patience", type=click.IntRange(min=1), help="Epochs without a better validation mIoU before it stops.")
@click.option(
    "--augment", type=click.FloatRange(0, 2), default=0.5, show_default=True,
    help="Strength of the radiometric jitter; flips and rotations are always on.",
)  # fmt: skip
@options.device
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16"]),
    default="auto",
    show_default=True,
    help="auto: bf16 on a GPU.",
)
@options.jobs
@options.seed
@options.output
@options.overwrite
@options.json_
def command(chips: Path, as_json: bool, cross_validate: bool, **settings: Any) -> None:
    """Train a network on CHIPS, a folder that geoseg tile made.

    Leaves one model file that describes itself, and beside it the figures of each epoch (.metrics.csv), their curves
    (.curves.png) and a model card (.md).

    \b
    geoseg train chips/ -o model.safetensors
    geoseg train folds/ --cross-validate -o model.safetensors
    """
    if cross_validate:
        from geoseg.training.cross_validation import cross_validate as learn
    else:
        from geoseg.training.fit import train as learn  # type: ignore[assignment]

    options.tell(learn(chips, **settings), as_json)
