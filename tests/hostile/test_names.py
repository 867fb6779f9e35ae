"""Names that files, classes and regions may have: they work or are refused, and lead nowhere."""

import csv
import os
import shutil

import geopandas as gpd
import pytest
import rasterio
import shapely
from hostile.conftest import write

from conftest import UTM

NAMES = [
    "scène_日本_🌍.tif", "my scene (1) copy.tif", "two\nlines.tif", "%s{0}%n.tif", "[a]*?.tif", "zip!scene.tif",
    "<img src=x onerror=alert(1)>.tif", "\x1b[31mred.tif", "SCENE.TIF", "scene", "C:scene.tif", "GTIFF_DIR:1:scene.tif",
    "..tif", "CON.tif", "'; rm -rf ~; '.tif", "$(touch ran).tif", "=cmd().tif", "x" * 200 + ".tif",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_scenes_of_any_name_are_mapped_or_refused(world, name, monkeypatch):
    monkeypatch.chdir(world.inputs)
    scene = world.inputs / name
    shutil.copy(world.scene, scene)
    done = world.call(*world.predict(scene))
    assert done.exit_code in (0, 1), done.output
    if done.exit_code == 0:
        with rasterio.open(world.out / "map.tif") as made, rasterio.open(world.scene) as own:
            assert (made.shape, made.transform, made.crs) == (own.shape, own.transform, own.crs)
    else:
        assert len([line for line in done.stderr.splitlines() if line.startswith("Error: ")]) == 1


def test_a_name_that_is_no_text_is_refused_in_one_line(world):
    path = world.inputs / os.fsdecode(b"sc\xff\xfene.tif")
    shutil.copy(world.scene, path)
    world.refuses(*world.predict(path), names="ne.tif")


def test_a_name_that_begins_like_an_option(world, monkeypatch):
    monkeypatch.chdir(world.inputs)
    shutil.copy(world.scene, world.inputs / "-o.tif")
    words = world.predict("-o.tif")
    world.works(*words[:2], *words[3:], "--", "-o.tif")


def test_maps_of_several_scenes_stay_in_their_folder(world):
    """The name of a map comes from that of its scene."""
    folder = world.inputs / ".." / "inputs" / "scenes"
    folder.mkdir()
    for name in ("..tif", "a;b.tif", "C:x.tif"):
        shutil.copy(world.scene, folder / name)
    world.works("predict", world.model, folder, "-o", world.out / "maps", "--runtime", "torch")
    made = {path for path in world.out.rglob("*") if path.suffix == ".tif"}
    assert len(made) == 3
    assert {path.parent for path in made} == {world.out / "maps"}


def test_two_scenes_of_one_name_do_not_become_one_map(world):
    for folder in ("a", "b"):
        (world.inputs / folder).mkdir()
        shutil.copy(world.scene, world.inputs / folder / "scene.tif")
    words = ("predict", world.model, world.inputs / "a" / "scene.tif", world.inputs / "b" / "scene.tif")
    world.refuses(*words, "-o", world.out / "maps", names="scene.tif", says="two scenes")


class TestOutputs:
    """geoseg writes under the name it was given, over nothing that it was not told to."""

    def test_an_output_that_is_the_input(self, world):
        words = ("predict", world.model, world.scene, "-o", world.scene, "--runtime", "torch")
        world.refuses(*words, names="scene.tif")
        world.refuses(*words, "--overwrite", names="scene.tif")

    def test_what_is_there_is_not_replaced_unasked(self, world):
        for name, words in {
            "map.tif": world.predict(world.scene),
            "chips": world.tile(world.scene, world.labels),
        }.items():
            there = world.out / name
            there.write_text("a diary")
            done = world.call(*words)
            assert done.exit_code == 1
            assert name in done.stderr
            assert [p.name for p in world.out.iterdir()] == [name]
            assert there.read_text() == "a diary"
            there.unlink()

    def test_a_folder_with_something_else_in_it_is_never_replaced(self, world):
        chips = world.out / "chips"
        chips.mkdir()
        (chips / "diary.txt").write_text("a diary")
        assert world.call(*world.tile(world.scene, world.labels, "--overwrite")).exit_code == 1
        assert [p.name for p in world.out.rglob("*")] == ["chips", "diary.txt"]

    def test_a_run_that_is_refused_leaves_no_folder(self, world):
        far = world.inputs / "far.gpkg"
        gpd.GeoDataFrame({"class": ["a"]}, geometry=[shapely.box(0, 0, 9, 9)], crs=UTM).to_file(far)
        world.refuses("run", world.scene, far, "-o", world.out / "run", names="far.gpkg")


ENDS = {
    "tile": "", "train": ".safetensors", "predict": ".tif", "vectorize": ".gpkg", "evaluate": "", "run": "", "map": "",
    "sample": ".gpkg", "view": ".html",
}  # fmt: skip


class TestLongNames:
    """A name that is too long for what a file system takes is said to be so, and nothing is made."""

    def words(self, world, command, output):
        given = {
            "tile": (world.scene, "--labels", world.labels, "--chip-size", 16), "train": (world.out.parent / "chips",),
            "predict": (world.model, world.scene, "--runtime", "torch"), "vectorize": (world.labels,),
            "evaluate": (world.labels, world.labels), "sample": (world.labels,), "view": (world.labels,),
            "run": (world.scene, world.labels), "map": (world.labels, "--scenes", world.scene, "--model", world.model),
        }  # fmt: skip
        return command, *given[command], "-o", output

    @pytest.mark.parametrize("command", ENDS)
    def test_names_and_paths_that_no_file_can_have(self, world, command):
        for name in ("n" * 256, "é" * 128, "/".join(["folder"] * 600)):
            words = self.words(world, command, world.out / f"{name}{ENDS[command]}")
            world.refuses(*words, names=str(world.out)[:40], says="the name is too long")

    @pytest.mark.parametrize("command", ["tile", "predict", "vectorize", "evaluate", "sample", "view"])
    @pytest.mark.parametrize("length", [247, 255])
    def test_names_that_leave_no_room_for_the_hidden_folder(self, world, command, length):
        name = "n" * (length - len(ENDS[command])) + ENDS[command]
        said = world.refuses(*self.words(world, command, world.out / name), names=name, says="the name is too long")
        assert "disk" not in said

    @pytest.mark.parametrize("command", ["tile", "predict", "vectorize", "evaluate", "view"])
    def test_the_longest_name_that_leaves_room(self, world, command):
        end = {"vectorize": ".fgb"}.get(command, ENDS[command])
        name = "n" * (246 - len(end)) + end
        world.works(*self.words(world, command, world.out / name))
        assert (world.out / name).exists()

    def test_the_path_of_a_geopackage_is_as_long_as_sqlite_takes(self, world):
        """Its hidden folder has the name once more."""
        room = 504 - len(os.fsencode(world.out)) - len("/..partial/")
        for length in (room // 2, 246):
            name = "n" * (length - 5) + ".gpkg"
            words = self.words(world, "vectorize", world.out / name)
            if length < 246:
                world.works(*words)
                (world.out / name).unlink()
            else:
                world.refuses(*words, names=name, says="that of a GeoPackage may have 504; shorten its name")

    @pytest.mark.parametrize("argument", ["scene", "labels"])
    def test_inputs_of_such_names(self, world, argument):
        given = {"scene": world.scene, "labels": world.labels} | {argument: "n" * 300 + ".tif"}
        world.refuses(*world.tile(given["scene"], given["labels"]), names="n" * 40, says="too long")

    def test_a_geopackage_below_many_folders_is_refused_by_the_length_of_its_path(self, world):
        folder = world.inputs / ("a" * 250) / ("b" * 250)
        folder.mkdir(parents=True)
        shutil.copy(world.inputs / "polygons.gpkg", folder / "deep.gpkg")
        words = world.tile(world.scene, folder / "deep.gpkg")
        world.refuses(*words, names="deep.gpkg", says="bytes, and that of a GeoPackage may have 504")


HOSTILE = ("<script>alert(1)</script>", "../../evil", "=HYPERLINK(0)")


def test_names_of_classes_stay_text(world):
    """In pages, in tables and in names of files."""
    legend = world.inputs / "legend.toml"
    legend.write_text("".join(f"[[class]]\nid = {i}\nname = {name!r}\n" for i, name in enumerate(HOSTILE, start=1)))
    labels = shutil.copy(world.labels, world.inputs / "map.tif")
    world.works("evaluate", labels, world.labels, "--legend", legend, "-o", world.out / "report")
    page = (world.out / "report" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    with (world.out / "report" / "confusion.csv").open() as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=HYPERLINK(0)" in cells
    assert not [cell for cell in cells if cell[:1] in "=+-@" and cell]
    assert not list(world.out.rglob("*evil*"))
    world.works("view", world.labels, "--legend", legend, "-o", world.out / "map.html")
    assert "<script>alert" not in (world.out / "map.html").read_text()


def test_a_scene_of_markup_stays_text_in_a_page(world):
    scene = write(world.inputs / "<img src=x onerror=alert(1)>.tif", rasterio.open(world.scene).read())
    world.works("view", scene, "-o", world.out / "map.html")
    assert "<img src=x" not in (world.out / "map.html").read_text()


@pytest.mark.parametrize("ending", [".tif", ".gpkg", ".geojson", ".parquet", ".fgb", ".shp", ""])
def test_the_longest_name_of_what_is_read(world, ending):
    """What may lie beside it has a longer name still, which no file can have."""
    read = world.inputs / ("n" * (255 - len(ending)) + ending)
    if ending in (".tif", ""):
        shutil.copy(world.scene, read)
        world.works("predict", world.model, read, "-o", world.out / "map.tif", "--runtime", "torch")
    else:
        frame = gpd.read_file(world.inputs / "polygons.gpkg")
        frame.to_parquet(read) if ending == ".parquet" else frame.to_file(read.with_name(f"a{ending}"))
        for part in read.parent.glob("a.*") if ending != ".parquet" else ():
            part.rename(read.with_suffix(part.suffix))
    world.works("info", read)
