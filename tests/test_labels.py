import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window

from conftest import CORNER, UTM, polygons
from geoseg.class_raster import open_class_raster
from geoseg.errors import LabelError, MapError, OptionError
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
        ({"a": [1, 2]}, "b", "has no column 'b'; There are: a. Name one with --class-field"),
        ({"land": ["a", "b"]}, "lend", "did you mean 'land'"),
        ({"code": [-1, 2]}, None, "holds -1"),
        ({"code": [1, 70000]}, None, "holds 70000"),
        ({"code": [1.5, 2]}, "code", "column 'code' holds 1.5; class ids are whole numbers from 0 to 65535"),
        ({"class_id": [1.5, 2]}, None, "column 'class_id' holds 1.5"),
        ({"code": ["-3", "2"]}, "code", "holds -3"),
        ({"code": [True, False]}, "code", "holds bool values"),
        ({"class": [None, None]}, "class", "is empty"),
    ],
)
def test_columns_that_hold_no_class_are_refused(tmp_path, values, field, says):
    with pytest.raises(LabelError, match=says):
        open_labels(columns(tmp_path, **values), field=field)


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_polygons_without_a_class_are_left_out_and_said(tmp_path, caplog, nothing):
    labels = open_labels(columns(tmp_path, **{"class": ["forest", nothing]}))
    assert labels.legend.names == ("forest",)
    assert "1 of 2 features" in caplog.text


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


def test_points_are_pixels(tmp_path):
    point = shapely.Point(CORNER @ (4.5, 7.5))
    assert np.argwhere(open_labels(shapes(tmp_path, [point])).read(GRID) == 0).tolist() == [[7, 4]]


def test_names_that_differ_in_case_only_are_one_class(tmp_path, caplog):
    labels = open_labels(columns(tmp_path, **{"class": ["forest", "Forest"]}))
    assert labels.legend.names == ("Forest",)
    assert "'Forest' and 'forest' are taken as one class" in caplog.text


@pytest.mark.parametrize("values", [[1.0, 10.0], ["1", "10"], ["1.0", " 10"]])
def test_whole_numbers_are_ids_however_they_are_written(tmp_path, values):
    assert open_labels(columns(tmp_path, code=values)).legend.ids == (1, 10)


def test_numbers_may_be_the_names_of_a_given_legend(tmp_path):
    legend = Legend.from_names([(5, "1"), (6, "10")])
    assert set(np.unique(open_labels(columns(tmp_path, code=["1", "10"]), legend=legend).read(GRID))) == {0, 1, IGNORE}


def test_gaps_in_a_column_of_ids(tmp_path, caplog):
    assert open_labels(columns(tmp_path, code=[np.nan, 65535.0])).legend.ids == (65535,)
    assert "1 of 2 features have no 'code'" in caplog.text


def test_a_running_number_is_no_class_id(tmp_path):
    assert open_labels(columns(tmp_path, id=[8, 7], **{"class": ["b", "a"]})).legend.ids == (1, 2)


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
    with pytest.raises(LabelError, match="has the columns CLASS, class; write the one to use exactly so"):
        open_labels(path, field="Class")


def test_long_edges_bend_with_the_projection(tmp_path):
    box = shapely.box(6, 47, 12, 50)
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[box], crs="EPSG:4326").to_file(tmp_path / "wide.gpkg")
    grid = Grid(CRS.from_user_input(UTM), Affine(2000, 0, 270_000, 0, -2000, 5_560_000), 180, 230)
    drawn = open_labels(tmp_path / "wide.gpkg").read(grid) == 0
    bent = gpd.GeoSeries([shapely.segmentize(box, 0.01)], crs="EPSG:4326").to_crs(UTM).area.sum()
    assert drawn.sum() * 4e6 == pytest.approx(bent, rel=2e-3)


def shapes(folder, geometries, classes=None, crs=UTM, name="shapes.gpkg"):
    path = folder / name
    classes = classes or ["a"] * len(geometries)
    gpd.GeoDataFrame({"class": classes}, geometry=geometries, crs=crs).to_file(path)
    return path


def square(row, col, size):
    return shapely.box(*(CORNER @ (col, row + size)), *(CORNER @ (col + size, row)))


