import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from conftest import UTM
from geoseg.antimeridian import unwrapped, wrapped
from geoseg.atlas.globe import in_degrees, lonlat_boxes, placed, utm_zone
from geoseg.atlas.lattice import Lattice, laid
from geoseg.atlas.regions import Region, Size, grid_regions, read_regions, slugs, span_of
from geoseg.errors import OptionError, RegionError


@pytest.fixture
def write(tmp_path):
    def write(names, column="name", crs="EPSG:4326", name="regions.gpkg"):
        shapes = [shapely.box(9 + i / 10, 48, 9.1 + i / 10, 48.1) for i in range(len(names))]
        gpd.GeoDataFrame({column: names}, geometry=shapes, crs=crs).to_file(tmp_path / name)
        return tmp_path / name

    return write


@given(st.lists(st.text(max_size=80), unique=True, max_size=20))
def test_no_name_leads_out_of_its_folder_or_to_anothers(names):
    found = slugs(names)
    assert len({slug.casefold() for slug in found}) == len(names)
    for slug in found:
        assert slug
        assert len(slug) <= 80
        assert not set(slug) & set("/\\.:\0\n")


def test_names_that_mean_something_to_a_system_become_harmless():
    assert slugs(["../../etc/passwd", "/", "NUL"]) == ["etc_passwd", "region-8a5eda", "region-ae6de1"]
    assert slugs(["A", "a"])[0] != "A"


def test_regions_keep_their_order_and_names(write):
    regions = read_regions(write(["b", "a/b", "ü"]))
    assert [region.name for region in regions] == ["b", "a/b", "ü"]
    assert [region.slug for region in regions] == ["b", "a_b", "ü"]
    assert [region.name for region in read_regions(write([3, 4], column="id"))] == ["3", "4"]
    assert [region.name for region in read_regions(write(["x", "y"], column="what"))] == ["1", "2"]


def test_regions_that_cannot_be_told_apart_or_placed_are_refused(write, tmp_path):
    with pytest.raises(RegionError, match=r"2 regions are called 'b' in the column 'name' \(rows 1, 3\)"):
        read_regions(write(["b", "a", "b"]))
    with pytest.raises(RegionError, match="row 2 has no name"):
        read_regions(write(["b", None]))
    with pytest.raises(OptionError, match="did you mean 'name'"):
        read_regions(write(["b"]), name_field="nam")
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        plain = write(["b"], crs=None)
    with pytest.raises(RegionError, match="has no CRS"):
        read_regions(plain)
    gpd.GeoDataFrame(geometry=[shapely.Point(9, 48)], crs="EPSG:4326").to_file(tmp_path / "points.gpkg")
    with pytest.raises(RegionError, match="holds no polygons"):
        read_regions(tmp_path / "points.gpkg")
    with pytest.raises(RegionError, match="no such file"):
        read_regions(tmp_path / "nowhere.gpkg")
    far = gpd.GeoDataFrame({"name": ["far"]}, geometry=[shapely.box(9, 98, 10, 99)], crs="EPSG:4326")
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(RegionError, match="no place on the globe"):
        read_regions(tmp_path / "far.gpkg")


@pytest.mark.parametrize(
    "shape",
    [
        shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)]),
        shapely.Polygon([(179, -17), (-179, -17), (-179, -16), (179, -16)]),
        shapely.box(179, -17, 181, -16),
    ],
)
def test_a_region_across_the_antimeridian_is_in_one_piece(shape):
    """However it is drawn: cut in two, the long way round, or beyond 180 degrees."""
    whole = unwrapped(shape)
    assert whole.bounds == (179, -17, 181, -16)
    assert lonlat_boxes(whole) == [(179, -17, 180, -16), (-180, -17, -179, -16)]
    assert wrapped(whole).area == pytest.approx(2)
    assert wrapped(whole).bounds == (-180, -17, 180, -16)
    zone = utm_zone(whole.centroid.x, whole.centroid.y)
    assert zone.to_epsg() in (32701, 32760)
    metres = placed(whole, zone)
    assert metres.area == pytest.approx(2 * 111_320**2 * np.cos(np.radians(16.5)), rel=0.02)
    assert in_degrees(metres, zone).bounds == pytest.approx((179, -17, 181, -16), abs=1e-6)
    lattice = Lattice(CRS.from_epsg(3857), Affine(10, 0, 0, 0, -10, 0))
    with pytest.raises(RegionError, match="crosses the antimeridian"):
        laid(Region("Fiji", "Fiji", whole), lattice)


