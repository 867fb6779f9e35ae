"""What moves the weights: AdamW or SGD, with a rate of its own for a trained encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from geoseg.models._network import SegmentationNetwork
from geoseg.models._weights import encoder_module
from geoseg.training.schedule import Schedule
from geoseg.training.settings import Settings

OPTIMIZER = "optimizer"


def make_optimizer(network: SegmentationNetwork, settings: Settings) -> Optimizer:
    """Make the optimiser of a network that is on its device; biases and norms do not decay."""
    encoder = encoder_module(network)
    inside = {id(p) for p in encoder.parameters()} if encoder is not None else set()
    groups: list[dict[str, Any]] = []
    for is_encoder, peak in ((False, settings.lr), (True, settings.encoder_lr)):
        for decays in (True, False):
            found = [p for p in network.parameters() if (id(p) in inside) == is_encoder and (p.ndim > 1) == decays]
            if found:
                decay = settings.weight_decay if decays else 0.0
                groups.append({"params": found, "weight_decay": decay, "lr": peak, "peak": peak})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
    # Lightning does not clip what fused optimisers unscale by themselves.
    return torch.optim.AdamW(groups, lr=settings.lr, fused=settings.precision != "16")


def set_rate(optimizer: Optimizer, schedule: Schedule, step: int) -> None:
    """Set rates and momentum for the step that follows `step` others."""
    factor, momentum = schedule.factor(step), schedule.momentum(step)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
        if momentum is not None and "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        elif momentum is not None:
            group["momentum"] = momentum


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers; the rest follows from the settings and the step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{OPTIMIZER}.{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == OPTIMIZER:
            number, name = rest.split(".", 1)
            like = weights[int(number)]
            # In the layout of its weight: fused kernels walk through both alike.
            laid = torch.empty_like(like).copy_(value) if value.shape == like.shape and like.ndim else value
            state.setdefault(int(number), {})[name] = laid
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
