"""What there is to say about the architectures, to be printed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from geoseg import models, registry
from geoseg.errors import OptionError
from geoseg.models._about import FITTING, About, Encoders
from geoseg.models._encoders import fitting
from geoseg.models._network import SegmentationNetwork

BANDS, CLASSES = 3, 21
"""What parameters are counted for, as in most papers."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture in its default form.

    Attributes:
        name: what to ask for.
        title: its name in the literature.
        paper: where it comes from.
        summary: what it does.
        parameters: number of weights, for 3 bands and 21 classes.
        stride: pixels between its coarsest samples.
        context: "local", or "global" when an output depends on the whole window.
        encoder: the default one, None when it takes none.
        encoders: which kind fits, a key of `FITTING`.
    """

    name: str
    title: str
    paper: str
    summary: str
    parameters: int
    stride: int
    context: str
    encoder: str | None
    encoders: Encoders


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All architectures."""

    architectures: tuple[Architecture, ...]

    def __str__(self) -> str:
        head = ("name", "parameters", "stride", "context", "encoders", "default encoder", "paper")
        rows = [
            (
                item.name,
                f"{item.parameters / 1e6:.1f} M",
                str(item.stride),
                item.context,
                item.encoders,
                item.encoder or "-",
                item.paper,
            )
            for item in self.architectures
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows)]
        kinds = {item.encoders for item in self.architectures}
        meanings = _aligned({kind: meaning for kind, meaning in FITTING.items() if kind in kinds})
        note = f"Parameters for {BANDS} bands and {CLASSES} classes. geoseg models NAME says more."
        return "\n".join([*lines, "", "encoders", *meanings, "", note])


@dataclass(frozen=True, slots=True)
class Explanation:
    """All about one architecture, with some encoder.

    Attributes:
        architecture: its default form; parameters, stride, context and encoder are of the form that was asked for.
        reach: pixels to each side that an output depends on, None when on the whole window.
        pools: whether it sees the whole window by a mean, which may be taken otherwise so that windows agree.
        min_size: least side of a training chip.
        min_batch: least number of chips in a training batch.
        fitting: names of the encoders that fit, without those of timm.
        options: name, default and meaning of each option of `geoseg.models.build`.
    """

    architecture: Architecture
    reach: int | None
    pools: bool
    min_size: int
    min_batch: int
    fitting: tuple[str, ...]
    options: tuple[tuple[str, Any, str], ...]

    def __str__(self) -> str:
        item = self.architecture
        far = "the whole window" if self.reach is None else f"{self.reach} pixels to each side"
        if self.reach is None and self.pools:
            far += (
                ", by a mean over it; predict takes that over what is around a pixel, so that windows agree, or over "
                "the scene, see --global-context; not with encoders that see the whole window themselves"
            )
        facts = {
            "what": item.summary,
            "paper": item.paper,
            "parameters": f"{item.parameters:,} for {BANDS} bands and {CLASSES} classes",
            "stride": f"{item.stride} pixels",
            "context": f"{item.context}: an output depends on {far}",
            "training": f"chips of {self.min_size} pixels or more, {self.min_batch} or more in a batch",
            "encoder": item.encoder or "its own",
            "encoders": ": ".join(part for part in (FITTING[item.encoders], ", ".join(self.fitting)) if part),
        }
        lines = [f"{item.name}: {item.title}", *_aligned(facts), "", "options"]
        return "\n".join([*lines, *_aligned({f"{n} = {value}": text for n, value, text in self.options})])


def catalogue() -> Catalogue:
    """All architectures in their default forms."""
    return Catalogue(tuple(_architecture(name, _outline(name)) for name in models.architectures()))


def explain(name: str, encoder: str | None = None) -> Explanation:
    """All about one architecture.

    Args:
        name: of the architecture.
        encoder: one that fits, or None for its default.

    Raises:
        OptionError: no such architecture or encoder, or one that does not fit.
    """
    options = {} if encoder is None else {"encoder": encoder}
    outline = _outline(name, **options)
    reach = None if outline.sees_all else models.reach(name, **options)
    item = _architecture(name, outline, encoder, "global" if reach is None else "local")
    fit = fitting(_about(name).encoders)
    return Explanation(item, reach, _about(name).pools, outline.min_size, outline.min_batch, fit, tuple(_options(name)))


def _about(name: str) -> About:
    about: About = registry.load("geoseg.models", name).ABOUT
    return about


def _architecture(
    name: str, network: SegmentationNetwork, encoder: str | None = None, context: str | None = None
) -> Architecture:
    about = _about(name)
    default = inspect.signature(registry.load("geoseg.models", name).build).parameters.get("encoder")
    return Architecture(
        name,
        about.title,
        about.paper,
        about.summary,
        sum(parameter.numel() for parameter in network.parameters()),
        network.stride,
        context or about.context,
        encoder or (default.default if default else None),
        about.encoders,
    )


def _outline(name: str, **options: Any) -> SegmentationNetwork:
    """A network without memory for its weights, where it can be built so."""
    try:
        with torch.device("meta"):
            return models.build(name, BANDS, CLASSES, **options)
    except OptionError:
        # Some transformers compute with values while they are built; what truly cannot be built says so again.
        return models.build(name, BANDS, CLASSES, **options)


def _options(name: str) -> Iterator[tuple[str, Any, str]]:
    """Options of an architecture, explained by the docstring of its `build`."""
    build = registry.load("geoseg.models", name).build
    text = inspect.getdoc(build) or ""
    entries = textwrap.dedent(text.partition("Args:\n")[2].partition("\nRaises:")[0]).strip()
    for entry in entries.replace("\n    ", " ").splitlines():
        option, _, meaning = entry.partition(": ")
        parameter = inspect.signature(build).parameters[option]
        if parameter.default is not parameter.empty:
            yield option, parameter.default, meaning


def _aligned(facts: dict[str, str]) -> list[str]:
    """Names and texts in two columns, wrapped."""
    left = max(map(len, facts)) + 4
    return [
        textwrap.fill(text, 110, initial_indent=f"  {name}".ljust(left), subsequent_indent=" " * left)
        for name, text in facts.items()
    ]
