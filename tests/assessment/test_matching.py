"""References whose legend is another than the map's."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.assessment.matching import STRANGER, match, open_reference, told
from geoseg.class_raster import LEGEND_TAG
from geoseg.errors import LabelError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend

MAP = Legend.from_names([(1, "Forest"), (4, "water"), (7, "town")])
GRID = Grid(None, Affine.translation(10, 20), 2, 3)


def raster(path: Path, ids: list[list[int]], legend: Legend | None = None) -> Path:
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", **profile, transform=Affine.translation(10, 20)) as dataset:
        dataset.write(np.array(ids, np.uint8), 1)
        if legend is not None:
            dataset.update_tags(**{LEGEND_TAG: json.dumps(legend.to_dict())})
    return path


def polygons(path: Path, **columns: list[object]) -> Path:
    boxes = [shapely.box(x, 20, x + 1, 22) for x in (10, 11, 12)]
    gpd.GeoDataFrame(columns, geometry=boxes[: len(next(iter(columns.values())))]).to_file(path)
    return path


def test_named_classes_are_matched_by_name_and_the_rest_told(tmp_path: Path) -> None:
    own = Legend.from_names([(1, "water"), (2, "marsh"), (3, "forest")])
    labels = open_reference(raster(tmp_path / "r.tif", [[1, 2, 3], [0, 1, 3]], own), MAP)
    np.testing.assert_array_equal(labels.read(GRID), [[1, STRANGER, 0], [IGNORE, 1, 0]])
    assert told(labels.match, labels.path) == [
        "r.tif has classes that the map's legend lacks, left out: marsh.",
        "The map's legend has classes that r.tif lacks: town.",
    ]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_polygons_by_name_or_id(tmp_path: Path) -> None:
    by_name = open_reference(polygons(tmp_path / "a.gpkg", kind=["forest", "Town", "marsh"]), MAP, field="kind")
    np.testing.assert_array_equal(by_name.read(GRID)[0], [0, 2, STRANGER])
    by_id = open_reference(polygons(tmp_path / "b.gpkg", code=[7, 4, 1]), MAP, field="code")
    np.testing.assert_array_equal(by_id.read(GRID)[0], [2, 1, 0])
    assert told(by_id.match, by_id.path) == []


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_ids_unknown_to_the_legend_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"b\.gpkg: holds 9, which the map's legend \(1 Forest, 4 water, 7 town\)"):
        open_reference(polygons(tmp_path / "b.gpkg", code=[7, 4, 9]), MAP, field="code")
    with pytest.raises(LabelError, match=r"r\.tif: holds 9, which the legend does not have"):
        open_reference(raster(tmp_path / "r.tif", [[1, 9, 4], [1, 1, 1]]), MAP)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_legends_with_nothing_in_common_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"holds ice, snow, which the map's legend \(Forest, water, town\)"):
        open_reference(polygons(tmp_path / "c.gpkg", kind=["snow", "ice"]), MAP, field="kind")
    numbers = Legend.from_names([(1, "class 1"), (2, "class 2")])
    with pytest.raises(LabelError, match="the map has numbers only"):
        open_reference(polygons(tmp_path / "d.gpkg", kind=["snow", "ice"]), numbers, field="kind")


def test_a_legend_without_names_is_matched_by_id() -> None:
    found = match(Legend.from_names([(4, "class 4"), (9, "class 9")]), MAP)
    assert found.table[:2].tolist() == [1, STRANGER]
    assert (found.lacking, found.unused) == (("class 9",), ("Forest", "town"))
    assert match(MAP, MAP).is_same
    assert not match(Legend.from_names([(1, "town"), (2, "water"), (3, "forest")]), MAP).is_same
