"""One training: its chips, its settings, and who works on it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from geoseg import losses, models
from geoseg.chips.dataset import ChipDataset
from geoseg.chips.index import DESCRIPTION, INDEX, ChipIndex, read_index
from geoseg.chips.sampling import ClassBalancedSampler, InOrder
from geoseg.errors import ChipError
from geoseg.model import Model, load_model, versions
from geoseg.output import fingerprint
from geoseg.training.begin import Begin, begin
from geoseg.training.class_weights import class_weights
from geoseg.training.feed import Batch, in_order, load
from geoseg.training.finetune import scaled_alike
from geoseg.training.options import Asked
from geoseg.training.settings import FROZEN_BELOW, Settings, announcement, choose
from geoseg.training.task import SegmentationTask
from geoseg.training.team import Team, device_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on, and how.

    Attributes:
        index: the chips.
        asked: what was said.
        settings: what follows.
        team: this process among those that train.
        device: of this process.
        model: the model to go on from, None for none.
    """

    index: ChipIndex
    asked: Asked
    settings: Settings
    team: Team
    device: torch.device
    model: Model | None

    @property
    def files(self) -> list[str | Path]:
        """What it reads; of chips that were cut their index, which is another when they are cut anew."""
        return files_of(self.index, self.asked)

    @property
    def key(self) -> str:
        """What tells this training from others: its settings, and its files as they are now."""
        return fingerprint({"settings": self.settings.to_dict(), "fold": self.asked.fold} | made_with(), self.files)

    def sampler(self) -> ClassBalancedSampler:
        """The draws of each epoch."""
        return ClassBalancedSampler(self.index.counts("train"), self.settings.chips_per_epoch, self.settings.seed)

    def validation(self, shared: bool = True) -> DataLoader[Batch]:
        """The validation chips: this process's share of them, or all."""
        dataset = ChipDataset(self.index, "val")
        which = (self.team.rank, self.team.size) if shared else (0, 1)
        batches = in_order(list(InOrder(dataset)), self.settings.batch_size, *which)
        return load(dataset, batches, self.asked.jobs, self.device)

    def task(self) -> tuple[SegmentationTask, dict[str, Any]]:
        """The network and how it learns, before the first step; and what it began with, for the model file."""
        settings, index = self.settings, self.index
        torch.manual_seed(settings.seed)
        network = models.build(settings.arch, len(index.bands), len(index.legend), **settings.options)
        network.require_trainable(settings.arch, int(index.options["chip_size"]), settings.batch_size)
        began = begin(network, index, settings.arch, settings.options, settings.begin, self.model)
        if self.team.leads:
            logger.info(announcement(settings, network, index, str(self.device)))
            if settings.freezes(settings.batch_size):
                logger.info(
                    "Batches of %d are smaller than %d: BatchNorm keeps the statistics the network began with",
                    settings.batch_size, FROZEN_BELOW,
                )  # fmt: skip
        weights = class_weights(settings.class_weights, index.counts("train"), index.legend)
        network.to(self.device)
        weights = None if weights is None else weights.to(self.device)
        loss = losses.build(settings.loss)
        return SegmentationTask(network, loss, weights, settings, self.team.rank, self.asked.compile), began


def files_of(index: ChipIndex, asked: Asked) -> list[str | Path]:
    """What a training reads; of chips that were cut their index, which is another when they are cut anew."""
    beside = [name for name in (asked.weights, asked.begin_with, asked.class_weights) if name]
    files: list[str | Path] = [index.folder / DESCRIPTION, index.folder / INDEX, *beside]
    if index.is_virtual:
        sources = [path for source in index.origin.get("sources") or [] for path in source["paths"]]
        files += [*sources, *(index.origin.get("label_files") or [])]
    return files


def made_with() -> dict[str, Any]:
    """The versions of what makes a difference to what is learned."""
    return {name: versions()[name] for name in ("geoseg", "torch")}


def prepare(chips: str | Path, asked: Asked, team: Team) -> Job:
    """Read what there is and resolve the settings, before any work.

    Raises:
        GeosegError: chips that cannot be trained on, or settings that cannot be.
    """
    index = read_index(chips, asked.fold)
    _refuse_untrainable(index, asked.allow_missing, team)
    device = device_of(team, asked.device)
    weights, model = (None if name is None else str(name) for name in (asked.weights, asked.begin_with))
    beginning = Begin(weights, asked.weight_bands, asked.extra_bands, model)
    known = None if model is None else load_model(model)
    settings = choose(index, asked, beginning, device.type, team, known.spec if known else None)
    if known is not None and model is not None:
        index = scaled_alike(index, known.spec, model)
    return Job(index, asked, settings, team, device, known)


def _refuse_untrainable(index: ChipIndex, allow_missing: bool, team: Team) -> None:
    folds = index.options.get("folds")
    if folds and index.of("train").empty:
        raise ChipError(f"{index.folder}: was cut in {folds} folds; say which to hold out with --fold 0 to {folds - 1}")
    if index.of("train").empty:
        raise ChipError(f"{index.folder}: has no training chips; make it again with a training share in --split")
    if len(index.legend) < 2:
        only = index.legend.names[0]
        raise ChipError(f"{index.folder}: has the one class '{only}'; two or more are needed to tell anything apart")
    index.require_files()
    pixels = index.counts("train").sum(0)
    if not pixels.any():
        raise ChipError(f"{index.folder}: no training chip has a labelled pixel; label more places and tile again")
    missing = [name for name, count in zip(index.legend.names, pixels.tolist(), strict=True) if not count]
    if missing and not allow_missing:
        raise ChipError(
            f"{index.folder}: no training chip has a pixel of {', '.join(missing)}; label more of it, tile "
            "with another --split or --seed, or go on without it with --allow-missing"
        )
    if missing and team.leads:
        logger.warning("%s: without any training pixel, and so never mapped: %s", index.folder, ", ".join(missing))


def settings_to_compare(job: Job) -> dict[str, Any]:
    """The settings in plain values, to tell what differs between two trainings."""
    values: dict[str, Any] = json.loads(json.dumps(job.settings.to_dict() | {"fold": job.asked.fold}, default=str))
    return values
