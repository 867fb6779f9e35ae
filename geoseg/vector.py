"""The one door through which geoseg reads vector files.

GDAL tells a format by looking anywhere in a file, and some of its formats are descriptions that make it open other
files or addresses. So the first bytes decide here, and GDAL gets the file in a way that leaves it no choice.
"""

from __future__ import annotations

import json
import logging
import mmap
import re
import warnings
from pathlib import Path
from typing import Any
from xml.parsers import expat

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyogrio
import pyproj
import shapely
from pyarrow import ArrowException

from geoseg.crs import refuse_grid_elsewhere
from geoseg.disk import refuse_pipes_beside
from geoseg.documents import beginning, head_of
from geoseg.errors import GeosegError, LabelError
from geoseg.geopackages import MAGIC, crs_text_of, layers_of, left_alone, refuse_computed
from geoseg.grid import Grid
from geoseg.parquet import require_measure
from geoseg.placing import DEGREES, require_way
from geoseg.raster import first_line
from geoseg.registry import suggestion
from geoseg.surroundings import settings_answered

logger = logging.getLogger(__name__)

# Grids of PROJ are those that are here, whatever the environment says.
pyproj.network.set_network_enabled(False)  # type: ignore[attr-defined]  # it is in their documentation

XML_FORMATS = (".gml", ".kml", ".gpx")
LINE_FORMATS = (".geojsonl", ".geojsons", ".ndjson", ".jsonl")
_BINARY = (b"PAR1", MAGIC, b"fgb\x03fgb", b"\0\0\x27\x0a")
_MOST_XML = 500_000_000
_DEEP = 100_000
_FAR = 1_000_000
_FLATGEOBUF_HEAD = 11_000_000

_SETTINGS = {
    # pyogrio has a GDAL of its own, which would take these from the user's environment.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "OGR_SQLITE_LOAD_EXTENSIONS": "",
    "GML_DOWNLOAD_SCHEMA": "NO",
    "GML_DOWNLOAD_WFS_SCHEMA": "NO",
    "GML_SKIP_RESOLVE_ELEMS": "ALL",
    "ALLOW_OGR_SQL_FUNCTIONS_FROM_TRIGGER_AND_VIEW": "NO",
    "OGR_SQLITE_LIST_VIRTUAL_OGR": "NO",
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
}

_OWN = frozenset(_SETTINGS)

# The JSON key "crs", however it is escaped. A slash is one only where a comment begins: a text may say 'crs'/5.
_CRS_KEY = re.compile(rb"[\"'](?:c|\\u00[46]3)(?:r|\\u00[57]2)(?:s|\\u00[57]3)[\"']\s*(:|/(?=[/*]))\s*", re.IGNORECASE)
# A srsName that holds more than a code or an address: it could name a file.
_FULL_SRS = re.compile(rb"srsName\s*=\s*(?:\"[^\"]*(?:[+\[{]|&#|proj=)|'[^']*(?:[+\[{]|&#|proj=))", re.IGNORECASE)
# Roots and marks of the descriptions that GDAL follows.
_REDIRECTION = re.compile(rb"<\s*(?:\w+:)?(?:OGR[A-Z]|OGC[A-Z]|GDAL|VRT|WFS_?[A-Z]*DataSource)", re.IGNORECASE)


def set_gdal_up() -> None:
    """Give the GDAL that pyogrio brings its settings, whatever the user's environment says."""
    pyogrio.set_gdal_config_options(settings_answered(_OWN) | _SETTINGS)


def is_vector(path: str | Path) -> bool:
    """True when a file begins like one that `read_vector` takes."""
    head = beginning(path)
    if head is None:
        return False
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_xml = text.startswith(b"<") and Path(path).suffix.lower() in XML_FORMATS
    return is_xml or head.startswith(_BINARY) or text.startswith((b"{", b"\x1e"))


