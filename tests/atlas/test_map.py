"""What a map of regions promises, with dask's real scheduler and a worker in this process."""

import json
import os
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from atlas.conftest import SMALL, pixels, rectangles, scene

import geoseg
from geoseg.atlas.scenes import open_scenes
from geoseg.atlas.sources import find_candidates
from geoseg.errors import (
    BandMismatchError,
    ClusterError,
    OptionError,
    OutputError,
    OutputExistsError,
    RegionError,
    SceneError,
)
from geoseg.model import read_spec


@pytest.fixture
def own(make, quarters, scenes, tmp_path):
    """The same, for a test to change."""
    return tmp_path / "atlas", make(quarters, scenes, polygons=False)


@pytest.mark.parametrize("mosaic", ["mean", "best", "first"])
def test_pixels_do_not_depend_on_regions_blocks_or_order(mosaic, make, quarters, scenes, tmp_path):
    whole = rectangles(tmp_path / "whole.gpkg", {"all": (-5, -5, 290, 420)})
    together, _ = pixels(tmp_path / "one", make(whole, scenes, "one", mosaic=mosaic, polygons=False))
    turned = gpd.read_file(quarters)[::-1]
    turned.to_file(tmp_path / "turned.gpkg")
    parts, count = pixels(
        tmp_path / "four", make(tmp_path / "turned.gpkg", scenes, "four", mosaic=mosaic, block=200, polygons=False)
    )
    assert (parts == together).all()
    assert count.max() == 1
    assert len(np.unique(together[together > 0])) == 3


def test_every_pixel_with_data_is_mapped_once(first, scenes):
    atlas, outcomes = first
    _, count = pixels(atlas, outcomes)
    valid = np.zeros(count.shape, bool)
    for path, (row, col) in zip(sorted(scenes.iterdir()), ((0, 0), (0, 160), (100, 120)), strict=True):
        with rasterio.open(path) as dataset:
            mask = dataset.dataset_mask() > 0
        valid[row : row + mask.shape[0], col : col + mask.shape[1]] |= mask
    assert (count == valid).all()


def test_one_scene_is_mapped_as_predict_maps_it(make, model_file, tmp_path):
    """Windows that see as far as the network looks leave nothing to chance."""
    path = scene(tmp_path / "scene.tif", 0, 0, 150, 200)
    region = rectangles(tmp_path / "region.gpkg", {"all": (0, 0, 150, 200)})
    outcomes = make(region, path, margin="exact", window=512)
    geoseg.predict(model_file, path, tmp_path / "map.tif", margin="exact", window=1024, runtime="torch")
    with rasterio.open(tmp_path / "map.tif") as whole:
        assert (pixels(tmp_path / "atlas", outcomes, (150, 200))[0] != whole.read(1)).mean() < 1e-3


def test_a_region_of_any_crs_and_shape_is_clipped_at_pixel_centres(make, scenes, tmp_path):
    shape = shapely.Point(501_500, 5_398_800).buffer(900)
    frame = gpd.GeoDataFrame({"id": [7.0]}, geometry=[shape], crs="EPSG:32632")
    frame.to_crs("EPSG:3857").to_file(tmp_path / "circle.geojson")
    outcomes = make(tmp_path / "circle.geojson", scenes)
    assert list(outcomes["name"]) == ["7"]
    with rasterio.open(tmp_path / "atlas" / outcomes["map"][0]) as dataset:
        inside = rasterio.features.geometry_mask([shape], dataset.shape, dataset.transform, invert=True)
        assert not (dataset.read(1)[~inside] > 0).sum() > 3
        assert (dataset.read(1)[inside] > 0).mean() > 0.8


def test_regions_beside_and_around_a_pole_find_the_scene_that_lies_over_it(make, tmp_path):
    polar = Affine(5000, 0, -600e3, 0, -5000, 600e3)
    path = scene(tmp_path / "polar.tif", 0, 0, 240, 240, crs="EPSG:3031", transform=polar)
    shapes = [shapely.box(100e3, 100e3, 300e3, 300e3), shapely.box(-300e3, -300e3, 50e3, 50e3)]
    frame = gpd.GeoDataFrame({"name": ["beside", "around"]}, geometry=shapes, crs="EPSG:3031")
    frame.to_file(tmp_path / "regions.gpkg")
    outcomes = make(tmp_path / "regions.gpkg", path, polygons=False).set_index("name")
    for name, pixels_ in (("beside", 40 * 40), ("around", 70 * 70)):
        with rasterio.open(tmp_path / "atlas" / outcomes["map"][name]) as dataset:
            assert (dataset.read(1) > 0).sum() == pytest.approx(pixels_, rel=0.05)


