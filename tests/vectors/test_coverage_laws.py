"""Laws of the tracer, over random maps: in pixel coordinates, without files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize

from geoseg.connected import NONE
from geoseg.legend import IGNORE
from geoseg.vectors import stream
from geoseg.vectors.encode import Shapes
from geoseg.vectors.faces import Faces
from geoseg.vectors.group import grouping
from geoseg.vectors.stream import Band, Settings, band_rows, polygons

Map = np.ndarray[Any, np.dtype[np.uint8]]
LAWS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


class Layer(NamedTuple):
    classes: Map
    geometry: Any
    area: Any
    pixels: Any
    first: Any


def trace(classes: Map, rows: int = 1000, connectivity: int = 4, dissolve: bool = False, **options: Any) -> Layer:
    """Polygons of a map that is fed in bands of `rows` rows."""
    codes = np.where(classes == IGNORE, NONE, classes).astype(np.int32)
    bands = [Band(codes[top : top + rows]) for top in range(0, len(classes), rows)]
    how = Settings(**({"transform": Affine.identity()} | options))
    group = grouping(connectivity, dissolve)
    made = []
    for finished in polygons(bands, classes.shape, how, group.watch):
        made.extend(group.add(finished))
    made.extend(group.end())
    if not made:
        return Layer(np.empty(0, np.uint8), np.empty(0, object), np.empty(0), np.empty(0, int), np.empty(0, int))
    faces = Faces.joined([faces for faces, _ in made])
    geometry = [shape for _, shapes in made for shape in from_wkb(shapes)]
    return Layer(faces.code.astype(np.uint8), np.array(geometry), faces.area, faces.pixels, faces.first)


def from_wkb(shapes: Shapes) -> Any:
    pieces = [shapes.wkb[a:b].tobytes() for a, b in zip(shapes.offsets, shapes.offsets[1:], strict=False)]
    geometry = shapely.from_wkb(pieces)
    assert shapes.vertices.tolist() == shapely.get_num_coordinates(geometry).tolist()
    np.testing.assert_allclose(shapes.bounds, shapely.bounds(geometry))
    return geometry


def blobs(height: int, width: int, classes: int, block: int, speckle: float, holes: float, seed: int) -> Map:
    """Squares of random classes, with single pixels changed and others without a class."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (height // block + 1, width // block + 1))
    result = np.kron(coarse, np.ones((block, block), np.uint8))[:height, :width].astype(np.uint8)
    noisy = rng.random(result.shape) < speckle
    result[noisy] = rng.integers(0, classes, noisy.sum())
    result[rng.random(result.shape) < holes] = IGNORE
    return result


SIDES = st.integers(1, 70)
RANDOM = st.builds(
    blobs,
    SIDES,
    SIDES,
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.integers(0, 2**32 - 1),
)
SMALL = arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2, IGNORE]))
MAPS = st.one_of(RANDOM, SMALL)
BANDS = st.integers(1, 71)


def faults(layer: Layer, classes: Map) -> list[str]:
    """What is wrong with a layer as a coverage of the valid pixels."""
    valid = float((classes != IGNORE).sum())
    if not shapely.is_valid(layer.geometry).all():
        return ["invalid polygons"]  # GEOS cannot even unite them
    checks = {
        "not a coverage": shapely.coverage_is_valid(layer.geometry),
        "areas do not add up": np.isclose(shapely.area(layer.geometry).sum(), valid),
        "union is not the valid pixels": np.isclose(shapely.area(shapely.union_all(layer.geometry)), valid),
        "areas are not those of the geometry": np.allclose(shapely.area(layer.geometry), layer.area),
        "pixels are not those of the map": layer.pixels.sum() == valid,
        "ids are not the first pixels": (classes.ravel()[layer.first] == layer.classes).all(),
        "ids are not unique": len(set(layer.first)) == len(layer.first),
    }
    return [fault for fault, fine in checks.items() if not fine]


def as_set(layer: Layer) -> list[tuple[int, bytes]]:
    normal = shapely.to_wkb(shapely.normalize(layer.geometry))
    return sorted((int(index), wkb) for index, wkb in zip(layer.classes, normal, strict=True))