def read_vector(
    path: str | Path, *, layer: str | None = None, error: type[GeosegError] = LabelError
) -> gpd.GeoDataFrame:
    """Read one spatial layer of a vector file, geometries repaired and the empty ones dropped.

    Nothing but the file and what lies beside it under its name is opened.

    Args:
        path: GeoPackage, GeoJSON, FlatGeobuf, shapefile, GeoParquet, GML, KML or GPX.
        layer: its name, where the file has several.
        error: the type of error to raise.

    Raises:
        GeosegError: of the given type: missing, not a vector file, no such layer, or nothing in it.
    """
    path = Path(path)
    head = head_of(path, 1_000_000, "a vector file such as a GeoPackage", error)
    refuse_pipes_beside(path, error)
    # Before GDAL sees it: a coordinate system that names a grid has it opened with the file.
    refuse_grid_elsewhere(_crs_text(path, head), path, error)
    try:
        if head.startswith(b"PAR1"):
            frame = _read_parquet(path, layer, error)
        elif "!" in str(path.absolute()):
            # pyogrio takes it for an archive, and what follows for a file of the present folder.
            raise error(f"{path}: has a '!' in its path, which would lead to another file; rename it")
        elif head.startswith(MAGIC):
            frame = _read_geopackage(path, layer, error)
        else:
            frame = _read_layer(_source(path, head, error), path, layer, error)
    except (OSError, MemoryError, ValueError, RuntimeError, KeyError, shapely.errors.ShapelyError) as cause:
        raise error(f"{path}: cannot be read as a vector file: {_reason(cause, path)}") from cause
    if getattr(frame, "crs", None) is not None:
        refuse_grid_elsewhere(frame.crs.to_wkt(), path, error)
        if frame.crs.is_bound:  # whoever moves its shapes would fail of a grid that is not here
            require_way(frame.crs, DEGREES, path, error)
    return _cleaned(frame, path, error)


def _crs_text(path: Path, head: bytes) -> str:
    """What a file says of its coordinate systems, for the formats that say it in full."""
    if head.startswith(b"fgb\x03fgb"):
        with path.open("rb") as file:
            return file.read(_FLATGEOBUF_HEAD).decode("latin-1")
    if head.startswith(b"\0\0\x27\x0a"):
        beside = (path.with_suffix(suffix) for suffix in (".prj", ".PRJ"))
        return "\n".join(file.read_text("latin-1") for file in beside if file.is_file())
    return ""


def _source(path: Path, head: bytes, error: type[GeosegError]) -> str | bytes:
    """What to hand to GDAL so that it opens this file, with the driver its content shows, and nothing else."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    suffix = path.suffix.lower()
    # GDAL has no prefix for these two, but what it looks for in texts ends at a zero byte, and they begin with one.
    for magic, wanted, kind in ((b"fgb\x03fgb", ".fgb", "FlatGeobuf"), (b"\0\0\x27\x0a", ".shp", "shapefile")):
        if head.startswith(magic):
            if suffix != wanted:
                raise error(f"{path}: is a part of a {kind}, or a {kind} by another name; give the {wanted} file")
            return str(path.absolute())
    if text.startswith((b"{", b"\x1e")):
        _refuse_crs_links(path, error)
        lines = text.startswith(b"\x1e") or suffix in LINE_FORMATS
        return f"{'GeoJSONSeq' if lines else 'GeoJSON'}:{path.absolute()}"
    if text.startswith(b"<") and suffix in XML_FORMATS:
        _refuse_other_xml(path, head, error)
        content = path.read_bytes()
        if _FULL_SRS.search(content.replace(b"\0", b"")):
            raise error(f"{path}: its coordinate system is a definition, not a code; save it as a GeoPackage first")
        return content
    if head.startswith(b"PK"):
        raise error(f"{path}: is an archive; unzip it and give the vector file that is inside")
    raise error(
        f"{path}: is no vector file that geoseg reads, or a description of other sources; "
        "save it as a GeoPackage, GeoJSON or FlatGeobuf first"
    )


def _refuse_crs_links(path: Path, error: type[GeosegError]) -> None:
    """Refuse GeoJSON whose "crs" is a link: GDAL would fetch it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in _CRS_KEY.finditer(text):
            start = match.end()
            if text[start : start + 1] != b"{" and match[1] == b":":
                continue  # a column of that name
            try:
                crs = json.JSONDecoder().raw_decode(text[start : start + _DEEP].decode("utf-8", "replace"))[0]
            except (ValueError, RecursionError) as cause:
                raise error(f"{path}: has a 'crs' that cannot be read; save it as a GeoPackage first") from cause
            refuse_grid_elsewhere(str(crs), path, error)
            if str(crs.get("type")).lower() not in {"name", "epsg", "ogc", "none"}:
                raise error(
                    f"{path}: its coordinate system is a link to somewhere else; "
                    "save it as a GeoPackage with the coordinate system in it"
                )


