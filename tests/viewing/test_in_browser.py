"""The page of `geoseg view`, as a browser shows it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

import geoseg
from browser import Browser
from conftest import CORNER, polygons, striped
from geoseg.class_raster import LEGEND_TAG
from geoseg.legend import Legend

HOSTILE = "</script><img src=x onerror=alert(1)>"
QUOTES = "\"'`;${alert(1)}<!--<script>"
RANGES = """
const [x, y] = ["map-x", "map-y"].map((name) => Bokeh.documents[0].get_model_by_name(name));
return [x.start, x.end, y.start, y.end];
"""
COLORS = ("#aa3311", "#22bb44", "#3355cc")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, a map with hostile class names, its confidence, and polygons in a file of a hostile name."""
    folder = tmp_path_factory.mktemp("view")
    values, classes = striped(120, 160)
    classes[:, 80:] = 2
    profile = {"driver": "GTiff", "crs": "EPSG:32632", "transform": CORNER, "height": 120, "width": 160}
    with rasterio.open(folder / "scene.tif", "w", count=4, dtype="uint16", photometric="minisblack", **profile) as out:
        out.write(values)
    names = (HOSTILE, "water", QUOTES)
    items = [{"id": n, "name": name, "color": color} for n, name, color in zip((1, 2, 3), names, COLORS, strict=True)]
    with rasterio.open(folder / "map.tif", "w", count=1, dtype="uint8", nodata=0, **profile) as out:
        out.write(classes[None])
        out.update_tags(**{LEGEND_TAG: json.dumps(Legend.from_dict(items).to_dict())})
    with rasterio.open(folder / "sure.tif", "w", count=1, dtype="uint8", nodata=255, **profile) as out:
        out.write(np.full((1, 120, 160), 200, np.uint8))
        out.descriptions, out.scales = ("confidence",), (0.004,)
    frame = polygons({HOSTILE: [(10, 10, 30, 30)], "water": [(50, 90, 60, 60)]})
    frame["confidence_mean"] = [0.25, 0.75]
    shapes = folder / "<b onload=alert(2)>.geojson"
    frame.to_crs("EPSG:4326").to_file(shapes)
    geoseg.view([folder / "scene.tif", folder / "map.tif", folder / "sure.tif", shapes], folder / "page.html")
    return folder / "page.html"


@pytest.fixture
def opened(chromium: Browser, page: Path) -> Browser:
    chromium.open(page)
    return chromium


def hover(browser: Browser) -> str:
    browser.settle()
    return str(browser.one(".hover").text)


def switch(browser: Browser, layer: str, side: str) -> None:
    """Press the button of a layer for one side."""
    row = next(one for one in browser.all(".layer") if layer in one.text)
    row.find_element("css selector", f"input[data-side={side}]").find_element("xpath", "..").click()


def test_it_is_drawn_without_errors_and_without_a_network(opened: Browser, tmp_path: Path) -> None:
    left, right = (opened.colors(f".side.{side}")[0] for side in ("left", "right"))
    assert len(left) > 50  # a scene has many colours
    assert set(COLORS) & right >= set(COLORS[:2])
    assert not set(COLORS) & left
    picture = opened.picture(tmp_path / "view.png")
    assert (tmp_path / "view.png").stat().st_size > 10_000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert opened.complaints() == []
    assert opened.requests() == []


def test_names_from_data_are_text_and_nothing_else(opened: Browser) -> None:
    shown = [one.text for one in opened.all(".classes .class span")]
    assert shown == [HOSTILE, "water", QUOTES]
    assert opened.all("main img, b") == []
    assert any("<b onload=alert(2)>.geojson" in one.text for one in opened.all(".layer .name"))
    switch(opened, "map.tif", "left")
    # The pixels and the polygon of the hostile class.
    opened.point(".stage", 0.25, 0.3)
    assert HOSTILE in hover(opened)
    assert opened.complaints() == []


def test_pointing_tells_class_confidence_and_coordinates(opened: Browser) -> None:
    opened.point(".stage", 0.75, 0.65)
    told = hover(opened)
    assert "water, confidence 75 %" in told  # the polygon's
    assert "confidence 80 %" in told  # the raster's, though it is not drawn
    left, right, bottom, top = opened.run(RANGES)
    x, y = left + 0.75 * (right - left), top - 0.65 * (top - bottom)
    (lon,), (lat,) = rasterio.warp.transform("EPSG:32632", "EPSG:4326", [x], [y])
    where = next(line for line in told.splitlines() if line.endswith("E"))
    found = [float(word.rstrip("°")) for word in where.replace(",", "").split() if "°" in word]
    np.testing.assert_allclose(found, [lat, lon], atol=3e-4)  # a pixel of the screen
    assert any(line.startswith("EPSG:32632") for line in told.splitlines())


