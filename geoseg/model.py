"""The model file: weights and everything needed to use them, in one safetensors file that cannot run code."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import platform
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.documents import UNSOUND, parse_json
from geoseg.errors import BandMismatchError, GeosegError, ModelError, OutputError
from geoseg.legend import Legend
from geoseg.raster import first_line
from geoseg.readers import NODATA_RULES, ReadOptions
from geoseg.registry import shortened
from geoseg.scene import Scene, find_name, is_unnamed
from geoseg.statistics import BandStatistics

if TYPE_CHECKING:
    from torch import Tensor

    from geoseg.models._network import SegmentationNetwork

logger = logging.getLogger(__name__)

FORMAT = 1
KEY = "geoseg"
CHECKSUM = "geoseg_sha256"
MAX_HEADER = 50_000_000
MOST_PIXELS = 2**20
"""Pixels of a stride, a reach or a chip: more is no network, and windows of that size would take all memory."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything about a model but its weights.

    Attributes:
        architecture: name of a file in `geoseg.models`.
        options: of its `build`.
        bands: names of the bands it was trained on, in order.
        statistics: how to scale them.
        legend: the classes, in the order of its outputs.
        ground_sample_distance: of the training scenes, in metres, or None.
        reach: pixels to one side that an output depends on, None when it sees the whole window.
        stride: pixels between the network's coarsest samples.
        chip_size: side of the training chips, in pixels.
        temperature: what logits are divided by before the softmax, so that probabilities are what they say (Guo et
            al. 2017, arXiv:1706.04599); which class is most probable does not depend on it.
        training: how it was made: chips, split, options, scores, versions.
        agreeing_reach: of a network that takes one mean over its window, the reach with other means on which windows
            agree, by their names, "chip" and "scene"; see `geoseg.models._context`.
        margin: pixels to one side that the trained network really looks: with as much context 99.9 % of its labels no
            longer change. None where nobody measured.
        nodata_rule: of the training scenes, see `geoseg.readers.ReadOptions`.
    """

    architecture: str
    options: dict[str, Any]
    bands: tuple[str, ...]
    statistics: BandStatistics
    legend: Legend
    ground_sample_distance: float | None
    reach: int | None
    stride: int
    chip_size: int
    temperature: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)
    agreeing_reach: dict[str, int] = field(default_factory=dict)
    margin: int | None = None
    nodata_rule: str = "any"

    @property
    def context(self) -> str:
        """What the network sees: "local" when windows can be made to agree exactly, "global" when all of the window."""
        return "global" if self.reach is None else "local"

    @property
    def sees(self) -> str:
        """How far the network looks, in words."""
        if self.reach is not None:
            return f"{self.reach} pixels to each side"
        others = ", ".join(f"{pixels} with --global-context {name}" for name, pixels in self.agreeing_reach.items())
        return f"the whole window ({others}, in pixels to each side)" if others else "the whole window"

    def part(self, name: str) -> dict[str, Any]:
        """A table of how it was made; an empty one where its description has none."""
        found = self.training.get(name)
        return found if isinstance(found, dict) else {}

    def match(self, scene_bands: tuple[str, ...], scene_name: str, model_name: str) -> tuple[int, ...]:
        """Where each of the model's bands is among a scene's.

        By name where both have names, whatever the order; else by number, when the counts agree.

        Raises:
            BandMismatchError: a band is missing, or the counts differ.
        """
        if not is_unnamed(self.bands) and not is_unnamed(scene_bands):
            places = [find_name(band, scene_bands) for band in self.bands]
            found = tuple(place for place in places if place is not None)
            if len(set(found)) == len(self.bands):
                return found
            missing = next((band for band, place in zip(self.bands, places, strict=True) if place is None), "")
            raise BandMismatchError(
                f"{scene_name} has no band '{missing}'; {model_name} needs {', '.join(self.bands)} and the scene "
                f"has {shortened(scene_bands)}. Give the bands that stand for them with --bands"
            )
        if len(scene_bands) != len(self.bands):
            has = "1 band" if len(scene_bands) == 1 else f"{len(scene_bands)} bands"
            remedy = "Choose them in this order with --bands"
            if len(scene_bands) < len(self.bands):
                remedy = "Give a scene that has them; bands in files of their own are one scene with --join stack"
            raise BandMismatchError(
                f"{scene_name} has {has} and {model_name} needs {len(self.bands)} ({', '.join(self.bands)}). {remedy}"
            )
        return tuple(range(len(self.bands)))

    def check(self, scene: Scene, model_name: str) -> tuple[int, ...]:
        """Refuse a scene that does not fit, before any work; see `match`.

        A scene whose pixels are of another size on the ground is let pass with a warning.
        """
        places = self.match(scene.bands, scene.name, model_name)
        if places != tuple(range(len(scene.bands))):
            logger.info("%s: bands are taken by name: %s", scene.name, shortened(tuple(scene.bands[i] for i in places)))
        ours, theirs = self.ground_sample_distance, scene.grid.ground_sample_distance
        if ours and theirs and not 0.5 <= theirs / ours <= 2:
            logger.warning(
                "%s has pixels of %.3g m and %s was trained on %.3g m; expect a poor map",
                scene.name, theirs, model_name, ours,
            )  # fmt: skip
        return places

    def reading(self, asked: ReadOptions) -> ReadOptions:
        """How scenes are read for this model: as those it was trained on, where nothing else is asked for."""
        return {**asked, "nodata_rule": asked.get("nodata_rule") or self.nodata_rule}

    def _require_sense(self) -> None:
        """Raise ValueError or TypeError for values that no training writes."""
        for value, may_lack in (
            (self.reach, True),
            (self.margin, True),
            *((reach, False) for reach in self.agreeing_reach.values()),
            (self.stride, False),
            (self.chip_size, False),
        ):
            if not (may_lack and value is None) and (
                isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_PIXELS
            ):
                raise TypeError(f"{value!r} is no number of pixels")
        if not isinstance(self.ground_sample_distance, int | float | None):
            raise TypeError(f"{self.ground_sample_distance!r} is no ground sample distance")
        if not isinstance(self.temperature, int | float) or not 0 < self.temperature < math.inf:
            raise ValueError(f"{self.temperature!r} is no temperature")
        if not isinstance(self.options, dict) or not isinstance(self.training, dict):
            raise TypeError("its options are no table")
        if self.nodata_rule not in NODATA_RULES:
            raise ValueError(f"{self.nodata_rule!r} is no rule of nodata")
        numbers = asdict(self.statistics).values()
        if not all(isinstance(value, int | float) and math.isfinite(value) for values in numbers for value in values):
            raise ValueError("its statistics are no numbers")
        if len(self.bands) != len(self.statistics.mean) or not 1 <= self.stride <= 1024 or self.chip_size < 1:
            raise ValueError("its numbers contradict each other")

    def to_json(self) -> str:
        """The description as JSON text."""
        values = asdict(self) | {
            "format": FORMAT,
            "legend": self.legend.to_dict(),
            "statistics": self.statistics.to_dict(),
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str, name: str) -> ModelSpec:
        """The inverse of `to_json`.

        Raises:
            ModelError: not a description this geoseg can use.
        """
        try:
            values = parse_json(text)
            found = values.pop("format")
            if found > FORMAT:
                raise ModelError(
                    f"{name}: was made by a newer geoseg (format {found}, this one reads {FORMAT}); update geoseg"
                )
            legend = Legend.from_dict(values.pop("legend"))
            statistics = BandStatistics.from_dict(values.pop("statistics"))
            bands = tuple(str(band) for band in values.pop("bands"))
            spec = cls(bands=bands, legend=legend, statistics=statistics, **values)
            spec._require_sense()
        except ModelError:
            raise
        except (*UNSOUND, GeosegError) as error:
            raise ModelError(f"{name}: its description cannot be used: {first_line(error)}; train it again") from error
        return spec


@dataclass(frozen=True, slots=True)
class Model:
    """A network with its weights, and what is to be known to use it."""

    name: str
    spec: ModelSpec
    network: SegmentationNetwork


def versions() -> dict[str, str]:
    """Versions of what a model was made with."""
    from importlib.metadata import version

    packages = ("geoseg", "torch", "segmentation-models-pytorch", "lightning", "rasterio", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_model(path: Path, spec: ModelSpec, weights: dict[str, Tensor]) -> None:
    """Write a model file and read it back.

    Raises:
        OutputError: what was read is not what was written, or the disk is full.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    try:
        save_file(tensors, path, metadata={KEY: spec.to_json(), CHECKSUM: _checksum(tensors)})
        again = load_file(path)
    except SafetensorError as error:
        raise OutputError(f"{path.name}: cannot be written: {first_line(error)}; is the disk full?") from error
    if any(not torch.equal(tensor, again[name]) for name, tensor in tensors.items()):
        raise OutputError(f"{path.name}: the file does not hold what was written; is the disk full?")