def burnt(layer: Layer, shape: tuple[int, int], transform: Affine = Affine.identity()) -> Map:  # noqa: B008
    if not len(layer.classes):
        return np.full(shape, IGNORE, np.uint8)
    shapes = list(zip(layer.geometry, layer.classes.tolist(), strict=True))
    result: Map = rasterize(shapes, shape, fill=IGNORE, transform=transform, dtype="uint8")
    return result


@LAWS
@given(MAPS, BANDS)
def test_exact_outlines_are_the_map(classes: Map, rows: int) -> None:
    layer = trace(classes, rows)
    assert not faults(layer, classes)
    np.testing.assert_array_equal(burnt(layer, classes.shape), classes)


@LAWS
@given(MAPS, BANDS)
def test_exact_outlines_do_not_depend_on_the_bands(classes: Map, rows: int) -> None:
    assert as_set(trace(classes, rows)) == as_set(trace(classes))


@LAWS
@given(MAPS, BANDS, st.sampled_from([0.6, 1.0, 2.0, 5.0, 50.0]))
def test_simplified_outlines_are_a_coverage_of_the_same_pixels(classes: Map, rows: int, tolerance: float) -> None:
    exact, layer = trace(classes, rows), trace(classes, rows, simplify=tolerance)
    assert not faults(layer, classes)
    assert sorted(layer.classes) == sorted(exact.classes)


@LAWS
@given(MAPS, BANDS, st.sampled_from([0.8, 1.5, 3.0]))
def test_borders_move_no_farther_than_the_tolerance(classes: Map, rows: int, tolerance: float) -> None:
    exact, layer = trace(classes, rows), trace(classes, rows, simplify=tolerance)
    for index in range(len(exact.geometry)):
        distance = shapely.hausdorff_distance(
            shapely.segmentize(shapely.boundary(exact.geometry[index]), 0.25), shapely.boundary(layer.geometry[index])
        )
        assert distance <= tolerance + 1e-9


def test_without_the_check_borders_cross() -> None:
    maps = [blobs(40, 40, 5, 4, 0.1, 0.0, seed) for seed in range(20)]
    assert not any(faults(trace(classes, 17, simplify=2.5), classes) for classes in maps)
    assert any(faults(trace(classes, 17, simplify=2.5, guarded=False), classes) for classes in maps)


def test_straight_borders_have_no_needless_vertices() -> None:
    classes = np.zeros((30, 30), np.uint8)
    classes[:, 15:] = 1
    assert shapely.get_num_coordinates(trace(classes, 7).geometry).tolist() == [5, 5]


def test_a_third_face_puts_a_vertex_on_a_straight_border() -> None:
    classes = np.array([[0, 0], [1, 2]], np.uint8)
    layer = trace(classes)
    above = layer.geometry[layer.classes == 0]
    assert [1, 1] in shapely.get_coordinates(above).tolist()


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("tolerance", [0.0, 1.0])
@pytest.mark.parametrize(
    "picture",
    [
        ["01", "10"],
        ["001", "010", "100"],
        ["0000", "0100", "0010", "0000"],  # two holes that touch in a corner
        ["00000", "01110", "01010", "01100", "00000"],  # a ring that meets itself in a corner
        ["1111", "1001", "1011", "1111"],
        ["0 0", " 0 ", "0 0"],
        ["01010", "10101", "01010"],
        ["11111", "10001", "10 01", "10001", "11111"],
    ],
)
def test_faces_that_meet_in_corners(picture: list[str], rows: int, tolerance: float) -> None:
    classes = np.array([[IGNORE if pixel == " " else int(pixel) for pixel in line] for line in picture], np.uint8)
    layer = trace(classes, rows, simplify=tolerance)
    assert not faults(layer, classes)
    if tolerance == 0:
        np.testing.assert_array_equal(burnt(layer, classes.shape), classes)


def test_a_checkerboard_is_all_single_pixels() -> None:
    classes = (np.indices((20, 21)).sum(0) % 2).astype(np.uint8)
    for tolerance in (0.0, 3.0):
        layer = trace(classes, 6, simplify=tolerance)
        assert len(layer.geometry) == classes.size
        assert not faults(layer, classes)


