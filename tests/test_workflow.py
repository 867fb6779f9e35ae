import json
import os
import shutil
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine

import geoseg
from conftest import CORNER, model_of, polygons, striped
from geoseg import workflow
from geoseg.chips.index import read_index
from geoseg.errors import GeosegError, OptionError, OutputExistsError, SceneError
from geoseg.model import load_model
from geoseg.models._network import SegmentationNetwork
from geoseg.prediction import predict

QUICK = {"epochs": 3, "chips_per_epoch": 64, "batch_size": 8}
TILING = {"chip_size": 32}


@pytest.fixture
def job(labelled_scene, tmp_path):
    scene, labels = labelled_scene
    return {"scenes": scene, "labels": labels, "output": tmp_path / "out", "tiling": TILING, "training": QUICK}


@pytest.fixture
def brief(job):
    """The same with little training, where nothing is asked of what is learned."""
    return job | {"training": {"epochs": 1, "chips_per_epoch": 16, "batch_size": 8, "arch_options": {"width": 4}}}


@contextmanager
def without_power_for(step, monkeypatch):
    @wraps(getattr(workflow, step))
    def die(*_, **__):
        raise GeosegError("the power went out")

    with monkeypatch.context() as patch:
        patch.setattr(workflow, step, die)
        yield


def test_the_whole_job(job, tmp_path):
    result = geoseg.run(**job)
    out = tmp_path / "out"
    assert result.judged_on == "test blocks"
    assert result.scores.mean_iou > 0.9
    assert {"chips", "model.safetensors", "model.md", "map.tif", "map.tif.aux.xml", "map.qml", "confidence.tif",
            "map.gpkg", "report", "run.json"} <= {p.name for p in out.iterdir()}  # fmt: skip
    assert not [p for p in out.rglob("*") if "partial" in p.name or p.name.endswith(".new")]
    assert (out / "report" / "report.html").is_file()
    with rasterio.open(out / "map.tif") as mapped, rasterio.open(job["scenes"]) as scene:
        assert mapped.shape == scene.shape
        valid = mapped.read_masks(1) > 0
    drawn = gpd.read_file(out / "map.gpkg", layer="map")
    assert shapely.coverage_is_valid(drawn.geometry.to_numpy())
    assert drawn.is_valid.all()
    assert drawn.area.sum() == pytest.approx(valid.sum() * 100)
    assert drawn.confidence_mean.between(0, 1).all()
    assert json.loads((out / "report" / "metrics.json").read_text())["maps"][0]["calibration"]["ece"] < 0.3
    assert "per pixel" in str(result)


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(brief, tmp_path, monkeypatch):
    with without_power_for("vectorize", monkeypatch), pytest.raises(GeosegError, match="power"):
        geoseg.run(**brief)
    model = tmp_path / "out" / "model.safetensors"
    before = model.stat().st_mtime_ns
    geoseg.run(**brief)
    assert model.stat().st_mtime_ns == before
    whole = brief | {"output": tmp_path / "whole"}
    geoseg.run(**whole)
    with rasterio.open(tmp_path / "out" / "map.tif") as a, rasterio.open(tmp_path / "whole" / "map.tif") as b:
        assert (a.read() == b.read()).all()


@pytest.mark.parametrize("step", ["train", "predict", "evaluate_pairs"])
def test_a_scene_that_changes_during_a_run_is_not_mixed_with_what_it_was(brief, tmp_path, monkeypatch, step):
    work = getattr(workflow, step)

    @wraps(work)
    def changing(*args, **options):
        done = work(*args, **options)
        os.utime(brief["scenes"], (1, 1))
        return done

    with monkeypatch.context() as patch:
        patch.setattr(workflow, step, changing)
        with pytest.raises(SceneError, match=r"was changed while it was read, so .*out was not made"):
            geoseg.run(**brief)
    state = json.loads((tmp_path / "out" / "run.json").read_text())
    assert step not in state["done"]
    assert state["scores"] is None
    with pytest.raises(OutputExistsError, match="another run"):
        geoseg.run(**brief)


def test_a_map_that_was_cut_off_goes_on_inside_of_a_run(brief, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predict, "write_outputs", stop)
        with pytest.raises(KeyboardInterrupt):
            geoseg.run(**brief)
    found = []

    def filled(store, *args):
        found.append(store.done == store.stop)
        return fill(store, *args)

    fill = predict.fill
    monkeypatch.setattr(predict, "fill", filled)
    geoseg.run(**brief)
    assert found == [True]
    assert not list((tmp_path / "out").glob(".*"))


def test_chips_that_a_power_cut_took_are_cut_again(brief, tmp_path, monkeypatch, caplog):
    with without_power_for("train", monkeypatch):
        with pytest.raises(GeosegError, match="power"):
            geoseg.run(**brief)
        chip = tmp_path / "out" / "chips" / read_index(tmp_path / "out" / "chips").frame["image"].iloc[0]
        before = chip.read_bytes()
        chip.write_bytes(b"")
        with caplog.at_level("WARNING"), pytest.raises(GeosegError, match="power"):
            geoseg.run(**brief)
    assert chip.read_bytes() == before
    assert "tile: was done before, and part of it is lost" in caplog.text
    assert json.loads((tmp_path / "out" / "run.json").read_text())["done"] == ["tile"]


