"""What Lightning trains: a network, its loss, and the moving average of its weights that is kept."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoseg.confusion import Accuracy, Matrix, confusion
from geoseg.errors import ModelError
from geoseg.models._network import SegmentationNetwork

if TYPE_CHECKING:
    from geoseg.losses import Loss


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: optimiser steps in all.
        lr: highest rate of a one-cycle schedule (Smith and Topin 2018, arXiv:1708.07120).
        weight_decay: of AdamW, on convolution weights only.
        warm_up: share of the steps before the rate is highest.
        patience: epochs without a better validation mIoU before it stops.
    """

    steps: int
    lr: float = 3e-3
    weight_decay: float = 0.02
    warm_up: float = 0.25
    patience: int = 10

    @property
    def average_decay(self) -> float:
        """Decay per step of the moving average of the weights: it spans a fiftieth of the training."""
        return min(0.999, max(0.5, 1 - 5 / self.steps))


@dataclass(frozen=True, slots=True)
class Best:
    """The best weights so far: highest mean IoU on the validation chips, then lowest loss, then latest."""

    epoch: int
    accuracy: Accuracy
    loss: float
    weights: dict[str, Tensor]

    def is_worse_than(self, other: Best) -> bool:
        """True when `other` has the better figures; never without validation chips, where all are NaN."""
        ours, theirs = self.accuracy.mean_iou, other.accuracy.mean_iou
        return ours < theirs or (ours == theirs and self.loss > other.loss)


class SegmentationTask(L.LightningModule):
    """Trains a network; validates, and keeps, the moving average of its weights.

    Attributes:
        history: a row of figures per epoch.
        best: the best epoch so far, None before the first validation.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: SegmentationNetwork,
        loss: Loss,
        class_weights: Tensor | None,
        classes: int,
        schedule: Schedule,
        name: str = "model",
    ) -> None:
        super().__init__()
        self._name = name
        # A third faster on a CPU, more on a GPU.
        self.network = network.to(memory_format=torch.channels_last)
        average = get_ema_multi_avg_fn(schedule.average_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.register_buffer("class_weights", class_weights)
        self.history: list[dict[str, float]] = []
        self.best: Best | None = None
        self._loss = loss
        self._classes = classes
        self._schedule = schedule
        self._matrix: Matrix = np.zeros((classes, classes), np.int64)
        self._losses: dict[str, list[float]] = {"train": [], "val": []}
        self._start = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Loss of a batch of images (N, C, H, W) and labels (N, H, W)."""
        image, label = batch
        logits = self.network(image.contiguous(memory_format=torch.channels_last))
        loss = self._loss(logits, label, self.class_weights)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"{self._name}: training diverged in epoch {self.current_epoch + 1} (loss {value}); lower --lr"
            )
        self._losses["train"].append(value)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average on."""
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Begin a new confusion matrix."""
        self._matrix = np.zeros_like(self._matrix)
        self._losses["val"] = []

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Count what the averaged network gets right."""
        image, label = batch
        logits = self.average.module(image.contiguous(memory_format=torch.channels_last))
        self._losses["val"].append(self._loss(logits, label, self.class_weights).item())
        predicted = logits.max(1).indices
        self._matrix += confusion(
            label.cpu().numpy().astype(np.uint8), predicted.cpu().numpy().astype(np.uint8), self._classes
        )

    def on_train_epoch_end(self) -> None:
        """Note the figures of the epoch; keep the weights when they are the best, stop when they are no longer."""
        accuracy = Accuracy(self._matrix)
        self.history.append(
            {
                "epoch": self.current_epoch + 1,
                "train_loss": _mean(self._losses["train"]),
                "val_loss": _mean(self._losses["val"]),
                "val_miou": accuracy.mean_iou,
                "val_accuracy": accuracy.overall,
                "lr": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
                "seconds": round(time.monotonic() - self._start, 1),
            }
        )
        logger.debug("epoch %(epoch)d: loss %(train_loss).3f, validation mIoU %(val_miou).3f", self.history[-1])
        self._losses["train"] = []
        best = Best(self.current_epoch + 1, accuracy, self.history[-1]["val_loss"], self.average.module.state_dict())
        if self.best is None or not best.is_worse_than(self.best):
            self.best = copy.deepcopy(best)
        elif self.current_epoch + 1 - self.best.epoch >= self._schedule.patience:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle rate; no decay on biases and norms."""
        schedule = self._schedule
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        free = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=schedule.lr)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            schedule.lr,
            # Torch divides by the length of the warm-up less one step; very short trainings do not get to its end.
            total_steps=max(schedule.steps + 1, 8),
            pct_start=schedule.warm_up,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


def balancing_weights(pixels: np.ndarray[Any, np.dtype[np.int64]], power: float) -> Tensor:
    """Class weights: frequency to the power of -`power`, scaled so that the average pixel weighs 1.

    Args:
        pixels: labelled pixels per class (K,); a class without any weighs nothing.
        power: 0 for equal weights, 1 for equal classes.
    """
    present = pixels > 0
    weights = np.zeros(len(pixels))
    weights[present] = (pixels[present] / pixels.sum()) ** -power
    weights /= (weights * pixels).sum() / pixels.sum()
    return torch.tensor(weights, dtype=torch.float32)


def parameters(network: nn.Module) -> int:
    """Number of weights that are learned."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
