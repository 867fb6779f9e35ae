"""The worst places: found where errors are, read in full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform

from conftest import WriteScene, legend_of
from geoseg.assessment.compare import compare
from geoseg.assessment.figures import png, worst_figure
from geoseg.assessment.preview import Preview
from geoseg.assessment.worst import SIDE, Spot, peaks, worst_places
from geoseg.class_raster import open_class_raster
from geoseg.labels import open_labels
from geoseg.legend import IGNORE
from geoseg.readers import find_source


def spots_of(truth: Path, mapped: Path, longest: int = 1000, scene: Path | None = None) -> tuple[Preview, list[Spot]]:
    raster = open_class_raster(mapped, legend=legend_of(3))
    labels = open_labels(truth, legend=raster.legend)
    preview = compare(raster, labels, longest=longest).preview
    source = None if scene is None else find_source(scene)
    return preview, list(worst_places(preview, raster, labels, source))


@pytest.fixture
def pair(write_scene: WriteScene) -> tuple[Path, Path]:
    """A map of 400 x 600 pixels with two clusters of errors and some elsewhere."""
    truth = np.ones((400, 600), np.uint8)
    truth[:, 400:] = 0  # unlabelled
    mapped = np.ones((400, 600), np.uint8)
    mapped[300:340, 100:160] = 2  # 2400 errors
    mapped[20:50, 300:330] = 3  # 900 errors
    mapped[200, 10] = 2
    mapped[100:300, 450:] = 2  # not compared
    return write_scene(truth[None], "truth.tif", nodata=0), write_scene(mapped[None], "map.tif", nodata=0)


@pytest.mark.parametrize("longest", [1000, 120], ids=["whole", "thinned"])
def test_the_worst_place_is_where_most_is_wrong(pair: tuple[Path, Path], longest: int) -> None:
    preview, spots = spots_of(*pair, longest=longest)
    assert (preview.step == 1) == (longest == 1000)
    first, second = spots[:2]
    assert (first.wrong, second.wrong) == (2400, 900)  # counted in full, however thin the picture
    assert (first.mistake, second.mistake) == ((0, 1), (0, 2))
    assert [spot.wrong for spot in spots] == sorted((spot.wrong for spot in spots), reverse=True)
    if longest == 1000:
        assert first.mapped.shape == (SIDE, SIDE)
        assert first.share == 2400 / int(first.compared.sum())
        assert [spot.wrong for spot in spots] == [2400, 900, 1]
    # Wherever they lie, what is shown is what is there.
    window = first.window.toslices()
    np.testing.assert_array_equal(first.mapped == 1, open_class_raster(pair[1]).read(first.window) == 1)
    rows, cols = window
    assert rows.start <= 300 < 340 <= rows.stop
    assert cols.start <= 100 < 160 <= cols.stop


def test_no_place_overlaps_another() -> None:
    marked = np.random.default_rng(0).random((100, 130)) < 0.3
    found = peaks(marked, 20, 6)
    assert len(found) == 6
    sums = [int(marked[row : row + 20, col : col + 20].sum()) for row, col in found]
    assert sums == sorted(sums, reverse=True)
    assert sums[0] == max(int(marked[row : row + 20, col : col + 20].sum()) for row in range(81) for col in range(111))
    for one, (row, col) in enumerate(found):
        assert all(abs(row - r) >= 20 or abs(col - c) >= 20 for r, c in found[:one])


def test_a_map_smaller_than_a_place_is_one_place(write_scene: WriteScene) -> None:
    truth = write_scene(np.ones((1, 5, 7), np.uint8), "truth.tif", nodata=0)
    mapped = np.ones((1, 5, 7), np.uint8)
    mapped[0, 2, 3] = 2
    _, spots = spots_of(truth, write_scene(mapped, "map.tif", nodata=0))
    assert [(spot.mapped.shape, spot.wrong) for spot in spots] == [((5, 7), 1)]


def test_a_map_without_errors_has_no_worst_place(write_scene: WriteScene) -> None:
    truth = write_scene(np.ones((1, 50, 70), np.uint8), "truth.tif", nodata=0)
    assert spots_of(truth, truth)[1] == []


def test_a_place_knows_where_it_is_and_shows_its_scene(pair: tuple[Path, Path], write_scene: WriteScene) -> None:
    values = np.random.default_rng(0).integers(1, 999, (3, 400, 600)).astype(np.uint16)
    _, spots = spots_of(*pair, scene=write_scene(values, "scene.tif"))
    first = spots[0]
    x, y = first.middle
    assert first.lonlat is not None
    back = transform("EPSG:4326", CRS.from_epsg(32632), [first.lonlat[0]], [first.lonlat[1]])
    np.testing.assert_allclose([back[0][0], back[1][0]], [x, y], atol=0.01)
    assert first.scene is not None
    assert first.scene.shape == (SIDE, SIDE, 4)
    assert png(worst_figure(spots, legend_of(3)), dpi=30).startswith(b"\x89PNG")


def test_without_a_crs_places_are_pixels(write_scene: WriteScene) -> None:
    truth = write_scene(np.ones((1, 80, 90), np.uint8), "truth.tif", nodata=0, crs=None)
    mapped = np.ones((1, 80, 90), np.uint8)
    mapped[0, 70:, 80:] = 2
    _, (spot,) = spots_of(truth, write_scene(mapped, "map.tif", nodata=0, crs=None))
    assert spot.lonlat is None
    assert spot.scene is None
    assert (spot.mapped != IGNORE).all()
