"""Go on from a model that geoseg trained: the same bands or others, the same classes or others."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor

from geoseg import models
from geoseg.chips.index import ChipIndex
from geoseg.errors import BandMismatchError, ModelError, OptionError
from geoseg.model import Model, ModelSpec
from geoseg.models._first_layer import ExtraBands, adapt, match
from geoseg.models._network import SegmentationNetwork
from geoseg.scene import find_name, is_unnamed
from geoseg.statistics import BandStatistics

logger = logging.getLogger(__name__)

Places = tuple[int | None, ...]
"""For each band or class of the new network its place among the model's, None where the model does not have it."""


def scaled_alike(index: ChipIndex, spec: ModelSpec, name: str) -> ChipIndex:
    """The chips as the model's network knows them: scaled by its own statistics, where all bands are its own.

    Args:
        index: the chips.
        spec: of the model.
        name: of the model, for the log.
    """
    places = _same_bands(spec, index)
    if places is None:
        logger.info("%s: has other bands, so the chips are scaled by their own statistics", name)
        return index
    logger.info("%s: has the same bands, so the chips are scaled as for it", name)
    columns = spec.statistics.to_dict()
    ours = {key: [values[place] for place in places] for key, values in columns.items()}
    return dataclasses.replace(index, statistics=BandStatistics.from_dict(ours))


def adopt(
    network: SegmentationNetwork, model: Model, index: ChipIndex, arch: str, options: dict[str, Any], extra: ExtraBands
) -> dict[str, Any]:
    """Fill an untrained network with the weights of a model; returns the facts for the model file.

    Bands are matched by name, and those the model does not know begin as `extra` says. Classes are matched by name;
    those it does not know begin by chance.

    Args:
        network: to fill, for the bands and classes of `index`.
        model: whose weights to take.
        index: the chips.
        arch, options: that `network` was built of.
        extra: how unknown bands begin, see `geoseg.models._first_layer.adapt`.

    Raises:
        OptionError: `network` is of another architecture.
        ModelError: the bands have nothing in common, or the weights cannot be fitted to others.
    """
    spec = model.spec
    if (arch, options) != (spec.architecture, spec.options):
        raise OptionError(
            f"{model.name}: is {_in_words(spec.architecture, spec.options)} and not {_in_words(arch, options)}; leave "
            "the options of the architecture out, or begin without --from"
        )
    bands, said = _places_of_bands(spec, index, model.name)
    classes = tuple(find_name(name, spec.legend.names) for name in index.legend.names)
    theirs, ours = model.network.state_dict(), network.state_dict()
    counts = len(index.bands), len(index.legend)
    along_bands, along_classes = _depend(arch, options, counts, ours)
    with torch.no_grad():
        for key, value in ours.items():
            taken = theirs[key]
            if key in along_bands and bands != tuple(range(len(spec.bands))):
                taken = _fit_bands(taken, value, bands, extra, model.name)
            if key in along_classes and index.legend.names != spec.legend.names:
                taken = _fit_classes(taken, value, along_classes[key], classes)
            value.copy_(taken)
    fresh = [name for name, place in zip(index.legend.names, classes, strict=True) if place is None]
    said = "; ".join(part for part in (said, f"classes begun by chance: {', '.join(fresh)}" if fresh else "") if part)
    if said:
        logger.warning("%s: %s", model.name, said)
    return {
        "source": model.name, "encoder": f"all of {arch}", "bands": list(spec.bands),
        "scaling": "as in that model", "classes": list(spec.legend.names), "assumed": said,
    }  # fmt: skip


def _same_bands(spec: ModelSpec, index: ChipIndex) -> tuple[int, ...] | None:
    """Where each band of the chips is in the model, None unless both have the same."""
    if len(spec.bands) != len(index.bands) or is_unnamed(spec.bands) != is_unnamed(index.bands):
        return None
    if is_unnamed(spec.bands):
        return tuple(range(len(spec.bands)))
    places = [find_name(band, spec.bands) for band in index.bands]
    found = tuple(place for place in places if place is not None)
    return found if len(set(found)) == len(spec.bands) else None


def _places_of_bands(spec: ModelSpec, index: ChipIndex, name: str) -> tuple[Places, str]:
    same = _same_bands(spec, index)
    if same is not None:
        return same, ""
    places, said = match(spec.bands, index.bands)
    named = not is_unnamed(spec.bands) and not is_unnamed(index.bands)
    # One at a time, none is taken for another because there are as many.
    common = any(match(spec.bands * 2, (band,))[0][0] is not None for band in index.bands)
    if not common and (named or len(spec.bands) != len(index.bands)):
        raise BandMismatchError(
            f"{index.folder}: has the bands {', '.join(index.bands)}, and {name} was trained on others: "
            f"{', '.join(spec.bands)}. Tile with --bands that name them alike, or begin without --from"
        )
    return places, said


def _depend(
    arch: str, options: dict[str, Any], counts: tuple[int, int], ours: dict[str, Tensor]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The axes of each tensor that follow the number of bands, and those that follow that of classes."""
    found = []
    for bands, classes in ((counts[0] + 1, counts[1]), (counts[0], counts[1] + 1)):
        other = models.build(arch, bands, classes, **options).state_dict()
        shapes = {key: list(zip(value.shape, other[key].shape, strict=True)) for key, value in ours.items()}
        axes = {key: [axis for axis, (a, b) in enumerate(pairs) if a != b] for key, pairs in shapes.items()}
        found.append({key: own for key, own in axes.items() if own})
    return found[0], found[1]


def _fit_bands(theirs: Tensor, ours: Tensor, places: Places, extra: ExtraBands, name: str) -> Tensor:
    if theirs.ndim != 4 or ours.shape[1] != len(places) or theirs.shape[1] <= max(p or 0 for p in places):
        raise ModelError(f"{name}: its network cannot be fitted to other bands; tile with its own bands and order")
    return adapt(theirs, places, extra)


def _fit_classes(theirs: Tensor, ours: Tensor, axes: list[int], places: Places) -> Tensor:
    """What belongs to the classes that both know from the model, the rest as it is."""
    pairs = [(place, number) for number, place in enumerate(places) if place is not None]
    fitted = ours.clone()
    if not pairs:
        return fitted
    old, new = (torch.tensor(column) for column in zip(*pairs, strict=True))
    for axis in axes:
        theirs = theirs.index_select(axis, old)
    if len(axes) == 1:
        return fitted.index_copy_(axes[0], new, theirs)
    rows = fitted.index_select(axes[0], new).index_copy_(axes[1], new, theirs)
    return fitted.index_copy_(axes[0], new, rows)


def _in_words(arch: str, options: dict[str, Any]) -> str:
    return f"{arch} ({', '.join(f'{key} {value}' for key, value in options.items())})" if options else arch