def test_a_comb_is_one_polygon() -> None:
    classes = np.zeros((40, 41), np.uint8)
    classes[:-1, 1::2] = 1  # teeth that join in the last row only
    layer = trace(classes, 3)
    assert (layer.classes == 0).sum() == 1
    assert not faults(layer, classes)


def test_nodata_only_gives_nothing() -> None:
    assert len(trace(np.full((9, 4), IGNORE, np.uint8), 2).classes) == 0


@pytest.mark.parametrize("blank", [(0, 14), (15, 31), (20, 35), (0, 35)], ids=["first", "middle", "last", "all"])
@pytest.mark.parametrize("options", [{}, {"connectivity": 8}, {"dissolve": True}], ids=["4", "8", "dissolved"])
def test_bands_of_nodata_change_nothing(blank: tuple[int, int], options: dict[str, Any]) -> None:
    classes = blobs(35, 20, 4, 5, 0.1, 0.02, 0)
    classes[slice(*blank)] = IGNORE
    layer = trace(classes, 5, max_vertices=10_000, **options)
    assert as_set(layer) == as_set(trace(classes, **options))
    counts = np.bincount(classes[classes != IGNORE], minlength=4)
    np.testing.assert_array_equal(np.bincount(layer.classes, layer.pixels, 4), counts)
    cut = trace(classes, 5, max_vertices=16, **options)
    np.testing.assert_allclose(np.bincount(cut.classes, shapely.area(cut.geometry), 4), counts)


def test_all_class_indices_can_be_told_apart() -> None:
    classes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    layer = trace(classes, 5)
    assert len(layer.classes) == 255
    np.testing.assert_array_equal(burnt(layer, classes.shape), classes)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, -10, 5_400_000),
        Affine(10, 0, 500_000, 0, 10, 5_400_000),
        Affine(-2, 0, 7, 0, -3, 1),
        Affine.translation(100, 200) @ Affine.rotation(30) @ Affine.scale(3, -3),
        Affine.translation(100, 200) @ Affine.rotation(-75) @ Affine.scale(2, 5),
    ],
)
def test_any_transform_gives_valid_polygons_the_right_way_round(transform: Affine) -> None:
    classes = blobs(33, 29, 4, 4, 0.1, 0.05, 5)
    for tolerance in (0.0, 1.0):
        layer = trace(classes, 10, simplify=tolerance, transform=transform)
        assert shapely.is_valid(layer.geometry).all()
        assert shapely.is_ccw(shapely.get_exterior_ring(layer.geometry)).all()
        holes = [ring for polygon in layer.geometry for ring in polygon.interiors]
        assert holes
        assert not shapely.is_ccw(holes).any()
        expected = layer.area * abs(transform.determinant)
        np.testing.assert_allclose(shapely.area(layer.geometry), expected, rtol=1e-6)
    layer = trace(classes, 10, transform=transform)
    np.testing.assert_array_equal(burnt(layer, classes.shape, transform), classes)


def test_bands_are_lower_on_wider_rasters() -> None:
    assert band_rows(1) > band_rows(10_000) >= band_rows(10**6) >= 1


@LAWS
@given(MAPS, BANDS, st.sampled_from([4, 8]), st.booleans(), st.sampled_from([0.0, 1.0, 3.0]))
def test_features_of_several_parts_are_a_coverage_too(
    classes: Map, rows: int, connectivity: int, dissolve: bool, tolerance: float
) -> None:
    layer = trace(classes, rows, connectivity, dissolve, simplify=tolerance)
    assert not faults(layer, classes)
    if tolerance == 0:
        np.testing.assert_array_equal(burnt(layer, classes.shape), classes)
        assert as_set(layer) == as_set(trace(classes, 1000, connectivity, dissolve))
    if dissolve:
        assert sorted(layer.classes) == sorted(set(np.unique(classes)) - {IGNORE})


def touching_in_corners(classes: Map) -> int:
    """How many 8-connected areas there are, by flooding."""
    left, count = classes != IGNORE, 0
    while left.any():
        count += 1
        queue = [tuple(np.argwhere(left)[0])]
        left[queue[0]] = False
        while queue:
            y, x = queue.pop()
            for other in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                inside = 0 <= other[0] < classes.shape[0] and 0 <= other[1] < classes.shape[1]
                if inside and left[other] and classes[other] == classes[y, x]:
                    left[other] = False
                    queue.append(other)
    return count


