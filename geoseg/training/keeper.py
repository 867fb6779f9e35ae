"""Looks after a training between its steps: losses, time, signals, checkpoints, and the end of each epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback

from geoseg.training.checkpoint import Checkpoints
from geoseg.training.feed import Batch
from geoseg.training.report import Board
from geoseg.training.stop import Signals, Stopped
from geoseg.training.task import SegmentationTask
from geoseg.training.team import Team
from geoseg.training.validate import validate

if TYPE_CHECKING:
    from geoseg.losses import Loss

logger = logging.getLogger(__name__)

SAVE_EVERY = 60.0
"""Seconds between checkpoints, where nothing else is said and writing one does not take long."""
LOOK_EVERY = 25
"""Steps between looks at the losses on a GPU, each of which waits for it."""
AGREE_EVERY = 10
"""Steps between talks of several processes."""
_STOP, _TIME, _SAVE = 1, 2, 4


class Keeper(Callback):
    """Keeps a training safe, and ends it."""

    def __init__(
        self,
        task: SegmentationTask,
        loss: Loss,
        validation: Iterable[Batch],
        classes: int,
        team: Team,
        signals: Signals,
        checkpoints: Checkpoints | None,
        board: Board,
        most_seconds: float | None,
        seconds_between: float | None,
    ) -> None:
        """Look after `task`.

        Args:
            task: what is trained.
            loss, validation, classes: to validate with.
            team: this process among others.
            signals: that may stop it.
            checkpoints: None where nothing is written, as in helping processes.
            board: that shows figures.
            most_seconds: of training, None for any.
            seconds_between: checkpoints; None for a minute, or 20 times what writing one takes.
        """
        self._between = seconds_between
        self._task, self._loss, self._validation, self._classes = task, loss, validation, classes
        self._team, self._signals, self._checkpoints, self._board = team, signals, checkpoints, board
        self._most = most_seconds
        self._scaler: Any = None
        self._before, self._start = task.seconds, time.monotonic()
        self._saved, self._cost = self._start, 0.0

    def watch(self, scaler: Any) -> None:
        """Keep the state of the scaler of 16-bit training too."""
        self._scaler = scaler

    @property
    def seconds(self) -> float:
        """Of training, also before it was interrupted."""
        return self._before + time.monotonic() - self._start

    @property
    def is_late(self) -> bool:
        """True when there is no time left, by the clock of the first process."""
        return bool(self._agreed(_TIME if self._is_late else 0))

    @property
    def has_kept(self) -> bool:
        """True when there is a checkpoint to go on from."""
        return self._checkpoints is not None and self._checkpoints.there_are

    @property
    def _is_late(self) -> bool:
        return self._most is not None and self.seconds >= self._most

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning has taken the signals by now; they are ours."""
        self._signals.listen()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Do what is due after a step."""
        task = self._task
        if not task.is_between_steps or (self._team.size > 1 and task.step % AGREE_EVERY):
            return
        due = self._due()
        if due or task.step % LOOK_EVERY == 0 or self._team.size > 1:
            task.look_at_losses()
        if due & (_STOP | _SAVE):
            self.save()
        if due & _STOP:
            raise Stopped
        if due & _TIME:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Validate, and see whether it is enough."""
        self.end_epoch()
        if self._task.is_over or self.is_late:
            trainer.should_stop = True

    def end_epoch(self) -> None:
        """Validate the average; note the figures, and the weights if they are the best.

        Raises:
            Stopped: asked to while validating; the steps of the epoch are kept.
        """
        task = self._task
        task.look_at_losses()
        task.seconds = self.seconds
        settings = task.settings
        found = validate(
            task.average.module, self._validation, self._loss, task.class_weights, self._classes,
            settings.precision, self._check,
        )  # fmt: skip
        task.seconds = self.seconds
        task.end_epoch(*found)
        row = task.history[-1]
        logger.debug("epoch %(epoch)d: loss %(train_loss).3f, validation mIoU %(val_miou).3f", row)
        self._board.add(row)
        if task.is_over or self._is_late or time.monotonic() - self._saved >= 20 * self._cost:
            self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        if self._checkpoints is None:
            return
        begin = time.monotonic()
        self._task.seconds = self.seconds
        self._checkpoints.save(self._task.state(self._scaler.state_dict() if self._scaler else None))
        self._saved = time.monotonic()
        self._cost = self._saved - begin

    def _check(self) -> None:
        """Between two batches of validation."""
        if self._signals.received is not None and self._team.size == 1:
            self.save()
            raise Stopped

    def _due(self) -> int:
        """What the first process finds due."""
        waited = time.monotonic() - self._saved
        return self._agreed(
            (_STOP if self._signals.received is not None else 0)
            | (_TIME if self._is_late else 0)
            | (_SAVE if waited >= (self._between or max(SAVE_EVERY, 20 * self._cost)) else 0)
        )

    def _agreed(self, due: int) -> int:
        if self._team.size == 1:
            return due
        word = torch.tensor(due, device=self._task.device)
        dist.broadcast(word, src=0)
        return int(word)
