"""What evaluation finds beside the confusion matrix of one map."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner

import geoseg
from geoseg.assessment import compare
from geoseg.assessment.results import plain
from geoseg.class_raster import LEGEND_TAG
from geoseg.cli.evaluate import command
from geoseg.confusion import Accuracy, confusion
from geoseg.errors import LabelError, MapError, OptionError
from geoseg.legend import Legend

LEGEND = Legend.from_names([(1, "forest"), (2, "water"), (5, "town")])
PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
Ids = npt.NDArray[Any]


def write(path: Path, ids: Ids, legend: Legend | None = LEGEND, transform: Affine = PLACE) -> Path:
    profile = {"driver": "GTiff", "height": ids.shape[0], "width": ids.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, nodata=0, crs="EPSG:32633", transform=transform) as dataset:
        dataset.write(ids.astype(np.uint8), 1)
        if legend is not None:
            dataset.update_tags(**{LEGEND_TAG: json.dumps(legend.to_dict())})
    return path


def truth_of(rows: int = 90, cols: int = 120) -> Ids:
    row, col = np.mgrid[:rows, :cols]
    return np.asarray(np.array([1, 2, 5])[(row // 15 + col // 20) % 3])


def worse(truth: Ids, seed: int, share: float) -> Ids:
    """Errors in blocks of 4 pixels."""
    rng = np.random.default_rng(seed)
    rows, cols = truth.shape
    blocks = np.kron(rng.random((rows // 4 + 1, cols // 4 + 1)) < share, np.ones((4, 4), bool))[:rows, :cols]
    return np.where(blocks, np.roll(truth, 20, axis=1), truth)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A good map, a worse one and their truth."""
    truth = truth_of()
    return (
        write(tmp_path / "good.tif", worse(truth, 1, 0.05)),
        write(tmp_path / "poor.tif", worse(truth, 2, 0.35)),
        write(tmp_path / "truth.tif", truth, None),
    )


