"""Train a network on a chip folder and leave one model file that describes itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch

from geoseg import losses
from geoseg.disk import stamps_for
from geoseg.errors import OptionError
from geoseg.helpers import Say
from geoseg.output import new_output, refuse_existing
from geoseg.training.checkpoint import Checkpoints, discard_spent
from geoseg.training.job import Job, prepare, settings_to_compare
from geoseg.training.keeper import Keeper
from geoseg.training.learn import learn
from geoseg.training.leave import beside, leave
from geoseg.training.options import Asked, TrainOptions
from geoseg.training.report import Board
from geoseg.training.settings import parameters
from geoseg.training.stop import Signals, Stopped
from geoseg.training.task import Best, SegmentationTask
from geoseg.training.team import Team, find_team, joined, together, told_by_first

__all__ = ["TrainResult", "beside", "train"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What `train` made.

    Attributes:
        output: the model file; its .metrics.csv, .curves.png, .confusion.csv and .md stand beside it.
        architecture: its network.
        parameters: number of learned weights.
        epochs, best_epoch: run, and kept.
        mean_iou, overall_accuracy: on the validation chips, NaN without any.
        seconds: of training.
    """

    output: str
    architecture: str
    parameters: int
    epochs: int
    best_epoch: int
    mean_iou: float
    overall_accuracy: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.output}: {self.architecture}, {self.parameters:,} weights, "
            f"epoch {self.best_epoch} of {self.epochs}, validation mIoU {self.mean_iou:.3f}, "
            f"overall accuracy {self.overall_accuracy:.3f}, {self.seconds:.0f} s"
        )


def train(
    chips: str | Path,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **options: Unpack[TrainOptions],
) -> TrainResult:
    """Train a network on a chip folder.

    With several devices, a script must start its work under `if __name__ == "__main__":`, as always with processes in
    Python.

    Args:
        chips: folder that `tile` made.
        output: model file to make, `.safetensors`.
        resume: go on with a training of `output` that was stopped or killed, if there is one; it ends as if nothing
            had happened.
        overwrite: replace the model file if it is there, and begin anew where an unfinished training of it is another.
        **options: see `geoseg.training.options.TrainOptions`.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    output, asked = Path(output), Asked(**options)
    if output.suffix != ".safetensors":
        raise OptionError(f"{output}: a model file is named .safetensors")
    team = find_team(asked.devices, asked.num_nodes)
    if team.leads:
        discard_spent(output)
        refuse_existing(output, overwrite, beside(output))
    job, signals = prepare(chips, asked, team), Signals()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            if not team.leads:
                return _follow(job, output, signals, str(chips))
            sources = stamps_for(output, job.files)
            with new_output(output, overwrite=overwrite, beside=beside(output), sources=sources) as workspace:
                checkpoints = Checkpoints(output, job.key, settings_to_compare(job))
                task, began = _train(job, output, checkpoints, signals, resume, overwrite, str(chips))
                best = leave(workspace, job, task, began)
                checkpoints.spent(workspace.main)
            # By what they led to: the lock is given back, and another run may have begun its own by now.
            discard_spent(output)
            return _result(output, task, best)
    except Stopped as stopped:
        signals.deliver()
        raise KeyboardInterrupt from stopped
    finally:
        signals.leave()


def _train(
    job: Job, output: Path, checkpoints: Checkpoints, signals: Signals, resume: bool, overwrite: bool, chips: str
) -> tuple[SegmentationTask, dict[str, Any]]:
    """Train as the process that writes."""
    state = checkpoints.begin(resume, overwrite)
    task, began = job.task()
    board = Board(job.asked.tensorboard)
    try:
        with together(job.team, job.device, _help, chips, job.asked):
            told_by_first(job.team, state)
            _learn(job, task, state, signals, checkpoints, board)
        signals.deliver()
    except Stopped:
        logger.warning("Stopped after step %d; the same command with --resume goes on from there", task.steps)
        raise
    return task, began


def _learn(
    job: Job, task: SegmentationTask, state: Any, signals: Signals, checkpoints: Checkpoints | None, board: Board
) -> None:
    scaler = torch.amp.GradScaler("cuda") if job.settings.precision == "16" else None
    if state is not None:
        task.restore(state)
        if scaler is not None and state.facts["scaler"]:
            scaler.load_state_dict(state.facts["scaler"])
    keeper = Keeper(
        task,
        losses.build(job.settings.loss),
        job.validation(),
        len(job.index.legend),
        job.team,
        signals,
        checkpoints,
        board,
        job.asked.most_seconds,
        job.asked.seconds_between,
    )
    keeper.watch(scaler)
    learn(job, task, keeper, signals, scaler)


def _help(say: Say, team: Team, chips: str, asked: Asked) -> None:
    """Train as one of the other processes that the first one started."""
    job = prepare(chips, asked, team)
    task, _ = job.task()
    say("ready")
    with joined(team, job.device):
        _learn(job, task, told_by_first(team, None), Signals(), None, Board(None))


def _follow(job: Job, output: Path, signals: Signals, chips: str) -> TrainResult:
    """Train as one of the processes that torchrun started, or of another machine."""
    task, _ = job.task()
    with together(job.team, job.device, _help, chips, job.asked):
        _learn(job, task, told_by_first(job.team, None), signals, None, Board(None))
    if task.best is None:
        raise RuntimeError("the first process found nothing learned")
    return _result(output, task, task.best)


def _result(output: Path, task: SegmentationTask, best: Best) -> TrainResult:
    return TrainResult(
        str(output),
        task.settings.arch,
        parameters(task.network),
        len(task.history),
        best.epoch,
        best.accuracy.mean_iou,
        best.accuracy.overall,
        task.seconds,
    )
