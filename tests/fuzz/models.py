"""Doors of networks: model files, checkpoints, weights that others made, kept graphs."""

from __future__ import annotations

from pathlib import Path

import torch
from fuzz.damage import json_twist, safetensors_twist
from fuzz.door import Door
from safetensors.torch import save_file

from conftest import model_of
from geoseg.assessment.provenance import model_facts
from geoseg.info import info
from geoseg.model import load_model, write_model
from geoseg.models import build
from geoseg.models._weight_file import read_weights
from geoseg.prediction.runtimes import _cache
from geoseg.training.checkpoint import Checkpoints, State

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}


def _write_model(folder: Path) -> None:
    from dataclasses import replace

    network = build("unet_compact", 2, 2, width=4, depth=1)
    spec = replace(model_of(network, 2, 2).spec, architecture="unet_compact", options={"width": 4, "depth": 1})
    training = {"chips": "chips", "validation": {"mean_iou": 0.5}, "tiling": {"split_by": "blocks"}, "epochs": 3}
    write_model(folder / "model.safetensors", replace(spec, training=training), network.state_dict())


def _read_model(folder: Path) -> None:
    model = load_model(folder / "model.safetensors")
    model_facts(model.spec)
    str(info(folder / "model.safetensors"))
    model.spec.match(("1", "2"), "scene", "model")


def _checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(folder / "m.safetensors", "key", {"epochs": 3, "loss": "ce"})


def _save_checkpoint(folder: Path) -> None:
    _checkpoints(folder).save(State(7, TENSORS, {"epoch": 1, "sampler": [1, 2]}))


def _graph(folder: Path) -> object:
    # What is broken is made anew; here nothing is.
    return _cache._read(folder)


def _keep_graph(folder: Path) -> None:
    def make(place: Path) -> dict[str, object]:
        (place / "graph.onnx").write_bytes(b"graph")
        return {"inputs": ["image"], "sizes": [64, 64]}

    _cache._fill(folder, make)


def _save_as_torch(folder: Path) -> None:
    torch.save({"state_dict": TENSORS}, folder / "w.pth")


def _save_as_safetensors(folder: Path) -> None:
    save_file(TENSORS, folder / "w.safetensors", metadata={"about": "{}"})


DOORS = (
    Door("model", "model.safetensors", _write_model, _read_model, safetensors_twist),
    Door("checkpoint", ".m.safetensors.checkpoint/step-000000007.safetensors", _save_checkpoint,
         lambda folder: _checkpoints(folder).begin(resume=True, overwrite=False), safetensors_twist),
    Door("safetensors weights", "w.safetensors", _save_as_safetensors,
         lambda folder: read_weights(folder / "w.safetensors"), safetensors_twist),
    Door("torch weights", "w.pth", _save_as_torch, lambda folder: read_weights(folder / "w.pth")),
    Door("graph", "about.json", _keep_graph, _graph, json_twist),
)  # fmt: skip
