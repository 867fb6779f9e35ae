import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from conftest import CORNER, UTM, polygons
from geoseg.class_raster import open_class_raster
from geoseg.errors import LabelError, MapError
from geoseg.grid import Grid
from geoseg.labels import merged_legend, open_labels
from geoseg.legend import IGNORE, Legend

GRID = Grid(CRS.from_user_input(UTM), CORNER, 40, 50)
FOREST, WATER = (2, 3, 10, 12), (20, 30, 8, 9)


@pytest.fixture
def drawn(tmp_path):
    path = tmp_path / "labels.gpkg"
    polygons({"forest": [FOREST], "water": [WATER]}).to_file(path)
    return path


def expected():
    array = np.full(GRID.shape, IGNORE, np.uint8)
    array[2:12, 3:15], array[20:28, 30:39] = 0, 1
    return array


def test_polygons_cover_the_pixels_whose_centres_they_hold(drawn):
    labels = open_labels(drawn)
    assert labels.legend.names == ("forest", "water")
    assert (labels.read(GRID) == expected()).all()


def test_a_window_reads_its_part_of_the_whole(drawn):
    window = Window(10, 5, 25, 20)
    assert (open_labels(drawn).read(GRID.crop(window)) == expected()[5:25, 10:35]).all()


@pytest.mark.parametrize("suffix", [".geojson", ".parquet", ".fgb", ".shp"])
def test_any_vector_format_and_crs(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    frame = polygons({"forest": [FOREST], "water": [WATER]}, crs="EPSG:4326")
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_file(path)
    assert (open_labels(path).read(GRID) == expected()).mean() > 0.99


def test_later_polygons_win(tmp_path):
    frame = polygons({"forest": [FOREST], "water": [FOREST]})
    frame.to_file(tmp_path / "a.gpkg")
    assert set(np.unique(open_labels(tmp_path / "a.gpkg").read(GRID))) == {1, IGNORE}


def columns(tmp_path, **values):
    frame = polygons({"x": [FOREST, WATER]}).drop(columns="class").assign(**values)
    path = tmp_path / "columns.gpkg"
    frame.to_file(path)
    return path


def test_ids_and_names_that_go_together_make_the_legend(tmp_path):
    path = columns(tmp_path, class_id=[40, 7], land_cover=["town", "lake"])
    for field in (None, "class_id", "LAND_COVER"):
        legend = open_labels(path, field=field).legend
        assert legend.ids == (7, 40)
        assert legend.names == ("lake", "town")


def test_a_column_of_ids_alone_is_enough(tmp_path):
    labels = open_labels(columns(tmp_path, code=[3, 300]))
    assert labels.legend.ids == (3, 300)
    assert labels.legend.dtype == "uint16"


def test_a_given_legend_decides(tmp_path, drawn):
    legend = Legend.from_names([(9, "Water"), (4, "Forest"), (1, "snow")])
    labels = open_labels(drawn, legend=legend)
    assert labels.legend is legend
    assert set(np.unique(labels.read(GRID))) == {1, 2, IGNORE}
    with pytest.raises(LabelError, match="'forest'"):
        open_labels(drawn, legend=Legend.from_names([(1, "water")]))


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"a": [1, 2]}, None, "--class-field"),
        ({"a": [1, 2]}, "b", "has no column 'b'; it has a"),
        ({"code": [-1, 2]}, None, "holds -1"),
        ({"code": [1, 70000]}, None, "holds 70000"),
        ({"code": [1.5, 2]}, "code", "whole numbers"),
        ({"class": [None, None]}, "class", "is empty"),
    ],
)
def test_columns_that_hold_no_class_are_refused(tmp_path, values, field, says):
    with pytest.raises(LabelError, match=says):
        open_labels(columns(tmp_path, **values), field=field)


def test_polygons_without_a_class_are_left_out_and_said(tmp_path, caplog):
    labels = open_labels(columns(tmp_path, **{"class": ["forest", None]}))
    assert labels.legend.names == ("forest",)
    assert "1 of 2 polygons" in caplog.text


def test_a_missing_crs_is_said(tmp_path):
    with pytest.warns(UserWarning, match="crs"):
        polygons({"forest": [FOREST]}, crs=None).to_file(tmp_path / "no.gpkg")
    with pytest.raises(LabelError, match="scene have a CRS and the labels none"):
        open_labels(tmp_path / "no.gpkg").read(GRID)


