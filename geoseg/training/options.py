"""What a training can be asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from geoseg import models
from geoseg.documents import parse_json
from geoseg.errors import OptionError
from geoseg.hints import fitted, in_words
from geoseg.models._first_layer import ExtraBands
from geoseg.registry import suggestion


class TrainOptions(TypedDict, total=False):
    """Options of a training; what is left out, or None, is chosen from the chips.

    Attributes:
        fold: of chips that were cut in folds, the one to hold out for validation.
        arch: architecture; "auto" takes the compact U-Net, which does best without pretrained weights, and unet with.
        arch_options: further options of its `build`, such as {"width": 16}.
        encoder: encoder of the architectures that have one.
        depth: halvings of the architectures that have a choice.
        weights: what the encoder begins with: "imagenet", or a file (.safetensors, .pth, .pt); None for chance.
        weight_bands: bands that the file was trained on: rgb, sentinel2, landsat-tm, landsat-etm, landsat-etm-sr,
            landsat-oli-tirs, landsat-oli-sr, or names with commas; told from their number when None.
        extra_bands: how bands begin that the weights do not know: "mean" of the others, or "zero" influence.
        reduce_bands: bands that a learned projection, begun as principal components, leaves for the network.
        begin_with: a model that geoseg trained, to go on from; its bands and classes are matched by name.
        loss: a loss, or a sum of them such as "ce+dice:0.5".
        class_weights: "auto" (mild), "sqrt" (stronger), "none", "median_frequency", or a .toml or .json file with a
            weight for each class name.
        allow_missing: train although a class of the legend has no training pixel.
        epochs: passes of `chips_per_epoch` draws.
        chips_per_epoch: chips drawn in an epoch, half of them for a class drawn evenly.
        batch_size: chips that go through the network at once, in each process.
        accumulate: batches whose gradients make one step.
        lr: highest learning rate.
        encoder_lr: that of the encoder; 0.3 `lr` where it was trained before, else `lr`.
        optimizer: "adamw" or "sgd" (momentum 0.9).
        schedule: "one-cycle", "poly" or "cosine", each after a warm-up; one-cycle for AdamW and poly for SGD.
        clip: largest norm of the gradient, 0 for any.
        patience: epochs without a better validation mIoU before it stops.
        max_time: seconds, or text such as "30m" or "1h30m"; training ends then with the best so far.
        checkpoint_every: seconds, or text such as "5m", between checkpoints; a minute, or more where writing is slow.
        augment: how chips are changed at random: "default", "none", a sum such as "jitter:0.5+scale+cutmix", or the
            strength of the jitter; see `geoseg.chips.augment.Augmentation`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: processes that train together on this machine, a GPU each, or with device "cpu" a share of the cores.
        num_nodes: machines that train together, each started with the same command.
        precision: "auto" (bf16 on a GPU), "32", "bf16" or "16".
        compile: let torch compile the network.
        jobs: processes that read chips, for each that trains.
        seed: of weights, draws and augmentation.
        tensorboard: folder to write the figures of each epoch to, for TensorBoard.
    """

    fold: int | None
    arch: str
    arch_options: dict[str, Any] | None
    encoder: str | None
    depth: int | None
    weights: str | Path | None
    weight_bands: str | None
    extra_bands: ExtraBands
    reduce_bands: int | None
    begin_with: str | Path | None
    loss: str
    class_weights: str
    allow_missing: bool
    epochs: int | None
    chips_per_epoch: int | None
    batch_size: int | None
    accumulate: int
    lr: float | None
    encoder_lr: float | None
    optimizer: str
    schedule: str | None
    clip: float
    patience: int | None
    max_time: str | float | None
    checkpoint_every: str | float | None
    augment: str | float
    device: str
    devices: int | None
    num_nodes: int
    precision: str
    compile: bool
    jobs: int
    seed: int
    tensorboard: str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The values of `TrainOptions`, with what they are when nothing is said."""

    fold: int | None = None
    arch: str = "auto"
    arch_options: dict[str, Any] | None = None
    encoder: str | None = None
    depth: int | None = None
    weights: str | Path | None = None
    weight_bands: str | None = None
    extra_bands: ExtraBands = "mean"
    reduce_bands: int | None = None
    begin_with: str | Path | None = None
    loss: str = "ce"
    class_weights: str = "auto"
    allow_missing: bool = False
    epochs: int | None = None
    chips_per_epoch: int | None = None
    batch_size: int | None = None
    accumulate: int = 1
    lr: float | None = None
    encoder_lr: float | None = None
    optimizer: str = "adamw"
    schedule: str | None = None
    clip: float = 1.0
    patience: int | None = None
    max_time: str | float | None = None
    checkpoint_every: str | float | None = None
    augment: str | float = "default"
    device: str = "auto"
    devices: int | None = None
    num_nodes: int = 1
    precision: str = "auto"
    compile: bool = False
    jobs: int = 0
    seed: int = 0
    tensorboard: str | Path | None = None
    build_options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        named = {"encoder": self.encoder, "depth": self.depth, "reduce_bands": self.reduce_bands}
        options = dict(self.arch_options or {}) | {key: value for key, value in named.items() if value is not None}
        twice = [key for key in named if named[key] is not None and key in (self.arch_options or {})]
        if twice:
            raise OptionError(f"--{twice[0].replace('_', '-')} and --arch-option {twice[0]} say the same; give one")
        object.__setattr__(self, "build_options", options)

    @property
    def most_seconds(self) -> float | None:
        """`max_time` as seconds."""
        return None if self.max_time is None else parse_duration("max_time", self.max_time)

    @property
    def seconds_between(self) -> float | None:
        """`checkpoint_every` as seconds."""
        return None if self.checkpoint_every is None else parse_duration("checkpoint_every", self.checkpoint_every)


