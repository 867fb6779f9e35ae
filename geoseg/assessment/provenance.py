"""How a map was made, as far as it and its model tell."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from geoseg.class_raster import LEGEND_TAG
from geoseg.documents import parse_json
from geoseg.errors import ModelError
from geoseg.model import ModelSpec, read_spec
from geoseg.raster import open_raster

logger = logging.getLogger(__name__)

_PREFIX = "GEOSEG_"
_LONGEST = 2000
_LATER = 2.0  # seconds; file systems round


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a map was made.

    Attributes:
        tags: what the map says, by name.
        seams: the seam score, None where nobody measured it.
        model: file of the model, None where it was not found.
        card: what the model says of itself, by name.
        curves: its metrics.csv, None where there is none.
        missing: why there is no model, in a sentence; empty where there is one.
    """

    tags: Mapping[str, str]
    seams: Mapping[str, Any] | None = None
    model: Path | None = None
    card: Mapping[str, str] = field(default_factory=dict)
    curves: Path | None = None
    missing: str = ""


def provenance(map_path: Path, model: Path | None = None) -> Provenance:
    """What a map's tags and its model tell.

    Args:
        map_path: the map.
        model: its model. When not given, a model beside the map that has the name in the map's tags, and is not newer
            than the map: what a map names elsewhere is not opened.

    Raises:
        ModelError: the model that was given cannot be read.
    """
    with open_raster(map_path) as dataset:
        raw = {name.removeprefix(_PREFIX): text for name, text in dataset.tags().items() if name.startswith(_PREFIX)}
    raw.pop(LEGEND_TAG.removeprefix(_PREFIX), None)
    seams = _object(raw.pop("SEAMS", ""))
    tags: dict[str, str] = {}
    for name in sorted(raw):
        tags |= _entries(name.lower().replace("_", " "), raw[name])
    if model is None:
        model, missing = _beside(map_path, raw.get("MODEL"))
    else:
        missing = ""
    if model is None:
        return Provenance(tags, seams, missing=missing)
    curves = model.with_name(f"{model.stem}.metrics.csv")
    card = model_facts(read_spec(model))
    return Provenance(tags, seams, model, card, curves if curves.is_file() else None)


def _beside(map_path: Path, named: str | None) -> tuple[Path | None, str]:
    """The model beside a map, or why there is none."""
    if not named:
        return None, "The map does not say what model it was made with."
    found = map_path.parent / PurePath(named).name
    # Unlike its like in pathlib, this does not raise for a name that no file can have.
    if found.suffix != ".safetensors" or not os.path.isfile(found):  # noqa: PTH113
        return None, f"The model, {named}, does not lie beside the map; name it with --model to see what it is."
    if found.stat().st_mtime > map_path.stat().st_mtime + _LATER:
        return None, f"{found.name} beside the map is newer than the map, so it may be another model."
    try:
        read_spec(found)
    except ModelError as error:
        logger.warning("%s", error)
        return None, f"{found.name} beside the map cannot be read as a model."
    return found, ""


def _object(text: str) -> dict[str, Any] | None:
    """A JSON object, None for anything else."""
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _entries(name: str, text: str) -> dict[str, str]:
    """A tag's text; one that holds a JSON object becomes an entry per key."""
    values = _object(text)
    pairs = {name: text} if values is None else {f"{name}: {key}": item for key, item in values.items()}
    texts = {key: _plain(item) for key, item in pairs.items()}
    return {key: item if len(item) <= _LONGEST else item[:_LONGEST] + "…" for key, item in texts.items()}


def _plain(value: Any) -> str:
    """A value of JSON as people write it."""
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(map(_plain, value))
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)


def model_facts(spec: ModelSpec) -> dict[str, str]:
    """What a model is, in a few lines by name; what its description lacks is left out."""
    training = spec.training
    settings = spec.part("settings")
    validation, calibration = spec.part("validation"), spec.part("calibration")
    tiling, versions = spec.part("tiling"), spec.part("versions")
    distance = f", pixels of {spec.ground_sample_distance:.3g} m" if spec.ground_sample_distance else ""
    facts = {
        "architecture": spec.architecture,
        "input": f"{len(spec.bands)} bands ({', '.join(spec.bands)}){distance}",
        "sees": spec.sees,
        "chips": _joined(training.get("chips"), f"{spec.chip_size} pixels", _after("split by", tiling.get("split_by"))),
        "training": _joined(
            _after("epoch", _of(training.get("best_epoch"), training.get("epochs"))),
            _after("loss", settings.get("loss")),
            _after("class weights", settings.get("class_weights")),
            _after("seed", settings.get("seed")),
            _after("on", settings.get("device")),
        ),
        "validation": _joined(
            _after("overall accuracy", _figure(validation.get("overall_accuracy"))),
            _after("mean IoU", _figure(validation.get("mean_iou"))),
        ),
        "calibration": _joined(
            _after("temperature", _figure(spec.temperature) if calibration else None),
            _after("expected calibration error on validation", _figure(calibration.get("after"))),
            _after("before", _figure(calibration.get("before"))),
        ),
        "versions": _joined(*(f"{name} {number}" for name, number in versions.items())),
    }
    return {name: text[:_LONGEST] for name, text in facts.items() if text}


def _of(value: Any, total: Any) -> str | None:
    return None if value is None or total is None else f"{value} of {total}"


def _after(word: str, value: Any) -> str | None:
    return None if value is None else f"{word} {value}"


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part is not None)


def _figure(value: Any) -> str | None:
    return f"{value:.3f}" if isinstance(value, int | float) else None