def test_broken_geometries_are_repaired(tmp_path):
    bow = shapely.Polygon([CORNER @ p for p in ((0, 0), (20, 20), (20, 0), (0, 20))])
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[bow], crs=UTM).to_file(tmp_path / "bow.gpkg")
    assert 150 < (open_labels(tmp_path / "bow.gpkg").read(GRID) == 0).sum() < 250


def test_a_spike_labels_nothing(tmp_path, caplog):
    corners = [(10, 10), (14, 10), (14, 14), (10, 14), (10, 12), (30, 12), (10, 12)]
    spiked = shapely.Polygon([CORNER @ corner for corner in corners])
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[spiked], crs=UTM).to_file(tmp_path / "spike.gpkg")
    assert (open_labels(tmp_path / "spike.gpkg").read(GRID) == 0).sum() == 16
    assert "1 invalid geometries were repaired" in caplog.text


def test_lines_are_refused_and_points_are_pixels(tmp_path):
    line = shapely.LineString([CORNER @ (1, 1), CORNER @ (9, 9)])
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[line], crs=UTM).to_file(tmp_path / "line.gpkg")
    with pytest.raises(LabelError, match="1 of 1 labels are lines"):
        open_labels(tmp_path / "line.gpkg")
    point = shapely.Point(CORNER @ (4.5, 7.5))
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[point], crs=UTM).to_file(tmp_path / "point.gpkg")
    assert np.argwhere(open_labels(tmp_path / "point.gpkg").read(GRID) == 0).tolist() == [[7, 4]]


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    with pytest.raises(LabelError, match=r"columns\.gpkg: column 'class'"):
        open_labels(columns(tmp_path, **{"class": ["Forest", "forest"]}))


def test_features_without_geometry_are_counted(tmp_path, caplog):
    frame = polygons({"forest": [FOREST], "water": [WATER]})
    frame.loc[1, "geometry"] = None
    frame.to_file(tmp_path / "a.gpkg")
    assert open_labels(tmp_path / "a.gpkg").legend.names == ("forest",)
    assert "1 of 2 features" in caplog.text


def test_the_exact_column_is_taken(tmp_path):
    path = tmp_path / "case.parquet"
    frame = polygons({"x": [FOREST, WATER]}).rename(columns={"class": "CLASS"})
    frame.assign(**{"class": [5, 9]}).to_parquet(path)
    assert open_labels(path, field="class").legend.ids == (5, 9)


def test_long_edges_bend_with_the_projection(tmp_path):
    box = shapely.box(6, 47, 12, 50)
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[box], crs="EPSG:4326").to_file(tmp_path / "wide.gpkg")
    grid = Grid(CRS.from_user_input(UTM), Affine(2000, 0, 270_000, 0, -2000, 5_560_000), 180, 230)
    drawn = open_labels(tmp_path / "wide.gpkg").read(grid) == 0
    bent = gpd.GeoSeries([shapely.segmentize(box, 0.01)], crs="EPSG:4326").to_crs(UTM).area.sum()
    assert drawn.sum() * 4e6 == pytest.approx(bent, rel=2e-3)


class TestSeveralFiles:
    def test_names_alone_are_numbered_together(self, tmp_path):
        for name, classes in (("a", ("forest", "water")), ("b", ("crop", "water"))):
            polygons({classes[0]: [FOREST], classes[1]: [WATER]}).to_file(tmp_path / f"{name}.gpkg")
        legend = merged_legend([open_labels(tmp_path / f"{name}.gpkg") for name in "ab"])
        assert legend.names == ("crop", "forest", "water")
        assert legend.ids == (1, 2, 3)

    def test_ids_must_agree(self, tmp_path):
        for name, other in (("a", "lake"), ("b", "town")):
            frame = polygons({"x": [FOREST, WATER]}).assign(class_id=[1, 2], **{"class": ["wood", other]})
            frame.to_file(tmp_path / f"{name}.gpkg")
        with pytest.raises(LabelError, match=r"b\.gpkg: calls class 2 'town'.*a\.gpkg calls it 'lake'"):
            merged_legend([open_labels(tmp_path / f"{name}.gpkg") for name in "ab"])


