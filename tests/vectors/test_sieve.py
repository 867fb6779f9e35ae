"""Laws of the sieve: what is small goes to the longest border, whatever way the map goes by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoseg.vectors import sieve
from geoseg.vectors.sieve import Rule, sieved

Codes = np.ndarray[Any, np.dtype[np.int32]]
LAWS = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
NONE = -1


def least(count: int) -> sieve.Least:
    return lambda x, y: np.full(len(x), count, np.int64)


def run(codes: Any, count: int, hole: int = 0, fill: bool = False, diagonal: bool = False, rows: int = 1000) -> Codes:
    codes = np.asarray(codes, np.int32)
    bands = [codes[top : top + rows] for top in range(0, len(codes), rows)]
    # Slabs have 64 rows at least, so that maps higher than that go by in several.
    parts = list(sieved(bands, codes.shape, Rule(least(count), least(hole), fill, diagonal), slab_pixels=1))
    return np.concatenate(parts)


def picture(*lines: str) -> Codes:
    return np.array([[NONE if pixel == "." else int(pixel) for pixel in line] for line in lines], np.int32)


def faces_of(codes: Codes, diagonal: bool = False) -> list[Any]:
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy or dx) and (diagonal or not (dy and dx))]
    seen, found = codes == NONE, []
    for start in zip(*np.nonzero(~seen), strict=True):
        if seen[start]:
            continue
        face, queue = np.zeros(codes.shape, bool), [start]
        seen[start] = True
        while queue:
            y, x = queue.pop()
            face[y, x] = True
            for dy, dx in steps:
                other = (y + dy, x + dx)
                inside = 0 <= other[0] < codes.shape[0] and 0 <= other[1] < codes.shape[1]
                if inside and not seen[other] and codes[other] == codes[y, x]:
                    seen[other] = True
                    queue.append(other)
        found.append(face)
    return found


def neighbours(codes: Codes, face: Any) -> dict[int, int]:
    """Pixels of border to each class."""
    border: dict[int, int] = {}
    padded, inside = np.pad(codes, 1, constant_values=NONE), np.pad(face, 1)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = inside & ~np.roll(inside, -step, axis)
        for code in np.roll(padded, -step, axis)[beside]:
            if code != NONE:
                border[int(code)] = border.get(int(code), 0) + 1
    return border


def slowly(codes: Codes, count: int, diagonal: bool) -> Codes:
    """The definition, face by face."""
    codes = codes.copy()
    while True:
        small = [face for face in faces_of(codes, diagonal) if face.sum() < count and neighbours(codes, face)]
        if not small:
            return codes
        face = min(small, key=lambda face: (face.sum(), face.ravel().argmax()))
        border = neighbours(codes, face)
        codes[face] = max(border, key=lambda code: (border[code], -code))


def noise(height: int, width: int, classes: int, block: int, share: float, holes: float, seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (height // block + 1, width // block + 1))
    codes = np.kron(coarse, np.ones((block, block), np.int32))[:height, :width].astype(np.int32)
    noisy = rng.random(codes.shape) < share
    codes[noisy] = rng.integers(0, classes, noisy.sum())
    codes[rng.random(codes.shape) < holes] = NONE
    return codes


MAPS = st.builds(
    noise, st.integers(1, 10), st.integers(1, 10), st.integers(1, 6), st.integers(1, 4),
    st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 0.1]), st.integers(0, 2**32 - 1),
)  # fmt: skip
HIGH = st.builds(
    noise, st.integers(100, 300), st.integers(1, 12), st.integers(2, 6), st.integers(2, 6),
    st.sampled_from([0.0, 0.03, 0.1]), st.sampled_from([0.0, 0.1]), st.integers(0, 2**32 - 1),
)  # fmt: skip


@LAWS
@given(MAPS, st.integers(1, 30))
def test_it_is_what_its_definition_says(codes: Codes, count: int) -> None:
    np.testing.assert_array_equal(run(codes, count), slowly(codes, count, False))


@LAWS
@given(MAPS, st.integers(1, 60), st.booleans())
def test_nothing_small_is_left_but_what_stands_alone(codes: Codes, count: int, diagonal: bool) -> None:
    result = run(codes, count, diagonal=diagonal)
    np.testing.assert_array_equal(result == NONE, codes == NONE)
    small = [face for face in faces_of(result, diagonal) if face.sum() < count]
    assert not any(neighbours(result, face) for face in small)


@LAWS
@given(HIGH, st.integers(1, 12), st.integers(1, 70))
def test_it_does_not_matter_how_the_map_goes_by(codes: Codes, count: int, rows: int) -> None:
    whole = np.concatenate(list(sieved([codes], codes.shape, Rule(least(count), least(0)))))
    np.testing.assert_array_equal(run(codes, count, rows=rows), whole)


def test_speckle_without_end_does_not_wait_for_ever() -> None:
    codes = noise(2000, 30, 6, 1, 1.0, 0.0, 1)
    bands = [codes[top : top + 50] for top in range(0, len(codes), 50)]
    sizes = [len(part) for part in sieved(bands, codes.shape, Rule(least(15), least(0)), slab_pixels=1)]
    assert sum(sizes) == 2000
    assert max(sizes[:-1]) <= 6 * 64
    result = run(codes, 15)
    assert not any(face.sum() < 15 for face in faces_of(result))


def test_the_longest_border_wins() -> None:
    codes = picture("00011", "00211", "00211", "00011")
    assert run(codes, 3)[1, 2] == 0 or run(codes, 3)[1, 2] == 1
    codes = picture("0001", "0221", "0001")
    assert run(codes, 3)[1].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("00000", "01110", "01110", "00000"), ("00000", "00000", "00000", "00000")),  # surrounded by one class
        (("00000", "01110", "01112", "00000"), ("00000", "01110", "01112", "00000")),  # by two
        (("00000", "01110", "0111.", "00000"), ("00000", "01110", "0111.", "00000")),  # beside nodata
        (("00000", "01110", "01110"), ("00000", "01110", "01110")),  # at the edge
    ],
)
def test_holes_are_what_one_class_surrounds(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(run(picture(*before), 0, hole=7), picture(*after))


def test_nodata_is_filled_only_when_asked() -> None:
    codes = picture("00000", "0.000", "00..0", "00000", "0000.")
    np.testing.assert_array_equal(run(codes, 3, hole=3), codes)
    filled = run(codes, 0, hole=3, fill=True)
    np.testing.assert_array_equal(filled, picture("00000", "00000", "00000", "00000", "0000."))
    large = run(codes, 0, hole=2, fill=True)
    np.testing.assert_array_equal(large, picture("00000", "00000", "00..0", "00000", "0000."))
