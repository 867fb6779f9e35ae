"""Files that somebody changes, replaces or takes away while geoseg reads them."""

import os
import re
import shutil
import threading

import pytest
import rasterio
import rasterio.shutil

import geoseg
from faults.conftest import files_in, hidden_of, wait_for
from geoseg.assessment import evaluate, sample
from geoseg.chips import tiler
from geoseg.disk import refuse_changed, stamps
from geoseg.errors import GeosegError, SceneError
from geoseg.output import fingerprint
from geoseg.prediction import predict
from geoseg.training import fit
from geoseg.vectors import vectorize
from geoseg.viewing import view


def meanwhile(output, act):
    """Do something once the work on an output has begun."""
    thread = threading.Thread(target=lambda: wait_for(hidden_of(output).exists) and act(), daemon=True)
    thread.start()
    return thread


def work_on(name, inputs, source, output):
    if name == "predict":
        geoseg.predict(inputs.model, source, output, window=64, margin=16, blend="hann", runtime="torch", tta=True)
    else:
        geoseg.tile(source, inputs.labels, output, chip_size=16, overlap=0.5)


@pytest.fixture(params=["predict", "tile"])
def job(request, inputs, tmp_path):
    source = tmp_path / "source.tif"
    shutil.copy(inputs.scene, source)
    return request.param, source, tmp_path / {"predict": "map.tif", "tile": "chips"}[request.param]