def _refuse_other_xml(path: Path, head: bytes, error: type[GeosegError]) -> None:
    """Refuse XML that declares entities, or that GDAL could take for a description of other sources."""
    roots: list[str] = []
    entities: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: roots.append(name)
    parser.StartDoctypeDeclHandler = lambda name, *_: entities.append(name)
    try:
        parser.Parse(head, False)
    except (expat.ExpatError, LookupError, ValueError) as cause:  # an encoding that nobody knows is no ExpatError
        raise error(f"{path}: is not sound XML: {cause}; save it as a GeoPackage first") from cause
    root = roots[0].rpartition(":")[2].lower() if roots else ""
    fits = root in {"kml", "gpx"} or (path.suffix.lower() == ".gml" and root.endswith("collection"))
    if entities or not fits or _REDIRECTION.search(head):
        raise error(f"{path}: is no plain GML, KML or GPX file; save it as a GeoPackage first")
    if path.stat().st_size > _MOST_XML:
        raise error(f"{path}: has more than {_MOST_XML:,} bytes of XML; save it as a GeoPackage first")


def within_reach(shapes: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
    """Shapes to be drawn on a grid, those that reach very far from it cut to its surroundings.

    GDAL counts pixels in 32 bits: of a shape with a corner some thousand million pixels away it draws nothing.
    """
    west, south, east, north = grid.bounds
    step = max(grid.resolution)
    bounds = shapely.bounds(shapes)
    far = (bounds[:, :2] < np.array([west, south]) - _FAR * step) | (
        bounds[:, 2:] > np.array([east, north]) + _FAR * step
    )
    rows = np.flatnonzero(far.any(axis=1) & (shapely.get_dimensions(shapes) == 2))
    if not len(rows):
        return shapes
    around = shapely.box(west - step, south - step, east + step, north + step)
    cut = shapes.copy()
    for row in rows:
        # Coordinates may be so large that their products are none.
        with np.errstate(invalid="ignore", over="ignore"):
            cut[row] = _cut_to(shapes[row], around)
    return cut


def _cut_to(shape: shapely.Geometry, around: shapely.Geometry) -> shapely.Geometry:
    """The part of a polygon that lies in a box; a corner of the box where none does, as of that nothing is drawn."""
    try:
        near = shapely.intersection(shape, around)
    except shapely.errors.GEOSException:  # reprojecting can make it invalid
        near = shapely.clip_by_rect(shape, *around.bounds)
    parts = shapely.get_parts(near)
    parts = parts[shapely.area(parts) > 0]
    west, south = around.bounds[:2]
    return shapely.MultiPolygon(parts.tolist()) if len(parts) else shapely.Point(west, south)


def read_parquet(path: Path) -> gpd.GeoDataFrame:
    """Read a GeoParquet file as it stands.

    Raises:
        OSError: it is not there, or cannot be read.
        MemoryError: there is none for what it declares.
        ValueError: it is broken, or would take memory out of all proportion to it.
    """
    try:
        require_measure(path)
        frame = gpd.read_parquet(path)
        for name in frame.columns:
            # Texts are decoded when they are looked at, which would be too late to say that the file is broken.
            if isinstance(frame[name].dtype, pd.StringDtype):
                pa.array(frame[name]).validate(full=True)
    except (OSError, MemoryError):
        raise
    # Of Arrow, of GEOS, of PROJ, and of geopandas where its notes have another form.
    except (ArrowException, shapely.errors.ShapelyError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(first_line(error)) from error
    return frame


def _read_parquet(path: Path, layer: str | None, error: type[GeosegError]) -> gpd.GeoDataFrame:
    if layer is not None:
        raise error(f"{path}: is a GeoParquet file, which has no layer '{layer}'; leave --layer out")
    return read_parquet(path)


def _read_geopackage(path: Path, layer: str | None, error: type[GeosegError]) -> gpd.GeoDataFrame:
    with left_alone(path, error) as place:
        refuse_grid_elsewhere(crs_text_of(place), path, error)
        # GDAL would run views to list them.
        chosen = _chosen(layers_of(place, path, error), path, layer, error)
        refuse_computed(place, path, chosen, error)
        return _read_frame(f"GPKG:{place}", chosen, IMMUTABLE="YES")


def _read_layer(source: str | bytes, path: Path, layer: str | None, error: type[GeosegError]) -> gpd.GeoDataFrame:
    set_gdal_up()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns of what is checked here and below
        places = {
            str(name): place for place, (name, kind) in enumerate(pyogrio.list_layers(source)) if kind is not None
        }
    # By its place: some formats name a layer after the file, and what came as bytes has another name each time.
    return _read_frame(source, places[_chosen(list(places), path, layer, error)])


def _chosen(layers: list[str], path: Path, layer: str | None, error: type[GeosegError]) -> str:
    """The one layer that is meant."""
    if not layers:
        raise error(f"{path}: has no layer with geometries; a layer of polygons is needed")
    if layer is not None and layer not in layers:
        raise error(f"{path}: has no layer '{layer}' with geometries; {suggestion(layer, layers)}")
    if layer is None and len(layers) > 1:
        raise error(f"{path}: has {len(layers)} layers ({', '.join(layers)}); name the one to use with --layer")
    return layer or layers[0]


def _read_frame(source: str | bytes, layer: str | int, **options: str) -> gpd.GeoDataFrame:
    set_gdal_up()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pyogrio warns of is checked by others
        return pyogrio.read_dataframe(source, layer=layer, **options)


def _reason(cause: BaseException, path: Path) -> str:
    """The first line of a foreign error, without the way in which the file was handed over."""
    return re.sub(rf"\w+:{re.escape(str(path.absolute()))}", path.name, first_line(cause))


def _cleaned(frame: Any, path: Path, error: type[GeosegError]) -> gpd.GeoDataFrame:
    if not isinstance(frame, gpd.GeoDataFrame):
        raise error(f"{path}: has a table but no geometries; a layer of polygons is needed")
    geometry = frame.geometry.to_numpy()
    broken = ~(shapely.is_missing(geometry) | shapely.is_valid(geometry))
    if broken.any():
        logger.warning("%s: %d invalid geometries were repaired", path, broken.sum())
        # Only what has an area: a spike of a polygon must not become a line of its own.
        with np.errstate(all="ignore"):  # of coordinates beyond all numbers, which are left out below
            mended = shapely.make_valid(geometry[broken], method="structure", keep_collapsed=False)
        frame.loc[broken, frame.geometry.name] = mended
        geometry = frame.geometry.to_numpy()
    usable = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    usable[usable] = np.isfinite(shapely.bounds(geometry[usable])).all(axis=1)
    if not usable.any():
        raise error(f"{path}: holds no geometry; draw some polygons in it first")
    if not usable.all():
        logger.warning("%s: %d of %d features have no geometry and are left out", path, (~usable).sum(), len(frame))
    return frame[usable].reset_index(drop=True)
