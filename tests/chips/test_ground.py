import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.chips.ground import Ground
from geoseg.chips.index import ChipRow

SIDE = 16


def chip(row: int, col: int, scene: int = 0, height: int = SIDE, width: int = SIDE) -> ChipRow:
    return ChipRow("", "", "train", scene, row, col, height, width)


def mask_of(chips: list[ChipRow], scene: int = 0, side: int = 80) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    for one in chips:
        if one.scene == scene:
            mask[one.row : one.row + one.height, one.col : one.col + one.width] = True
    return mask


CHIPS = st.lists(
    st.builds(chip, st.integers(0, 60), st.integers(0, 60), st.integers(0, 1)), min_size=1, max_size=30, unique=True
)


@settings(max_examples=60)
@given(chips=CHIPS, seed=st.integers(0, 10**6))
def test_every_window_that_shows_a_pixel_can_be_drawn(chips, seed):
    # Of the whole ground all places are tried, one by one.
    ground, rng, one = Ground(chips), np.random.default_rng(seed), chips[0]
    row, col = one.row + int(rng.integers(SIDE)), one.col + int(rng.integers(SIDE))
    padded = np.pad(mask_of(chips, one.scene), 40)
    fit = {
        (top, left)
        for top in range(row - SIDE + 1, row + 1)
        for left in range(col - SIDE + 1, col + 1)
        if padded[top + 40 : top + 40 + SIDE, left + 40 : left + 40 + SIDE].all()
    }
    drawn = {ground.window(0, row, col, rng, centred=False)[4:6] for _ in range(60)}
    assert drawn <= fit
    assert len(drawn) >= min(len(fit), 15) / 2


@settings(max_examples=60)
@given(chips=CHIPS, seed=st.integers(0, 10**6), centred=st.booleans())
def test_windows_show_their_pixel_and_lie_on_their_own_ground(chips, seed, centred):
    ground, rng = Ground(chips), np.random.default_rng(seed)
    number = int(rng.integers(len(chips)))
    one = chips[number]
    row, col = one.row + int(rng.integers(SIDE)), one.col + int(rng.integers(SIDE))
    window = ground.window(number, row, col, rng, centred=centred)
    assert (window.scene, window.height, window.width) == (one.scene, SIDE, SIDE)
    assert window.row <= row < window.row + SIDE
    assert window.col <= col < window.col + SIDE
    assert mask_of(chips, one.scene)[window.row : window.row + SIDE, window.col : window.col + SIDE].all()


def test_pieces_put_a_window_together():
    chips = [chip(row, col) for row in (0, 12, 24) for col in (0, 12, 24)]
    scene = np.arange(40 * 40).reshape(40, 40)
    ground, window = Ground(chips), chip(7, 19)
    made = np.full((SIDE, SIDE), -1)
    for number, source, place in ground.pieces(4, window):
        one = chips[number]
        made[place] = scene[one.row : one.row + SIDE, one.col : one.col + SIDE][source]
    assert (made == scene[7 : 7 + SIDE, 19 : 19 + SIDE]).all()
    assert len(ground.pieces(4, window)) == 4


def test_places_are_everywhere_alike_inside():
    chips = [chip(row, col) for row in range(0, 64, 12) for col in range(0, 64, 12)]
    ground, rng = Ground(chips), np.random.default_rng(0)
    number = len(chips) // 2
    middle = chips[number].row + 8, chips[number].col + 8
    rows = np.array([ground.window(number, *middle, rng, centred=False).row for _ in range(800)])
    assert np.bincount(middle[0] - rows, minlength=SIDE) == pytest.approx(50, abs=30)
    near = np.array([ground.window(number, *middle, rng, centred=True).row for _ in range(200)])
    assert set(middle[0] - near) <= set(range(4, 12))
