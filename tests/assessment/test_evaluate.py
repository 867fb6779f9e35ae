import csv
import html
import html.parser
import json
import tracemalloc
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
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject, transform_bounds

from geoseg.assessment.compare import compare, pixel_areas
from geoseg.assessment.evaluate import Pair, evaluate, evaluate_pairs
from geoseg.class_raster import LEGEND_TAG, open_class_raster
from geoseg.cli.evaluate import command
from geoseg.confusion import Accuracy, confusion
from geoseg.errors import LabelError, MapError, OptionError, OutputExistsError, SceneError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.legend import Legend

LEGEND = Legend.from_names([(1, "forest"), (2, "<script>alert(1)</script>"), (5, "=water"), (9, "never seen")])
UTM = CRS.from_epsg(32633)
PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


Ids = npt.NDArray[Any]
Files = tuple[Path, Path, Ids, Ids]


def write(
    path: Path,
    ids: Ids,
    *,
    crs: CRS | None = UTM,
    transform: Affine = PLACE,
    legend: Legend | None = LEGEND,
    **tags: str,
) -> Path:
    profile = {
        "driver": "GTiff",
        "height": ids.shape[0],
        "width": ids.shape[1],
        "count": 1,
        "dtype": "uint8",
        "nodata": 0,
    }
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as dataset:
        dataset.write(ids.astype(np.uint8), 1)
        if legend is not None:
            tags[LEGEND_TAG] = json.dumps(legend.to_dict())
        dataset.update_tags(**tags)
    return path