def parse_duration(name: str, text: str | float) -> float:
    """Seconds of the duration that option `name` gives: a number, or hours, minutes and seconds.

    >>> parse_duration("max_time", "1h30m"), parse_duration("max_time", "45s"), parse_duration("max_time", 2.5)
    (5400.0, 45.0, 2.5)

    Raises:
        OptionError: anything else, or nothing.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip())
    seconds = (
        sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if seconds <= 0:
        raise OptionError(f"{name} is '{text}'; give a duration such as 30m, 1h30m or 90s")
    return seconds


def parse_arch_options(texts: tuple[str, ...]) -> dict[str, Any]:
    """Options of an architecture as typed, NAME=VALUE each.

    >>> parse_arch_options(("width=16", "padding=valid", "learn_upsampling=true"))
    {'width': 16, 'padding': 'valid', 'learn_upsampling': True}

    Raises:
        OptionError: not of that form, or a name twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, separator, value = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if not separator or not name or name in options:
            raise OptionError(f"--arch-option {text}: give NAME=VALUE, such as width=16, and each name once")
        try:
            options[name] = parse_json(value.lower() if value.lower() in ("true", "false") else value)
        except ValueError:
            options[name] = value
    return options


def fitted_options(architecture: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options of an architecture's `build`, as it takes them.

    Raises:
        OptionError: it has no such option, or takes it of another kind; names the nearest, or what it must be.
    """
    kinds, found = models.options_of(architecture) | {"reduce_bands": int}, {}
    for name, value in options.items():
        if name not in kinds:
            own = [key for key in kinds if key != "reduce_bands"]
            raise OptionError(
                f"{architecture} has no option '{name}'; {suggestion(name, own) if own else 'it has none'}"
            )
        try:
            found[name] = fitted(value, kinds[name])
        except TypeError as error:
            raise OptionError(f"{architecture}: {name} is {value!r}; it must be {in_words(kinds[name])}") from error
    return found
