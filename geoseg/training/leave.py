"""What a training leaves: the model file, and beside it what a person wants to know of it."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from geoseg import models
from geoseg.confusion import confusion_rows
from geoseg.errors import ModelError
from geoseg.model import ModelSpec, versions, write_model
from geoseg.output import Workspace
from geoseg.training.card import model_card
from geoseg.training.curves import draw_curves
from geoseg.training.job import Job
from geoseg.training.settings import parameters
from geoseg.training.task import Best, SegmentationTask

if TYPE_CHECKING:
    from geoseg.training.calibration import Calibration

logger = logging.getLogger(__name__)


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
    calibration = _calibrate(job, task, best)
    spec = _spec(job, task, best, began, calibration)
    write_model(workspace.main, spec, best.weights)
    metrics, curves, confusion, card = (workspace.beside(name) for name in beside(workspace.target))
    with metrics.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(task.history[0]))
        writer.writeheader()
        writer.writerows(task.history)
    draw_curves(task.history, curves)
    with confusion.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(confusion_rows(best.accuracy.matrix, job.index.legend))
    card.write_text(model_card(spec, parameters(task.network)), encoding="utf-8")
    return best


def _calibrate(job: Job, task: SegmentationTask, best: Best) -> Calibration | None:
    """Fit the temperature on the validation chips, where there are any."""
    if not best.accuracy.matrix.any():
        return None
    from geoseg.training.calibration import fit_temperature

    network = task.average.module
    network.load_state_dict(best.weights)
    network.to(job.device)
    found = fit_temperature(network, job.validation(shared=False), job.device)
    logger.info(
        "Calibrated with a temperature of %.2f: expected calibration error on validation %.3f, before %.3f",
        found.temperature, found.after, found.before,
    )  # fmt: skip
    return found


def _spec(
    job: Job, task: SegmentationTask, best: Best, began: dict[str, Any], calibration: Calibration | None
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
        reach=models.reach(settings.arch, **settings.options),
        stride=task.network.stride,
        chip_size=int(index.options["chip_size"]),
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
            "versions": versions(),
        },
    )