def read_spec(path: str | Path) -> ModelSpec:
    """Read the description of a model, not its weights; needs no torch.

    Raises:
        ModelError: missing, truncated, or not a model that geoseg made.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ModelError(f"{path}: there is no such model file" if not path.exists() else f"{path}: is not a file")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ModelError(f"{path}: is not a safetensors file; give a model that geoseg train made")
            header = parse_json(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != size:
            raise ModelError(f"{path}: is truncated; copy it again")
        text = header.get("__metadata__", {}).get(KEY)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except UNSOUND as error:
        raise ModelError(f"{path}: is not a safetensors file; give a model that geoseg train made") from error
    if text is None:
        raise ModelError(f"{path}: holds weights but no description by geoseg; give a model that geoseg train made")
    return ModelSpec.from_json(text, str(path))


def load_model(path: str | Path) -> Model:
    """Build the network of a model file and fill it with its weights, in evaluation mode on the CPU.

    Raises:
        ModelError: as `read_spec`, or the weights are not those that were written, not finite, or do not fit the
            architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from geoseg.models import build
    from geoseg.models._bounded import BoundedWeights

    spec = read_spec(path)
    try:
        weights = load_file(path)
        _require_whole(weights, path)
        with BoundedWeights(Path(path).stat().st_size):
            network = build(spec.architecture, len(spec.bands), len(spec.legend), **spec.options)
        network.load_state_dict(weights)
    except ModelError:
        raise
    except (RuntimeError, SafetensorError, GeosegError, OSError, *UNSOUND) as error:
        raise ModelError(f"{path}: its weights do not fit {spec.architecture}: {first_line(error)}") from error
    return Model(str(path), spec, network.eval())


def _require_whole(weights: dict[str, Tensor], path: str | Path) -> None:
    """Refuse weights that changed since they were written, or that no training leaves."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        noted = (file.metadata() or {}).get(CHECKSUM)
    if noted is not None and noted != _checksum(weights):
        raise ModelError(f"{path}: its weights are not those that were written; the file is damaged, copy it again")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"{path}: its weights {name} are not finite; train it again")


def _checksum(weights: dict[str, Tensor]) -> str:
    """SHA-256 of all weights, by name."""
    import torch

    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