def ids_of(rows: int, cols: int) -> Ids:
    """Blocks of three classes."""
    row, col = np.mgrid[:rows, :cols]
    return np.asarray(np.array([1, 2, 5])[(row // 16 + col // 16) % 3])


@pytest.fixture
def pair(tmp_path: Path) -> Files:
    truth = ids_of(80, 120)
    mapped = truth.copy()
    mapped[10:30, 20:60] = 1
    mapped[:, :3] = 0  # nodata
    truth[70:] = 0  # unlabelled
    tags: dict[str, Any] = {
        "GEOSEG_COMMAND": "geoseg predict <b>",
        "GEOSEG_OPTIONS": json.dumps({"window": 512, "tta": False}),
    }
    return write(tmp_path / "map.tif", mapped, **tags), write(tmp_path / "truth.tif", truth, legend=None), mapped, truth


def test_scores_equal_those_of_the_whole_arrays(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, mapped, truth = pair
    result = evaluate(map_path, truth_path)
    matrix = confusion(LEGEND.encode(np.where(truth, truth, 777)), LEGEND.encode(np.where(mapped, mapped, 777)), 4)
    expected = Accuracy(matrix)
    assert result.overall_accuracy == expected.overall
    assert result.mean_iou == expected.mean_iou
    found = result.maps[0]
    assert found.scores.pixels == matrix.sum() == 70 * 117
    assert found.unlabelled == 10 * 117
    assert found.unmapped == 70 * 3
    assert [item.iou for item in found.scores.classes] == [*expected.iou[:3], None]
    weakest = min(found.scores.classes[:3], key=lambda item: item.iou)
    assert weakest.name == LEGEND.names[int(np.nanargmin(expected.iou))]
    assert [item.pixels for item in found.areas] == [int((mapped == id_).sum()) for id_ in LEGEND.ids]
    assert found.scores.classes[3].missing
    assert any("never seen: absent" in note for note in found.notes)
    text = str(result)
    assert "overall accuracy" in text
    assert len({len(line) for line in text.splitlines()[:5]}) == 1


def test_report_is_complete_and_needs_nothing_else(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    out = tmp_path / "report"
    evaluate(map_path, truth_path, out)
    names = {path.name for path in out.iterdir()}
    figures = ("confusion", "scores", "map_and_reference", "worst_places")
    assert {"report.html", "metrics.json", "confusion.csv"} <= names
    assert {f"{name}.{kind}" for name in figures for kind in ("png", "svg")} <= names
    text = (out / "report.html").read_text(encoding="utf-8")
    head, body = text[: text.index("<body>")], text[text.index("<body>") :]
    assert "default-src 'none'" in html.unescape(head)
    words = body[: body.index("</main>")]
    assert "<script>" not in words  # the library's own comes after, and the policy names it
    assert "&lt;script&gt;alert(1)" in words
    assert "geoseg predict &lt;b&gt;" in words
    assert "options: window" in words
    assert "never seen: absent from both" in words
    sources = _sources(text)
    assert all(source and source.startswith(("data:", "#")) for source in sources)
    # Figures, and for each of the places map, reference and errors.
    pictures = [source for source in sources if source and source.startswith("data:image/png;base64,")]
    assert len(pictures) == 3 + 3 * words.count('class="spot"')


def _sources(text: str) -> list[str | None]:
    found: list[str | None] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attributes if name in ("src", "href"))

    Parser().feed(text)
    return found


def test_numbers_can_be_read_by_other_programs(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    result = evaluate(map_path, truth_path, tmp_path / "report")
    metrics = json.loads((tmp_path / "report/metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["maps"][0]["scores"]["overall_accuracy"] == result.overall_accuracy
    assert metrics["maps"][0]["scores"]["classes"][3]["iou"] is None
    assert metrics["maps"][0]["scores"]["pixels"] == result.scores.pixels
    assert metrics["map_tags"]["command"] == "geoseg predict <b>"
    with (tmp_path / "report/confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][3] == rows[3][0] == "'=water"
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == metrics["maps"][0]["scores"]["confusion"]


def test_areas_are_those_on_the_ground(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, mapped, _ = pair
    result = evaluate(map_path, truth_path)
    # On the central meridian UTM shrinks lengths by 0.9996.
    assert result.maps[0].areas[0].hectares == pytest.approx((mapped == 1).sum() * 0.01 / 0.9996**2, rel=1e-4)


@pytest.mark.parametrize("latitude", [0, 45, 80])
def test_pixel_areas_in_degrees_agree_with_the_geodesic_area(latitude: float) -> None:
    from pyproj import Geod

    grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 179.995, 0, -0.01, latitude + 0.01), 1, 1)
    box = shapely.box(10.0, latitude, 10.01, latitude + 0.01)
    assert pixel_areas(grid)[0] == pytest.approx(abs(Geod(ellps="WGS84").geometry_area_perimeter(box)[0]), rel=1e-5)


def test_web_mercator_does_not_inflate_areas() -> None:
    grid = Grid(CRS.from_epsg(3857), Affine(30, 0, 0, 0, -30, 8_400_000), 3, 3)  # 60 degrees north
    np.testing.assert_allclose(pixel_areas(grid), 900 / 4, rtol=0.02)


def test_reference_in_another_crs(pair: Files, tmp_path: Path) -> None:
    map_path, _, mapped, _ = pair
    truth = ids_of(80, 120)
    target = CRS.from_epsg(3035)
    left, bottom, right, top = transform_bounds(UTM, target, *Grid(UTM, PLACE, 80, 120).bounds)
    transform, width, height = Affine(2.5, 0, left, 0, -2.5, top), int((right - left) / 2.5), int((top - bottom) / 2.5)
    moved = np.zeros((height, width), np.uint8)
    reproject(
        truth.astype(np.uint8),
        moved,
        src_transform=PLACE,
        src_crs=UTM,
        dst_transform=transform,
        dst_crs=target,
        resampling=Resampling.nearest,
        src_nodata=0,
        dst_nodata=0,
    )
    other = write(tmp_path / "other.tif", moved, crs=target, transform=transform, legend=None)
    result = evaluate(map_path, other)
    expected = (mapped == truth)[mapped > 0].mean()
    assert result.scores.pixels > 0.97 * (mapped > 0).sum()
    assert result.overall_accuracy == pytest.approx(expected, abs=0.02)


def test_polygons_and_regions(pair: Files, tmp_path: Path) -> None:
    map_path, _, mapped, _ = pair
    box = shapely.box(500_100, 4_999_500, 500_600, 4_999_900)  # columns 10 to 60, rows 10 to 50
    frame = gpd.GeoDataFrame({"land": ["forest"]}, geometry=[box], crs=UTM.to_wkt())
    frame.to_crs(4326).to_file(tmp_path / "truth.gpkg")
    result = evaluate(map_path, tmp_path / "truth.gpkg", class_field="land")
    assert result.scores.pixels == 40 * 50
    assert result.overall_accuracy == pytest.approx((mapped[10:50, 10:60] == 1).mean(), abs=1e-9)

    half = gpd.GeoDataFrame(geometry=[shapely.box(500_000, 4_999_200, 500_300, 5_000_000)], crs=UTM.to_wkt())
    half.to_file(tmp_path / "half.gpkg")
    for regions in (half.to_crs(4326), tmp_path / "half.gpkg"):
        inside = evaluate(map_path, tmp_path / "truth.gpkg", class_field="land", regions=regions)
        assert inside.scores.pixels == 40 * 20
        assert inside.overall_accuracy == pytest.approx((mapped[10:50, 10:30] == 1).mean(), abs=1e-9)


def test_no_overlap_is_one_sentence_that_names_both(pair: Files, tmp_path: Path) -> None:
    map_path, *_ = pair
    far = write(tmp_path / "far.tif", ids_of(8, 8), transform=PLACE @ Affine.translation(1000, 1000), legend=None)
    with pytest.raises(LabelError, match=r"far\.tif.*map\.tif"):
        evaluate(map_path, far, tmp_path / "report")
    away = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=UTM.to_wkt())
    with pytest.raises(LabelError, match=r"regions.*map\.tif"):
        evaluate(map_path, map_path, tmp_path / "report", regions=away)
    bare = away.set_crs(None, allow_override=True)
    with pytest.raises(LabelError, match="CRS"):
        evaluate(map_path, map_path, tmp_path / "report", regions=bare)
    assert not (tmp_path / "report").exists()
    assert not list(tmp_path.glob(".*"))


def test_existing_output_is_left_alone(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    out = tmp_path / "report"
    evaluate(map_path, truth_path, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputExistsError, match="report exists already"):
        evaluate(map_path, truth_path, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not list(tmp_path.glob(".*"))
    evaluate(map_path, truth_path, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before  # the same inputs give the same report


def test_scene_baseline_and_curves_are_shown(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    values = np.random.default_rng(0).random((4, 40, 60)).astype(np.float32)
    values[:, :5] = -1
    profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 4, "dtype": "float32", "nodata": -1, "crs": UTM}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, transform=PLACE @ Affine.scale(2)) as dataset:
        dataset.write(values)
        dataset.descriptions = ("B1_blue", "B2_green", "B3_red", "B4_nir")
    (tmp_path / "metrics.csv").write_text("epoch,train_loss,val_miou\n0,1,0.1\n1,0.5,0.3\n")
    rival = Accuracy(np.diag([5, 4, 3, 0]))
    result = evaluate(
        map_path, truth_path, tmp_path / "report",
        scene=tmp_path / "scene.tif", baseline={"per pixel": rival}, curves=tmp_path / "metrics.csv",
    )  # fmt: skip
    assert result.baseline[0].scores.overall_accuracy == 1
    assert [one.iou for one in result.baseline[0].scores.classes] == [1, 1, 1, None]
    assert "IoU per pixel" in str(result)
    told = (tmp_path / "report/report.html").read_text()
    assert "Training curves" in told
    assert "IoU,<br>per pixel" in told
    assert '"kind": "picture"' in told
    with pytest.raises(OptionError, match="2 classes"):
        evaluate(map_path, truth_path, tmp_path / "other", baseline={"short": Accuracy(np.eye(2, dtype=np.int64))})


def test_several_maps_are_counted_together(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, mapped, truth = pair
    other = write(tmp_path / "other.tif", np.flipud(mapped), transform=PLACE @ Affine.translation(0, 80))
    truth_2 = write(
        tmp_path / "truth_2.tif", np.roll(truth, 3, 1), transform=PLACE @ Affine.translation(0, 80), legend=None
    )
    result = evaluate_pairs([Pair(map_path, truth_path), Pair(other, truth_2)], tmp_path / "report")
    single = [evaluate(*files, tmp_path / files[0].stem) for files in ((map_path, truth_path), (other, truth_2))]
    assert result.scores.pixels == sum(one.scores.pixels for one in single)
    correct = sum(one.overall_accuracy * one.scores.pixels for one in single)
    assert result.overall_accuracy == pytest.approx(correct / result.scores.pixels)
    assert (tmp_path / "report/map_and_reference_2.png").is_file()
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert [one["scores"]["pixels"] for one in metrics["maps"][0]["scenes"]] == [one.scores.pixels for one in single]
    assert "Accuracy of 2 maps" in (tmp_path / "report/report.html").read_text()
    strange = write(tmp_path / "strange.tif", mapped, legend=Legend.from_names([(1, "a"), (2, "b"), (5, "c")]))
    with pytest.raises(MapError, match=r"strange\.tif"):
        evaluate_pairs([Pair(map_path, truth_path), Pair(strange, truth_path)], tmp_path / "none")
    with pytest.raises(OptionError, match="no map"):
        evaluate_pairs([], tmp_path / "none")


def test_scene_elsewhere_is_refused(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    far = write(tmp_path / "far.tif", ids_of(8, 8), transform=PLACE @ Affine.translation(1000, 1000), legend=None)
    with pytest.raises(SceneError, match=r"far\.tif"):
        evaluate(map_path, truth_path, tmp_path / "report", scene=far)


def test_map_without_crs(tmp_path: Path) -> None:
    ids = ids_of(20, 30)
    path = write(tmp_path / "map.tif", ids, crs=None)
    result = evaluate(path, path, scene=path)
    assert result.overall_accuracy == 1
    assert result.maps[0].areas[0].hectares is None


def test_memory_does_not_grow_with_the_map(tmp_path: Path) -> None:
    peaks = []
    for rows in (1500, 6000):
        path = write(tmp_path / f"{rows}.tif", ids_of(rows, 200))
        mapped = open_class_raster(path)
        labels = open_labels(path, legend=mapped.legend)
        tracemalloc.start()
        compare(mapped, labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_command(pair: Files, tmp_path: Path) -> None:
    map_path, truth_path, *_ = pair
    arguments = [str(map_path), str(truth_path), "--json", "-q"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout, parse_constant=pytest.fail)
    assert told["maps"][0]["scores"]["classes"][3]["iou"] is None
    (tmp_path / "report").mkdir()
    again = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "report")])
    assert again.exit_code == 1
    assert again.stderr.startswith("Error: ")
    assert "\n  geoseg evaluate map.tif" in CliRunner().invoke(command, ["--help"]).output


def test_the_smallest_polygon_on_the_ground_is_that_of_each_scene(tmp_path: Path) -> None:
    ids = np.full((60, 60), LEGEND.ids[0])
    ids[20:30, 20:30] = LEGEND.ids[1]
    coarse = write(tmp_path / "coarse.tif", ids, transform=Affine(10, 0, 500_000, 0, -10, 5_000_000))
    fine = write(tmp_path / "fine.tif", ids, transform=Affine(1, 0, 500_000, 0, -1, 5_000_000))
    for maps in ([coarse, fine], [fine, coarse]):
        found = evaluate(maps, coarse, together=True, polygons="0.5ha", boundary=None).maps[0].polygons
        assert found is not None
        assert (found.total.mapped, found.total.matched) == (1, 1)