class TestBuffers:
    @pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3857", "EPSG:2056"])
    def test_a_point_becomes_a_circle_on_the_ground(self, tmp_path, crs):
        centre = gpd.GeoSeries([shapely.Point(CORNER @ (25, 20))], crs=UTM).to_crs(crs)
        pixels = (open_labels(shapes(tmp_path, list(centre), crs=crs), buffer=150).read(GRID) == 0).sum()
        assert pixels * 100 == pytest.approx(np.pi * 150**2, rel=0.02)

    def test_feet_are_not_metres(self, tmp_path):
        point = shapely.Point(1_000_000, 200_000)  # EPSG:2263, New York in US survey feet
        labels = open_labels(shapes(tmp_path, [point], crs="EPSG:2263"), buffer=100)
        widest = max(shape.area for shape in labels.shapes)
        assert widest == pytest.approx(np.pi * (100 / 0.3048006) ** 2, rel=0.01)

    def test_without_a_crs_the_buffer_has_the_units_of_the_labels(self, tmp_path):
        with pytest.warns(UserWarning, match="crs"):
            path = shapes(tmp_path, [shapely.Point(20, 20)], crs=None)
        grid = Grid(None, Affine.identity(), 40, 40)
        assert (open_labels(path, buffer=10).read(grid) == 0).sum() == pytest.approx(np.pi * 100, rel=0.05)

    def test_a_line_becomes_a_band(self, tmp_path):
        line = shapely.LineString([CORNER @ (10, 20), CORNER @ (30, 20)])
        drawn = open_labels(shapes(tmp_path, [line]), buffer=30).read(GRID) == 0
        assert drawn[17:23, 10:30].all()
        assert drawn.sum() * 100 == pytest.approx(200 * 60 + np.pi * 30**2, rel=0.03)

    def test_the_pixel_of_a_point_is_labelled_however_small_the_buffer(self, tmp_path):
        path = shapes(tmp_path, [shapely.Point(CORNER @ (4.9, 7.9))])
        assert np.argwhere(open_labels(path, buffer=0.01).read(GRID) == 0).tolist() == [[7, 4]]

    def test_lines_need_one(self, tmp_path):
        line = shapely.LineString([CORNER @ (1, 1), CORNER @ (9, 9)])
        with pytest.raises(
            LabelError, match="1 of 1 labels are lines, which cover no pixels; widen them with --buffer"
        ):
            open_labels(shapes(tmp_path, [line]))

    def test_polygons_are_not_widened_and_that_is_said(self, drawn, caplog):
        assert (open_labels(drawn, buffer=50).read(GRID) == expected()).all()
        assert "the buffer of 50 m widens nothing" in caplog.text

    @pytest.mark.parametrize("buffer", [0, -1, float("nan"), float("inf")])
    def test_a_distance_is_above_zero(self, drawn, buffer):
        with pytest.raises(OptionError, match="distance above 0"):
            open_labels(drawn, buffer=buffer)


class TestCollections:
    def test_the_polygons_of_a_collection_count(self, tmp_path, caplog):
        line = shapely.LineString([CORNER @ (0.5, 30.5), CORNER @ (40.5, 30.5)])
        inner = shapely.GeometryCollection([square(2, 3, 4), line])
        outer = shapely.GeometryCollection([inner, square(20, 20, 5), shapely.Point(CORNER @ (1.5, 1.5))])
        path = tmp_path / "nested.parquet"
        gpd.GeoDataFrame({"class": ["a"]}, geometry=[outer], crs=UTM).to_parquet(path)
        want = np.full(GRID.shape, IGNORE, np.uint8)
        want[2:6, 3:7] = want[20:25, 20:25] = 0
        assert (open_labels(path).read(GRID) == want).all()
        assert "2 lines and points of collections with polygons are left out" in caplog.text

    def test_heights_change_nothing(self, tmp_path):
        flat = open_labels(shapes(tmp_path, [square(2, 3, 9)])).read(GRID)
        high = open_labels(shapes(tmp_path, [shapely.force_3d(square(2, 3, 9), 7)], name="z.gpkg")).read(GRID)
        assert (flat == high).all()


class TestConflicts:
    def test_pixels_of_two_classes_are_left_out(self, tmp_path):
        stack = [square(0, 0, 20), square(5, 5, 20), square(8, 8, 4)]
        for order in itertools.permutations(range(3)):
            path = shapes(
                tmp_path, [stack[i] for i in order], ["aba"[i] for i in order], name=f"order{order[0]}{order[1]}.gpkg"
            )
            read = open_labels(path, on_conflict="ignore").read(GRID)
            assert (read[5:20, 5:20] == IGNORE).all()
            assert (read == 0).sum() == (read == 1).sum() == 400 - 225

    def test_one_class_has_no_conflict_with_itself(self, tmp_path):
        path = shapes(tmp_path, [square(0, 0, 9), square(4, 4, 9)])
        later, ignored = (open_labels(path, on_conflict=kind).read(GRID) for kind in ("later", "ignore"))
        assert (later == ignored).all()

    def test_points_in_one_pixel_are_a_conflict(self, tmp_path):
        points = [shapely.Point(CORNER @ place) for place in ((3.2, 3.2), (3.8, 3.8), (9.5, 9.5))]
        read = open_labels(shapes(tmp_path, points, ["a", "b", "b"]), on_conflict="ignore").read(GRID)
        assert np.argwhere(read != IGNORE).tolist() == [[9, 9]]

    def test_other_words_are_refused(self, drawn):
        with pytest.raises(OptionError, match="on_conflict is 'latter'; did you mean 'later'"):
            open_labels(drawn, on_conflict="latter")


