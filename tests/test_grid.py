import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.errors import OptionError, SceneError
from geoseg.grid import Grid, WindowGrid, offsets, round_up

sizes = st.integers(1, 700)


@given(length=sizes, size=st.integers(1, 300), stride=st.integers(1, 300))
def test_spans_cover_the_length_and_stay_inside(length, size, stride):
    starts = offsets(length, size, min(stride, size))
    covered = {pixel for start in starts for pixel in range(start, start + size)}
    assert set(range(length)) <= covered
    assert starts[-1] + size == max(length, size)
    assert starts == sorted(set(starts))


@given(height=sizes, width=sizes, core=st.integers(1, 400), margin=st.integers(0, 100), stride=st.integers(1, 40))
def test_cores_partition_the_scene(height, width, core, margin, stride):
    grid = WindowGrid(height, width, core, margin, stride)
    cores = list(grid)
    assert len(cores) == len(grid)
    assert sum(c.width * c.height for c in cores) == height * width
    seen = set()
    for c in cores:
        assert c.row_off >= 0
        assert c.row_off + c.height <= height
        assert c.col_off + c.width <= width
        seen.add((c.row_off, c.col_off))
    assert len(seen) == len(cores)


@given(height=sizes, width=sizes, core=st.integers(1, 400), margin=st.integers(0, 100), stride=st.integers(1, 40))
def test_windows_have_one_size_and_begin_at_the_stride(height, width, core, margin, stride):
    grid = WindowGrid(height, width, core, margin, stride)
    for c in grid:
        window = grid.window(c)
        assert (window.height, window.width) == grid.window_shape
        assert window.row_off % stride == 0
        assert window.col_off % stride == 0
        assert c.row_off - window.row_off == grid.margin >= margin
        assert window.row_off + window.height >= c.row_off + c.height + grid.margin


def test_cores_are_shared_out_evenly():
    assert WindowGrid(1000, 1000, core=768, stride=32).core_shape == (512, 512)


@pytest.mark.parametrize("wrong", [{"core": 0}, {"margin": -1}, {"stride": 0}, {"height": 0}])
def test_impossible_windows_are_refused(wrong):
    with pytest.raises(OptionError):
        WindowGrid(**({"height": 10, "width": 10, "core": 5} | wrong))


def test_a_crop_lies_where_its_pixels_lie():
    grid = Grid(CRS.from_epsg(32632), Affine(10, 2, 500, 3, -10, 900), 50, 60)
    window = Window(7, 11, 5, 6)
    crop = grid.crop(window)
    assert crop.transform @ (0, 0) == pytest.approx(grid.transform @ (7, 11))
    assert crop.transform @ (5, 6) == pytest.approx(grid.transform @ (12, 17))
    assert crop.shape == (6, 5)


def test_bounds_of_a_south_up_grid_are_ordered():
    left, bottom, right, top = Grid(None, Affine(1, 0, 5, 0, 1, 7), 4, 3).bounds
    assert (left, bottom, right, top) == (5, 7, 8, 11)


def test_ground_sample_distance():
    assert Grid(CRS.from_epsg(32632), Affine(10, 0, 0, 0, -10, 0), 5, 5).ground_sample_distance == pytest.approx(10)
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 8, 0, -1e-4, 60), 5, 5).ground_sample_distance
    assert degrees == pytest.approx(11.13 * 0.5**0.5, rel=0.01)
    feet = Grid(CRS.from_epsg(2264), Affine(10, 0, 0, 0, -10, 0), 5, 5).ground_sample_distance
    assert feet == pytest.approx(3.048, rel=1e-3)
    assert Grid(None, Affine.identity(), 5, 5).ground_sample_distance is None
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert Grid(site, Affine(2, 0, 0, 0, -2, 0), 5, 5).ground_sample_distance in (None, pytest.approx(2))


def test_grids_without_pixels_or_area_are_refused():
    with pytest.raises(SceneError, match="empty"):
        Grid(None, Affine.identity(), 0, 5)
    with pytest.raises(SceneError, match="one line"):
        Grid(None, Affine(1, 1, 0, 1, 1, 0), 5, 5)


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_rounding_up(value, multiple):
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0
    assert 0 <= rounded - value < multiple


def test_aligned_grids_differ_by_whole_pixels():
    grid = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 50, 60)
    part = grid.crop(Window(7, -3, 20, 20))
    assert grid.is_aligned(part)
    assert grid.offset(part) == (-3, 7)
    for other in (
        Grid(grid.crs, grid.transform @ Affine.translation(0.01, 0), 50, 60),
        Grid(grid.crs, grid.transform @ Affine.scale(1.0001), 50, 60),
        Grid(grid.crs, grid.transform @ Affine.rotation(0.01), 50, 60),
        Grid(CRS.from_epsg(32633), grid.transform, 50, 60),
    ):
        assert not grid.is_aligned(other)


def test_bounds_hold_all_corners_of_a_rotated_grid():
    grid = Grid(None, Affine.rotation(30), 10, 20)
    corners = [grid.transform @ (c, r) for c in (0, 20) for r in (0, 10)]
    left, bottom, right, top = grid.bounds
    assert left == min(x for x, _ in corners)
    assert top == max(y for _, y in corners)
    assert right - left > 20
    assert top - bottom > 10
