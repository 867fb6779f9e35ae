"""How a map was made: what its tags and its model tell, and what is not opened."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from conftest import WriteScene
from geoseg.assessment.provenance import model_facts, provenance
from geoseg.errors import ModelError
from geoseg.model import Model, write_model

TRAINING = {
    "settings": {"loss": "ce", "class_weights": "auto", "seed": 3, "device": "cpu"},
    "best_epoch": 2,
    "epochs": 3,
    "validation": {"overall_accuracy": 0.75, "mean_iou": 0.5},
    "calibration": {"before": 0.05, "after": 0.02},
    "versions": {"geoseg": "0.1.0"},
}
SEAMS = {"beside": "a single pass", "labels": 0.01, "rows": None, "cols": 1.2, "pixels": 10, "fidelity": 0.1}


@pytest.fixture
def made(write_scene: WriteScene, tmp_path: Path, constant_model: Model) -> tuple[Path, Path]:
    """A map that says what it was made with, and the model beside it, which is older."""
    mapped = write_scene(np.ones((1, 8, 8), np.uint8), "map.tif", nodata=0)
    model = tmp_path / "some_model.safetensors"
    with rasterio.open(mapped, "r+") as dataset:
        dataset.update_tags(
            GEOSEG_MODEL="elsewhere/some_model.safetensors",
            GEOSEG_LEGEND="[]",
            GEOSEG_OPTIONS=json.dumps({"tta": False, "crf": None, "bands": ["red", "nir"], "name": "x" * 5000}),
            GEOSEG_SEAMS=json.dumps(SEAMS),
            OTHER="not ours",
        )
    write_model(model, dataclasses.replace(constant_model.spec, training=TRAINING), {"weight": torch.zeros(2)})
    os.utime(model, (1e9, 1e9))
    (tmp_path / "some_model.metrics.csv").write_text("epoch,train_loss\n0,1\n")
    return mapped, model


def test_a_map_tells_how_it_was_made(made: tuple[Path, Path], tmp_path: Path) -> None:
    told = provenance(made[0])
    assert told.tags["model"] == "elsewhere/some_model.safetensors"
    assert (told.tags["options: tta"], told.tags["options: crf"]) == ("no", "none")
    assert told.tags["options: bands"] == "red, nir"
    assert len(told.tags["options: name"]) < 2100
    assert not {"legend", "other", "seams"} & set(told.tags)
    assert told.seams == SEAMS
    assert told.model == made[1]
    assert told.curves == tmp_path / "some_model.metrics.csv"
    assert told.card["training"] == "epoch 2 of 3, loss ce, class weights auto, seed 3, on cpu"
    assert "mean IoU 0.500" in told.card["validation"]
    assert told.missing == ""


def test_only_an_older_model_beside_the_map_is_opened(made: tuple[Path, Path], tmp_path: Path) -> None:
    mapped, model = made
    os.utime(model)
    os.utime(mapped, (1.5e9, 1.5e9))
    newer = provenance(mapped)
    assert newer.model is None
    assert "newer than the map" in newer.missing
    # By name it is taken all the same.
    assert provenance(mapped, model).model == model
    (tmp_path / "elsewhere").mkdir()
    model.rename(tmp_path / "elsewhere" / model.name)
    assert provenance(mapped).model is None
    (tmp_path / model.name).write_bytes(b"no model")
    os.utime(tmp_path / model.name, (1e9, 1e9))
    assert "cannot be read" in provenance(mapped).missing
    with pytest.raises(ModelError, match="not a safetensors file"):
        provenance(mapped, tmp_path / model.name)


def test_a_map_from_elsewhere_tells_nothing(write_scene: WriteScene) -> None:
    mapped = write_scene(np.ones((1, 8, 8), np.uint8), "map.tif")
    told = provenance(mapped)
    assert (dict(told.tags), told.seams, told.model) == ({}, None, None)
    assert "does not say" in told.missing


def test_a_model_without_a_history_tells_what_it_is(constant_model: Model) -> None:
    facts = model_facts(constant_model.spec)
    assert facts["architecture"] == "test"
    assert "validation" not in facts
    hostile = dataclasses.replace(constant_model.spec, training={"settings": 5, "validation": [], "versions": "x"})
    assert "validation" not in model_facts(hostile)
