"""What only a process of its own shows: the user's environment, memory that is limited, files that never answer."""

import os
import socket
import subprocess
import sys

import pytest
from hostile.tiffs import bomb

resource = pytest.importorskip("resource")


def start(*words, memory=None, **environment):
    def limit():
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    code = "from geoseg.cli import main; main(prog_name='geoseg')"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=120, preexec_fn=limit,
        env=os.environ | environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def refused(done, *says):
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    for text in says:
        assert text in done.stderr


def test_python_in_a_vrt_does_not_run_whatever_the_environment_says(world):
    code = f"""<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>
<PixelFunctionCode><![CDATA[
def f(in_ar, out_ar, *args, **kwargs):
    open({str(world.inputs / "ran")!r}, "w").close()
    out_ar[:] = 1
]]></PixelFunctionCode><SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename></SimpleSource>"""
    scene = world.inputs / "scene.vrt"
    band = f'<VRTRasterBand dataType="UInt16" band="1" subClass="VRTDerivedRasterBand">{code}</VRTRasterBand>'
    scene.write_text(f'<VRTDataset rasterXSize="80" rasterYSize="72">{band}</VRTDataset>')
    done = start("info", scene, GDAL_VRT_ENABLE_PYTHON="YES", GDAL_MEM_ENABLE_OPEN="YES")
    refused(done, "scene.vrt")
    assert not (world.inputs / "ran").exists()


def test_a_bomb_takes_no_memory(world):
    """The one block there is would take 300 MB, and GDAL needs it more than once."""
    scene = bomb(world.inputs / "bomb.tif", 10_000)
    refused(start("info", scene, memory=2_000_000_000), "--max-block")


def test_nobody_is_called(world):
    """A description named like a scene, or like labels, opens no connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        scene, labels, virtual = (world.inputs / name for name in ("wms.tif", "far.geojson", "far.vrt"))
        remote = f"<SimpleSource><SourceFilename>/vsicurl/{address}/a.tif</SourceFilename></SimpleSource>"
        scene.write_text(f"<GDAL_WMS><Service name='TMS'><ServerUrl>{address}/a</ServerUrl></Service></GDAL_WMS>")
        labels.write_text(f'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{address}</SrcDataSource>'
                          "</OGRVRTLayer></OGRVRTDataSource>")  # fmt: skip
        virtual.write_text(
            f'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand>{remote}</VRTRasterBand></VRTDataset>'
        )
        for path in (scene, virtual):
            world.refuses("info", path, names=path.name)
        world.refuses(*world.tile(world.scene, labels), names="far.geojson")
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_name_that_is_no_text_is_printed(world):
    path = os.fsencode(world.inputs) + b"/sc\xff\xfene.tif"
    os.link(world.scene, path)
    done = start("info", os.fsdecode(path), PYTHONIOENCODING="ascii")
    refused(done, "ne.tif")
