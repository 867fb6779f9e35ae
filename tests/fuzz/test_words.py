"""Whatever is typed, or stands in a table, becomes a harmless name or one of geoseg's own errors."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geoseg.atlas.regions import Size, slugs
from geoseg.errors import GeosegError
from geoseg.names import plain_name
from geoseg.prediction.crf_options import CrfOptions
from geoseg.registry import assignments, suggestion
from geoseg.training.options import parse_arch_options
from geoseg.units import area, distance


@given(st.lists(st.text(max_size=90), unique=True, max_size=6))
@example(["../../etc/passwd", "CON", "con", "nul", "a/b", "a\\b", "\ud800", "..", "x\0", "ß", "SS", "ss"])
@example(["İ" * 60, "i̇" * 60])
@example([":-", "-", "_-_"])
def test_a_region_of_any_name_has_a_file_of_its_own(names):
    files = slugs(names)
    assert len({file.casefold() for file in files}) == len(names)
    for file in files:
        assert file.strip("._-")
        assert not set(file) & set('/\\\0:*?"<>|.\n')
        assert len(file.encode("utf-8")) < 255


@given(st.text(max_size=200))
def test_a_scene_of_any_name_gives_a_file_name(name):
    assert not set(plain_name(name)) & set("/\\\0.")
    assert len(plain_name(name)) <= 60


@pytest.mark.parametrize(
    "read",
    [
        Size.parse,
        lambda text: distance(text, "the tolerance"),
        lambda text: area(text, "the smallest area"),
        CrfOptions.parse,
        lambda text: parse_arch_options((text,)),
        lambda text: assignments(text, ("radius",), "the CRF"),
        lambda text: suggestion(text, ("unet", "pspnet")),
    ],
    ids=["size", "distance", "area", "crf", "arch option", "assignments", "suggestion"],
)
@given(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(("radius=", "x=[[", "9" * 400 + "km", "1e999GB", "-0deg", "x=" + "[" * 3000)),
    )
)
@example("9" * 400 + "km")
@example("9" * 5000 + "GB")
@example("radius=" + "9" * 5000)
def test_a_typed_value_is_read_or_refused(read, text):
    with suppress(GeosegError):
        read(text)
