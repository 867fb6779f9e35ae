"""How good a network is on the validation chips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from geoseg.confusion import Accuracy
from geoseg.legend import IGNORE
from geoseg.training.feed import Batch

if TYPE_CHECKING:
    from geoseg.losses import Loss

AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}


@torch.no_grad()
def validate(
    network: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    weights: Tensor | None,
    classes: int,
    precision: str,
    between: Callable[[], None] = lambda: None,
) -> tuple[Accuracy, float]:
    """Scores and mean loss of a network; of all processes together where several share the chips.

    Args:
        network: in evaluation mode; says by its weights where it runs.
        batches: images and labels of this process.
        loss: of logits, labels and class weights.
        weights: class weights, or None.
        classes: K.
        precision: "32", "bf16" or "16".
        between: called before each batch.
    """
    device = next(network.parameters()).device
    counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    total = torch.zeros(2, dtype=torch.float64, device=device)
    if dist.is_initialized():
        # BatchNorm counts in each process for itself.
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
    for images, labels in batches:
        between()
        image = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        label = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            logits = network(image)
            total[0] += loss(logits, label, weights).double() * len(label)
        total[1] += len(label)
        known = label != IGNORE
        pairs = label[known] * classes + logits.max(1).indices[known]
        counts += torch.bincount(pairs, minlength=classes * classes)
    if dist.is_initialized():
        dist.all_reduce(counts)
        dist.all_reduce(total)
    mean = float(total[0] / total[1]) if total[1] else float("nan")
    return Accuracy(np.asarray(counts.cpu().reshape(classes, classes).numpy(), np.int64)), mean