def test_maps_side_by_side_are_tested_against_each_other(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, poor, truth = files
    result = geoseg.evaluate([good, poor], truth)
    alone = geoseg.evaluate(poor, truth)
    assert [one.name for one in result.maps] == ["good.tif", "poor.tif"]
    assert result.maps[1].scores == alone.maps[0].scores
    [pair] = result.comparisons
    assert (pair.first, pair.second) == ("good.tif", "poor.tif")
    assert pair.p_value is not None
    assert pair.p_value < 0.001
    assert pair.only_first > pair.only_second
    assert 1 < pair.spacing <= 8
    text = str(result)
    assert "IoU poor.tif" in text
    assert "McNemar" in text
    metrics = json.loads(json.dumps(plain(result)), parse_constant=pytest.fail)
    assert metrics["comparisons"][0]["p_value"] == pair.p_value
    assert metrics["output"] is None


def test_a_second_map_of_another_grid_and_legend(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, _, truth = files
    other = Legend.from_names([(1, "Town"), (2, "ice"), (3, "forest"), (4, "Water")])
    ids = np.array([0, 3, 4, 0, 0, 1])[truth_of()]
    wide = write(tmp_path / "wide.tif", np.kron(ids, np.ones((2, 2), int)), other, PLACE @ Affine.scale(0.5))
    named = write(tmp_path / "named.tif", truth_of(), LEGEND)
    result = geoseg.evaluate([good, wide], named, spacing=1)
    assert result.maps[1].scores.overall_accuracy == 1
    assert result.maps[1].left_out == ("The map's legend has classes that named.tif lacks: ice.",)
    [pair] = result.comparisons
    assert pair.only_first == pair.both_wrong == 0
    assert pair.only_second == (worse(truth_of(), 1, 0.05) != truth_of()).sum()
    strange = write(tmp_path / "strange.tif", truth_of(), Legend.from_names([(1, "a"), (2, "b"), (5, "c")]))
    with pytest.raises(LabelError, match=r"named\.tif: holds .*forest.*which the map's legend \(a, b, c\)"):
        geoseg.evaluate(strange, named)
    with pytest.raises(MapError, match=r"strange\.tif: none of its classes"):
        geoseg.evaluate([good, strange], truth)


def test_regions_are_scored_one_by_one(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, poor, truth = files
    boxes = [shapely.box(500_000, 4_999_400, 500_400, 5_000_000), shapely.box(500_400, 4_999_400, 501_200, 4_999_700)]
    islands = [shapely.box(500_800, 4_999_800, 500_900, 4_999_900), shapely.box(9e5, 5e6, 9.1e5, 5.1e6)]
    frame = gpd.GeoDataFrame(
        {"district": ["west", "east", "east", "nowhere"]}, geometry=[*boxes, *islands], crs="EPSG:32633"
    )
    frame.to_crs(4326).to_file(tmp_path / "districts.gpkg")
    result = geoseg.evaluate(poor, truth, by=tmp_path / "districts.gpkg", by_field="district")
    found = {one.name: one.scores for one in result.maps[0].by_region}
    assert list(found) == ["west", "east", "nowhere"]
    assert found["nowhere"] is None
    parts = np.zeros((90, 120), int)
    parts[:60, :40], parts[30:60, 40:], parts[10:20, 80:90] = 1, 2, 2
    for number, name in ((1, "west"), (2, "east")):
        own = np.where(parts == number, truth_of(), 0)
        expected = Accuracy(confusion(LEGEND.encode(own), LEGEND.encode(worse(truth_of(), 2, 0.35)), 3))
        scores = found[name]
        assert scores is not None
        assert scores.pixels == (parts == number).sum()
        assert scores.mean_iou == pytest.approx(expected.mean_iou)
    assert "nowhere" in str(result)
    with pytest.raises(OptionError, match="no column 'county'"):
        geoseg.evaluate(poor, truth, by=tmp_path / "districts.gpkg", by_field="county")


def test_scenes_are_counted_together_and_one_by_one(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, poor, truth = files
    result = geoseg.evaluate([good, poor], truth, together=True)
    [found] = result.maps
    singles = [geoseg.evaluate(path, truth) for path in (good, poor)]
    assert [one.name for one in found.scenes] == ["good.tif", "poor.tif"]
    assert [one.scores for one in found.scenes] == [one.scores for one in singles]
    assert found.scores.pixels == sum(one.scores.pixels for one in singles)
    # The mean over scenes, as MATLAB's MeanBFScore.
    assert found.scores.boundary_f1 == pytest.approx(np.mean([one.scores.boundary_f1 for one in singles]))
    assert not result.comparisons


def test_windows_change_no_number(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, poor, truth = files
    chances = write(tmp_path / "chances.tif", np.random.default_rng(0).integers(1, 101, (90, 120)), None)
    with rasterio.open(chances, "r+") as dataset:
        dataset.scales = (0.01,)
    whole = geoseg.evaluate(
        [good, poor], truth, polygons="3px", confidence=[chances, chances], boundary="3px", spacing=5
    )
    monkeypatch.setattr(compare, "ROWS", 23)
    monkeypatch.setattr(compare, "COLS", 31)
    pieces = geoseg.evaluate(
        [good, poor], truth, polygons="3px", confidence=[chances, chances], boundary="3px", spacing=5
    )
    assert pieces.comparisons == whole.comparisons
    for one, other in zip(pieces.maps, whole.maps, strict=True):
        assert (one.scores, one.notes, one.boundary) == (other.scores, other.notes, other.boundary)
        assert [area.pixels for area in one.areas] == [area.pixels for area in other.areas]
        assert one.polygons is not None
        assert other.polygons is not None
        assert one.polygons.total.matched == other.polygons.total.matched
        assert one.polygons.total.panoptic_quality == pytest.approx(other.polygons.total.panoptic_quality)
        assert one.calibration is not None
        assert other.calibration is not None
        assert one.calibration.ece == pytest.approx(other.calibration.ece)


def test_tolerance_in_metres_and_smallest_polygon_on_the_ground(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, _, truth = files
    found = geoseg.evaluate(good, truth, boundary="25m", polygons="0.2ha").maps[0]
    assert found.boundary is not None
    assert (found.boundary.pixels, found.boundary.metres) == (2.5, 25)
    assert found.polygons is not None
    assert found.polygons.min_pixels == pytest.approx(20)
    none = geoseg.evaluate(good, truth, boundary=None).maps[0]
    assert none.boundary is none.polygons is none.scores.boundary_f1 is None


def test_one_class_only(tmp_path: Path) -> None:
    path = write(tmp_path / "one.tif", np.full((20, 20), 2))
    result = geoseg.evaluate(path, path)
    scores, notes = result.scores, "\n".join(result.maps[0].notes)
    assert scores.overall_accuracy == scores.mean_iou == 1
    assert scores.kappa is scores.mcc is scores.boundary_f1 is None
    assert "one and the same class only, so kappa and MCC do not exist" in notes
    assert "no boundary score" in notes
    assert "nothing is said of calibration" in notes
    assert "forest, town: absent from both" in notes


def test_a_reference_without_any_label(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, *_ = files
    empty = write(tmp_path / "empty.tif", np.zeros((90, 120)))
    with pytest.raises(LabelError, match=r"empty\.tif: labels no pixel of .*good\.tif"):
        geoseg.evaluate(good, empty)
    marsh = Legend.from_names([(1, "marsh"), (2, "water"), (3, "ice")])
    other = write(tmp_path / "marsh.tif", np.ones((90, 120)), marsh)
    with pytest.raises(LabelError, match=r"marsh\.tif: labels .*good\.tif only as classes that the map's legend does"):
        geoseg.evaluate(good, other)
    half = np.where(np.arange(120) < 60, truth_of(), 1)
    write(other, np.where(half == 5, 2, half), marsh)
    result = geoseg.evaluate(good, other)
    assert "left out: marsh, ice" in result.maps[0].left_out[0]
    strangers = int((half == 1).sum())
    assert any(
        note.startswith(f"{strangers:,} labelled pixels are of classes that the map's legend lacks")
        for note in result.maps[0].notes
    )
    assert result.maps[0].unlabelled == strangers
    assert result.maps[0].unmapped == 0


def test_settings_that_cannot_be(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, poor, truth = files
    with pytest.raises(OptionError, match="nothing to judge the map by"):
        geoseg.evaluate(good, None)
    with pytest.raises(OptionError, match="2 maps and 1 confidence rasters"):
        geoseg.evaluate([good, poor], truth, confidence=good)
    with pytest.raises(OptionError, match="no map to evaluate"):
        geoseg.evaluate([], truth)
    with pytest.raises(OptionError, match="smallest polygon of 'big'"):
        geoseg.evaluate(good, truth, polygons="big")


def test_command(files: tuple[Path, Path, Path]) -> None:
    good, poor, truth = map(str, files)
    out = ["-q"]
    done = CliRunner().invoke(
        command, [good, poor, truth, *out, "--boundary", "30m", "--polygons", "0", "--spacing", "4"]
    )
    assert done.exit_code == 0, done.output
    for text in ("IoU poor.tif", "McNemar", "borders may lie 3 pixels (30 m) apart", "PQ"):
        assert text in done.stdout
    told = json.loads(CliRunner().invoke(command, [good, truth, *out, "--boundary", "none", "--json"]).stdout)
    assert told["maps"][0]["boundary"] is None
    assert CliRunner().invoke(command, [good, *out]).exit_code == 2
    assert CliRunner().invoke(command, [good, "--reference", truth, *out]).exit_code == 0


def test_a_per_pixel_rival_is_trained_on_labels_of_its_own(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    good, _, truth = files
    rng = np.random.default_rng(0)
    levels = np.array([[0, 300, 900, 0, 0, 1500], [0, 900, 300, 0, 0, 600]])[:, truth_of()]
    bands = (levels + rng.normal(0, 60, levels.shape)).astype(np.float32)
    bands[:, :, 100:] = np.nan
    profile = {"driver": "GTiff", "height": 90, "width": 120, "count": 2, "dtype": "float32", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, transform=PLACE) as dataset:
        dataset.write(bands)
    training = np.where(np.arange(120) < 40, truth_of(), 0)
    labels = write(tmp_path / "training.tif", training)
    result = geoseg.evaluate(good, truth, scene=tmp_path / "scene.tif", baseline_labels=labels)
    [rival] = result.baseline
    assert rival.name == "per pixel"
    assert rival.scores.pixels == 90 * 100  # where the scene has data
    assert (rival.scores.overall_accuracy or 0) > 0.97
    assert "IoU per pixel" in str(result)
    with pytest.raises(OptionError, match="name it with --scene"):
        geoseg.evaluate(good, truth, baseline_labels=labels)
    far = write(tmp_path / "far.tif", training, transform=PLACE @ Affine.translation(5000, 0))
    with pytest.raises(LabelError, match=r"far\.tif: labels no pixel of .*scene\.tif"):
        geoseg.evaluate(good, truth, scene=tmp_path / "scene.tif", baseline_labels=far)
