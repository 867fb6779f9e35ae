"""How a training is done: what was asked for, and what the chips decide where nothing was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from geoseg import losses
from geoseg.chips.augment import parse_augmentation
from geoseg.chips.index import ChipIndex
from geoseg.errors import OptionError, require_seed
from geoseg.grid import round_up
from geoseg.model import ModelSpec
from geoseg.models._network import SegmentationNetwork
from geoseg.training.begin import Begin
from geoseg.training.class_weights import class_weights
from geoseg.training.options import Asked, fitted_options
from geoseg.training.schedule import SCHEDULES, Schedule
from geoseg.training.team import Team

PRECISIONS = ("auto", "32", "bf16", "16")
FROZEN_BELOW = 4
"""Batches so small say nothing of a band's mean: a trained network keeps the statistics it knows."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved options of a training.

    Attributes:
        options: of the architecture's `build`.
        batch_size: chips that go through the network at once, in each process.
        accumulate: batches to a step.
        processes: that train together.
    """

    arch: str
    options: dict[str, Any]
    begin: Begin
    loss: str
    class_weights: str
    epochs: int
    chips_per_epoch: int
    batch_size: int
    accumulate: int
    processes: int
    lr: float
    encoder_lr: float
    optimizer: str
    schedule: str
    weight_decay: float
    clip: float
    patience: int
    augment: str
    precision: str
    seed: int

    @property
    def step_chips(self) -> int:
        """Chips of one optimiser step."""
        return self.batch_size * self.accumulate * self.processes

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of an epoch."""
        return self.chips_per_epoch // self.step_chips

    @property
    def rates(self) -> Schedule:
        """Rates of all steps."""
        return Schedule(self.epochs * self.epoch_steps, self.schedule)

    def freezes(self, batch: int) -> bool:
        """True where BatchNorm keeps the statistics the network began with, in batches of this size."""
        return self.begin.is_trained and batch < FROZEN_BELOW

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def choose(
    index: ChipIndex, asked: Asked, begin: Begin, device: str, team: Team, model: ModelSpec | None = None
) -> Settings:
    """Fill in what was not asked for, from the chips.

    Args:
        index: the chips.
        asked: what was said.
        begin: with what the network begins.
        device: "cpu" or "cuda", with or without a number.
        team: who trains together.
        model: the model to go on from.

    Raises:
        OptionError: settings that cannot be, or do not go together.
    """
    _require_possible(asked, device)
    chip = int(index.options["chip_size"])
    natural = model.architecture if model else "unet" if begin.weights else "unet_compact"
    arch = natural if asked.arch == "auto" else asked.arch
    options = fitted_options(arch, asked.build_options or (dict(model.options) if model else {}))
    losses.parse(asked.loss)
    class_weights(asked.class_weights, index.counts("train"), index.legend)
    batch = asked.batch_size or (16 if chip <= 48 else 8 if chip <= 128 else 4)
    step_chips = batch * asked.accumulate * team.size
    epochs = asked.epochs or 12
    lr = asked.lr or _rate(arch, asked.optimizer, model is not None)
    return Settings(
        arch=arch,
        options=options,
        begin=begin,
        loss=asked.loss,
        class_weights=asked.class_weights,
        epochs=epochs,
        # Whole batches only: BatchNorm cannot learn from a last batch of one chip.
        chips_per_epoch=round_up(
            asked.chips_per_epoch or _draws(len(index.of("train")), chip, batch, device), step_chips
        ),
        batch_size=batch,
        accumulate=asked.accumulate,
        processes=team.size,
        lr=lr,
        encoder_lr=asked.encoder_lr or (0.3 * lr if begin.weights else lr),
        optimizer=asked.optimizer,
        schedule=asked.schedule or ("one-cycle" if asked.optimizer == "adamw" else "poly"),
        weight_decay=0.02 if asked.optimizer == "adamw" else 5e-4,
        clip=asked.clip,
        patience=asked.patience or epochs,
        augment=str(parse_augmentation(asked.augment)),
        precision=_precision(asked.precision, device),
        seed=asked.seed,
    )


def announcement(settings: Settings, network: SegmentationNetwork, index: ChipIndex, device: str) -> str:
    """What will be done, in one line for the log."""
    batch = f"batch {settings.batch_size}"
    if settings.step_chips != settings.batch_size:
        batch += f" ({settings.step_chips} chips a step: {settings.accumulate} batches, {settings.processes} processes)"
    rate = f"{settings.optimizer} {settings.schedule} rate {settings.lr:g}"
    if settings.encoder_lr != settings.lr:
        rate += f" ({settings.encoder_lr:g} in the encoder)"
    return (
        f"Training {settings.arch} ({parameters(network):,} weights) on {len(index.of('train'))} chips of "
        f"{index.options['chip_size']} pixels, {len(index.bands)} bands, {len(index.legend)} classes: "
        f"{settings.epochs} epochs of {settings.chips_per_epoch} draws, {batch}, {rate}, {settings.loss}, "
        f"class weights {settings.class_weights}, {device}, precision {settings.precision}"
    )


def parameters(network: SegmentationNetwork) -> int:
    """Number of weights that are learned."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _require_possible(asked: Asked, device: str) -> None:
    for name in ("epochs", "chips_per_epoch", "batch_size", "patience", "accumulate"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise OptionError(f"{name} is {value}; it must be 1 or more")
    for name in ("lr", "encoder_lr"):
        value = getattr(asked, name)
        if value is not None and not 0 < value < 1:
            raise OptionError(f"{name} is {value}; it must be more than 0 and less than 1")
    if not asked.clip >= 0:
        raise OptionError(f"clip is {asked.clip}; it must be 0 (for none) or more")
    for name, known in (("precision", PRECISIONS), ("optimizer", ("adamw", "sgd")), ("schedule", (None, *SCHEDULES))):
        if getattr(asked, name) not in known:
            words = ", ".join(word for word in known if word)
            raise OptionError(f"{name} is '{getattr(asked, name)}'; it must be one of {words}")
    if asked.precision == "16" and not device.startswith("cuda"):
        raise OptionError("precision is '16' and the device a CPU, which cannot train with it; take 32 or bf16")
    require_seed(asked.seed)
    # Read late, refused early.
    _ = asked.most_seconds, asked.seconds_between


def _precision(asked: str, device: str) -> str:
    if asked != "auto":
        return asked
    return "bf16" if device.startswith("cuda") else "32"


def _rate(arch: str, optimizer: str, goes_on: bool) -> float:
    """The highest rate; a model that is trained on is not to forget what it knows at once."""
    rate = 1e-2 if optimizer == "sgd" else 3e-3 if arch == "unet_compact" else 1e-3
    return 0.3 * rate if goes_on else rate


def _draws(chips: int, chip: int, batch: int, device: str) -> int:
    """Chips drawn in an epoch, not a pass over all: small sets are drawn from often, large ones in parts.

    At least 16 steps, at most two megapixels on a CPU: with the default epochs that is some minutes on two cores.
    """
    least = max(16 * batch, int(240 * min(1.0, (64 / chip) ** 2)))
    most = (2e6 if device == "cpu" else 2e7) / (chip * chip)
    return max(least, min(chips, int(most)))
