"""What geoseg's own code never does; ruff's S rules say the rest."""

import ast
from pathlib import Path

import pytest

import geoseg
from geoseg.raster import gdal_settings
from geoseg.vector import _SETTINGS

ROOT = Path(geoseg.__file__).parent
FORBIDDEN = {"eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "marshal.loads", "os.system",
             "os.popen", "yaml.load", "subprocess.call", "joblib.load", "shelve.open"}  # fmt: skip


def calls():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield (
                    path.relative_to(ROOT),
                    ast.unparse(node.func),
                    {k.arg: ast.unparse(k.value) for k in node.keywords},
                )


def test_nothing_runs_what_a_file_says():
    for path, name, options in calls():
        assert name not in FORBIDDEN, (path, name)
        if name.endswith("torch.load") or (name == "load" and "weights_only" in options):
            assert options.get("weights_only") == "True", path
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False", path
        assert options.get("shell", "False") == "False", path


def test_rasters_and_vectors_are_opened_through_one_door():
    doors = {
        "rasterio.open": {Path("raster.py")},
        "pyogrio.read_dataframe": {Path("vector.py")},
        "gpd.read_file": set(),
    }
    for path, name, _ in calls():
        if name in doors:
            assert path in doors[name], (path, name)


def test_tables_are_written_in_one_place():
    assert {path for path, name, _ in calls() if name in ("csv.writer", "csv.DictWriter")} == {Path("table.py")}


@pytest.mark.parametrize("name", ["GDAL_VRT_ENABLE_PYTHON", "GDAL_HTTP_TIMEOUT", "GDAL_HTTP_CONNECTTIMEOUT"])
def test_both_copies_of_gdal_are_set_in_code(name):
    assert str(gdal_settings().options[name]) == _SETTINGS[name]
