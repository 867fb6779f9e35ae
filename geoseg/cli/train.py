"""geoseg train: fit a network to chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geoseg.cli import options


@options.command(again="the same command with --resume goes on")
@click.argument("chips", type=click.Path(path_type=Path))
@click.option("--fold", type=click.IntRange(min=0), help="Of chips cut in folds, the one held out for validation.")
@click.option("--cross-validate", is_flag=True, help="Hold out each fold in turn; OUTPUT names a table and its models.")
@click.option("--arch", default="auto", show_default=True, help="unet_compact (auto), unet, ...; see geoseg models.")
@click.option("--encoder", help="Encoder of the networks that have one, such as resnet18; see geoseg models NAME.")
@click.option("--depth", type=int, help="Halvings, of the U-shaped networks and segnet.")
@click.option(
    "--arch-option", "arch_options", multiple=True, metavar="NAME=VALUE",
    help="A further option of the network, such as width=16; see geoseg models NAME.",
)  # fmt: skip
@click.option("--from", "begin_with", metavar="MODEL", help="Go on from a model; bands and classes match by name.")
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
@click.option("--loss", default="ce", show_default=True, help="ce, dice, focal, ... or a sum such as ce+dice:0.5.")
@click.option(
    "--class-weights", default="auto", show_default=True, metavar="auto|sqrt|none|median_frequency|FILE",
    help="How much rare classes count: mildly more, more, by their pixels, all alike, or as a .toml or .json says.",
)  # fmt: skip
@click.option("--allow-missing", is_flag=True, help="Train although a class has no training pixel.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of a fixed number of draws; default 12.")
@click.option("--chips-per-epoch", type=click.IntRange(min=1), help="Chips drawn in an epoch; chosen from the chips.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Chips at once per process; chosen from the chip size.")
@click.option(
    "--accumulate", type=click.IntRange(min=1), default=1, show_default=True, help="Batches to an optimiser step."
)
@click.option("--lr", type=float, help="Highest learning rate; chosen for the architecture.")
@click.option("--encoder-lr", type=float, help="That of the encoder; 0.3 --lr with --weights, else the same.")
@click.option("--optimizer", type=click.Choice(["adamw", "sgd"]), default="adamw", show_default=True)
@click.option(
    "--schedule", type=click.Choice(["one-cycle", "poly", "cosine"]),
    help="How the rate falls after a warm-up: one-cycle for adamw, poly for sgd.",
)  # fmt: skip
@click.option(
    "--clip", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Largest norm of gradients; 0: any."
)
@click.option("--patience", type=click.IntRange(min=1), help="Epochs without a better validation mIoU before it stops.")
@click.option("--max-time", metavar="TIME", help="Such as 30m or 1h30m; ends then with the best so far.")
@click.option(
    "--augment", default="default", show_default=True, metavar="TEXT",
    help="How chips are changed: none, default, or a sum of jitter, gamma, noise, blur, scale, dropout and cutmix, "
    "such as jitter:0.5+scale; flips and rotations are on but with none.",
)  # fmt: skip
@options.device
@click.option(
    "--devices", type=click.IntRange(min=1), metavar="N",
    help="Train with N GPUs, or with --device cpu in N processes; each takes --batch-size chips.",
)  # fmt: skip
@click.option(
    "--num-nodes", type=click.IntRange(min=1), default=1, show_default=True,
    help="Machines; start it on each, by torchrun or with MASTER_ADDR, MASTER_PORT and NODE_RANK set.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["auto", "32", "bf16", "16"]), default="auto", show_default=True,
    help="auto: bf16 on a GPU.",
)  # fmt: skip
@click.option("--compile", is_flag=True, help="Let torch compile the network; pays in long trainings.")
@click.option("--checkpoint-every", metavar="TIME", help="Such as 5m; default a minute, or more where writing is slow.")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write figures for TensorBoard.")
@options.jobs
@options.seed
@options.output
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped or killed.")
@options.overwrite
@options.json_
def command(chips: Path, as_json: bool, cross_validate: bool, arch_options: tuple[str, ...], **settings: Any) -> None:
    """Train a network on CHIPS, a folder that geoseg tile made.

    Leaves one model file that describes itself, and beside it the figures of each epoch (.metrics.csv), their curves
    (.curves.png), the confusion of validation (.confusion.csv) and a model card (.md). Killed or stopped? The same
    command with --resume goes on from the last checkpoint, at most a minute before.

    \b
    geoseg train chips/ -o model.safetensors
    geoseg train more/ --from model.safetensors -o better.safetensors
    geoseg train folds/ --cross-validate -o model.safetensors
    """
    from geoseg.training.options import parse_arch_options
    from geoseg.training.team import is_first_process

    if cross_validate:
        from geoseg.training.cross_validation import cross_validate as learn
    else:
        from geoseg.training.fit import train as learn  # type: ignore[assignment]

    result = learn(chips, arch_options=parse_arch_options(arch_options), **settings)
    if is_first_process():
        options.tell(result, as_json)
