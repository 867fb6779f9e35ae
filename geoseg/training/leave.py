"""What a training leaves: the model file, and beside it what a person wants to know of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from geoseg import models
from geoseg.chips.dataset import ChipDataset
from geoseg.confusion import confusion_rows
from geoseg.errors import ModelError
from geoseg.model import ModelSpec, versions, write_model
from geoseg.models._network import SegmentationNetwork
from geoseg.output import Workspace
from geoseg.table import write_records, write_table
from geoseg.training.card import model_card
from geoseg.training.curves import draw_curves
from geoseg.training.job import Job
from geoseg.training.look import PIXELS, Look, measured_margin
from geoseg.training.settings import parameters
from geoseg.training.task import Best, SegmentationTask

if TYPE_CHECKING:
    from geoseg.training.calibration import Calibration

logger = logging.getLogger(__name__)

LOOKED_AT = 16
"""Chips at most on which it is measured how far a network looks."""

LOOKING = 0.1
"""Pixels that are looked at for each that was trained on, at most: looking must not take longer than learning."""


def beside(output: Path) -> tuple[str, ...]:
    """Names of the files beside a model: figures per epoch, their curves, the confusion of validation, its card."""
    return tuple(f"{output.stem}.{end}" for end in ("metrics.csv", "curves.png", "confusion.csv", "md"))


def leave(workspace: Workspace, job: Job, task: SegmentationTask, began: dict[str, Any]) -> Best:
    """Write the model file and what stands beside it; returns the weights that were kept.

    Raises:
        ModelError: there is nothing to leave.
        OutputError: it cannot be written.
    """
    best = task.best
    if best is None:
        raise ModelError(f"{workspace.target}: training ended before its first epoch; nothing was learned")
    network = task.network
    network.load_state_dict(best.weights)
    network.to(job.device)
    reach = models.reach(job.settings.arch, **job.settings.options)
    sees = Sees(
        reach,
        models.agreeing_reach(job.settings.arch, int(job.index.options["chip_size"]), **job.settings.options),
        _look(job, network, reach),
    )
    calibration = _calibrate(job, network, best)
    spec = _spec(job, task, best, began, sees, calibration)
    write_model(workspace.main, spec, best.weights)
    metrics, curves, confusion, card = (workspace.beside(name) for name in beside(workspace.target))
    with metrics.open("w", newline="", encoding="utf-8") as file:
        write_records(file, task.history)
    draw_curves(task.history, curves)
    with confusion.open("w", newline="", encoding="utf-8") as file:
        write_table(file, confusion_rows(best.accuracy.matrix, job.index.legend))
    card.write_text(model_card(spec, parameters(task.network)), encoding="utf-8")
    return best


@dataclass(frozen=True, slots=True)
class Sees:
    """How far a network looks: at most, at most with other means, and really; see `ModelSpec`."""

    reach: int | None
    agreeing: dict[str, int]
    look: Look


def _look(job: Job, network: SegmentationNetwork, reach: int | None) -> Look:
    """Measure how far the network looks, on validation chips, or training chips where there are none."""
    dataset = ChipDataset(job.index, "val" if len(job.index.of("val")) else "train")
    # Spread over all, which lie scene by scene.
    numbers = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).round().astype(int))
    chips = np.stack([dataset[int(number), None][0].numpy() for number in numbers])
    trained = job.settings.epochs * job.settings.chips_per_epoch * int(job.index.options["chip_size"]) ** 2
    found = measured_margin(network, chips, reach=reach, pixels=min(PIXELS, int(LOOKING * trained)))
    logger.info("The network looks %d pixels to each side", found.margin)
    return found


def _calibrate(job: Job, network: SegmentationNetwork, best: Best) -> Calibration | None:
    """Fit the temperature on the validation chips, where there are any."""
    if not best.accuracy.matrix.any():
        return None
    from geoseg.training.calibration import fit_temperature

    found = fit_temperature(network, job.validation(shared=False), job.device)
    logger.info(
        "Calibrated with a temperature of %.2f: expected calibration error on validation %.3f, before %.3f",
        found.temperature, found.after, found.before,
    )  # fmt: skip
    return found


def _spec(
    job: Job, task: SegmentationTask, best: Best, began: dict[str, Any], sees: Sees, calibration: Calibration | None
) -> ModelSpec:
    index, settings = job.index, job.settings
    found = calibration and {"before": calibration.before, "after": calibration.after}
    return ModelSpec(
        architecture=settings.arch,
        options=settings.options,
        bands=index.bands,
        statistics=index.statistics,
        legend=index.legend,
        ground_sample_distance=index.ground_sample_distance,
        reach=sees.reach,
        agreeing_reach=sees.agreeing,
        margin=sees.look.margin,
        stride=task.network.stride,
        chip_size=int(index.options["chip_size"]),
        nodata_rule=str(index.options.get("nodata_rule", "any")),
        temperature=calibration.temperature if calibration else 1.0,
        training={
            "chips": str(index.folder),
            "tiling": index.options,
            "settings": settings.to_dict() | {"device": str(job.device), "torch": torch.__version__},
            "began": began,
            "pixels": {
                split: dict(zip(index.legend.names, index.counts(split).sum(0).tolist(), strict=True))
                for split in ("train", "val", "test")
            },
            "epochs": len(task.history),
            "seconds": round(task.seconds, 1),
            "best_epoch": best.epoch,
            "validation": best.accuracy.to_dict(index.legend),
            "calibration": found,
            "look": {"depths": sees.look.depths, "shares": sees.look.shares},
            "versions": versions(),
        },
    )
