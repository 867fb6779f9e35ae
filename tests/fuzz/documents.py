"""Doors of small documents: legends, weights of classes, configurations, curves, descriptions of scenes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click
from fuzz.damage import json_twist, toml_twist
from fuzz.door import FORESEEN, Door, written

from conftest import legend_of
from geoseg.assessment.figures.training_curves import curves_figure, read_curves
from geoseg.cli import main
from geoseg.legend import read_legend
from geoseg.raster import open_raster
from geoseg.readers import find_source
from geoseg.training.class_weights import read_table

LEGEND = """
[[class]]
id = 1
name = "forest"
color = "#1b7837"
[[class]]
id = 20
name = "water"
"""

CONFIG = """
[tile]
chip-size = 128
overlap = 0.25
legend = "legend.toml"
bands = ["red", "nir"]
nodata = 0
virtual = true
seed = 3
[predict]
window = 512
device = "cpu"
[train]
arch-option = ["width=16", "depth=3"]
epochs = 3
class-weights = "auto"
[vectorize]
simplify = 1.5
[map]
jobs = 2
strict = false
"""

CURVES = "epoch,step,train_loss,val_iou\n0,10,1.5,0.2\n1,20,1.25,\n2,30,0.5,0.75\n"

VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32632</SRS>
<GeoTransform>500000, 10, 0, 5400000, 0, -10</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>
<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="8" ySize="8"/><DstRect xOff="0" yOff="0" xSize="8"
ySize="8"/></SimpleSource></VRTRasterBand></VRTDataset>"""

SENTINEL = """<n1:Level-2A_User_Product><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET></n1:Level-2A_User_Product>"""

LANDSAT = """GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
REFLECTANCE_MULT_BAND_4 = 2.75e-05
REFLECTANCE_MULT_BAND_5 = 2.75E-05
REFLECTANCE_ADD_BAND_5 = -0.2
TEMPERATURE_MULT_BAND_ST_B10 = 0.00341802
TEMPERATURE_ADD_BAND_ST_B10 = 149.0
"""


def _configured(folder: Path) -> None:
    """Each command with the configuration, on files that are not there."""
    none = str(folder / "none")
    shown = sorted(folder.iterdir())
    for command, *words in (
        ("tile", none, none), ("predict", none, none), ("train", none), ("vectorize", none),
        ("map", "--scenes", none, "--model", none),
    ):  # fmt: skip
        with suppress(click.exceptions.Exit, *FORESEEN):
            given = ["-c", str(folder / "config.toml"), command, *words, "-o", str(folder / "no" / "out.tif"), "-q"]
            main.main(given, prog_name="geoseg", standalone_mode=False)
    assert sorted(folder.iterdir()) == shown


def _fill_sentinel(folder: Path) -> None:
    (folder / "MTD_MSIL2A.xml").write_text(SENTINEL)
    (folder / "GRANULE" / "L2A" / "IMG_DATA").mkdir(parents=True)
    (folder / "GRANULE" / "L2A" / "IMG_DATA" / "T32_B04_10m.jp2").touch()


def _fill_landsat(folder: Path) -> None:
    for name, text in (("MTL.txt", LANDSAT), ("SR_B5.TIF", ""), ("ST_B10.TIF", "")):
        (folder / f"LC09_L2SP_034032_20220101_20220102_02_T1_{name}").write_text(text)


def _weights(name: str) -> Door:
    sound = '{"class 1": 1, "class 2": 0.5}' if name.endswith("json") else '"class 1" = 1\n"class 2" = 0.5\n'
    twist = json_twist if name.endswith("json") else toml_twist
    return Door(name, name, written(name, sound), lambda folder: read_table(folder / name, legend_of(2)), twist)


DOORS = (
    Door("legend", "a.toml", written("a.toml", LEGEND), lambda folder: read_legend(folder / "a.toml"), toml_twist),
    _weights("weights.toml"),
    _weights("weights.json"),
    Door("config", "config.toml", written("config.toml", CONFIG), _configured, toml_twist),
    Door("curves", "a.csv", written("a.csv", CURVES), lambda folder: curves_figure(read_curves(folder / "a.csv"))),
    Door("vrt", "a.vrt", written("a.vrt", VRT), lambda folder: open_raster(folder / "a.vrt").close()),
    Door("sentinel", "MTD_MSIL2A.xml", _fill_sentinel, lambda folder: find_source(folder).open()),
    Door("landsat", "LC09_L2SP_034032_20220101_20220102_02_T1_MTL.txt", _fill_landsat,
         lambda folder: find_source(folder).open()),
)  # fmt: skip
