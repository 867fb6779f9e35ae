"""Which column of a vector file holds the class, and what its values say."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from conftest import polygons
from geoseg.errors import LabelError, LegendError
from geoseg.labels import open_labels
from geoseg.legend import IGNORE, Legend
from labels.conftest import FOREST, GRID, WATER, columns


def test_ids_and_names_that_go_together_make_the_legend(tmp_path):
    path = columns(tmp_path, class_id=[40, 7], land_cover=["town", "lake"])
    for field in (None, "class_id", "LAND_COVER"):
        legend = open_labels(path, field=field).legend
        assert legend.ids == (7, 40)
        assert legend.names == ("lake", "town")


def test_a_column_of_ids_alone_is_enough(tmp_path):
    labels = open_labels(columns(tmp_path, code=[3, 300]))
    assert labels.legend.ids == (3, 300)
    assert labels.legend.dtype == "uint16"


def test_a_given_legend_decides(tmp_path, drawn):
    legend = Legend.from_names([(9, "Water"), (4, "Forest"), (1, "snow")])
    labels = open_labels(drawn, legend=legend)
    assert labels.legend is legend
    assert set(np.unique(labels.read(GRID))) == {1, 2, IGNORE}
    with pytest.raises(LabelError, match="'forest'"):
        open_labels(drawn, legend=Legend.from_names([(1, "water")]))


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"a": [1, 2]}, None, "--class-field"),
        ({"a": [1, 2]}, "b", "has no column 'b'; There are: a. Name one with --class-field"),
        ({"land": ["a", "b"]}, "lend", "did you mean 'land'"),
        ({"code": [-1, 2]}, None, "holds -1"),
        ({"code": [1, 70000]}, None, "holds 70000"),
        ({"code": [1.5, 2]}, "code", "column 'code' holds 1.5; class ids are whole numbers from 0 to 65535"),
        ({"class_id": [1.5, 2]}, None, "column 'class_id' holds 1.5"),
        ({"code": ["-3", "2"]}, "code", "holds -3"),
        ({"code": [True, False]}, "code", "holds bool values"),
        ({"class": [None, None]}, "class", "is empty"),
    ],
)
def test_columns_that_hold_no_class_are_refused(tmp_path, values, field, says):
    with pytest.raises(LabelError, match=says):
        open_labels(columns(tmp_path, **values), field=field)


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_polygons_without_a_class_are_left_out_and_said(tmp_path, caplog, nothing):
    labels = open_labels(columns(tmp_path, **{"class": ["forest", nothing]}))
    assert labels.legend.names == ("forest",)
    assert "1 of 2 features" in caplog.text


def test_names_that_differ_in_case_only_are_one_class(tmp_path, caplog):
    labels = open_labels(columns(tmp_path, **{"class": ["forest", "Forest"]}))
    assert labels.legend.names == ("Forest",)
    assert "'Forest' and 'forest' are taken as one class" in caplog.text


@pytest.mark.parametrize("values", [[1.0, 10.0], ["1", "10"], ["1.0", " 10"]])
def test_whole_numbers_are_ids_however_they_are_written(tmp_path, values):
    assert open_labels(columns(tmp_path, code=values)).legend.ids == (1, 10)


def test_numbers_may_be_the_names_of_a_given_legend(tmp_path):
    legend = Legend.from_names([(5, "1"), (6, "10")])
    assert set(np.unique(open_labels(columns(tmp_path, code=["1", "10"]), legend=legend).read(GRID))) == {0, 1, IGNORE}


def test_gaps_in_a_column_of_ids(tmp_path, caplog):
    assert open_labels(columns(tmp_path, code=[np.nan, 65535.0])).legend.ids == (65535,)
    assert "1 of 2 features have no 'code'" in caplog.text


def test_a_running_number_is_no_class_id(tmp_path):
    assert open_labels(columns(tmp_path, id=[8, 7], **{"class": ["b", "a"]})).legend.ids == (1, 2)


def test_the_exact_column_is_taken(tmp_path):
    path = tmp_path / "case.parquet"
    frame = polygons({"x": [FOREST, WATER]}).rename(columns={"class": "CLASS"})
    frame.assign(**{"class": [5, 9]}).to_parquet(path)
    assert open_labels(path, field="class").legend.ids == (5, 9)
    with pytest.raises(LabelError, match="has the columns CLASS, class; write the one to use exactly so"):
        open_labels(path, field="Class")


@pytest.mark.parametrize("given", [None, Legend.from_names([(1, "Fore\u0302t"), (2, "Pre\u0301")])])
def test_a_name_is_the_same_however_its_accents_are_written(tmp_path, given):
    names = ["For\u00eat", "Fore\u0302t", "Pr\u00e9"]
    boxes = [shapely.box(10 * place, 0, 10 * place + 9, 9) for place in range(3)]
    gpd.GeoDataFrame({"class": names}, geometry=boxes, crs="EPSG:32632").to_file(tmp_path / "a.gpkg")
    labels = open_labels(tmp_path / "a.gpkg", legend=given)
    assert labels.legend.names == ("For\u00eat", "Pr\u00e9")
    assert labels.indices.tolist() == [0, 0, 1]


def test_two_classes_of_a_legend_may_not_look_the_same():
    with pytest.raises(LegendError, match="two classes have the name"):
        Legend.from_names([(1, "For\u00eat"), (2, "Fore\u0302t")])