def test_a_region_on_the_far_side_of_the_antimeridian_is_mapped_or_refused(make, tmp_path):
    place = Affine(0.01, 0, 179, 0, -0.01, -16)
    path = scene(tmp_path / "scene.tif", 0, 0, 60, 200, crs="EPSG:4326", transform=place)
    frame = gpd.GeoDataFrame({"name": ["far"]}, geometry=[shapely.box(-179.6, -16.5, -179.3, -16.2)], crs="EPSG:4326")
    frame.to_file(tmp_path / "far.gpkg")
    with pytest.raises(RegionError, match="beyond 180"):
        make(tmp_path / "far.gpkg", path, polygons=False)
    outcomes = make(tmp_path / "far.gpkg", path, "metres", crs="utm", resolution=1100.0, polygons=False)
    with rasterio.open(tmp_path / "metres" / outcomes["map"][0]) as dataset:
        assert (dataset.read(1) > 0).mean() > 0.8


def test_what_is_done_is_not_done_again(own, make, quarters, scenes, tmp_path):
    atlas, before = own
    times = {path: path.stat().st_mtime_ns for path in (atlas / "regions").glob("*/*")}
    again = make(quarters, scenes, polygons=False)
    assert {path: path.stat().st_mtime_ns for path in (atlas / "regions").glob("*/*")} == times
    assert again.drop(columns="geometry").equals(before.drop(columns="geometry"))
    # A scene more is work for the regions that it lies over, what is gone for its own, and nothing for any other.
    scene(scenes / "d.tif", 220, 20, 40, 60, seed=4)
    shutil.rmtree(atlas / "regions" / "north_east")
    (atlas / "regions" / "south_east" / "south_east.tif").unlink()
    make(quarters, scenes, polygons=False)
    fresh = {path for path in (atlas / "regions").glob("*/*.tif") if path.stat().st_mtime_ns != times.get(path)}
    assert {path.stem for path in fresh} == {"south_west", "north_east", "south_east"}


def touched(task):
    """What puts a region together, after somebody changed one of its scenes."""
    from geoseg.atlas.finish import finish_region

    os.utime(task.place.scenes[0].files[0][0], (1, 1))
    return finish_region(task)


def test_a_scene_that_changes_while_it_is_mapped_makes_no_map(make, scenes, tmp_path, monkeypatch):
    regions = rectangles(tmp_path / "one.gpkg", {"one": (0, 0, 90, 90)})
    with monkeypatch.context() as patch:
        patch.setattr("geoseg.atlas.map.finish_region", touched)
        outcomes = make(regions, scenes, polygons=False, retries=0)
    assert outcomes["state"].tolist() == ["failed"]
    assert "a.tif: was changed while it was read" in outcomes["why"][0]
    assert not (tmp_path / "atlas" / "regions" / "one").exists()
    assert make(regions, scenes, polygons=False)["state"].tolist() == ["done"]
    # What the first try had made is of no use to anybody.
    assert sorted(path.name for path in (tmp_path / "atlas").iterdir() if path.name.startswith(".")) == []


def unfinished(task):
    raise OutputError("the disk is full")


def test_blocks_of_another_size_are_not_taken_for_those_of_this_run(make, scenes, tmp_path, monkeypatch):
    wide = rectangles(tmp_path / "wide.gpkg", {"wide": (0, 0, 150, 400)})
    options = {"polygons": False, "retries": 0}
    with monkeypatch.context() as patch:
        patch.setattr("geoseg.atlas.map.finish_region", unfinished)
        assert list(make(wide, scenes, "other", block=288, **options)["state"]) == ["failed"]
    other = make(wide, scenes, "other", block=192, **options)
    assert list(other["state"]) == ["done"], list(other["why"])
    whole = make(wide, scenes, "whole", **options)
    assert (pixels(tmp_path / "other", other)[0] == pixels(tmp_path / "whole", whole)[0]).all()


def test_what_runs_that_were_killed_left_of_finished_regions_is_swept(own, make, quarters, scenes, tmp_path):
    atlas, _ = own
    from geoseg.atlas.tasks import OUTLINE

    left, stranger = atlas / ".work" / f"north_east-{'0' * 16}", atlas / ".work" / "mine"
    for folder in (left, stranger):
        folder.mkdir(parents=True)
        (folder / ("precious" if folder == stranger else OUTLINE)).touch()
    make(quarters, scenes, polygons=False)
    assert not left.exists()
    assert (stranger / "precious").exists()