@pytest.mark.parametrize(("step", "options", "says"), [
    ("tiling", {"chip_size": "large"}, "chip_size is 'large'; it must be a whole number"),
    ("tiling", {"chipsize": 32}, "there is no option 'chipsize'; did you mean 'chip_size'"),
    ("training", {"epochs": "three"}, "epochs is 'three'; it must be a whole number"),
])  # fmt: skip
def test_options_of_a_step_are_refused_as_the_step_does(brief, step, options, says):
    with pytest.raises(OptionError, match=says):
        geoseg.run(**brief | {step: brief[step] | options})


def test_options_of_a_step_win(brief, tmp_path):
    geoseg.run(**brief | {"training": brief["training"] | {"device": "cpu", "seed": 7}, "device": "auto"})
    assert load_model(tmp_path / "out" / "model.safetensors").spec.training["settings"]["seed"] == 7


def test_results_of_two_runs_never_mix(brief, tmp_path):
    geoseg.run(**brief)
    with pytest.raises(OutputExistsError, match="complete"):
        geoseg.run(**brief)
    with pytest.raises(OutputExistsError, match="another run"):
        geoseg.run(**brief, seed=1)
    geoseg.run(**brief, seed=1, overwrite=True, polygons=".parquet")
    assert not (tmp_path / "out" / "map.gpkg").exists()
    assert (tmp_path / "out" / "map.parquet").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["options"]["seed"] == 1


def test_another_run_does_not_go_on_from_what_was_begun(brief, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geoseg.training.fit.leave", stop)
        with pytest.raises(KeyboardInterrupt):
            geoseg.run(**brief)
    checkpoint = tmp_path / "out" / ".model.safetensors.checkpoint"
    assert checkpoint.is_dir()
    (tmp_path / "out" / "map.gpkg").write_text("a stranger's")
    with pytest.raises(OutputExistsError, match=r"map\.gpkg exists already"):
        geoseg.run(**brief, seed=1, overwrite=True)
    assert (tmp_path / "out" / "map.gpkg").read_text() == "a stranger's"
    assert not checkpoint.exists()


def test_a_state_that_was_cut_off_before_it_had_its_name_is_no_obstacle(brief, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".run.json.new").write_text("{")
    assert geoseg.run(**brief).scores.mean_iou > 0


def test_a_state_that_lists_files_elsewhere_is_refused(job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "precious.txt").write_text("!")
    state = {"version": "0", "key": "other", "options": {}, "files": ["../precious.txt"], "done": [], "scores": {}}
    (tmp_path / "out" / "run.json").write_text(json.dumps(state))
    with pytest.raises(OutputExistsError, match="not in the folder"):
        geoseg.run(**job, overwrite=True)
    assert (tmp_path / "precious.txt").exists()


def test_a_scene_inside_an_archive(job, tmp_path):
    scene = Path(shutil.make_archive(str(tmp_path / "z"), "zip", job["scenes"].parent, job["scenes"].name))
    result = geoseg.run(**(job | {"scenes": f"/vsizip/{scene}/{job['scenes'].name}"}))
    assert result.scores.mean_iou > 0.5


def test_a_folder_of_others_is_left_alone(job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("!")
    with pytest.raises(OutputExistsError, match="did not make"):
        geoseg.run(**job, overwrite=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious.txt"]


def test_several_scenes_and_polygons_in_another_crs(write_scene, tmp_path):
    scenes = []
    for number in range(2):
        values, classes = striped(240, 260)
        place = CORNER @ Affine.translation(300 * number, 0)
        scenes.append(write_scene(values, f"scene_{number}.tif", transform=place))
        truth = classes
    rectangles = {
        f"kind {id_}": [(row * 24 + 3, col * 24 + 3, 18, 18) for row in range(10) for col in range(10)
                        if truth[row * 24, col * 24] == id_]
        for id_ in (1, 2, 3)
    }  # fmt: skip
    rectangles = {
        name: items + [(row, col + 300, height, width) for row, col, height, width in items]
        for name, items in rectangles.items()
    }
    polygons(rectangles, crs="EPSG:4326").to_file(tmp_path / "labels.geojson")
    result = geoseg.run(scenes, tmp_path / "labels.geojson", tmp_path / "out", tiling=TILING, training=QUICK,
                        polygons=".parquet")  # fmt: skip
    assert len(result.maps) == len(result.polygons) == 2
    assert result.scores.overall_accuracy > 0.9
    assert gpd.read_parquet(result.polygons[1])["class_name"].isin(["kind 1", "kind 2", "kind 3"]).all()


def test_the_confidence_of_a_prediction_is_that_of_its_polygons(write_scene, tmp_path):
    class Brightness(torch.nn.Module):
        def forward(self, image):
            return torch.cat([-image[:, :1], image[:, :1]], 1)

    values = np.repeat(np.array([[-2.0, 1.0]], np.float32), 20, 1).repeat(20, 0)[None]
    model = model_of(SegmentationNetwork(Brightness(), stride=1), 1, 2)
    geoseg.predict(model, write_scene(values), tmp_path / "m.tif", confidence=tmp_path / "c.tif")
    geoseg.vectorize(tmp_path / "m.tif", tmp_path / "m.gpkg", confidence=tmp_path / "c.tif")
    polygons = gpd.read_file(tmp_path / "m.gpkg", layer="m").sort_values("class_id")
    assert polygons["confidence_mean"].tolist() == pytest.approx(
        [1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-2))], abs=0.004
    )
