"""The rooms of the house: imports go down only, and light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import geoseg

ROOT = Path(geoseg.__file__).parent

# Lowest first. Modules of one layer do not know each other, but for those of one folder.
LAYERS = (
    ("errors", "__init__"),
    ("crs", "registry", "names"),
    ("hints",),
    ("documents", "grid", "progress", "vrt", "embedded", "units", "compiled", "helpers", "table"),
    ("surroundings", "drivers"),
    ("disk",),
    ("output", "limits"),
    ("legend", "raster", "device", "geopackages", "parquet", "antimeridian"),
    ("placing", "pixels"),
    ("scene", "confusion", "reliability", "vector", "statistics", "class_raster", "connected", "shares"),
    ("readers", "writers", "models", "losses", "labels", "sample_data", "named_regions"),
    ("chips", "model", "viewing"),
    ("training", "prediction", "vectors", "assessment"),
    ("steps",),
    ("workflow", "info", "atlas"),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Values that build on values of their own layer.
ALLOWED = {("scene", "grid"), ("class_raster", "grid"), ("raster", "grid"), ("cli", "cli")}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "geoseg":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            rooms.update(name if name in LEVEL else "__init__" for name in names)
        elif isinstance(node, ast.Import):
            rooms.update(a.name.split(".")[1] for a in node.names if a.name.startswith("geoseg."))
    return rooms


def test_every_room_has_a_layer():
    rooms = {room_of(path) for path in ROOT.rglob("*.py")}
    assert rooms == set(LEVEL)


def test_imports_go_down():
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = room_of(path)
        if path == ROOT / "__init__.py":
            continue
        up = [other for other in imported_rooms(path) - {room} if LEVEL[other] >= LEVEL[room]]
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in up]
    assert not wrong


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


HEAVY = {"torch", "lightning", "segmentation_models_pytorch", "timm", "torchvision"}


def test_help_loads_nothing_heavy():
    code = "from click.testing import CliRunner\nfrom geoseg.cli import main\n"
    loaded = modules_after(code + "assert CliRunner().invoke(main, ['--help']).exit_code == 0")
    assert not loaded & (HEAVY | {"rasterio", "numpy", "geopandas"})
    commands = modules_after(
        code + "for n in main.list_commands(None): assert CliRunner().invoke(main, [n, '--help']).exit_code == 0"
    )
    assert not commands & HEAVY


def test_an_output_without_a_folder_is_refused_before_anything_is_loaded(tmp_path):
    words = ["train", "chips", "-o", str(tmp_path / "none" / "m.safetensors")]
    code = (
        f"from click.testing import CliRunner\nfrom geoseg.cli import main\ndone = CliRunner().invoke(main, {words})\n"
    )
    assert not modules_after(code + "assert (done.exit_code, 'make it first' in done.stderr) == (1, True)") & (
        HEAVY | {"rasterio", "numpy", "geopandas"}
    )


def test_what_needs_no_network_loads_no_torch():
    light = ("chips.tiler", "vectors.vectorize", "assessment.evaluate", "info", "viewing.view")
    assert not modules_after("import geoseg, " + ", ".join(f"geoseg.{module}" for module in light)) & HEAVY


def test_a_graph_from_the_cache_needs_neither_torch_nor_tables_to_start():
    loaded = modules_after("import geoseg.prediction.predict, geoseg.prediction.runtimes.openvino")
    assert not loaded & (HEAVY | {"geopandas", "pandas", "pyogrio"})


def test_public_names_are_there():
    for name in geoseg.__all__:
        assert getattr(geoseg, name) is not None
    assert set(geoseg.__all__) <= set(dir(geoseg))
