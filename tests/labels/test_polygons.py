"""Labels drawn as polygons and points, in any format and CRS."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from conftest import CORNER, UTM, polygons
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.legend import IGNORE
from labels.conftest import FOREST, GRID, WATER, expected, shapes, square


def test_polygons_cover_the_pixels_whose_centres_they_hold(drawn):
    labels = open_labels(drawn)
    assert labels.legend.names == ("forest", "water")
    assert (labels.read(GRID) == expected()).all()


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


@pytest.mark.parametrize("far", [1e10, 1e18])
@pytest.mark.parametrize("turn", [0, 30])
def test_a_corner_that_is_very_far_away_changes_nothing(tmp_path, far, turn):
    x, y = CORNER @ (0, GRID.height + 50)
    left, _ = CORNER @ (-100, 0)
    right, top = CORNER @ (30, 0)

    def reaching(far):
        cover = shapely.Polygon([(x - far, y), (x + far, y), (x, y + far)])
        half = shapely.Polygon([(left, y), (right, y), (right, top), (right - far, top + far)])
        return [[cover, square(20, 30, 5)], [half, square(20, 30, 5)]]

    def read(drawn):
        grid = Grid(GRID.crs, CORNER @ Affine.rotation(turn), *GRID.shape)
        return open_labels(shapes(tmp_path, drawn, ["a", "b"])).read(grid)

    wholly, partly = map(read, reaching(far))
    assert set(np.unique(wholly)) == {0, 1}
    assert (partly == read(reaching(1e5)[1])).all()
    assert 0 < (partly == 0).mean() < 1


def test_points_are_pixels(tmp_path):
    point = shapely.Point(CORNER @ (4.5, 7.5))
    assert np.argwhere(open_labels(shapes(tmp_path, [point])).read(GRID) == 0).tolist() == [[7, 4]]


def test_features_without_geometry_are_counted(tmp_path, caplog):
    frame = polygons({"forest": [FOREST], "water": [WATER]})
    frame.loc[1, "geometry"] = None
    frame.to_file(tmp_path / "a.gpkg")
    assert open_labels(tmp_path / "a.gpkg").legend.names == ("forest",)
    assert "1 of 2 features" in caplog.text


def test_long_edges_bend_with_the_projection(tmp_path):
    box = shapely.box(6, 47, 12, 50)
    gpd.GeoDataFrame({"class": ["a"]}, geometry=[box], crs="EPSG:4326").to_file(tmp_path / "wide.gpkg")
    grid = Grid(CRS.from_user_input(UTM), Affine(2000, 0, 270_000, 0, -2000, 5_560_000), 180, 230)
    drawn = open_labels(tmp_path / "wide.gpkg").read(grid) == 0
    bent = gpd.GeoSeries([shapely.segmentize(box, 0.01)], crs="EPSG:4326").to_crs(UTM).area.sum()
    assert drawn.sum() * 4e6 == pytest.approx(bent, rel=2e-3)


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


def test_layers_are_chosen_by_name(tmp_path, drawn, write_scene):
    polygons({"crop": [FOREST]}).to_file(drawn, layer="fields")
    assert open_labels(drawn, layer="fields").legend.names == ("crop",)
    raster = write_scene(np.ones((1, 3, 3), np.uint8))
    with pytest.raises(LabelError, match="is a raster and has no layer 'fields'; leave --layer out"):
        open_labels(raster, layer="fields")
    with pytest.raises(LabelError, match="is a raster, with no points or lines to widen; leave --buffer out"):
        open_labels(raster, buffer=5)


def test_files_that_hold_no_labels(tmp_path):
    (tmp_path / "text.gpkg").write_text("nothing")
    (tmp_path / "empty.gpkg").touch()
    (tmp_path / "other.gpkg").write_text(f"<!-- {' ' * 2000} --><OGRVRTDataSource></OGRVRTDataSource>")
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for name in ("text.gpkg", "empty.gpkg", "other.gpkg", "missing.gpkg", "none.geojson"):
        with pytest.raises(LabelError, match=name):
            open_labels(tmp_path / name)