class TestBackground:
    @pytest.mark.parametrize("id_", [0, 7, 300])
    def test_labels_and_background_share_out_the_grid(self, drawn, id_):
        labels = open_labels(drawn, background=id_)
        ids = labels.legend.decode(labels.read(GRID))
        plain = open_labels(drawn).read(GRID)
        assert labels.legend.names[labels.legend.ids.index(id_)] == "background"
        assert ((ids == id_) == (plain == IGNORE)).all()

    def test_names_are_numbered_around_it(self, drawn):
        legend = open_labels(drawn, background=1).legend
        assert [(item.id, item.name) for item in legend] == [(1, "background"), (2, "forest"), (3, "water")]

    def test_a_class_that_is_there_already(self, tmp_path):
        legend = open_labels(columns(tmp_path, class_id=[4, 5], **{"class": ["a", "b"]}), background=5).legend
        assert legend.names == ("a", "b")
        assert open_labels(columns(tmp_path, **{"class": ["Background", "b"]}), background=9).legend.ids == (1, 9)
        with pytest.raises(LabelError, match=r"class 4 is called 'background'; give --background 4"):
            open_labels(columns(tmp_path, class_id=[4, 5], **{"class": ["background", "b"]}), background=9)

    def test_conflicts_stay_unlabelled(self, tmp_path):
        path = shapes(tmp_path, [square(0, 0, 9), square(4, 4, 9)], ["a", "b"])
        read = open_labels(path, on_conflict="ignore", background=0).read(GRID)
        assert (read == IGNORE).sum() == 25

    def test_a_raster_and_what_lies_beyond_it(self, write_scene, caplog):
        path = write_scene(np.array([[[0, 1], [2, 2]]], np.uint8), nodata=0)
        grid = Grid(CRS.from_user_input(UTM), CORNER, 3, 3)
        for id_, legend in ((0, None), (9, None), (0, Legend.from_names([(0, "none"), (1, "a"), (2, "b")]))):
            labels = open_labels(path, background=id_, legend=legend)
            ids = [[id_, 1, id_], [2, 2, id_], [id_] * 3]
            assert labels.legend.decode(labels.read(grid)).tolist() == ids
        assert not caplog.records

    def test_a_given_legend_must_have_it(self, drawn):
        legend = Legend.from_names([(1, "forest"), (2, "water")])
        with pytest.raises(LabelError, match=r"no class 9 for --background \(1 forest, 2 water\)"):
            open_labels(drawn, legend=legend, background=9)
        assert (open_labels(drawn, legend=legend, background=2).read(GRID) == 0).sum() == 120

    @pytest.mark.parametrize("background", [-1, 65536, 1.5, True])
    def test_only_ids_will_do(self, drawn, background):
        with pytest.raises(OptionError, match="whole number from 0 to 65535"):
            open_labels(drawn, background=background)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Two hundred triangles of three classes that overlap, and points among them."""
    rng = np.random.default_rng(0)
    triangles = [
        shapely.Polygon([CORNER @ (x + dx, y + dy) for dx, dy in rng.normal(0, 3, (3, 2))])
        for x, y in rng.uniform(0, 50, (200, 2))
    ]
    points = [shapely.Point(CORNER @ place) for place in rng.uniform(0, 50, (40, 2))]
    return shapes(tmp_path_factory.mktemp("crowd"), triangles + points, list(rng.choice(["a", "b", "c"], 240)))


@pytest.mark.parametrize("options", [{}, {"on_conflict": "ignore"}, {"background": 0}, {"buffer": 15.0}])
class TestReading:
    def test_a_window_is_its_part_of_the_whole(self, crowd, options):
        labels = open_labels(crowd, **options)
        whole = labels.read(GRID)
        for window in (Window(0, 0, 50, 1), Window(7, 11, 20, 13), Window(49, 39, 1, 1)):
            rows, cols = window.toslices()
            assert (labels.read(GRID.crop(window)) == whole[rows, cols]).all()

    def test_pickled_labels_read_the_same(self, crowd, options):
        labels = open_labels(crowd, **options)
        whole = labels.read(GRID)
        assert (pickle.loads(pickle.dumps(labels)).read(GRID) == whole).all()  # noqa: S301

    def test_threads_read_the_same(self, crowd, options):
        labels = open_labels(crowd, **options)
        grids = [GRID.crop(Window(col, 0, 10, 40)) for col in range(0, 50, 10)] * 4
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(labels.read, grids))
        assert (np.hstack(parts[:5]) == open_labels(crowd, **options).read(GRID)).all()
        assert all((part == parts[place % 5]).all() for place, part in enumerate(parts))

    def test_the_order_within_a_class_does_not_matter(self, crowd, options, tmp_path):
        frame = gpd.read_file(crowd)
        runs = [frame[frame["class"] == name] for name in "abc"]
        for number, seed in enumerate((None, 1)):
            moved = [run if seed is None else run.sample(frac=1, random_state=seed) for run in runs]
            gpd.GeoDataFrame(pd.concat(moved), crs=UTM).to_file(tmp_path / f"{number}.gpkg")
        first, second = (open_labels(tmp_path / f"{number}.gpkg", **options).read(GRID) for number in range(2))
        assert (first == second).all()


def test_a_polygon_of_many_corners_is_drawn_in_pieces_and_whole(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 20_001)[:-1]
    radius = 17 + 2 * np.sin(40 * angles)
    star = shapely.Polygon(
        [CORNER @ xy for xy in zip(25 + radius * np.cos(angles), 20 + radius * np.sin(angles), strict=True)]
    )
    frilly = star.difference(square(15, 20, 8))
    labels = open_labels(shapes(tmp_path, [frilly]))
    whole = rasterize([(frilly, 0)], GRID.shape, fill=IGNORE, transform=GRID.transform, dtype="uint8")
    assert (labels.read(GRID) == whole).all()
    assert (open_labels(labels.path, on_conflict="ignore").read(GRID) == whole).all()
    assert (labels.read(GRID.crop(Window(10, 10, 20, 20))) == whole[10:30, 10:30]).all()


def test_layers_are_chosen_by_name(tmp_path, drawn, write_scene):
    polygons({"crop": [FOREST]}).to_file(drawn, layer="fields")
    assert open_labels(drawn, layer="fields").legend.names == ("crop",)
    raster = write_scene(np.ones((1, 3, 3), np.uint8))
    with pytest.raises(LabelError, match="is a raster and has no layer 'fields'; leave --layer out"):
        open_labels(raster, layer="fields")
    with pytest.raises(LabelError, match="is a raster, with no points or lines to widen; leave --buffer out"):
        open_labels(raster, buffer=5)


class TestSeveralFiles:
    def opened(self, folder, *files, **options):
        for number, values in enumerate(files):
            frame = polygons({"x": [FOREST, WATER]}).drop(columns="class").assign(**values)
            frame.to_file(folder / f"{number}.gpkg")
        return [open_labels(folder / f"{number}.gpkg", **options) for number in range(len(files))]

    def test_names_join_what_others_number(self, tmp_path):
        numbered = {"class_id": [3, 8], "class": ["forest", "water"]}
        legend = merged_legend(self.opened(tmp_path, {"class": ["Water", "crop"]}, numbered))
        assert [(item.id, item.name) for item in legend] == [(3, "forest"), (8, "water"), (9, "crop")]

    def test_a_real_name_goes_before_a_made_up_one(self, tmp_path):
        named = {"class_id": [3, 8], "class": ["forest", "water"]}
        for files in (({"class_id": [3, 5]}, named), (named, {"class_id": [3, 5]})):
            legend = merged_legend(self.opened(tmp_path, *files))
            assert [(item.id, item.name) for item in legend] == [(3, "forest"), (5, "class 5"), (8, "water")]

    def test_one_name_has_one_id(self, tmp_path):
        files = [{"class_id": ids, "class": ["forest", "water"]} for ids in ([1, 2], [1, 3])]
        with pytest.raises(
            LabelError, match=r"1\.gpkg: 'water' is class 3, in .*0\.gpkg it is class 2; give them one id"
        ):
            merged_legend(self.opened(tmp_path, *files))

    def test_background_keeps_its_id(self, tmp_path):
        files = [{"class": ["b", "c"]}, {"class": ["a", "b"]}]
        legend = merged_legend(self.opened(tmp_path, *files, background=2))
        assert [(item.id, item.name) for item in legend] == [(1, "a"), (2, "background"), (3, "b"), (4, "c")]

    def test_the_same_legend_is_returned_as_it_is(self, tmp_path):
        found = self.opened(tmp_path, {"class": ["a", "b"]}, {"class": ["b", "a"]})
        assert merged_legend(found) is found[0].legend

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
            (np.full((1, 3, 3), 0.5, np.float32), "float32 values such as 0.5"),
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
