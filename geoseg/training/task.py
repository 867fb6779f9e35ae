"""What Lightning trains: a network, its loss, and how far both have come."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from geoseg.confusion import Accuracy
from geoseg.models._network import SegmentationNetwork
from geoseg.training.average import Average
from geoseg.training.checkpoint import State
from geoseg.training.feed import Layout
from geoseg.training.optimizer import OPTIMIZER, make_optimizer, optimizer_tensors, restore_optimizer, set_rate
from geoseg.training.settings import Settings

if TYPE_CHECKING:
    from geoseg.losses import Loss


@dataclass(frozen=True, slots=True)
class Best:
    """The best weights so far: highest mean IoU on the validation chips, then lowest loss, then latest.

    Of a training that goes to its end the second half counts: while the rate is high a few validation chips are
    matched by luck now and then, on weights that are nowhere near done.

    Attributes:
        epoch: they were reached in.
        accuracy, loss: on the validation chips.
        weights: the average of them.
        is_late: true in the second half of the training.
    """

    epoch: int
    accuracy: Accuracy
    loss: float
    weights: dict[str, Tensor]
    is_late: bool

    def is_worse_than(self, other: Best) -> bool:
        """True when `other` has the better figures; never without validation chips, where all are NaN."""
        if self.is_late != other.is_late:
            return other.is_late
        ours, theirs = self.accuracy.mean_iou, other.accuracy.mean_iou
        return ours < theirs or (ours == theirs and self.loss > other.loss)


class Diverged(Exception):  # noqa: N818
    """The loss is not finite any more."""

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(epoch, step, loss)
        self.epoch, self.step, self.loss = epoch, step, loss


class SegmentationTask(L.LightningModule):
    """Trains a network and moves the average of its weights along.

    All that it draws at random follows from the seed and the number of the step, so that it can go on anywhere.

    Attributes:
        average: of the weights; what is validated and kept.
        epoch, step: complete epochs, and steps of the one under way.
        history: a row of figures per epoch.
        best: the best epoch so far, None before the first validation.
        layout: how the chips of a step are shared out.
        seconds: of training, up to the last checkpoint or epoch.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: SegmentationNetwork,
        loss: Loss,
        class_weights: Tensor | None,
        settings: Settings,
        rank: int = 0,
        compiled: bool = False,
    ) -> None:
        """Begin with a network that is on its device."""
        super().__init__()
        self._compiled = compiled
        # A third faster on a CPU, more on a GPU.
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("class_weights", class_weights)
        self.settings = settings
        self.layout = Layout(settings.batch_size, settings.accumulate, settings.processes)
        self.rates = settings.rates
        self.average = Average(network, self.rates.average_decay)
        self.optimizer = make_optimizer(network, settings)
        self.epoch = self.step = 0
        self.history: list[dict[str, float]] = []
        self.best: Best | None = None
        self.seconds = 0.0
        self._call: tuple[Callable[[Tensor], Tensor]] = (network,)
        self._loss = loss
        self._rank = rank
        self._micro = 0
        self._sum, self._summed = 0.0, 0
        self._losses: list[Tensor] = []

    @property
    def steps(self) -> int:
        """Steps done in all."""
        return self.epoch * self.settings.epoch_steps + self.step

    @property
    def is_over(self) -> bool:
        """True when all epochs are done, or the last ones were no better."""
        idle = self.epoch - self.best.epoch if self.best is not None else 0
        return self.epoch >= self.settings.epochs or (self.step == 0 and idle >= self.settings.patience)

    def configure_optimizers(self) -> Optimizer:
        """The one that was made, or restored, before."""
        return self.optimizer

    def on_train_start(self) -> None:
        """Take the tensors as they lie now."""
        self.average.follow(self.network)
        self._micro = 0
        self._call = (torch.compile(self.network),) if self._compiled else (self.network,)

    def on_train_epoch_start(self) -> None:
        """Keep BatchNorm's statistics where batches are too small for any."""
        if self.settings.freezes(self.layout.batch):
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Loss of a batch of images (N, C, H, W) and labels (N, H, W)."""
        image, label = batch
        torch.manual_seed(_seed(self.settings.seed, self.steps, self._micro, self._rank))
        logits = self._call[0](image.contiguous(memory_format=torch.channels_last))
        loss = self._loss(logits, label, self.class_weights)
        self._losses.append(loss.detach())
        self._micro += 1
        if loss.device.type == "cpu" and not dist.is_initialized():
            # Before anything is moved by it.
            self.look_at_losses()
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Make a step with the rate that belongs to it, and move the average along."""
        set_rate(self.optimizer, self.rates, self.steps)
        optimizer.step(closure=optimizer_closure)
        self.average.update(first=self.steps == 0)
        self._micro = 0
        self.step += 1

    @property
    def is_between_steps(self) -> bool:
        """False while gradients are being gathered."""
        return self._micro == 0

    def look_at_losses(self) -> None:
        """Add up the losses since the last look.

        Raises:
            Diverged: one is not finite; in all processes alike.
        """
        values = torch.stack(self._losses).tolist() if self._losses else []
        wrong = next((number for number, value in enumerate(values) if not math.isfinite(value)), None)
        if dist.is_initialized():
            first = torch.tensor(len(values) if wrong is None else wrong, device=self.device)
            dist.all_reduce(first, dist.ReduceOp.MIN)
            wrong = int(first) if int(first) < len(values) else None
        if wrong is not None:
            batches = self.step * self.layout.accumulate + self._micro
            raise Diverged(self.epoch, (batches - len(values) + wrong) // self.layout.accumulate, values[wrong])
        self._sum += math.fsum(values)
        self._summed += len(values)
        self._losses.clear()

    def end_epoch(self, accuracy: Accuracy, loss: float) -> None:
        """Note the figures of an epoch; keep its weights when they are the best."""
        sums = torch.tensor([self._sum, self._summed], dtype=torch.float64, device=self.device)
        if dist.is_initialized():
            dist.all_reduce(sums)
        self.epoch, self.step = self.epoch + 1, 0
        self._sum, self._summed = 0.0, 0
        self.history.append(
            {
                "epoch": self.epoch,
                "train_loss": float(sums[0] / sums[1]) if sums[1] else float("nan"),
                "val_loss": loss,
                "val_miou": accuracy.mean_iou,
                "val_accuracy": accuracy.overall,
                "lr": float(self.optimizer.param_groups[0]["lr"]),
                "seconds": round(self.seconds, 1),
            }
        )
        weights = self.average.module.state_dict()
        best = Best(self.epoch, accuracy, loss, weights, self._is_late(self.epoch))
        if self.best is None or not best.is_worse_than(self.best):
            self.best = replace(best, weights={key: value.clone() for key, value in weights.items()})

    def state(self, scaler: dict[str, Any] | None = None) -> State:
        """All of this, to go on from; `scaler` is that of 16-bit training."""
        best = self.best
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.module.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer)
        if best is not None:
            tensors |= {f"best.{key}": value for key, value in best.weights.items()}
        kept = best and {"epoch": best.epoch, "matrix": best.accuracy.matrix.tolist(), "loss": best.loss}
        facts = {
            "epoch": self.epoch, "step": self.step, "history": self.history, "best": kept, "seconds": self.seconds,
            "batch": self.layout.batch, "accumulate": self.layout.accumulate, "sum": self._sum,
            "summed": self._summed, "scaler": scaler,
        }  # fmt: skip
        return State(self.steps, tensors, facts)

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        self.network.load_state_dict(_under("network", state.tensors))
        self.average.module.load_state_dict(_under("average", state.tensors))
        restore_optimizer(self.optimizer, {k: v for k, v in state.tensors.items() if k.startswith(f"{OPTIMIZER}.")})
        facts = state.facts
        self.epoch, self.step, self.history = facts["epoch"], facts["step"], list(facts["history"])
        self.layout = Layout(facts["batch"], facts["accumulate"], self.layout.processes)
        self.seconds, self._sum, self._summed = facts["seconds"], facts["sum"], facts["summed"]
        if self.steps:
            # No step may be left of the epoch whose rate is noted next.
            set_rate(self.optimizer, self.rates, self.steps - 1)
        if facts["best"] is not None:
            accuracy = Accuracy(np.array(facts["best"]["matrix"], np.int64))
            device = next(self.network.parameters()).device
            weights = {key: value.to(device) for key, value in _under("best", state.tensors).items()}
            epoch = facts["best"]["epoch"]
            self.best = Best(epoch, accuracy, facts["best"]["loss"], weights, self._is_late(epoch))

    def _is_late(self, epoch: int) -> bool:
        return 2 * epoch > self.settings.epochs

    def forget_batch(self) -> None:
        """Drop gradients and losses of a step that did not come to its end."""
        self.optimizer.zero_grad(set_to_none=True)
        self._losses, self._micro = self._losses[: len(self._losses) - self._micro], 0


def _under(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _seed(*numbers: int) -> int:
    """A seed of 63 bits that follows from some numbers."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
