"""A window of labels is its part of the whole, however they are read."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from rasterio.features import rasterize
from rasterio.windows import Window

from conftest import CORNER, UTM
from geoseg.labels import open_labels
from geoseg.legend import IGNORE
from labels.conftest import GRID, expected, shapes, square


def test_a_window_reads_its_part_of_the_whole(drawn):
    window = Window(10, 5, 25, 20)
    assert (open_labels(drawn).read(GRID.crop(window)) == expected()[5:25, 10:35]).all()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Two hundred triangles of three classes that overlap, and points among them."""
    rng = np.random.default_rng(0)
    triangles = [
        shapely.Polygon([CORNER @ (x + dx, y + dy) for dx, dy in rng.normal(0, 3, (3, 2))])
        for x, y in rng.uniform(0, 50, (200, 2))
    ]
    points = [shapely.Point(CORNER @ place) for place in rng.uniform(0, 50, (40, 2))]
    return shapes(tmp_path_factory.mktemp("crowd"), triangles + points, list(rng.choice(["a", "b", "c"], 240)))


@pytest.mark.parametrize("options", [{}, {"on_conflict": "ignore"}, {"background": 0}, {"buffer": 15.0}])
class TestReading:
    def test_a_window_is_its_part_of_the_whole(self, crowd, options):
        labels = open_labels(crowd, **options)
        whole = labels.read(GRID)
        for window in (Window(0, 0, 50, 1), Window(7, 11, 20, 13), Window(49, 39, 1, 1)):
            rows, cols = window.toslices()
            assert (labels.read(GRID.crop(window)) == whole[rows, cols]).all()

    def test_pickled_labels_read_the_same(self, crowd, options):
        labels = open_labels(crowd, **options)
        whole = labels.read(GRID)
        assert (pickle.loads(pickle.dumps(labels)).read(GRID) == whole).all()  # noqa: S301

    def test_threads_read_the_same(self, crowd, options):
        labels = open_labels(crowd, **options)
        grids = [GRID.crop(Window(col, 0, 10, 40)) for col in range(0, 50, 10)] * 4
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(labels.read, grids))
        assert (np.hstack(parts[:5]) == open_labels(crowd, **options).read(GRID)).all()
        assert all((part == parts[place % 5]).all() for place, part in enumerate(parts))

    def test_the_order_within_a_class_does_not_matter(self, crowd, options, tmp_path):
        frame = gpd.read_file(crowd)
        runs = [frame[frame["class"] == name] for name in "abc"]
        for number, seed in enumerate((None, 1)):
            moved = [run if seed is None else run.sample(frac=1, random_state=seed) for run in runs]
            gpd.GeoDataFrame(pd.concat(moved), crs=UTM).to_file(tmp_path / f"{number}.gpkg")
        first, second = (open_labels(tmp_path / f"{number}.gpkg", **options).read(GRID) for number in range(2))
        assert (first == second).all()


def test_a_polygon_of_many_corners_is_drawn_in_pieces_and_whole(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 20_001)[:-1]
    radius = 17 + 2 * np.sin(40 * angles)
    star = shapely.Polygon(
        [CORNER @ xy for xy in zip(25 + radius * np.cos(angles), 20 + radius * np.sin(angles), strict=True)]
    )
    frilly = star.difference(square(15, 20, 8))
    labels = open_labels(shapes(tmp_path, [frilly]))
    whole = rasterize([(frilly, 0)], GRID.shape, fill=IGNORE, transform=GRID.transform, dtype="uint8")
    assert (labels.read(GRID) == whole).all()
    assert (open_labels(labels.path, on_conflict="ignore").read(GRID) == whole).all()
    assert (labels.read(GRID.crop(Window(10, 10, 20, 20))) == whole[10:30, 10:30]).all()
