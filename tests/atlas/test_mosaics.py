import shutil

import pyogrio
import pytest
import shapely

from conftest import legend_of
from geoseg.atlas.mosaics import GTI, write_mosaic


def item(number):
    """What is looked at of a map in the UTM zone of a number."""
    outline = shapely.box(6 * number, 0, 6 * number + 1, 1)
    return {
        "properties": {"title": f"region {number}", "proj:code": f"EPSG:{32631 + number}"},
        "assets": {"map": {"raster:spatial_resolution": 10.0}},
        "geometry": shapely.geometry.mapping(outline),
    }


@pytest.mark.parametrize("name", ["atlas", "an atlas!", "zip!x.zip"])
def test_an_index_is_made_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / name).mkdir()
    write_mosaic(tmp_path / name, ["a.tif", "b.tif"], [item(0), item(1)], legend_of(2))
    assert not list(here.iterdir())
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == [GTI, "maps.gti.qml"]
    copy = shutil.copy(tmp_path / name / GTI, here / "index.gpkg")
    assert list(pyogrio.read_dataframe(copy)["location"]) == ["a.tif", "b.tif"]
    assert pyogrio.read_info(copy)["layer_metadata"]["BAND_COUNT"] == "1"
