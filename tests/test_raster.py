import os
import threading

import numpy as np
import pytest
import rasterio

from conftest import CORNER, UTM
from geoseg.drivers import is_raster
from geoseg.errors import LabelError, SceneError
from geoseg.names import is_remote
from geoseg.raster import open_raster
from geoseg.readers import open_scene

VALUES = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4)


@pytest.fixture
def folders(tmp_path):
    """`home` with a raster, and `elsewhere` with one that is none of a VRT's business."""
    for name, values in (("home", VALUES), ("elsewhere", VALUES + 100)):
        (tmp_path / name).mkdir()
        with rasterio.open(tmp_path / name / "a.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8",
                           crs=UTM, transform=CORNER) as dataset:  # fmt: skip
            dataset.write(values)
    return tmp_path / "home", tmp_path / "elsewhere"


def source(name, relative=1):
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource>"
    )


def vrt(path, inside, band=""):
    place = ", ".join(map(str, CORNER.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>{UTM}</SRS><GeoTransform>{place}</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"{band}>{inside}</VRTRasterBand></VRTDataset>'
    )
    return path


def read(path, **options):
    with open_raster(path, **options) as dataset:
        return dataset.read()


def refusal(path, **options):
    with pytest.raises(SceneError) as caught:
        open_raster(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestVrt:
    def test_sources_in_its_folder_are_read(self, folders):
        home, _ = folders
        (home / "deep").mkdir()
        (home / "a.tif").rename(home / "deep" / "a.tif")
        assert (read(vrt(home / "scene.vrt", source("deep/a.tif"))) == VALUES).all()

    def test_it_is_a_scene(self, folders):
        scene = open_scene(vrt(folders[0] / "scene.vrt", source("a.tif")))
        assert (scene.read(scene.grid.window)[0] == VALUES).all()

    @pytest.mark.parametrize("relative", [0, 1])
    def test_sources_outside_are_refused_unless_they_are_allowed(self, folders, relative):
        home, elsewhere = folders
        name = "../elsewhere/a.tif" if relative else elsewhere / "a.tif"
        path = vrt(home / "scene.vrt", source(name, relative))
        assert "outside of its folder" in refusal(path)
        assert "--allow-remote" in refusal(path)
        assert (read(path, allow_remote=True) == VALUES + 100).all()

    def test_links_do_not_lead_out(self, folders):
        home, elsewhere = folders
        (home / "link.tif").symlink_to(elsewhere / "a.tif")
        assert "outside" in refusal(vrt(home / "scene.vrt", source("link.tif")))

    @pytest.mark.parametrize("inside", [
        "<SimpleSource SourceFilename='{}'><SourceBand>1</SourceBand></SimpleSource>",
        "<SimpleSource><SourceFilename xmlns='urn:x'>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>",
    ])  # fmt: skip
    def test_no_spelling_of_xml_leads_out(self, folders, inside):
        home, elsewhere = folders
        assert "outside" in refusal(vrt(home / "scene.vrt", inside.format(elsewhere / "a.tif")))

    @pytest.mark.parametrize("inside", [
        "{}<!-- -->/../../home/a.tif", "{}<![CDATA[/../../home/a.tif]]>", "{}<?x?>/../../home/a.tif",
    ])  # fmt: skip
    def test_names_in_pieces_read_nothing(self, folders, inside):
        home, elsewhere = folders
        refusal(vrt(home / "scene.vrt", source(inside.format(elsewhere / "a.tif"), 0)))

    def test_paths_that_are_not_relative_to_it_are_relative_to_the_program(self, folders, monkeypatch):
        home, elsewhere = folders
        path = vrt(home / "scene.vrt", source("a.tif", 0))
        monkeypatch.chdir(elsewhere)
        assert "outside" in refusal(path)
        monkeypatch.chdir(home)
        assert (read(path) == VALUES).all()

    def test_a_missing_source_is_named(self, folders):
        assert "gone.tif, which is not there" in refusal(vrt(folders[0] / "scene.vrt", source("gone.tif")))

    def test_a_name_longer_than_any_file_has_is_missing(self, folders):
        refusal(vrt(folders[0] / "scene.vrt", source("a" * 5000)))

    @pytest.mark.parametrize("name", [
        "/vsicurl/http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif", "/vsimem/a.tif", "s3://bucket/a.tif",
        "&lt;VRTDataset/>", "NETCDF:a.nc:red", "GTIFF_DIR:1:a.tif", "vrt://a.tif", "/vsizip/a.zip/a.tif",
    ])  # fmt: skip
    @pytest.mark.parametrize("relative", [0, 1])
    def test_addresses_and_descriptions_are_refused(self, folders, name, relative):
        assert "give --allow-remote if you trust it" in refusal(vrt(folders[0] / "scene.vrt", source(name, relative)))

    def test_a_vrt_of_a_vrt_is_read(self, folders):
        home, _ = folders
        vrt(home / "inner.vrt", source("a.tif"))
        assert (read(vrt(home / "scene.vrt", source("inner.vrt"))) == VALUES).all()

    def test_a_vrt_of_a_vrt_does_not_lead_out(self, folders):
        home, _ = folders
        vrt(home / "inner.vrt", source("../elsewhere/a.tif"))
        assert "outside" in refusal(vrt(home / "scene.vrt", source("inner.vrt")))

    def test_a_vrt_of_itself_ends(self, folders):
        path = vrt(folders[0] / "scene.vrt", source("scene.vrt"))
        with pytest.raises(SceneError):
            scene = open_scene(path)
            scene.read(scene.grid.window)

    def test_a_source_that_is_a_vrt_by_another_name_is_refused(self, folders):
        home, _ = folders
        vrt(home / "inner.tif", source("../elsewhere/a.tif"))
        assert "inner.tif: is not a raster" in _text(vrt(home / "scene.vrt", source("inner.tif")))

    def test_a_folder_is_no_source(self, folders):
        assert "is a folder" in _text(vrt(folders[0] / "scene.vrt", source(".")))

    def test_it_counts_only_by_its_own_name(self, folders):
        assert "is not a raster" in refusal(vrt(folders[0] / "scene.tif", source("a.tif")))

    def test_python_never_runs(self, folders, monkeypatch):
        home, _ = folders
        monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
        code = f"""
            <PixelFunctionType>run</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>
            <PixelFunctionCode><![CDATA[
def run(in_ar, out_ar, *args, **kwargs):
    open({str(home / "ran")!r}, "w").close()
    out_ar[:] = 1
]]></PixelFunctionCode>{source("a.tif")}"""
        path = vrt(home / "scene.vrt", code, ' subClass="VRTDerivedRasterBand"')
        with pytest.raises(SceneError):
            scene = open_scene(path, allow_remote=True)
            scene.read(scene.grid.window)
        assert not (home / "ran").exists()

    @pytest.mark.parametrize("path", ["http://127.0.0.1:9/scene.vrt", "/vsicurl/http://127.0.0.1:9/scene.VRT?a=b"])
    def test_a_remote_one_is_refused(self, path):
        assert "is a remote VRT" in refusal(path)


def _text(path):
    with pytest.raises(SceneError) as caught:
        open_raster(path)
    return str(caught.value)


def test_the_error_is_of_the_type_asked_for(tmp_path):
    with pytest.raises(LabelError, match="there is no such file"):
        open_raster(tmp_path / "gone.tif", error=LabelError)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "scene.tif")
    ended = threading.Event()

    def work():
        assert "not a regular file" in refusal(tmp_path / "scene.tif")
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert ended.wait(10)


@pytest.mark.parametrize("name", [b"sc\xffne.tif", b"a\nb.tif", b" .tif", "sc\u00e8ne \u4e2d.tif".encode()])
def test_odd_names_are_read_or_refused(tmp_path, folders, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes((folders[0] / "a.tif").read_bytes())
    try:
        assert (read(path) == VALUES).all()
    except SceneError as error:
        assert "cannot be opened" in str(error)


@pytest.mark.parametrize("name", ["nul\0l.tif", "a" * 5000, "a.tif/b.tif"])
def test_impossible_names_are_refused(folders, name):
    with pytest.raises(SceneError):
        open_raster(folders[0] / name)


def test_it_asks_only_the_driver_that_the_content_names(tmp_path):
    """The first bytes decide, and what only begins like a GeoTIFF is broken, not something else."""
    path = tmp_path / "scene.tif"
    path.write_bytes(b"II*\0" + b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    assert "cannot be opened as a raster" in refusal(path)


def test_what_is_remote():
    assert all(is_remote(p) for p in ("https://a/b.tif", "s3://a/b.tif", "/vsicurl/http://a", "/vsizip/a.zip/b.tif"))
    assert not any(is_remote(p) for p in ("a.tif", "/a/b.tif", "vsi.tif", "C:/a.tif"))


def test_what_is_a_raster(folders):
    home, _ = folders
    (home / "text.tif").write_text("words")
    assert is_raster(home / "a.tif")
    assert is_raster(vrt(home / "scene.vrt", ""))
    assert not is_raster(home / "text.tif")
    assert not is_raster(home / "gone.tif")
    assert not is_raster(home)


@pytest.mark.parametrize("where", ["scene.vrt", "a.tif.aux.xml", "inner.vrt"])
def test_no_coordinate_system_leads_to_a_file(folders, where):
    """PROJ would open the grid that it names, and wait for a pipe."""
    home, elsewhere = folders
    os.mkfifo(elsewhere / "grid.gsb")
    crs = f"+proj=longlat +ellps=WGS84 +nadgrids={elsewhere / 'grid.gsb'} +type=crs"
    path = vrt(home / "scene.vrt", source("inner.vrt" if where == "inner.vrt" else "a.tif"))
    vrt(home / "inner.vrt", source("a.tif"))
    if where.endswith(".vrt"):
        (home / where).write_text((home / where).read_text().replace(f"<SRS>{UTM}<", f"<SRS>{crs}<"))
        assert "its coordinate system names the file" in _text(path)
    else:
        (home / where).write_text(f"<PAMDataset><SRS>{crs}</SRS></PAMDataset>")
        assert "names other files" in _text(path)


def test_a_grid_of_proj_itself_stays(folders):
    path = vrt(folders[0] / "scene.vrt", source("a.tif"))
    path.write_text(path.read_text().replace(f"<SRS>{UTM}<", "<SRS>+proj=longlat +ellps=WGS84 +nadgrids=@null<"))
    assert (read(path) == VALUES).all()
