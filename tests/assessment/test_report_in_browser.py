"""The report of an evaluation, as a browser shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geoseg
from browser import Browser
from geoseg.class_raster import LEGEND_TAG
from geoseg.legend import Legend

HOSTILE = "</script><img src=x onerror=alert(1)>"
COLORS = ("#1b7837", "#3b7dd8", "#aa3311", "#cccc00")
PLACE = Affine(10, 0, 500_000, 0, -10, 5_400_000)
PROFILE: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32632", "transform": PLACE, "height": 90, "width": 120}
NAMES = ("forest", "water", HOSTILE, "never seen")


def write(path: Path, values: np.ndarray[Any, Any], **tags: str) -> Path:
    with rasterio.open(path, "w", count=len(values), dtype=values.dtype, **PROFILE) as dataset:
        dataset.write(values)
        dataset.update_tags(**tags)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything a report can hold: scene, confidence, samples, polygons, regions, a second map, a rival in name."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:90, :120] // 15
    truth = (1 + (row + col) % 3).astype(np.uint8)
    mapped = truth.copy()
    mapped[20:50, 30:80] = 1
    items = [
        {"id": n, "name": name, "color": color} for n, (name, color) in enumerate(zip(NAMES, COLORS, strict=True), 1)
    ]
    legend = json.dumps(Legend.from_dict(items).to_dict())
    other = np.where(rng.random(truth.shape) < 0.9, truth, 1).astype(np.uint8)
    files = {
        "map": write(folder / "map.tif", mapped[None], **{LEGEND_TAG: legend}),
        "other": write(folder / "other.tif", other[None], **{LEGEND_TAG: legend}),
        "truth": write(folder / "truth.tif", truth[None], **{LEGEND_TAG: legend}),
        "scene": write(folder / "scene.tif", rng.integers(1, 999, (3, 90, 120)).astype(np.uint16)),
        "sure": write(folder / "sure.tif", rng.uniform(0.3, 1, (1, 90, 120)).astype(np.float32)),
    }
    cells = rng.integers((0, 0), (90, 120), (60, 2)).tolist()
    xy = [PLACE @ (col + 0.5, row + 0.5) for row, col in cells]
    points = gpd.GeoDataFrame({"class": [NAMES[truth[r, c] - 1] for r, c in cells]}, geometry=shapely.points(xy))
    points.set_crs("EPSG:32632").to_file(folder / "samples.gpkg")
    halves = [shapely.box(500_000, 5_399_100, 500_600, 5_400_000), shapely.box(500_600, 5_399_100, 501_200, 5_400_000)]
    regions = gpd.GeoDataFrame({"name": ["<i>west</i>", "east"]}, geometry=halves, crs="EPSG:32632")
    regions.to_file(folder / "regions.gpkg")
    (folder / "metrics.csv").write_text("epoch,train_loss,val_miou\n0,1,0.1\n1,0.5,0.3\n")
    geoseg.evaluate(
        [files["map"], files["other"]],
        files["truth"],
        folder / "report",
        scene=files["scene"],
        confidence=[files["sure"], files["sure"]],
        samples=folder / "samples.gpkg",
        by=folder / "regions.gpkg",
        by_field="name",
        polygons="0",
        curves=folder / "metrics.csv",
    )
    return folder / "report" / "report.html"


def test_it_is_drawn_without_errors_and_without_a_network(chromium: Browser, page: Path, tmp_path: Path) -> None:
    chromium.open(page)
    left, right = (chromium.colors(f".side.{side}")[0] for side in ("left", "right"))
    assert set(COLORS[:3]) <= left
    assert set(COLORS[:3]) <= right
    assert chromium.run("return [...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    chromium.picture(tmp_path / "report.png", whole=True)
    assert (tmp_path / "report.png").stat().st_size > 50_000
    assert chromium.complaints() == []
    assert chromium.requests() == []


def test_everything_that_was_found_is_told(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    ids = chromium.run("return [...document.querySelectorAll('h2[id]')].map((one) => one.id)")
    assert set(ids) == {
        "map", "scores", "confusion", "maps", "areas", "reliability", "polygons", "worst", "training", "made",
    }  # fmt: skip
    links = chromium.run("return [...document.querySelectorAll('.contents a')].map((one) => one.hash.slice(1))")
    assert links == ids
    words = chromium.one("main").text
    for said in (HOSTILE, "<i>west</i>", "McNemar", "Olofsson", "expected calibration error", "never seen: absent"):
        assert said in words
    # No element came from a name.
    assert chromium.run("return document.querySelectorAll('main i:not(.swatch):not(.bar i)').length") == 0
    assert chromium.all("img[src=x]") == []
    row = next(one.text for one in chromium.all("#scores + .scroll tbody tr") if "never seen" in one.text)
    assert row.count("\N{EN DASH}") >= 4
    worst = chromium.one(".spot figcaption").text
    assert "° N" in worst
    assert "mapped as forest" in worst
    assert len(chromium.all(".spot:first-child .panels img")) == 4


def test_errors_can_be_switched_on(chromium: Browser, page: Path) -> None:
    from geoseg.assessment.figures import AGREE, DIFFER

    chromium.open(page)
    assert not {AGREE, DIFFER} & chromium.colors(".side.right")[0]
    row = next(one for one in chromium.all(".layer") if "errors" in one.text)
    row.find_element("css selector", "input[data-side=right]").find_element("xpath", "..").click()
    assert {AGREE, DIFFER} <= chromium.colors(".side.right")[0]
    chromium.point(".stage", 0.48, 0.4)
    chromium.settle()
    told = chromium.one(".hover").text
    assert "map" in told
    assert "reference" in told


def test_a_narrow_page_does_not_scroll_sideways(chromium: Browser, page: Path, tmp_path: Path) -> None:
    chromium.open(page, 400, 800)
    assert chromium.run("return document.documentElement.scrollWidth") <= 400
    chromium.picture(tmp_path / "report_400.png", whole=True)
    assert chromium.complaints() == []