def test_files_that_hold_no_labels(tmp_path):
    (tmp_path / "text.gpkg").write_text("nothing")
    (tmp_path / "empty.gpkg").touch()
    (tmp_path / "other.gpkg").write_text(f"<!-- {' ' * 2000} --><OGRVRTDataSource></OGRVRTDataSource>")
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for name in ("text.gpkg", "empty.gpkg", "other.gpkg", "missing.gpkg", "none.geojson"):
        with pytest.raises(LabelError, match=name):
            open_labels(tmp_path / name)


class TestClassRasters:
    def test_values_are_classes_and_nodata_is_not(self, write_scene):
        ids = np.array([[[0, 1, 1], [5, 5, 0]]], np.uint8)
        labels = open_labels(write_scene(ids, nodata=0))
        assert labels.legend.ids == (1, 5)
        grid = Grid(CRS.from_user_input(UTM), CORNER, 2, 3)
        assert labels.read(grid).tolist() == [[IGNORE, 0, 0], [1, 1, IGNORE]]

    def test_class_zero_may_be_real(self, write_scene, caplog):
        ids = np.array([[[0, 1], [2, 255]]], np.uint8)
        assert open_labels(write_scene(ids, nodata=255)).legend.ids == (0, 1, 2)
        assert open_labels(write_scene(ids, "b.tif")).legend.ids == (0, 1, 2, 255)
        assert "value 0 is taken as a class" in caplog.text

    def test_a_legend_that_lacks_zero_leaves_it_unlabelled(self, write_scene):
        ids = np.array([[[0, 1], [2, 2]]], np.uint8)
        legend = Legend.from_names([(1, "a"), (2, "b")])
        raster = open_class_raster(write_scene(ids), legend=legend)
        assert raster.read(Window(0, 0, 2, 2)).tolist() == [[IGNORE, 0], [1, 1]]
        with pytest.raises(MapError, match="holds 0, 2, which the legend does not have"):
            open_class_raster(write_scene(ids, "c.tif"), legend=Legend.from_names([(1, "a")]))

    def test_windows_beyond_the_raster_are_unlabelled(self, write_scene):
        ids = np.full((1, 4, 4), 3, np.uint8)
        labels = open_labels(write_scene(ids, nodata=0))
        grid = Grid(CRS.from_user_input(UTM), CORNER @ Affine.translation(-2, -1), 8, 9)
        read = labels.read(grid)
        assert (read[1:5, 2:6] == 0).all()
        assert (read == IGNORE).sum() == 8 * 9 - 16

    def test_another_crs_and_grid(self, write_scene):
        ids = np.repeat(np.repeat(np.array([[[1, 2], [3, 4]]], np.uint8), 20, 1), 20, 2)
        raster = open_class_raster(write_scene(ids, nodata=0))
        left, bottom, right, top = gpd.GeoSeries([shapely.box(*raster.grid.bounds)], crs=UTM).to_crs(4326).total_bounds
        step = (right - left) / 400
        grid = Grid(CRS.from_epsg(4326), Affine(step, 0, left, 0, -step, top), int((top - bottom) / step), 400)
        read = raster.read_on(grid)
        assert [read[r, c] for r in (60, -60) for c in (60, -60)] == [0, 1, 2, 3]
        shares = np.bincount(read[read != IGNORE], minlength=4) / (read != IGNORE).sum()
        assert shares == pytest.approx([0.25] * 4, abs=0.01)

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (np.ones((2, 3, 3), np.uint8), "2 bands"),
            (np.ones((1, 3, 3), np.float32), "float32"),
            (np.full((1, 3, 3), -4, np.int16), "value -4"),
            (np.arange(400, dtype=np.int16).reshape(1, 20, 20), "254 different"),
        ],
    )
    def test_other_rasters_are_refused(self, write_scene, values, says):
        with pytest.raises(MapError, match=says):
            open_class_raster(write_scene(values))

    def test_a_raster_has_no_columns(self, write_scene):
        with pytest.raises(LabelError, match="no column"):
            open_labels(write_scene(np.ones((1, 3, 3), np.uint8)), field="class")


def test_real_labels_lie_on_their_scenes(real_scenes):
    from geoseg.readers import open_scene

    wake = real_scenes / "nc_wake_landsat7_2000"
    scene = open_scene(wake / "scene.tif")
    dense = open_labels(wake / "labels_dense_landclass96.tif").read(scene.grid)
    sparse = open_labels(wake / "training_polygons.gpkg").read(scene.grid)
    both = (dense != IGNORE) & (sparse != IGNORE)
    assert both.sum() > 2000
    assert (dense[both] == sparse[both]).mean() > 0.95
