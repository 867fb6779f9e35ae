import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.chips.cells import CellCounts
from geoseg.chips.layout import plan_chips
from geoseg.chips.split import BlockLayout, Shares, assign, chip_windows
from geoseg.errors import ChipError, OptionError
from geoseg.grid import Grid


def spans(windows):
    """Top, left, bottom and right (n, 4) of windows (n, 5: split, row, col, height, width)."""
    return np.hstack([windows[:, 1:3], windows[:, 1:3] + windows[:, 3:]])


def distances(a, b):
    """Pixels between each of windows (n, 4) and each of (m, 4), 0 when they touch or overlap."""
    one, other = a[:, None], b[None]
    apart = np.maximum(one[..., :2] - other[..., 2:], other[..., :2] - one[..., 2:])
    return apart.clip(0).max(-1)


@st.composite
def layouts(draw):
    chip, gap = draw(st.integers(8, 40)), draw(st.integers(0, 7))
    layout = BlockLayout(draw(st.integers(1, 200)), draw(st.integers(1, 200)), chip + gap + draw(st.integers(0, 30)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return layout, rng.integers(0, 3, layout.shape), chip, gap


@settings(deadline=None)
@given(layouts())
def test_chips_of_different_splits_keep_the_gap(case):
    layout, splits, chip, gap = case
    made = chip_windows(layout, splits, chip=chip, overlap=gap, gap=gap)
    windows = [spans(made[made[:, 0] == wanted]) for wanted in range(3)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (distances(windows[one], windows[other]) >= gap).all()
    everything = np.concatenate(windows)
    assert (everything[:, :2] >= 0).all()
    assert (everything[:, 2:] <= (layout.height, layout.width)).all()


@settings(deadline=None)
@given(layouts())
def test_every_block_is_used(case):
    layout, splits, chip, gap = case
    windows = spans(chip_windows(layout, splits, chip=chip, overlap=gap, gap=gap))
    for i, j in np.ndindex(layout.shape):
        middle = [[layout.row_edges[i : i + 2].mean(), layout.col_edges[j : j + 2].mean()] * 2]
        assert distances(windows, np.array(middle)).min() <= gap


@settings(deadline=None)
@given(layouts())
def test_chips_have_their_size_where_the_scene_has(case):
    layout, splits, chip, gap = case
    sizes = chip_windows(layout, splits, chip=chip, overlap=gap, gap=gap)[:, 3:]
    assert (sizes == np.minimum(chip, (layout.height, layout.width))).all()


def test_one_split_is_covered_without_holes():
    covered = np.zeros((100, 130), bool)
    layout = BlockLayout(100, 130, 40)
    for row, col, bottom, right in spans(chip_windows(layout, np.zeros(layout.shape, int), chip=32, overlap=8, gap=8)):
        covered[row:bottom, col:right] = True
    assert covered.all()


def test_each_split_gets_each_class_in_about_its_share():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 100, (300, 5)) * (rng.random((300, 5)) < [1, 0.5, 0.2, 0.1, 0.05])
    splits = assign(counts, Shares(), seed=0)
    for split, share in enumerate(Shares().values):
        assert counts[splits == split].sum(0) / counts.sum(0) == pytest.approx([share] * 5, abs=0.1)


def test_a_class_in_three_places_is_in_every_split():
    counts = np.zeros((40, 2), int)
    counts[:, 0] = 50
    counts[[3, 17, 30], 1] = 5
    splits = assign(counts, Shares(), seed=1)
    assert {splits[3], splits[17], splits[30]} == {0, 1, 2}


def test_the_same_seed_gives_the_same_split():
    counts = np.random.default_rng(0).integers(0, 3, (60, 3))
    assert (assign(counts, Shares(), 5) == assign(counts, Shares(), 5)).all()


def test_a_split_without_a_share_gets_nothing():
    counts = np.ones((20, 2), int)
    assert set(assign(counts, Shares(0.5, 0, 0.5), 0)) == {0, 2}


def test_too_few_places_are_refused():
    counts = np.zeros((9, 2), int)
    counts[[1, 5]] = 4
    with pytest.raises(ChipError, match="only 2 blocks"):
        assign(counts, Shares(), 0)


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5)])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(OptionError):
        Shares(*shares)


@pytest.mark.parametrize("place", range(0, 900, 37))
def test_the_gaps_do_not_swallow_a_class_that_lies_in_one_place(place):
    counts = np.full((30, 30, 2), (64, 0), np.int32)
    row, col = divmod(place, 30)
    counts[row, col] = 60, 4
    cells = CellCounts(Grid(None, Affine.identity(), 240, 240), 8, counts)
    options = {"chip_size": 32, "overlap": 0.25, "block_size": None, "split_by": "blocks"}
    plan = plan_chips([cells], shares=Shares(), seed=0, **options)
    training = plan.windows[0][plan.windows[0][:, 0] == 0, 1:]
    inside = (training[:, :2] <= (row * 8, col * 8)) & (training[:, :2] + training[:, 2:] >= (row * 8 + 8, col * 8 + 8))
    assert inside.all(1).any()


def test_blocks_of_more_scenes_than_are_plenty_are_chosen():
    counts = np.full((8, 8, 2), 32, np.int32)
    places = [Affine.translation(100 * number, 0) for number in range(100)]
    cells = [CellCounts(Grid(CRS.from_epsg(32633), place, 64, 64), 8, counts) for place in places]
    options = {"chip_size": 16, "overlap": 0.25, "block_size": None, "split_by": "blocks"}
    assert plan_chips(cells, shares=Shares(), seed=0, **options).block == 40


def test_blocks_are_not_smaller_than_the_cells_that_labels_are_counted_in():
    counts = np.zeros((254, 254, 2), np.int32)
    counts[50:55, 50:54], counts[150:154, 30:35] = (60, 0), (0, 60)
    cells = CellCounts(Grid(CRS.from_epsg(32633), Affine.identity(), 20_000, 20_000), 79, counts)
    options = {"chip_size": 32, "overlap": 0.25, "split_by": "blocks"}
    assert plan_chips([cells], shares=Shares(), seed=0, block_size=None, **options).block == 79
    with pytest.raises(OptionError, match=r"block size is 40; .* squares of 79 pixels"):
        plan_chips([cells], shares=Shares(), seed=0, block_size=40, **options)
