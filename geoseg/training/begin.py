"""What a network knows before it is trained."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from geoseg import models
from geoseg.chips.dataset import labelled_pixels
from geoseg.chips.index import ChipIndex
from geoseg.errors import OptionError
from geoseg.model import Model
from geoseg.models._first_layer import ExtraBands
from geoseg.models._network import SegmentationNetwork

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """What was asked for.

    Attributes:
        weights: "imagenet", a file, or None for chance.
        weight_bands: bands that the file was trained on, None to tell them from their number.
        extra_bands: how bands begin that the weights, or the model, do not know.
        model: a model to go on from, None for none.
    """

    weights: str | None = None
    weight_bands: str | None = None
    extra_bands: ExtraBands = "mean"
    model: str | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.model is not None:
            raise OptionError("--weights and --from both say what the network begins with; give one of them")
        if (
            self.weights is None
            and self.model is None
            and (self.weight_bands is not None or self.extra_bands != "mean")
        ):
            which = "--weight-bands" if self.weight_bands is not None else "--extra-bands"
            raise OptionError(f"{which} means nothing without --weights; give both, or neither")

    @property
    def is_trained(self) -> bool:
        """True when it begins with more than chance."""
        return self.weights is not None or self.model is not None


def begin(
    network: SegmentationNetwork,
    index: ChipIndex,
    arch: str,
    options: dict[str, Any],
    asked: Begin,
    model: Model | None = None,
) -> dict[str, Any]:
    """Fill an untrained network with what is known; returns the facts for the model file.

    Args:
        network: to fill.
        index: the chips it will see.
        arch, options: that it was built of.
        asked: what to begin with.
        model: that of `asked.model`.

    Raises:
        OptionError: settings that do not go together.
        ModelError: weights that cannot be read, or do not fit.
    """
    if model is not None:
        from geoseg.training.finetune import adopt

        return adopt(network, model, index, arch, options, asked.extra_bands)
    if asked.weights is not None and "reduce_bands" in options:
        raise OptionError(
            "reduced bands have no names that weights could be fitted to; take --weights or --reduce-bands"
        )
    if "reduce_bands" in options:
        from geoseg.models._reducer import ReducedBody

        pixels, _ = labelled_pixels(index, "train")
        if isinstance(network.body, ReducedBody):
            network.body.reducer.begin_as_components(pixels)
    if asked.weights is None:
        return {}
    from geoseg.models._weights import load_encoder

    encoder = models.encoder_of(arch, **options) or ""
    facts = load_encoder(
        network, asked.weights, encoder, index.bands, trained=asked.weight_bands, extra=asked.extra_bands
    )
    if facts.assumed:
        logger.warning("%s: %s", facts.source, facts.assumed)
    return facts.to_dict()
