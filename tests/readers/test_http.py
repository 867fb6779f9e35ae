import time

import pytest
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.readers import open_scene

WINDOW = Window(900, 1000, 128, 128)


def test_a_small_window_of_a_cog_is_a_small_download(web, write_cog):
    path, values = write_cog()
    scene = open_scene(web.url(path.name))
    found, valid = scene.read(WINDOW)
    assert (found == values[(slice(None), *WINDOW.toslices())]).all()
    assert valid.all()
    assert 0 < web.count["sent"] < 0.2 * path.stat().st_size


def test_a_remote_scene_is_the_local_one(web, write_cog):
    path, values = write_cog(side=300, bands=3)
    scene, local = open_scene(web.url(path.name)), open_scene(path)
    assert (scene.grid, scene.bands, scene.dtype) == (local.grid, local.bands, local.dtype)
    assert (scene.read(scene.grid.window)[0] == values).all()


def test_gdal_s_own_name_of_an_address_works(web, write_cog):
    path, values = write_cog(side=300)
    scene = open_scene(f"/vsicurl/{web.url(path.name)}")
    assert (scene.read(scene.grid.window)[0] == values).all()


def test_an_address_with_a_query_works(web, write_cog):
    path, values = write_cog(side=300)
    scene = open_scene(web.url(path.name) + "?signature=a/b.vrt")
    assert (scene.read(scene.grid.window)[0] == values).all()


def test_a_bucket_works(web, write_cog, monkeypatch):
    _, values = write_cog("key.tif", side=300)
    settings = {"AWS_S3_ENDPOINT": web.address, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    for name, value in (settings | {"AWS_NO_SIGN_REQUEST": "YES"}).items():
        monkeypatch.setenv(name, value)
    scene = open_scene("s3://bucket/key.tif")
    assert (scene.read(scene.grid.window)[0] == values).all()
    assert any("/bucket/key.tif" in asked for asked in web.count["asked"])


def refusal(url):
    """The one line that says why; anything else, or 90 seconds, fails."""
    start = time.monotonic()
    with pytest.raises(SceneError) as caught:
        scene = open_scene(url)
        scene.read(scene.grid.window)
    assert time.monotonic() - start < 90
    assert "\n" not in str(caught.value)
    assert url in str(caught.value)
    return str(caught.value)


def test_what_is_not_there_is_refused(web):
    assert "check the address" in refusal(web.url("gone.tif"))


@pytest.mark.parametrize("side", [64, 1024])
def test_half_a_file_is_refused(web, write_cog, side):
    refusal(web.url(write_cog(side=side)[0].name, "half"))


def test_a_server_that_hangs_up_is_refused(web, write_cog):
    refusal(web.url(write_cog(side=300)[0].name, "closed"))


@pytest.mark.slow
def test_a_server_that_says_nothing_is_refused(web, write_cog):
    refusal(web.url(write_cog(side=300)[0].name, "silent"))


def test_a_server_without_ranges_is_refused_with_a_remedy(web, write_cog):
    assert "download the file" in refusal(web.url(write_cog(side=300)[0].name, "plain"))


def test_no_server_at_all_is_refused(web):
    web.stop()
    refusal(web.url("scene.tif"))


def test_a_page_is_no_scene(web, tmp_path):
    (tmp_path / "page.tif").write_text("<html>Please log in</html>")
    refusal(web.url("page.tif"))


def test_a_remote_file_that_points_to_others_is_refused(web, tmp_path):
    """A VRT by the name of a GeoTIFF: only its own driver is asked."""
    (tmp_path / "scene.tif").write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path / 'secret.tif'}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    refusal(web.url("scene.tif"))
    refusal(web.url("scene.vrt"))


def test_a_scene_that_ends_halfway_is_refused(web, write_cog, tmp_path):
    path, _ = write_cog()
    (tmp_path / "cut.tif").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError) as caught:
        scene = open_scene(web.url("cut.tif"))
        scene.read(scene.grid.window)
    assert web.url("cut.tif") in str(caught.value)
    assert "\n" not in str(caught.value)