def test_what_lies_on_both_sides_of_greenwich_stays_there():
    """A country with land in three oceans is no belt around the globe."""
    parts = [shapely.box(-5, 42, 8, 51), shapely.box(-54, 2, -51, 5), shapely.box(164, -22, 167, -20)]
    assert unwrapped(shapely.MultiPolygon(parts)).equals(shapely.MultiPolygon(parts))
    coast = [(lon, -70 + 5 * np.sin(np.radians(3 * lon))) for lon in range(-180, 181)]
    continent = shapely.Polygon([*coast, (180, -90), (-180, -90)])
    assert unwrapped(continent).equals(continent)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(-100e3, -100e3, 300e3, 300e3),
        shapely.box(0, 0, 500e3, 500e3),
        shapely.Point(0, 0).buffer(900e3).difference(shapely.Point(100e3, 0).buffer(300e3)),
        shapely.Point(0, 0).buffer(900e3).difference(shapely.Point(0, -600e3).buffer(100e3)),
        shapely.box(-500e3, -500e3, 500e3, 500e3).difference(shapely.box(-100e3, -100e3, 500e3, 100e3)),
    ],
    ids=["around", "corner", "ring", "hole", "hook"],
)
@pytest.mark.parametrize("crs", ["EPSG:3031", "EPSG:3413"])
def test_a_region_at_a_pole_comes_back_as_it_was(shape, crs):
    whole = in_degrees(shapely.segmentize(shape, 10e3), CRS.from_string(crs))
    assert whole.is_valid
    assert wrapped(whole).is_valid
    assert whole.bounds[2] - whole.bounds[0] <= 360
    back = placed(whole, CRS.from_string(crs))
    assert shapely.symmetric_difference(back, shape).area < 2e-3 * shape.area


def test_neighbours_keep_their_common_border_in_any_crs():
    west, east = shapely.box(8, 47, 9, 48), shapely.box(9, 46.5, 10, 48.5)
    crs = CRS.from_epsg(3035)
    assert shapely.intersection(placed(west, crs), placed(east, crs)).area < 1
    gap = shapely.difference(
        placed(shapely.box(8, 47, 10, 48), crs), shapely.union(placed(west, crs), placed(east, crs))
    )
    assert gap.area < 1


def test_a_grid_has_square_cells_that_touch(write):
    area = shapely.box(9, 48, 9.05, 48.03)
    cells = grid_regions(Size.parse("1km"), CRS.from_string(UTM), [area], clip=False)
    shapes = [placed(cell.outline, CRS.from_string(UTM)) for cell in cells]
    assert all(shape.area == pytest.approx(1e6, rel=1e-6) for shape in shapes)
    assert shapely.union_all(shapes).buffer(0.01).covers(placed(area, CRS.from_string(UTM)))
    clipped = grid_regions(Size.parse("1km"), CRS.from_string(UTM), [area], clip=True)
    assert sum(cell.outline.area for cell in clipped) == pytest.approx(area.area, rel=1e-6)
    assert len({cell.slug for cell in cells}) == len(cells)
    with pytest.raises(OptionError, match="too many cells"):
        grid_regions(Size.parse("1m"), CRS.from_string(UTM), [shapely.box(9, 48, 12, 51)], clip=False)
    for text in ("100", "0km", "-1km", "10 miles"):
        with pytest.raises(OptionError, match="write the side of its cells"):
            Size.parse(text)


def test_how_far_regions_lie_apart_is_told_the_short_way_round():
    assert span_of([shapely.box(179, 0, 179.2, 1), shapely.box(-179.2, 0, -179, 1)]) == pytest.approx(1.8)
    assert span_of([shapely.box(0, 0, 1, 1)]) == 0
