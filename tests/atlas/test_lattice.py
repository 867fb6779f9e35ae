import itertools

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.windows import Window

from geoseg.atlas.globe import in_degrees, placed
from geoseg.atlas.lattice import BlockWindows, Cutting, Lattice, Lattices, laid
from geoseg.atlas.regions import read_regions
from geoseg.atlas.scenes import SceneRef
from geoseg.errors import OptionError
from geoseg.grid import Grid

windows = st.builds(
    Window, st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(1, 900), st.integers(1, 900)
)
cuttings = st.builds(
    Cutting, core=st.sampled_from([64, 96]), margin=st.just(32), fade=st.sampled_from([0, 16]), feather=st.just(8)
)


@given(windows, cuttings, st.sampled_from([64, 200, 5000]))
def test_blocks_are_a_partition_wherever_a_region_lies(window, cutting, side):
    count = np.zeros((int(window.height), int(window.width)), int)
    for block in cutting.blocks(window, side):
        top, left = int(block.row_off - window.row_off), int(block.col_off - window.col_off)
        count[top : top + int(block.height), left : left + int(block.width)] += 1
    assert (count == 1).all()


@given(windows, cuttings)
def test_every_pixel_of_a_block_has_all_the_windows_that_reach_it(window, cutting):
    found = BlockWindows.over(window, cutting)
    for axis, start, first, length in (
        (found.rows, found.top, window.row_off, window.height),
        (found.cols, found.left, window.col_off, window.width),
    ):
        assert start % cutting.core == 0
        weight = np.zeros(axis.edges[-1])
        for number in range(len(axis)):
            weight[axis.extent(number)] += axis.weights(number)
        assert weight[int(first) - start : int(first + length) - start] == pytest.approx(1, abs=1e-6)
        # The fade at the two ends lies outside of the block, or there would be one more window.
        assert first - start >= (cutting.fade // 2 if start < first else 0) or cutting.fade == 0
    for piece in found.pieces():
        rows, cols = piece.within((cutting.side, cutting.side))
        assert rows.start - cutting.feather + cutting.pad >= 0
        assert cols.stop + cutting.feather - cutting.pad <= cutting.side


def test_windows_are_the_same_on_every_machine(constant_model):
    spec = constant_model.spec
    assert Cutting.choose(spec, 512, 32, "auto", 64) == Cutting(448, 32, 0, 64)
    assert Cutting.choose(spec, 512, 32, "hann", 64).fade == 32
    with pytest.raises(OptionError, match="feather"):
        Cutting.choose(spec, 512, 32, "auto", -1)
    with pytest.raises(OptionError, match="no core"):
        Cutting.choose(spec, 64, 32, "auto", 0)


def ref(epsg, transform, size=100):
    crs = CRS.from_epsg(epsg)
    grid = Grid(crs, transform, size, size)
    return SceneRef(None, grid, (0,), None, "", (), ("", ""), in_degrees(shapely.box(*grid.bounds), crs))


def test_a_lattice_has_the_pixels_of_most_scenes():
    scenes = (
        ref(32632, Affine(10, 0, 500_003, 0, -10, 5_400_007)),
        ref(32632, Affine(10, 0, 600_003, 0, -10, 5_300_007)),
        ref(32632, Affine(10, 0, 600_000, 0, -10, 5_300_000)),
        ref(32632, Affine(20, 0, 600_000, 0, -20, 5_300_000)),
        ref(32633, Affine(5, 0, 300_000, 0, -5, 5_300_000)),
    )
    lattices = Lattices("auto", None, scenes)
    assert lattices.lattice(CRS.from_epsg(32632)).transform == Affine(10, 0, 3, 0, -10, 7)
    assert lattices.lattice(CRS.from_epsg(3035)).transform.a == pytest.approx(10, rel=0.01)
    assert Lattices("auto", 30.0, scenes).lattice(CRS.from_epsg(32632)).transform == Affine(30, 0, 0, 0, -30, 0)
    outlines = [item.outline for item in scenes]
    assert lattices.common(outlines).to_epsg() == 32632
    assert lattices.common([*outlines, shapely.box(100, 0, 101, 1)]) is None
    assert Lattices("utm", None, scenes).common(outlines) is None
    with pytest.raises(OptionError, match="name a CRS"):
        Lattices("nowhere", None, scenes).common(outlines)


def test_windows_of_neighbours_touch_on_a_lattice():
    lattice = Lattice(CRS.from_epsg(32632), Affine(10, 0, 3, 0, -10, 7))
    edges = (500_003, 500_123, 500_128, 500_403)
    found = [lattice.window(shapely.box(west, 5_000_007, east, 5_000_107)) for west, east in itertools.pairwise(edges)]
    assert [int(window.width) for window in found] == [12, 1, 28]
    assert lattice.grid(found[0]).bounds == (500_003, 5_000_007, 500_123, 5_000_107)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633", "EPSG:3857"])
def test_where_three_regions_meet_each_pixel_is_of_one(crs, tmp_path):
    """The long side of one is cut in two by its neighbours, and straight in no CRS but its own."""
    way = Transformer.from_crs(4326, crs, always_xy=True)
    west, south, east, north = (*way.transform(8.4, 47.5), *way.transform(8.41, 47.507))
    middle, split = south + 0.5 * (north - south), west + 0.43 * (east - west)
    places = {
        "south": (west, south, east, middle),
        "north west": (west, middle, split, north),
        "north east": (split, middle, east, north),
    }
    shapes = [shapely.box(*place) for place in places.values()]
    gpd.GeoDataFrame({"name": list(places)}, geometry=shapes, crs=crs).to_file(tmp_path / "three.gpkg")
    lattice = Lattice(CRS.from_epsg(32632), Affine(1, 0, 0.3, 0, -1, 0.7))
    laid_out = [laid(region, lattice) for region in read_regions(tmp_path / "three.gpkg")]
    grid = lattice.grid(lattice.window(shapely.union_all(laid_out)))
    count = sum(geometry_mask([shape], grid.shape, grid.transform, invert=True).astype(int) for shape in laid_out)
    assert count.max() == 1
    # Away from the outer sides, which are nobody else's.
    inner = 0.02 * (east - west)
    seam = shapely.LineString([(west + inner, middle), (east - inner, middle)])
    line = placed(in_degrees(shapely.segmentize(seam, (east - west) / 2000), pyproj.CRS(crs)), lattice.crs)
    near = geometry_mask([line.buffer(3, cap_style="flat")], grid.shape, grid.transform, invert=True)
    assert near.sum() > 3000
    assert (count[near] == 1).all()
