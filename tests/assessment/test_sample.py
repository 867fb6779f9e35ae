"""Drawing samples, labelling them, and what they say."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import geoseg
from geoseg.assessment import compare
from geoseg.assessment.results import plain
from geoseg.assessment.sample import SampleResult
from geoseg.assessment.samples import REFERENCE, map_at
from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.cli.sample import command
from geoseg.errors import LabelError, OptionError, OutputExistsError
from geoseg.legend import Legend
from geoseg.vector import read_vector

LEGEND = Legend.from_names([(2, "forest"), (3, '<water> & "co"'), (9, "town")])
PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def write(path: Path, ids: npt.NDArray[Any], legend: Legend | None = LEGEND) -> Path:
    profile = {"driver": "GTiff", "height": ids.shape[0], "width": ids.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, nodata=0, crs="EPSG:32633", transform=PLACE) as dataset:
        dataset.write(ids.astype(np.uint8), 1)
        if legend is not None:
            dataset.update_tags(**{LEGEND_TAG: json.dumps(legend.to_dict())})
    return path


@pytest.fixture
def ids() -> npt.NDArray[Any]:
    """Three classes, one of them rare, and ground without a class."""
    values = np.full((120, 150), 2)
    values[:, 90:] = 3
    values[100:110, 20:50] = 9
    values[:20, :20] = 0
    return values


@pytest.fixture
def mapped(tmp_path: Path, ids: npt.NDArray[Any]) -> Path:
    return write(tmp_path / "map.tif", ids)


def moved(ids: npt.NDArray[Any], by: int) -> npt.NDArray[Any]:
    """A truth with a class everywhere, of which the map is `by` pixels off."""
    rolled = np.roll(ids, by, axis=1)
    return np.where(rolled == 0, 2, rolled)


def label(path: Path, truth: npt.NDArray[Any], done: slice = slice(None)) -> Path:
    """Fill in the classes of a truth, as a person would in QGIS: in place, in SQL."""
    frame = read_vector(path)
    rows = ((5_000_000 - frame.geometry.y) // 10).astype(int)
    cols = ((frame.geometry.x - 500_000) // 10).astype(int)
    pairs = list(zip(truth[rows, cols].tolist(), frame["sample_id"].tolist(), strict=True))[done]
    with closing(sqlite3.connect(path)) as database, database:
        # The layer's triggers need functions of GDAL; the geometry is not touched.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        table = database.execute("SELECT table_name FROM gpkg_geometry_columns").fetchone()[0]
        database.executemany(f'UPDATE "{table}" SET {REFERENCE} = ? WHERE sample_id = ?', pairs)  # noqa: S608
    return path


def test_points_lie_in_the_middle_of_pixels_of_their_strata(
    mapped: Path, ids: npt.NDArray[Any], tmp_path: Path
) -> None:
    result = geoseg.sample(mapped, tmp_path / "points.gpkg", size=300, least=40)
    frame = read_vector(tmp_path / "points.gpkg")
    assert len(frame) == result.samples == sum(one.samples for one in result.strata) == 300
    assert [one.pixels for one in result.strata] == [int((ids == id_).sum()) for id_ in LEGEND.ids]
    assert result.strata[2].samples == 40
    np.testing.assert_array_equal((frame.geometry.x - 500_000) % 10, 5)
    found = map_at(open_class_raster(mapped), frame.geometry.to_numpy())
    np.testing.assert_array_equal(np.array(LEGEND.ids)[found], frame["stratum_id"])
    assert not frame.geometry.duplicated().any()
    assert frame[REFERENCE].isna().all()
    assert frame["sample_id"].tolist() == list(range(1, 301))
    assert np.corrcoef(frame["sample_id"], frame["stratum_id"])[0, 1] < 0.3  # the order does not give the class away
    assert "<water>" in str(result)


def test_seeds_and_windows(mapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(name: str, seed: int) -> Any:
        geoseg.sample(mapped, tmp_path / name, size=100, seed=seed)
        return read_vector(tmp_path / name)

    first, again, other = drawn("a.gpkg", 1), drawn("b.gpkg", 1), drawn("c.gpkg", 2)
    assert first.equals(again)
    assert not first.geometry.equals(other.geometry)
    monkeypatch.setattr(compare, "ROWS", 17)
    monkeypatch.setattr(compare, "COLS", 31)
    windowed = drawn("d.gpkg", 1)
    assert windowed["stratum_id"].value_counts().equals(first["stratum_id"].value_counts())


def test_every_pixel_of_a_stratum_can_be_drawn(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    hits = np.zeros(300, int)
    for seed in range(12):
        geoseg.sample(mapped, tmp_path / f"{seed}.gpkg", size=450, least=150, seed=seed)
        frame = read_vector(tmp_path / f"{seed}.gpkg")
        town = frame[frame["stratum_id"] == 9].geometry
        hits += np.bincount(
            ((5_000_000 - town.y) // 10 - 100).astype(int) * 30 + ((town.x - 500_000) // 10 - 20).astype(int),
            minlength=300,
        )
    assert hits.sum() == 12 * 150
    # Each of 300 pixels is drawn with probability 1/2 in each of 12 drawings: 6 times, binomially.
    assert hits.max() <= 12
    assert (hits == 0).sum() < 3
    assert hits[:150].sum() == pytest.approx(900, abs=90)


@pytest.mark.parametrize("size", [-3, 0])
def test_a_stratum_of_no_pixels_is_refused(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path, size: int) -> None:
    geoseg.sample(mapped, tmp_path / "points.gpkg", size=60)
    frame = read_vector(label(tmp_path / "points.gpkg", ids))
    frame.assign(stratum_pixels=size).to_file(tmp_path / "changed.gpkg")
    with pytest.raises(LabelError, match=rf"changed\.gpkg: a point has a 'stratum_pixels' of {size}, and a stratum"):
        geoseg.evaluate(mapped, None, samples=tmp_path / "changed.gpkg")


def test_qgis_gets_a_list_of_names_and_no_hint(mapped: Path, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    geoseg.sample(mapped, tmp_path / "points.gpkg", size=60)
    with closing(sqlite3.connect(tmp_path / "points.gpkg")) as database:
        [(style, default)] = database.execute("SELECT styleQML, useAsDefault FROM layer_styles").fetchall()
    assert default == 1
    root = ElementTree.fromstring(style)  # noqa: S314 - our own
    fields = {field.get("name"): field.find("editWidget") for field in root.iter("field")}
    widget = fields[REFERENCE]
    assert widget is not None
    assert widget.get("type") == "ValueMap"
    entries = [(one.get("name"), one.get("value")) for one in widget.iter("Option") if one.get("type") == "QString"]
    assert entries[1:] == [(item.name, str(item.id)) for item in LEGEND]
    hidden = [name for name, one in fields.items() if one is not None and one.get("type") == "Hidden"]
    assert hidden == ["stratum_id", "stratum", "stratum_pixels"]


def test_estimates_are_those_of_olofsson_where_strata_are_the_classes(
    mapped: Path, ids: npt.NDArray[Any], tmp_path: Path
) -> None:
    truth = moved(ids, 5)
    geoseg.sample(mapped, tmp_path / "points.gpkg", size=400)
    label(tmp_path / "points.gpkg", truth)
    result = geoseg.evaluate(mapped, None, samples=tmp_path / "points.gpkg")
    found = result.maps[0].estimate
    assert found is not None
    assert found.method == "Olofsson et al. 2014"
    on_ground = ids > 0
    assert found.overall.value == pytest.approx((truth == ids)[on_ground].mean(), abs=0.05)
    hectares = [one.hectares for one in found.classes]
    assert hectares[0] is not None
    total = sum(one.value or 0 for one in hectares if one is not None)
    assert total == pytest.approx(sum(one.hectares or 0 for one in result.maps[0].areas), rel=1e-9)
    assert hectares[0].value is not None
    assert hectares[0].half_width is not None
    assert abs(hectares[0].value - (truth == 2)[on_ground].sum() * 0.01) < 3 * hectares[0].half_width
    assert sum(one.samples for one in found.strata) == found.samples == sum(map(sum, found.counts))
    text = str(result)
    assert "Olofsson et al. 2014" in text
    assert "boundary F1" not in text  # of single pixels there are no borders
    metrics = json.loads(json.dumps(plain(result)), parse_constant=pytest.fail)
    assert metrics["maps"][0]["estimate"]["overall"]["half_width"] == pytest.approx(found.overall.half_width)


def test_strata_of_another_raster_are_those_of_stehman(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    halves = np.ones_like(ids)
    halves[60:] = 4
    strata = write(tmp_path / "strata.tif", halves, None)
    result = geoseg.sample(mapped, tmp_path / "points.gpkg", strata=strata, size=200)
    assert [one.pixels for one in result.strata] == [int(((ids > 0) & (halves == id_)).sum()) for id_ in (1, 4)]
    label(tmp_path / "points.gpkg", moved(ids, 2))
    found = geoseg.evaluate(mapped, None, samples=tmp_path / "points.gpkg", boundary=None)
    estimate = found.maps[0].estimate
    assert estimate is not None
    assert estimate.method == "Stehman 2014"
    assert [one.name for one in estimate.strata] == ["class 1", "class 4"]
    assert 0.8 < (estimate.overall.value or 0) <= 1


def test_samples_that_are_not_labelled_or_elsewhere(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    points = tmp_path / "points.gpkg"
    geoseg.sample(mapped, points, size=200)
    with pytest.raises(LabelError, match=r"points\.gpkg: none of its 200 points is labelled; fill in .*reference_id"):
        geoseg.evaluate(mapped, None, samples=points)
    label(points, ids, slice(0, 150))
    found = geoseg.evaluate(mapped, None, samples=points).maps[0].estimate
    assert found is not None
    assert (found.samples, found.unlabelled, found.outside) == (150, 50, 0)
    assert any("50 samples have no class yet" in note for note in found.notes)
    part = write(tmp_path / "part.tif", ids[:, 30:])  # another map: what lies where there is none of it is told
    with rasterio.open(part, "r+") as dataset:
        dataset.transform = PLACE @ Affine.translation(30, 0)
    found = geoseg.evaluate(part, None, samples=points).maps[0].estimate
    assert found is not None
    assert found.outside > 0
    assert any(f"{found.outside} samples lie outside" in note for note in found.notes)
    with rasterio.open(part, "r+") as dataset:
        dataset.transform = PLACE @ Affine.translation(5000, 0)
    with pytest.raises(LabelError, match=r"points\.gpkg.*part\.tif"):
        geoseg.evaluate(part, None, samples=points)


def test_strata_with_one_sample_or_none(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    points = tmp_path / "points.gpkg"
    geoseg.sample(mapped, points, size=100, least=10)
    label(points, ids)
    frame = read_vector(points)
    town = frame.index[frame["stratum_id"] == 9]
    frame.drop(town[1:]).to_file(tmp_path / "one.gpkg")
    found = geoseg.evaluate(mapped, None, samples=tmp_path / "one.gpkg").maps[0].estimate
    assert found is not None
    assert found.overall.value == 1
    assert found.overall.half_width is None
    assert any("Fewer than 2 samples in town" in note for note in found.notes)
    frame.drop(town).to_file(tmp_path / "none.gpkg")
    with pytest.raises(LabelError, match=r"none\.gpkg: no labelled sample lies in town"):
        geoseg.evaluate(mapped, None, samples=tmp_path / "none.gpkg")


def test_a_class_of_one_pixel_takes_no_interval_away(ids: npt.NDArray[Any], tmp_path: Path) -> None:
    ids[100:110, 20:50] = 2
    ids[105, 30] = 9
    points = tmp_path / "points.gpkg"
    geoseg.sample(write(tmp_path / "map.tif", ids), points, size=100, least=10)
    label(points, moved(ids, 5))
    found = geoseg.evaluate(tmp_path / "map.tif", None, samples=points).maps[0].estimate
    assert found is not None
    assert found.overall.half_width is not None
    assert not any("Fewer than 2" in note for note in found.notes)


def test_points_of_ones_own_with_names(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    geoseg.sample(mapped, tmp_path / "points.gpkg", size=90)
    label(tmp_path / "points.gpkg", ids)
    frame = read_vector(tmp_path / "points.gpkg")
    names = frame[REFERENCE].map({item.id: item.name for item in LEGEND})
    names[0] = "glacier"
    own = gpd.GeoDataFrame({"seen": names}, geometry=frame.geometry).to_crs(4326)
    own.to_file(tmp_path / "own.gpkg")
    found = geoseg.evaluate(mapped, None, samples=tmp_path / "own.gpkg", class_field="seen")
    estimate = found.maps[0].estimate
    assert estimate is not None
    assert (estimate.samples, estimate.overall.value) == (89, 1)
    assert any("glacier" in note for note in estimate.notes)
    assert any("does not say how its points were drawn" in note for note in estimate.notes)


def test_settings_that_cannot_be(mapped: Path, tmp_path: Path) -> None:
    for wrong, message in (
        ({"size": 4}, "4 samples are too few for 3 strata"),
        ({"accuracy": {"sea": 0.5}}, "no stratum 'sea'"),
        ({"accuracy": 1.0}, "between 0 and 1"),
        ({"standard_error": 1e-6}, "more than people can label"),
        ({"least": 1}, "needs 2 or more"),
    ):
        with pytest.raises(OptionError, match=message):
            geoseg.sample(mapped, tmp_path / "points.gpkg", **wrong)
    with pytest.raises(OptionError, match=r"name it \.gpkg"):
        geoseg.sample(mapped, tmp_path / "points.shp")
    with pytest.raises(OptionError, match="leave one of them out"):
        geoseg.evaluate(mapped, None, samples=tmp_path / "p.gpkg", regions=tmp_path / "b.gpkg")
    assert not list(tmp_path.glob("*.gpkg"))
    geoseg.sample(mapped, tmp_path / "points.gpkg", size=50)
    with pytest.raises(OutputExistsError):
        geoseg.sample(mapped, tmp_path / "points.gpkg", size=50)


def test_command(mapped: Path, tmp_path: Path) -> None:
    out = tmp_path / "points.gpkg"
    arguments = [str(mapped), "-o", str(out), "--standard-error", "0.05", "--accuracy", "forest=0.9,town=0.6", "-q"]
    done = CliRunner().invoke(command, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["samples"] == len(read_vector(out))
    assert CliRunner().invoke(command, [*arguments, "--accuracy", "good"]).exit_code == 2
    assert isinstance(geoseg.sample(mapped, tmp_path / "b.gpkg", size=9), SampleResult)


def test_a_point_that_is_there_twice_is_refused(mapped: Path, ids: npt.NDArray[Any], tmp_path: Path) -> None:
    points, twice = tmp_path / "points.gpkg", tmp_path / "twice.gpkg"
    geoseg.sample(mapped, points, size=100)
    label(points, ids)
    frame = read_vector(points)
    pd.concat([frame, frame[:3]]).to_file(twice)
    with pytest.raises(LabelError, match=r"twice\.gpkg: 6 of 103 labelled points share their place .*keep one"):
        geoseg.evaluate(mapped, None, samples=twice)


def test_numbers_of_two_draws_are_told(
    mapped: Path, ids: npt.NDArray[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = tmp_path / "points.gpkg"
    geoseg.sample(mapped, points, size=100)
    label(points, ids)
    frame = read_vector(points)
    frame["sample_id"] = [*range(1, 51), *range(1, 51)]
    frame.to_file(tmp_path / "two.gpkg")
    geoseg.evaluate(mapped, None, samples=tmp_path / "two.gpkg", boundary=None)
    assert "50 numbers in 'sample_id' occur again" in caplog.text