def test_a_source_that_is_written_to_makes_no_output(job, inputs):
    name, source, output = job

    def write():
        with rasterio.open(source, "r+") as dataset:
            dataset.write(dataset.read() // 2)

    thread = meanwhile(output, write)
    with pytest.raises(GeosegError, match=r"source\.tif"):
        work_on(name, inputs, source, output)
    thread.join()
    assert not output.exists()
    work_on(name, inputs, source, output)
    assert output.exists()
    assert not hidden_of(output).exists()


def test_a_source_that_is_replaced_makes_no_output(job, inputs, tmp_path):
    name, source, output = job
    shutil.copy(source, tmp_path / "other.tif")
    os.utime(tmp_path / "other.tif", (1, 1))
    thread = meanwhile(output, lambda: (tmp_path / "other.tif").replace(source))
    with pytest.raises(SceneError, match=r"source\.tif: was changed while it was read"):
        work_on(name, inputs, source, output)
    thread.join()
    assert not output.exists()


def test_a_source_that_vanishes_is_read_to_its_end_or_named(job, inputs, tmp_path):
    name, source, output = job
    shutil.copy(source, tmp_path / "kept.tif")
    thread = meanwhile(output, source.unlink)
    try:
        work_on(name, inputs, source, output)
    except GeosegError as error:
        assert "source.tif" in str(error)
        assert not output.exists()
    else:
        if name == "predict":
            geoseg.predict(inputs.model, tmp_path / "kept.tif", tmp_path / "again.tif", window=64, margin=16,
                           blend="hann", runtime="torch", tta=True)  # fmt: skip
            with rasterio.open(output) as one, rasterio.open(tmp_path / "again.tif") as other:
                assert (one.read() == other.read()).all()
    thread.join()


def test_a_scene_that_changes_while_it_is_mapped_costs_none_of_the_old_rasters(inputs, tmp_path, monkeypatch):
    source, made = tmp_path / "scene.tif", tmp_path / "made"
    shutil.copy(inputs.scene, source)
    made.mkdir()
    asked = {"probabilities": made / "p.tif", "confidence": made / "c.tif", "runtime": "torch"}
    geoseg.predict(inputs.model, source, made / "m.tif", **asked)
    before = files_in(made)
    with rasterio.open(source, "r+") as dataset:
        dataset.write(dataset.read() // 2)
    write = predict.write_outputs

    def touching(*args):
        os.utime(source, (1, 1))
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(predict, "write_outputs", touching)
        with pytest.raises(SceneError, match=r"scene\.tif: was changed while it was read, so .*m\.tif was not made"):
            geoseg.predict(inputs.model, source, made / "m.tif", **asked, overwrite=True)
    assert {name: data for name, data in files_in(made).items() if "partial" not in name} == before
    geoseg.predict(inputs.model, source, made / "m.tif", **asked, overwrite=True)
    assert set(files_in(made)) == set(before)
    assert not set(files_in(made).items()) & {(name, before[name]) for name in ("m.tif", "p.tif", "c.tif")}


@pytest.mark.parametrize(("work", "place", "reads", "made"), [
    (lambda source, labels, made: geoseg.vectorize(source, made), vectorize, "_check", "map.fgb"),
    (lambda source, labels, made: geoseg.evaluate(source, labels, made), evaluate, "_found", "report"),
    (lambda source, labels, made: geoseg.sample(source, made, size=10), sample, "open_class_raster", "points.gpkg"),
    (lambda source, labels, made: geoseg.view(source, made), view, "find", "map.html"),
], ids=["vectorize", "evaluate", "sample", "view"])  # fmt: skip
def test_a_map_that_changes_while_it_is_read_makes_no_output(inputs, tmp_path, monkeypatch, work, place, reads, made):
    source, output = tmp_path / "map.tif", tmp_path / made
    shutil.copy(inputs.map, source)
    read = getattr(place, reads)

    def touching(*args, **options):
        os.utime(source, (1, 1))
        return read(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, reads, touching)
        with pytest.raises(SceneError, match=r"map\.tif: was changed while it was read"):
            work(source, inputs.labels, output)
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    work(source, inputs.labels, output)
    assert output.exists()


@pytest.mark.parametrize("file", ["training.tif", "map.tif"])
def test_what_a_baseline_is_made_of_is_the_same_to_the_end(inputs, tmp_path, monkeypatch, file):
    labels, output = tmp_path / "training.tif", tmp_path / "report"
    shutil.copy(inputs.labels, labels)
    shutil.copy(inputs.map, tmp_path / "map.tif")
    asked = {"scene": inputs.scene, "baseline_labels": labels}
    learn = evaluate.pixel_rival

    def touching(*args, **options):
        rival = learn(*args, **options)
        os.utime(tmp_path / file, (1, 1))
        return rival

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "pixel_rival", touching)
        with pytest.raises(SceneError, match=rf"{re.escape(file)}: was changed while it was read"):
            geoseg.evaluate(tmp_path / "map.tif", inputs.labels, output, **asked)
    assert not output.exists()
    geoseg.evaluate(tmp_path / "map.tif", inputs.labels, output, **asked)


def test_a_folder_of_which_a_file_changes_while_it_is_shown_makes_no_page(inputs, tmp_path, monkeypatch):
    folder, output = tmp_path / "folder", tmp_path / "page.html"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        shutil.copy(inputs.scene, folder / name)
    find = view.find

    def touching(*args):
        os.utime(folder / "b.tif", (1, 1))
        return find(*args)

    with monkeypatch.context() as patch:
        patch.setattr(view, "find", touching)
        with pytest.raises(SceneError, match=r"b\.tif: was changed while it was read"):
            geoseg.view(folder, output)
    assert not output.exists()
    geoseg.view(folder, folder / "page.html")  # which changes the folder, and nothing that is looked at


def test_chips_that_are_cut_anew_while_they_are_learned_from_make_no_model(inputs, tmp_path, monkeypatch):
    chips, output = tmp_path / "chips", tmp_path / "m.safetensors"
    geoseg.tile(inputs.scene, inputs.labels, chips, chip_size=32)
    small = {"epochs": 1, "chips_per_epoch": 4, "batch_size": 4, "arch_options": {"width": 4}}
    leave = fit.leave

    def cutting(*args):
        best = leave(*args)
        geoseg.tile(inputs.scene, inputs.labels, chips, chip_size=16, overwrite=True)
        return best

    with monkeypatch.context() as patch:
        patch.setattr(fit, "leave", cutting)
        with pytest.raises(SceneError, match=r"was changed while it was read, so .*m\.safetensors was not made"):
            geoseg.train(chips, output, **small)
    assert not output.exists()
    with pytest.raises(GeosegError, match="begin anew with --overwrite"):
        geoseg.train(chips, output, resume=True, **small)
    geoseg.train(chips, output, overwrite=True, **small)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="1">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize(("name", "part"), [
    ("l.shp", "l.dbf"), ("l.shp", "l.prj"), ("l.gpkg", "l.gpkg-wal"), ("s.tif", "s.tif.msk"), ("s.tif", "s.tfw"),
    ("one.vrt", "s.tif"), ("two.vrt", "s.tif"), ("two.vrt", "one.vrt"),
])  # fmt: skip
@pytest.mark.parametrize("is_there", [True, False], ids=["changes", "appears"])
def test_what_is_read_along_with_a_file_counts_as_a_part_of_it(tmp_path, name, part, is_there):
    texts = {"one.vrt": VRT.format("s.tif"), "two.vrt": VRT.format("one.vrt")}
    for each in {name, "one.vrt", *([part] if is_there else [])}:
        (tmp_path / each).write_text(texts.get(each, "before"))
    if not is_there:
        (tmp_path / part).unlink(missing_ok=True)
        if part == "one.vrt":
            pytest.skip("without it nobody knows what it would name")
    before, key = stamps([tmp_path / name]), fingerprint({}, [tmp_path / name])
    refuse_changed(before, tmp_path / "map.tif")
    assert fingerprint({}, [tmp_path / name]) == key
    (tmp_path / part).write_text(texts.get(part, "") + " after")
    with pytest.raises(SceneError, match=rf"{re.escape(part)}: was changed while it was read"):
        refuse_changed(before, tmp_path / "map.tif")
    assert fingerprint({}, [tmp_path / name]) != key


def test_a_scene_behind_a_vrt_that_is_written_to_makes_no_map(inputs, tmp_path):
    source, vrt, output = tmp_path / "source.tif", tmp_path / "scene.vrt", tmp_path / "map.tif"
    shutil.copy(inputs.scene, source)
    with rasterio.open(source) as dataset:
        rasterio.shutil.copy(dataset, vrt, driver="VRT")
    thread = meanwhile(output, lambda: os.utime(source, (1, 1)))
    with pytest.raises(SceneError, match=r"source\.tif: was changed while it was read"):
        work_on("predict", inputs, vrt, output)
    thread.join()
    assert not output.exists()


def test_labels_that_change_while_they_are_counted_leave_nothing_to_go_on_from(inputs, tmp_path, monkeypatch):
    """What was read belongs to the labels as they were, not as they are when the cutting begins."""
    labels, chips = tmp_path / "labels.tif", tmp_path / "chips"
    shutil.copy(inputs.labels, labels)
    count = tiler.count_cells

    def changing(*args):
        found = count(*args)
        with rasterio.open(labels, "r+") as dataset:
            dataset.write(dataset.read()[:, ::-1])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(tiler, "count_cells", changing)
        with pytest.raises(SceneError, match=r"labels\.tif: was changed"):
            geoseg.tile(inputs.scene, labels, chips, chip_size=32)
    geoseg.tile(inputs.scene, labels, chips, chip_size=32)
    geoseg.tile(inputs.scene, labels, tmp_path / "anew", chip_size=32)
    assert files_in(chips) == files_in(tmp_path / "anew")
