"""What a training shows while it runs."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from geoseg import progress
from geoseg.errors import OptionError

logger = logging.getLogger(__name__)


class Report(Callback):
    """Shows progress, and says at the end how long training waited for data."""

    def __init__(self, chips: int, batch: int) -> None:
        """Count `chips` in batches of `batch`."""
        self._stack = contextlib.ExitStack()
        self._chips, self._batch = chips, batch
        self._waited = self._worked = 0.0
        self._mark = time.monotonic()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Show the bar."""
        self._bar = self._stack.enter_context(progress.bar("Training", self._chips, "chips"))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """What was before is neither waiting nor work."""
        self._mark = time.monotonic()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The data are there."""
        now = time.monotonic()
        self._waited += now - self._mark
        self._mark = now

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The network is done."""
        now = time.monotonic()
        self._worked += now - self._mark
        self._mark = now
        self._bar.advance(self._batch)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Say what took the time."""
        self._stack.close()
        total = self._waited + self._worked
        share = 100 * self._waited / total if total else 0
        logger.info("Training waited %.0f %% of the time for data; the rest was the network", share)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Take the bar away."""
        self._stack.close()


class Board:
    """Writes the figures of each epoch for TensorBoard, if a folder is given."""

    def __init__(self, folder: str | Path | None) -> None:
        """Write into `folder`.

        Raises:
            OptionError: TensorBoard is not installed.
        """
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise OptionError(
                "--tensorboard needs TensorBoard, which is not installed; pip install 'geoseg[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def add(self, row: dict[str, float]) -> None:
        """Write a row of figures."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()