@settings(LAWS, max_examples=40)
@given(st.builds(blobs, *[st.integers(1, 15)] * 2, st.integers(1, 4), st.integers(1, 4),
                 st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.2]), st.integers(0, 999)), BANDS)  # fmt: skip
def test_eight_connected_areas_are_one_feature_each(classes: Map, rows: int) -> None:
    assert len(trace(classes, rows, 8).classes) == touching_in_corners(classes)


@LAWS
@given(MAPS, BANDS, st.sampled_from([0.0, 0.6, 1.0, 3.0, 20.0]), st.sampled_from([0.3, 1.0, 4.0]))
def test_rounded_borders_are_a_coverage_of_the_same_pixels(
    classes: Map, rows: int, tolerance: float, smooth: float
) -> None:
    layer = trace(classes, rows, simplify=tolerance, smooth=smooth)
    assert not faults(layer, classes)
    straight = trace(classes, rows, simplify=tolerance)
    assert sorted(layer.classes) == sorted(straight.classes)
    for feature, rounded in zip(straight.geometry, layer.geometry, strict=True):
        one, other = shapely.segmentize([shapely.boundary(feature), shapely.boundary(rounded)], 0.25)
        assert max(shapely.hausdorff_distance(one, other), shapely.hausdorff_distance(other, one)) <= smooth + 1e-3


def test_a_rounded_square_has_no_corner_but_keeps_its_place() -> None:
    classes = np.zeros((30, 30), np.uint8)
    classes[10:20, 10:20] = 1
    layer = trace(classes, smooth=1.0)
    [square] = layer.geometry[layer.classes == 1]
    corners = shapely.get_coordinates(square)[:-1]
    assert [10, 10] not in corners.tolist()
    assert 90 < square.area < 100
    np.testing.assert_allclose(shapely.centroid(square).coords[0], (15, 15))


@LAWS
@given(MAPS, BANDS, st.sampled_from([16, 60]), st.sampled_from([0.0, 1.0]))
def test_cut_polygons_are_a_coverage_with_few_vertices(classes: Map, rows: int, limit: int, tolerance: float) -> None:
    layer = trace(classes, min(rows, 6), simplify=tolerance, max_vertices=limit)
    assert not faults(layer, classes)
    if tolerance == 0:
        np.testing.assert_array_equal(burnt(layer, classes.shape), classes)


def test_a_background_of_islands_is_cut_into_bounded_pieces() -> None:
    classes = np.zeros((300, 300), np.uint8)
    classes[1::3, 1::3] = 1
    whole, cut = trace(classes, 40), trace(classes, 40, max_vertices=4000)
    assert shapely.get_num_coordinates(whole.geometry).max() > 40_000
    assert shapely.get_num_coordinates(cut.geometry).max() <= 4000
    assert not faults(cut, classes)
    assert (cut.classes == 1).sum() == 10_000


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_holes_that_are_finished_early_come_back(monkeypatch: pytest.MonkeyPatch, tolerance: float) -> None:
    maps = [blobs(60, 40, 4, 5, 0.1, 0.02, seed) for seed in range(10)]
    expected = [as_set(trace(classes, 7, simplify=tolerance)) for classes in maps]
    monkeypatch.setattr(stream, "OPEN_ARCS", 0)
    for classes, whole in zip(maps, expected, strict=True):
        assert as_set(trace(classes, 7, simplify=tolerance)) == whole


def test_what_is_done_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "OPEN_ARCS", 100)
    sizes = []

    def counted(frontier: Any, *rest: Any) -> None:
        keep(frontier, *rest)
        sizes.append(len(frontier.arcs.points))

    keep = stream._keep
    monkeypatch.setattr(stream, "_keep", counted)
    classes = np.zeros((1600, 60), np.uint8)
    classes[1::4, 1::4] = 1  # one background with islands, open to the last row
    trace(classes, 16)
    assert max(sizes) <= 2000