def test_an_atlas_of_other_options_or_of_somebody_else_is_refused(own, make, quarters, scenes, tmp_path):
    with pytest.raises(OutputExistsError, match="made with another mosaic"):
        make(quarters, scenes, polygons=False, mosaic="first")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(OutputExistsError, match="did not make"):
        make(quarters, scenes, "mine", overwrite=True)
    (tmp_path / "mine" / "atlas.json").touch()
    with pytest.raises(OutputExistsError, match=r"atlas\.json: cannot be read, and it says with what"):
        make(quarters, scenes, "mine", overwrite=True)
    foreign = own[0] / "regions" / "north_west" / "notes.txt"
    foreign.touch()
    with pytest.raises(OutputExistsError, match=r"notes\.txt"):
        make(quarters, scenes, polygons=False, mosaic="first", overwrite=True)
    foreign.unlink()
    assert (make(quarters, scenes, polygons=False, mosaic="first", overwrite=True)["state"] == "done").all()


def test_regions_without_scenes_and_scenes_that_cannot_be_used_are_outcomes(make, scenes, tmp_path, caplog):
    places = {"here": (0, 0, 60, 60), "far away": (5000, 5000, 60, 60), "a hole": (100, 162, 25, 1)}
    regions = rectangles(tmp_path / "regions.gpkg", places)
    scene(scenes / "other.tif", 0, 0, 50, 50, bands=4)
    (scenes / "broken.tif").write_bytes(b"II*\0" + bytes(200))
    outcomes = make(regions, [scenes / "b.tif", scenes / "a.tif", scenes / "other.tif", scenes / "broken.tif"])
    assert dict(zip(outcomes["name"], outcomes["state"], strict=True)) == {
        "here": "done", "far away": "no scene", "a hole": "done",
    }  # fmt: skip
    assert "other.tif has 3 bands" in caplog.text  # the fourth of four bytes is tagged alpha
    chosen = rectangles(tmp_path / "corner.gpkg", {"corner": (0, 0, 40, 40)})
    assert list(make(chosen, scenes / "other.tif", "chosen", bands=("1", "4"))["state"]) == ["done"]
    assert "broken.tif: cannot be opened" in caplog.text
    alone = make(rectangles(tmp_path / "hole.gpkg", {"a hole": (100, 162, 1, 1)}), scenes / "b.tif", "empty")
    assert list(alone["state"]) == ["no data"]
    with pytest.raises(BandMismatchError, match="2 scenes cannot be used"):
        make(regions, scenes, "strict", strict=True)
    with pytest.raises(SceneError, match="none of the 1 scenes can be used"):
        make(regions, scenes / "other.tif", "none")


def test_a_damaged_scene_is_named_and_the_region_made_of_the_others(make, quarters, scenes, tmp_path):
    path = scenes / "a.tif"
    damaged = bytearray(path.read_bytes())
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_0_5", "TIFF", bidx=1))
    del damaged[start + 10 :]
    path.write_bytes(damaged)
    outcomes = make(quarters, scenes).set_index("name")
    assert "a.tif" in outcomes.loc["north west", "left_out"]
    assert outcomes.loc["north east", "state"] == "done"
    item = json.loads((tmp_path / "atlas" / outcomes.loc["south west", "item"]).read_text())
    assert list(item["properties"]["geoseg:left_out"]) == [str(path)]
    strict = make(quarters, scenes, "strict", strict=True, retries=0).set_index("name")
    assert strict.loc["north west", "state"] == "failed"
    assert "a.tif: cannot read" in strict.loc["north west", "why"]
    # What failed is tried again by the same call, and not the rest.
    again = make(quarters, scenes, "strict", strict=True, retries=1).set_index("name")
    assert again.loc["north west", "attempts"] == 2
    first = make(quarters, scenes, "fast", strict=True, retries=0, fail_fast=True)
    assert (first["state"] == "waiting").any()
    assert (first["state"] == "failed").sum() == 1


