"""What functions are called with from Python: it is of the type they say, or refused in one sentence by its name."""

import inspect
import pickle
import re
from pathlib import Path
from typing import get_args, get_type_hints

import geopandas as gpd
import numpy as np
import pytest

import geoseg
from geoseg.errors import GeosegError, OptionError
from geoseg.hints import fitted, hints_of

FUNCTIONS = [name for name in geoseg.__all__ if name != "__version__"]
ODD = {
    "a number": 5, "half a number": 5.5, "true": True, "none": None, "a text": "x", "no text": "", "bytes": b"x",
    "NaN": float("nan"), "no end": float("inf"), "beyond 64 bits": 2**64, "beyond all digits": 10**5000,
    "a list of numbers": [5], "a list of bytes": [b"x"], "a list of no text": [""], "an empty list": [],
    "a table": {"a": "b"}, "numbers for names": {1: 1.0}, "an object": object(), "a class": int,
    "an array": np.zeros((2, 2)), "an iterator": iter([1]), "a frame": gpd.GeoDataFrame(geometry=[]), "complex": 1j,
}  # fmt: skip


def parameters(function):
    """The hint of each argument, and of each option, of a public function."""
    hints = hints_of(inspect.unwrap(function))
    del hints["return"]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            hints |= get_type_hints(*get_args(hints.pop(parameter.name)))
    return hints


ARGUMENTS = [(name, argument) for name in FUNCTIONS for argument in parameters(getattr(geoseg, name))]


def call(name, folder, **given):
    """Call a function on files that are not there."""
    function = getattr(geoseg, name)
    needed = [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]
    return function(**{one.name: folder / "none" for one in needed if one.kind is not one.VAR_KEYWORD} | given)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_no_foreign_error_comes_of_any_argument(name, argument, tmp_path):
    hint = parameters(getattr(geoseg, name))[argument]
    for what, value in ODD.items():
        with pytest.raises(GeosegError) as refused:
            call(name, tmp_path, **{argument: value})
        assert "\n" not in str(refused.value), what
        try:
            fitted(value, hint)
        except TypeError:
            assert re.match(rf"{argument} is .*; it must be ", str(refused.value)), what
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_option_that_is_none_is_told_with_the_nearest(name, tmp_path):
    if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(getattr(geoseg, name)).parameters.values()):
        nearest = list(parameters(getattr(geoseg, name)))[-1]
        with pytest.raises(OptionError, match=f"no option '{nearest}s'; did you mean '{nearest}'"):
            call(name, tmp_path, **{f"{nearest}s": 1})


class Somewhere:
    """A path of another library."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return str(self._path)


@pytest.mark.parametrize(("value", "hint", "meant"), [
    (np.int16(3), int, 3), (3.0, int, 3), (np.float32(0.5), float, 0.5), (3, float, 3), (np.array(2), int, 2),
    (1e300, float, 1e300), (np.bool_(True), bool, True), ("a", str | Path, "a"), (Path("a"), str, "a"),
    (Somewhere("a"), str | Path, Path("a")), (["a"], tuple[str, ...], ("a",)),
    (np.array(["a", "b"]), tuple[str, ...], ("a", "b")), ((one for one in "ab"), list[str | Path], ["a", "b"]),
    ({"a": np.int8(1)}, dict[str, float], {"a": 1}),
])  # fmt: skip
def test_other_ways_to_say_the_same_are_taken(value, hint, meant):
    found = fitted(value, hint)
    assert found == meant
    assert type(found) is type(meant)


def test_other_ways_to_say_the_same_give_the_same_chips(world):
    plain = geoseg.tile(world.scene, world.labels, world.out / "a", chip_size=16, split=(0.5, 0.25, 0.25))
    shares = np.array([0.5, 0.25, 0.25])
    scenes = (Somewhere(path) for path in [world.scene])
    other = geoseg.tile(scenes, Somewhere(world.labels), world.out / "b", chip_size=np.int64(16), split=shares)
    assert (plain.chips, plain.pixels) == (other.chips, other.pixels)


FAR = [
    ("tile", "folds", 10**9), ("tile", "jobs", 2**62), ("predict", "margin", 2**62), ("predict", "margin", "9" * 400),
    ("vectorize", "dst_crs", "\ud800"),
]  # fmt: skip
"""What once let a foreign error out, or took all memory."""


@pytest.mark.parametrize(("name", "argument", "value"), FAR)
def test_what_is_of_the_right_type_and_cannot_be_is_refused(world, name, argument, value):
    given = {"tile": (world.scene, world.labels), "predict": (world.model, world.scene), "vectorize": (world.labels,)}
    with pytest.raises(OptionError, match=r"margin|folds|jobs|coordinate system"):
        made = world.out / ("made.tif" if name == "predict" else "made.gpkg")
        getattr(geoseg, name)(*given[name], made, **{argument: value})
    assert not list(world.out.iterdir())


def test_areas_larger_than_any_map_take_all_of_it(world):
    made = geoseg.vectorize(world.labels, world.out / "map.gpkg", min_area=1e308)
    assert made.polygons == len(made.classes) == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_pickled_and_known_by_their_names(name):
    function = getattr(geoseg, name)
    assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301 - our own
    assert function.__doc__
