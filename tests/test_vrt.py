import pytest

from geoseg.errors import SceneError
from geoseg.vrt import VrtSource, leads_elsewhere, vrt_sources


@pytest.fixture
def sources(tmp_path):
    """What a VRT with the given inside reads from."""

    def of(inside, *, root="VRTDataset"):
        path = tmp_path / "scene.vrt"
        path.write_text(f'<{root} rasterXSize="4" rasterYSize="4">{inside}</{root}>')
        return vrt_sources(path, SceneError)

    return of


@pytest.mark.parametrize("inside", [
    '<VRTRasterBand><A><SourceFilename relativeToVRT="1">a.tif</SourceFilename></A></VRTRasterBand>',
    '<SourceFilename relativeToVRT="1">\n  a.tif\n</SourceFilename>',
    '<sourcefilename RELATIVETOVRT="1">a.tif</sourcefilename>',
    '<SourceFilename relativeToVRT="2">a.tif</SourceFilename>',
    '<SourceFilename xmlns="urn:x" relativeToVRT=" 1">a.tif</SourceFilename>',
    '<SimpleSource SourceFilename="a.tif" relativeToVRT="1"/>',
    '<GDALWarpOptions><SourceDataset relativeToVRT="1">a.tif</SourceDataset></GDALWarpOptions>',
    '<RPCTransformer><DEMPath relativeToVRT="1">a.tif</DEMPath></RPCTransformer>',
    '<Step><Argument name="gain_dataset_filename_1" relativeToVRT="1">a.tif</Argument></Step>',
    '<MaskBand><VRTRasterBand><Overview><SourceFilename relativeToVRT="1">a.tif</SourceFilename></Overview>'
    "</VRTRasterBand></MaskBand>",
])  # fmt: skip
def test_sources_are_found_wherever_gdal_finds_them(sources, inside):
    assert sources(inside) == [VrtSource("a.tif", relative=True)]


@pytest.mark.parametrize("key", ["X_DATASET", "y_dataset", "OVERVIEW_FILE"])
def test_metadata_that_opens_files_counts(sources, key):
    assert sources(f'<Metadata domain="GEOLOCATION"><MDI key="{key}">/a.tif</MDI></Metadata>') == [
        VrtSource("/a.tif", relative=False)
    ]


@pytest.mark.parametrize("name", ["foo", "KEY"])
def test_metadata_counts_whatever_its_attribute_is_called(sources, name):
    inside = f'<Metadata domain="OVERVIEWS"><MDI {name}="OVERVIEW_FILE">/a.tif</MDI></Metadata>'
    assert sources(inside) == [VrtSource("/a.tif", relative=False)]
    assert leads_elsewhere(f"<PAMDataset>{inside}</PAMDataset>".encode())


@pytest.mark.parametrize("inside", [
    '<SourceFilename RELATIVETOVRT="0" relativeToVRT="1">a.tif</SourceFilename>',
    '<SourceFilename xmlns:x="urn:x" x:relativeToVRT="0" relativeToVRT="1">a.tif</SourceFilename>',
    '<MDI key="OVERVIEW_FILE"><!--/a.tif--></MDI>',
    '<MDI key="OVERVIEW_FILE"><!--/a.tif-->a.tif</MDI>',
    '<MDI key="OVERVIEW_FILE"><a.tif/></MDI>',
])  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(sources, inside):
    """GDAL takes the first of such attributes, and a comment for a text."""
    with pytest.raises(SceneError, match="read in two ways; make it anew"):
        sources(inside)
    assert leads_elsewhere(f"<PAMDataset>{inside}</PAMDataset>".encode())


def test_comments_elsewhere_do_no_harm(sources):
    assert sources("<!-- made by hand --><SourceFilename>a.tif</SourceFilename>") == [
        VrtSource("a.tif", relative=False)
    ]


def test_metadata_that_only_tells_of_files_does_not(sources):
    assert sources('<Metadata><MDI key="ORIGINAL_FILENAME">/a.tif</MDI></Metadata>') == []


def test_each_source_is_told_once(sources):
    assert len(sources("<SourceFilename>a.tif</SourceFilename>" * 3 + "<SourceFilename>b.tif</SourceFilename>")) == 2


@pytest.mark.parametrize("name", [
    "NETCDF:a.nc:red", "HDF5:a.h5://red", "GTIFF_DIR:1:a.tif", "NITF_IM:0:a.ntf", "vrt://a.tif", "WMS:http",
    "&lt;VRTDataset/>", '{"type": "x"}', "DERIVED_SUBDATASET:AMPLITUDE:a.tif", "GPKG:a.gpkg:table",
])  # fmt: skip
def test_descriptions_are_no_paths(sources, name):
    (source,) = sources(f"<SourceFilename>{name}</SourceFilename>")
    assert source.is_description


@pytest.mark.parametrize("name", ["a.tif", "./a b.tif", "C:/scenes/a.tif", "/scenes/12:30.tif", "folder/x:y.tif"])
def test_paths_are_no_descriptions(name):
    assert not VrtSource(name, relative=False).is_description


def test_relative_is_to_the_vrt_or_to_where_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    assert VrtSource("a.tif", relative=True).resolved(folder) == folder / "a.tif"
    assert VrtSource("a.tif", relative=False).resolved(folder) == tmp_path / "a.tif"


@pytest.mark.parametrize("head", ['<!DOCTYPE x [<!ENTITY a "b">]>', "<!DOCTYPE VRTDataset>"])
def test_entities_are_refused(tmp_path, head):
    path = tmp_path / "scene.vrt"
    path.write_text(f"{head}<VRTDataset/>")
    with pytest.raises(SceneError, match="XML entities"):
        vrt_sources(path, SceneError)


@pytest.mark.parametrize("text", ["", "no XML", "<VRTDataset>", "<html></html>", "<VRTDataset xmlns='urn:x'/>", "\0"])
def test_what_is_no_vrt_is_refused_with_a_remedy(tmp_path, text):
    path = tmp_path / "scene.vrt"
    path.write_text(text)
    with pytest.raises(SceneError, match=r"is not a VRT.*gdalbuildvrt"):
        vrt_sources(path, SceneError)