def test_the_line_swipes(opened: Browser, tmp_path: Path) -> None:
    def color() -> str:
        """On the screen, where the map is water."""
        box = opened.one(".stage").rect
        picture = opened.picture(tmp_path / "swipe.png")
        pixel = picture[round(box["y"] + 0.2 * box["height"]), round(box["x"] + 0.55 * box["width"])]
        return "#{:02x}{:02x}{:02x}".format(*pixel)

    opened.drag(".swipe", 200)
    assert color() != COLORS[1]
    opened.drag(".swipe", -600)
    assert float(opened.one(".swipe").get_attribute("aria-valuenow")) < 10
    assert color() == COLORS[1]
    opened.one(".swipe").send_keys("\ue010")  # End
    assert opened.one(".swipe").get_attribute("aria-valuenow") == "100"
    assert color() != COLORS[1]


def test_classes_layers_and_opacity_can_be_switched(opened: Browser) -> None:
    def shown() -> set[str]:
        return opened.colors(".side.right")[0]

    switch(opened, "onload", "right")  # the polygons would lie over the map
    before = shown()
    opened.one("[data-class='1']").click()
    assert COLORS[1] in before
    assert COLORS[1] not in shown()
    opened.one("[data-all=false]").click()
    assert not set(COLORS) & shown()
    opened.one("[data-all=true]").click()
    assert COLORS[1] in shown()
    row = next(one for one in opened.all(".layer") if "map.tif" in one.text)
    slider = row.find_element("css selector", ".opacity")
    opened.run("arguments[0].value = 50; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert COLORS[1] not in shown()
    switch(opened, "scene.tif", "right")
    mixed = "#{:02x}{:02x}{:02x}".format(*(round((int(COLORS[1][i : i + 2], 16) + 255) / 2) for i in (1, 3, 5)))
    near = {tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in shown()}
    wanted = tuple(int(mixed[i : i + 2], 16) for i in (1, 3, 5))
    assert any(max(abs(a - b) for a, b in zip(one, wanted, strict=True)) <= 2 for one in near)
    switch(opened, "map.tif", "right")
    assert shown() == {"#ffffff"}


def test_both_sides_move_together(opened: Browser) -> None:
    before = opened.run(RANGES)
    opened.one(".in").click()
    nearer = opened.run(RANGES)
    assert nearer[1] - nearer[0] == pytest.approx((before[1] - before[0]) / 1.6)
    opened.point(".stage", 0.75, 0.5)
    opened.one(".home").click()
    assert opened.run(RANGES) == pytest.approx(before)
    # A unit of ground is as long across as down, on any page.
    for width, height in ((1200, 850), (400, 800)):
        opened.resize(width, height)
        opened.settle()
        x0, x1, y0, y1 = opened.run(RANGES)
        side = opened.run("const s = document.querySelector('.side'); return [s.clientWidth, s.clientHeight]")
        assert (x1 - x0) / side[0] == pytest.approx((y1 - y0) / side[1], rel=1e-3)
        assert opened.run("return document.documentElement.scrollWidth") <= width


def test_a_narrow_page_is_whole(chromium: Browser, page: Path, tmp_path: Path) -> None:
    chromium.open(page, 400, 800)
    chromium.picture(tmp_path / "view_400.png", whole=True)
    assert chromium.run("return document.documentElement.scrollWidth") <= 400
    assert chromium.complaints() == []
    assert chromium.requests() == []


def test_points_and_lines_are_drawn(chromium: Browser, tmp_path: Path) -> None:
    x, y = CORNER.c, CORNER.f
    for name, shapes in {
        "points": shapely.points([(x + 100, y - 100), (x + 900, y - 900)]),
        "lines": [
            shapely.LineString([(x, y), (x + 1000, y - 1000)]),
            shapely.LineString([(x, y - 1000), (x + 1000, y)]),
        ],
    }.items():
        frame = gpd.GeoDataFrame({"class": ["forest", "water"]}, geometry=shapes, crs="EPSG:32632")
        frame.to_file(tmp_path / f"{name}.gpkg")
    geoseg.view([tmp_path / "points.gpkg", tmp_path / "lines.gpkg"], tmp_path / "page.html")
    chromium.open(tmp_path / "page.html")
    colors = {item.color for item in Legend.from_names([(1, "forest"), (2, "water")])}
    assert colors <= set().union(*chromium.colors(".stage"))
    assert chromium.complaints() == []
