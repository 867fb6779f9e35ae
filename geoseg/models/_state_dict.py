"""Tensors of a file under the names of an encoder, or a sentence that says why they are not its own."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from geoseg.errors import ModelError

_PREFIXES = ("", "model.", "encoder.", "backbone.", "module.", "network.body.encoder.", "body.encoder.")
"""What trainers put before the names of an encoder's weights."""

_LISTS = ("features", "blocks", "stages")
"""Encoders that are one list of layers; one that is built less deep has fewer of them."""


def fitting(tensors: dict[str, Tensor], own: dict[str, Tensor], file: str, encoder: str) -> dict[str, Tensor]:
    """The tensors of the file under the encoder's own names, in its type.

    Raises:
        ModelError: one is not there, or there are layers that the encoder does not have.
    """
    inner = "model." if all(key.startswith("model.") for key in own) else ""
    bare = {key: _published(key.removeprefix(inner)) for key in own}
    theirs = {_published(key): value for key, value in tensors.items()}
    prefix = max(_PREFIXES, key=lambda prefix: sum(prefix + name in theirs for name in bare.values()))
    # Old files do not count batches.
    found = {key: own[key] for key in own if key.endswith("num_batches_tracked")}
    found |= {key: theirs[prefix + name] for key, name in bare.items() if prefix + name in theirs}
    missing = next((key for key in own if key not in found), None)
    if missing is not None:
        raise ModelError(
            f"{file}: has no '{missing}' among its {len(tensors)} tensors (such as '{next(iter(tensors), '')}'), so "
            f"these are not weights of {encoder}; give its own, or another --encoder"
        )
    wanted = set(bare.values())
    for key in theirs:
        if key.startswith(prefix) and _is_foreign(key.removeprefix(prefix), wanted):
            raise ModelError(
                f"{file}: has '{key}', which {encoder} has not, so these are weights of another encoder; "
                "give it with --encoder"
            )
    return {key: value.to(own[key].dtype) for key, value in found.items()}


def _published(key: str) -> str:
    """The name of a tensor as it is published; timm renames the stages of what it takes features from.

    >>> _published("stages_0.blocks.1.norm.weight"), _published("layer1.0.bn1.weight")
    ('stages.0.blocks.1.norm.weight', 'layer1.0.bn1.weight')
    """
    return re.sub(r"(^|\.)(stem|stages|blocks|layers|features)_(\d+)\.", r"\1\2.\3.", key)


def _is_foreign(key: str, wanted: set[str]) -> bool:
    """True for a layer amid those of the encoder; classifiers and stages that were left away are none."""
    head, _, rest = key.partition(".")
    if key in wanted or key.endswith("num_batches_tracked") or not any(k.startswith(f"{head}.") for k in wanted):
        return False
    number = rest.partition(".")[0]
    if head in _LISTS and number.isdecimal():
        return int(number) <= max(int(k.split(".")[1]) for k in wanted if k.startswith(f"{head}."))
    return True


def require_shapes(found: dict[str, Tensor], own: dict[str, Tensor], name: str, encoder: str) -> None:
    """Refuse tensors that the encoder cannot hold.

    Raises:
        ModelError: a shape is another, or a value is not finite.
    """
    for key, value in own.items():
        if found[key].shape != value.shape:
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in (found[key], value))
            raise ModelError(
                f"{name}: its '{key}' and that of {encoder} have shapes {shapes}, so these are weights of another "
                "encoder; give it with --encoder"
            )
        if not torch.isfinite(found[key]).all():
            raise ModelError(f"{name}: its '{key}' holds values that are not finite; download it again")
