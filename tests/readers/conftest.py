"""Products of satellites and a web server, made small."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

CORNER = Affine(10, 0, 500_000, 0, -10, 5_400_000)
SIDE = 48


@pytest.fixture
def write_band(tmp_path):
    """Write one band of a scene of 480 m at any resolution; values are a number or an array."""

    def write(path, values=0, metres=10, dtype="uint16", crs="EPSG:32632", **profile):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        side = SIDE * 10 // metres
        values = np.broadcast_to(np.asarray(values, dtype), (side, side)) if np.ndim(values) < 2 else np.asarray(values)
        settings = {"driver": "GTiff", "transform": CORNER @ Affine.scale(metres / 10), "crs": crs} | profile
        with rasterio.open(path, "w", width=values.shape[1], height=values.shape[0], count=1, dtype=dtype,
                           **settings) as dataset:  # fmt: skip
            dataset.write(values.astype(dtype), 1)
        return path

    return write


S2_NUMBERS = {"B01": 0, "B02": 1, "B03": 2, "B04": 3, "B05": 4, "B06": 5, "B07": 6, "B08": 7, "B8A": 8, "B09": 9,
              "B10": 10, "B11": 11, "B12": 12}  # fmt: skip
NATIVE = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}


@pytest.fixture
def write_safe(write_band, tmp_path):
    """Write a SAFE folder; the number of each pixel is 1000 x the number of its band, plus 5000."""

    def write(level="L2A", name=None, *, offset=-1000, dtype="uint16", suffix=".tif"):
        root = tmp_path / (name or f"S2A_MSI{level}_20220518T101601_N0400_R065_T32UQD_20220518T140000.SAFE")
        images = root / "GRANULE" / "L2A_T32UQD" / "IMG_DATA"
        profile = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"} if suffix == ".jp2" else {}
        for band, number in S2_NUMBERS.items():
            native = NATIVE.get(band, 20)
            value = 5000 + 1000 * number
            stem = f"T32UQD_20220518T101601_{band}"
            if level == "L1C":
                write_band(images / (stem + suffix), value, native, dtype, **profile)
                continue
            if band == "B10":  # cirrus says nothing of the ground
                continue
            for metres in (10, 20, 60):
                if metres >= native:
                    path = images / f"R{metres}m" / f"{stem}_{metres}m{suffix}"
                    write_band(path, value, metres, dtype, **profile)
        if level == "L2A":
            for extra in ("SCL_20m", "AOT_10m", "WVP_10m", "TCI_10m"):
                write_band(images / f"R{extra[-3:]}" / f"T32UQD_20220518T101601_{extra}.tif", 4, int(extra[-3:-1]))
        kind = "BOA" if level == "L2A" else "RADIO"
        quantum = "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE"
        offsets = "".join(
            f'<{kind}_ADD_OFFSET band_id="{number}">{offset}</{kind}_ADD_OFFSET>' for number in S2_NUMBERS.values()
        )
        (root / f"MTD_MSI{level}.xml").write_text(
            f'<a><{quantum} unit="none">10000</{quantum}><l>{offsets if offset is not None else ""}</l></a>'
        )
        return root

    return write


MTL2 = """GROUP = LANDSAT_METADATA_FILE
  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
{reflective}
  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
  GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS
    TEMPERATURE_MULT_BAND_ST_B10 = 0.00341802
    TEMPERATURE_ADD_BAND_ST_B10 = 149.0
  END_GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    REFLECTANCE_MULT_BAND_1 = 9.0E-05
    REFLECTANCE_ADD_BAND_1 = -9.0
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
END_GROUP = LANDSAT_METADATA_FILE
END
"""


@pytest.fixture
def write_landsat(write_band, tmp_path):
    """Write a folder of Landsat 8, Collection 2; all pixels of a band are 10000 + its number."""

    def write(level=2):
        name = f"LC08_L{level}{'SP' if level == 2 else 'TP'}_193026_20220518_20220525_02_T1"
        root = tmp_path / name
        numbers = range(1, 8) if level == 2 else range(1, 12)
        prefix = "SR_B" if level == 2 else "B"
        for number in numbers:
            metres = 15 if (level, number) == (1, 8) else 30
            write_band(root / f"{name}_{prefix}{number}.TIF", 10_000 + number, metres)
        if level == 2:
            write_band(root / f"{name}_ST_B10.TIF", 40_000, 30)
            write_band(root / f"{name}_ST_QA.TIF", 1, 30)
            write_band(root / f"{name}_SR_QA_AEROSOL.TIF", 1, 30)
        write_band(root / f"{name}_QA_PIXEL.TIF", 1, 30)
        write_band(root / f"{name}_QA_RADSAT.TIF", 1, 30)
        lines = "\n".join(
            f"    REFLECTANCE_{kind}_BAND_{number} = {value}"
            for number in (range(1, 8) if level == 2 else range(1, 10))
            for kind, value in (("MULT", "2.75e-05".upper() if level == 2 else "2.0000E-05"),
                                ("ADD", "-0.2" if level == 2 else "-0.100000"))
        )  # fmt: skip
        text = MTL2.format(reflective=lines)
        if level == 1:
            text = f"GROUP = LEVEL1_RADIOMETRIC_RESCALING\n{lines}\nEND_GROUP = LEVEL1_RADIOMETRIC_RESCALING\nEND\n"
        (root / f"{name}_MTL.txt").write_text(text)
        return root

    return write


class Web:
    """The web server of `web_server.py` over a folder, in a process of its own."""

    def __init__(self, folder):
        script = Path(__file__).with_name("web_server.py")
        self.process = subprocess.Popen([sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True)
        self.address = f"127.0.0.1:{self.process.stdout.readline().strip()}"

    def url(self, name, kind="files"):
        return f"http://{self.address}/{kind}/{name}"

    @property
    def count(self):
        """Bytes sent and paths asked for, so far."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request("GET", "/count")
        count = json.load(connection.getresponse())
        connection.close()
        return count

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server for `tmp_path`; each has a port of its own, so nothing of GDAL's cache of addresses fits it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = Web(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def write_cog(tmp_path):
    """Write random values as a COG, with overviews and blocks of 256 pixels."""

    def write(name="scene.tif", side=2048, bands=1):
        values = np.random.default_rng(0).integers(1, 60_000, (bands, side, side), dtype=np.uint16)
        profile = {"driver": "COG", "compress": "deflate", "blocksize": 256, "crs": "EPSG:32632", "transform": CORNER}
        size = {"width": side, "height": side, "count": bands, "dtype": "uint16"}
        with rasterio.open(tmp_path / name, "w", **profile, **size) as dataset:
            dataset.write(values)
        return tmp_path / name, values

    return write
