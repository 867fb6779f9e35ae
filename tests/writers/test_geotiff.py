import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine
from rio_cogeo import cog_validate

from conftest import CORNER, UTM
from geoseg.class_raster import open_class_raster
from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend
from geoseg.output import new_output
from geoseg.writers._cog import CogWriter
from geoseg.writers.geotiff import MapWriter, ShareWriter, beside


def write(path, indices, legend, grid=None, **tags):
    grid = grid or Grid(CRS.from_user_input(UTM), CORNER, *indices.shape)
    with new_output(path, beside=beside(path)) as workspace, MapWriter(workspace, grid, legend, tags) as writer:
        for window in writer.windows():
            writer.write(window, indices[window.toslices()])


@pytest.mark.parametrize("ids", [(1, 2, 3), (0, 5, 255), (0, 1, 40_000)])
@pytest.mark.parametrize("shape", [(1, 1), (700, 33), (520, 1100)])
def test_what_is_written_is_read(tmp_path, ids, shape):
    legend = Legend.from_names((id_, f"class {id_}") for id_ in ids)
    indices = np.random.default_rng(0).choice([0, 1, 2, IGNORE], shape).astype(np.uint8)
    write(tmp_path / "map.tif", indices, legend)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.read(1) == legend.decode(indices)).all()
        assert dataset.nodata == legend.nodata
        assert dataset.dtypes == (legend.dtype,)
        assert dataset.crs.to_epsg() == 32632
        assert dataset.transform == CORNER
    assert (open_class_raster(tmp_path / "map.tif").read(dataset_window(shape)) == indices).all()
    assert cog_validate(tmp_path / "map.tif", strict=True)[0]


def dataset_window(shape):
    from rasterio.windows import Window

    return Window(0, 0, shape[1], shape[0])


def test_names_and_colours_come_along(tmp_path):
    legend = Legend.from_names([(1, "forest & <wood>"), (4, 'the "lake"')])
    write(tmp_path / "map.tif", np.zeros((5, 5), np.uint8), legend, model="m.safetensors", options={"margin": 8})
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.colormap(1)[1] == (*legend.classes[0].rgb, 255)
        assert dataset.colormap(1)[0][3] == 0
        assert dataset.tags()["GEOSEG_MODEL"] == "m.safetensors"
        assert json.loads(dataset.tags()["GEOSEG_OPTIONS"]) == {"margin": 8}
    assert open_class_raster(tmp_path / "map.tif").legend == legend
    side = ET.parse(tmp_path / "map.tif.aux.xml")  # noqa: S314
    assert [c.text for c in side.iter("Category")] == [None, "forest & <wood>", None, None, 'the "lake"']
    assert [f.text for f in side.find(".//Row[@index='1']")][:2] == ["4", 'the "lake"']
    entries = ET.parse(tmp_path / "map.qml").iter("paletteEntry")  # noqa: S314
    assert [(e.get("value"), e.get("label")) for e in entries] == [("1", "forest & <wood>"), ("4", 'the "lake"')]


@pytest.mark.parametrize(("bands", "shape"), [(1, (30, 40)), (4, (600, 2100)), (20, (5, 5))])
def test_shares_come_back_to_half_a_step(tmp_path, bands, shape):
    rng = np.random.default_rng(0)
    shares, valid = rng.random((bands, *shape), np.float32), rng.random(shape) > 0.1
    names = tuple(f"class {number}" for number in range(bands))
    grid = Grid(CRS.from_user_input(UTM), CORNER, *shape)
    with new_output(tmp_path / "p.tif") as workspace, ShareWriter(workspace, grid, names, {}) as writer:
        for window in writer._cog.windows():
            place = window.toslices()
            writer.write(window, shares[:, *place], valid[place])
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert dataset.descriptions == names
        assert set(dataset.scales) == {1 / 250}
        # A fourth band is no opacity, whatever GDAL makes of four bytes.
        assert rasterio.enums.ColorInterp.alpha not in dataset.colorinterp
        values = dataset.read(masked=True)
        assert (values.mask == ~valid).all()
        assert np.abs(values.data / 250 - shares)[:, valid].max() <= 0.5001 / 250
    assert cog_validate(tmp_path / "p.tif", strict=True)[0]


def test_without_a_crs(tmp_path):
    legend = Legend.from_names([(1, "a"), (2, "b")])
    write(tmp_path / "map.tif", np.ones((20, 20), np.uint8), legend, Grid(None, CORNER, 20, 20))
    assert open_class_raster(tmp_path / "map.tif").grid.crs is None


def test_parts_that_are_missing_are_an_error(tmp_path):
    legend = Legend.from_names([(1, "a")])
    grid = Grid(None, CORNER, 600, 10)
    path = tmp_path / "map.tif"
    with (
        pytest.raises(OutputError, match="1 of its parts"),
        new_output(path, beside=beside(path)) as workspace,
        MapWriter(workspace, grid, legend, {}) as writer,
    ):
        writer.write(next(writer.windows()), np.zeros((512, 10), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_not_written_whole_is_found_out(tmp_path, monkeypatch):
    """GDAL hides a full disk when a file is closed: what is read back must be compared with what was written."""
    legend = Legend.from_names([(1, "a"), (2, "b")])
    path = tmp_path / "map.tif"
    spoil = CogWriter._optimise

    def spoiled(self):
        spoil(self)
        with rasterio.open(self._workspace.main, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.write(np.zeros((1, 512, 600), np.uint8), window=((0, 512), (0, 600)))

    monkeypatch.setattr(CogWriter, "_optimise", spoiled)
    with pytest.raises(OutputError, match="were not written whole"):
        write(path, np.ones((900, 600), np.uint8), legend)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["crs", "transform", "tags", "colours"])
def test_a_map_that_lost_what_it_says_of_itself_is_found_out(tmp_path, monkeypatch, lost):
    """Pixels that are right are of no use in the wrong place, or without their classes."""
    legend, path, optimise = Legend.from_names([(1, "a"), (2, "b")]), tmp_path / "map.tif", CogWriter._optimise

    def spoiled(self):
        optimise(self)
        with rasterio.open(self._workspace.main, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            if lost == "crs":
                dataset.crs = "EPSG:32631"
            elif lost == "transform":
                dataset.transform = Affine(30, 0, 0, 0, -30, 0)
            elif lost == "tags":
                dataset.update_tags(GEOSEG_LEGEND="{}")
            else:
                dataset.write_colormap(1, {1: (0, 0, 0, 255)})

    monkeypatch.setattr(CogWriter, "_optimise", spoiled)
    with pytest.raises(OutputError, match="what was read back differs"):
        write(path, np.ones((90, 60), np.uint8), legend)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [1000, 5000, 20_000, 40_000])
def test_a_full_disk_publishes_nothing(tmp_path, limit):
    """A limit on the size of files stands in for a full disk: GDAL meets both in the same places."""
    resource = pytest.importorskip("resource")
    legend = Legend.from_names([(1, "a"), (2, "b")])
    indices = np.random.default_rng(0).integers(0, 2, (700, 700), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match=r"map\.tif.*disk full"):
            write(tmp_path / "map.tif", indices, legend)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "map.tif", indices, legend)
    assert (open_class_raster(tmp_path / "map.tif").read(dataset_window(indices.shape)) == indices).all()
