import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import LegendError
from geoseg.legend import IGNORE, Legend, TerrainClass, read_legend

ids = st.lists(st.integers(0, 65535), min_size=1, max_size=30, unique=True)


@given(ids)
def test_encoding_and_decoding_are_inverse(values):
    legend = Legend.from_names((id_, f"class {id_}") for id_ in values)
    array = np.array(values, np.int64)
    assert (legend.decode(legend.encode(array)) == array).all()
    assert legend.ids == tuple(sorted(values))


@given(ids)
def test_nodata_is_outside_of_the_legend_and_fits_the_type(values):
    legend = Legend.from_names((id_, f"class {id_}") for id_ in values)
    assert legend.nodata not in legend.ids
    assert max(*legend.ids, legend.nodata) <= np.iinfo(legend.dtype).max
    assert (legend.decode(np.array([IGNORE], np.uint8)) == legend.nodata).all()


def test_unknown_ids_are_ignored():
    legend = Legend.from_names([(1, "a"), (300, "b")])
    assert legend.encode(np.array([1, 2, 300, -5, 70_000])).tolist() == [0, IGNORE, 1, IGNORE, IGNORE]


def test_round_trip_through_plain_values():
    legend = Legend.from_names([(3, "forest"), (1, "water")])
    assert Legend.from_dict(legend.to_dict()) == legend


def test_colours_differ_and_suit_the_words():
    legend = Legend.from_names(enumerate(["water", "forest", "woods", "thing", "other thing", "lake"], start=1))
    assert len({item.color for item in legend}) == len(legend)
    red, _, blue = legend.classes[0].rgb
    assert blue > red
    assert legend.classes[1].rgb[1] == max(legend.classes[1].rgb)


def colour(name):
    return Legend.from_names([(1, name)]).classes[0].color


def test_words_are_not_found_inside_of_others():
    unknown = colour("thing")
    for name in (
        "rice",
        "seasonal",
        "driver",
        "watermelon",
        "woodpecker",
        "icecream",
        "undeveloped",
        "sandwich",
        "rodeo",
    ):
        assert colour(name) == unknown, name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Non-Forest", "nonforest", "bare soil", "Fallow", "cleared"), "#d8b365"),
        (("surface_water", "Lakes", "River 2", "open water", "water1"), "#3b7dd8"),
        (("Forest", "rainforest", "woodland", "evergreen trees", "Mixed_Forest"), "#1b7837"),
        (("urban", "Built-up", "developed", "houses", "ROAD"), "#d7301f"),
        (("cropland", "Agriculture", "farmland", "arable land"), "#f2c14e"),
        (("grassland", "Herbaceous", "pasture"), "#a6d96a"),
        (("wetlands", "mangrove"), "#5ab4ac"),
        (("snow and ice", "ice"), "#dff3ff"),
    ],
)
def test_words_of_land_cover_have_the_colours_people_expect(names, expected):
    assert {colour(name) for name in names} == {expected}


def test_a_chosen_colour_is_not_one_that_was_given():
    legend = Legend.from_dict([{"id": 1, "name": "road", "color": "#3b7dd8"}, {"id": 2, "name": "water"}])
    assert len({item.color for item in legend}) == 2


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "at least one class"),
        ([{"id": 1}], "id and a name"),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "the id '1'"),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], "the name 'a'"),
        ([{"id": 1, "name": "Wood"}, {"id": 2, "name": "wood"}], "the name 'wood'"),
        ([{"id": 1, "name": "a\x00b"}], "control characters"),
        ([{"id": -1, "name": "a"}], "0 to 65535"),
        ([{"id": 1.5, "name": "a"}], "whole number"),
        ([{"id": True, "name": "a"}], "whole number"),
        ([{"id": 1, "name": " "}], "no name"),
        ([{"id": 1, "name": "a", "color": "green"}], "#rrggbb"),
        ([{"id": 1, "name": "a", "colour": "#123456"}], "unknown key 'colour'"),
        ([{"id": n, "name": str(n)} for n in range(300)], "too long"),
        ("text", "list of classes"),
    ],
)
def test_contradictions_are_refused(items, says):
    with pytest.raises(LegendError, match=says):
        Legend.from_dict(items)


def test_there_is_always_room_for_nodata():
    assert Legend.from_names([(0, "a"), (254, "b")]).nodata == 255
    assert Legend.from_names([(0, "a"), (255, "b")]).nodata == 65535
    assert Legend.from_names([(0, "a"), (65535, "b"), (65534, "c")]).nodata == 65533


def test_names_may_hold_whatever_people_write():
    names = ["terre\u00a0arable", "森林", "Wald\u200bweg", "l'étang \u2013 nord"]
    assert set(Legend.from_names(enumerate(names)).names) == set(names)
    for unfit in ("a\nb", "a\u2028b", "a\x7fb", "a\ud800b"):
        with pytest.raises(LegendError, match="control characters"):
            TerrainClass(1, unfit, "#000000")


def test_reading_a_file(tmp_path):
    path = tmp_path / "legend.toml"
    path.write_text('[[class]]\nid = 7\nname = "Wald"\n[[class]]\nid = 2\nname = "See"\ncolor = "#0000ff"\n')
    legend = read_legend(path)
    assert legend.ids == (2, 7)
    assert legend.classes[0] == TerrainClass(2, "See", "#0000ff")


@pytest.mark.parametrize("text", ["[[class]", "id = 1", "", "[[class]]\nid = 1"])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "legend.toml"
    path.write_text(text)
    with pytest.raises(LegendError, match=r"legend\.toml"):
        read_legend(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LegendError, match=r"gone\.toml"):
        read_legend(tmp_path / "gone.toml")