def test_masked_pixels_and_clouds_count_only_where_nothing_else_is(make, scenes, tmp_path):
    region = rectangles(tmp_path / "region.gpkg", {"all": (0, 170, 100, 40)})
    with rasterio.open(scenes / "b.tif") as source:
        values, profile = source.read(), source.profile
    mask = np.full((1, *source.shape), 4, np.uint8)
    mask[:, :50] = 9
    masked = scenes / "masked.tif"
    with rasterio.open(masked, "w", **profile | {"count": 3, "nodata": None}) as target:
        target.write(np.concatenate([values, mask]))
    outcomes = make(region, masked, mask_band="3", mask_values=(9,))
    _, count = pixels(tmp_path / "atlas", outcomes)
    assert (count[50:100, 170:210] == 1).all()
    assert not count[:50].any()
    named = make(region, masked, "named", bands=("1", "2"), mask_band="3", mask_values=(9,))
    assert (pixels(tmp_path / "named", named)[1] == count).all()
    alone, _ = pixels(tmp_path / "alone", make(region, scenes / "a.tif", "alone"))
    cloudy = make(region, [scenes / "a.tif", scenes / "b.tif"], "clouds", cloud_classes=["class 1", "class 2"])
    clear, _ = pixels(tmp_path / "clouds", cloudy)
    assert ((clear == 3) >= (alone == 3)).mean() > 0.9
    first = {"mosaic": "first", "cloud_classes": ["class 1", "class 2"], "polygons": False}
    kept, _ = pixels(tmp_path / "first", make(region, [scenes / "a.tif", scenes / "b.tif"], "first", **first))
    other, _ = pixels(tmp_path / "other", make(region, scenes / "b.tif", "other", polygons=False))
    assert ((kept == 3) == ((alone == 3) | (other == 3))).mean() > 0.99


def test_scenes_in_other_units_are_told_of_once(model_file, scenes, tmp_path, caplog):
    def told(paths):
        caplog.clear()
        candidates = find_candidates(paths, assets=None, regions=None)
        open_scenes(candidates, read_spec(model_file), "the model", bands=None, mask=None, near=None)
        return [text for text in caplog.messages if "other units" in text]

    assert not told(scenes)
    for name in "ab":
        with rasterio.open(scenes / f"{name}.tif") as source:
            values, profile = source.read().astype(np.uint16) * 100, source.profile
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile | {"dtype": "uint16"}) as target:
            target.write(values)
    (text,) = told([tmp_path / "a.tif", tmp_path / "b.tif", scenes / "c.tif"])
    assert text.startswith(f"{tmp_path / 'a.tif'}: the values of band band_1 are about")
    assert text.endswith("So are 1 more of the first 3 scenes.")


def test_a_grid_covers_all_that_the_scenes_do(first, make, scenes, tmp_path):
    outcomes = make(None, scenes, "grid", grid="1km", polygons=False)
    assert (pixels(tmp_path / "grid", outcomes)[0] == pixels(*first)[0]).all()
    assert outcomes["name"].is_unique
    with pytest.raises(OptionError, match="is in metres"):
        make(None, scenes, "grid", grid="1deg")


def test_what_it_would_take_is_told_and_nothing_made(make, quarters, scenes, tmp_path):
    told = make(quarters, scenes, dry_run=True)
    assert (told.regions, told.no_scene, told.scenes) == (4, 0, 3)
    assert told.megapixels == pytest.approx(260 * 400 / 1e6, rel=1e-3)
    assert told.predicted > told.megapixels
    assert told.hours > 0
    assert "4 regions from 3 scenes" in str(told)
    assert not (tmp_path / "atlas").exists()


def test_bad_input_is_refused_in_a_sentence(make, quarters, scenes, model_file, tmp_path):
    with pytest.raises(OptionError, match="there are no regions"):
        make(None, scenes)
    with pytest.raises(RegionError, match="the file is empty"):
        (tmp_path / "empty.gpkg").touch()
        make(tmp_path / "empty.gpkg", scenes)
    with pytest.raises(OptionError, match="did you mean"):
        make(quarters, scenes, mosaic="meen")
    with pytest.raises(OptionError, match="no class 'cloud'"):
        make(quarters, scenes, cloud_classes=["cloud"])
    with pytest.raises(OptionError, match="go together"):
        make(quarters, scenes, mask_band="scl")
    with pytest.raises(ClusterError, match=r"offers GPU=1"):
        make(quarters, scenes, resources={"GPU": 1})
    with pytest.raises(OptionError, match="mean of the whole scene"):
        make(quarters, scenes, global_context="scene")
    with pytest.raises(ClusterError, match="no dask scheduler answers"):
        geoseg.map(quarters, scenes, model_file, tmp_path / "nobody", scheduler="tcp://127.0.0.1:9", **SMALL)
