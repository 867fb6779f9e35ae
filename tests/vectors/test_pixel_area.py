"""Square metres of pixels, against what is known of the Earth and against other projections."""

from __future__ import annotations

import logging
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.grid import Grid
from geoseg.vectors.area import pixel_area
from geoseg.vectors.faces import Faces
from geoseg.vectors.measure import Measure
from geoseg.vectors.stream import Band, Settings, polygons

Array = np.ndarray[Any, Any]
EARTH = 510_065_621_724_089  # square metres, the surface of the WGS 84 ellipsoid


def traced(grid: Grid, classes: Array, rows: int = 1000) -> tuple[Faces, Array]:
    """Faces and their polygons."""
    codes = classes.astype(np.int32)
    bands = [Band(codes[top : top + rows]) for top in range(0, len(codes), rows)]
    faces: list[Faces] = []
    geometry: list[bytes] = []
    for finished in polygons(bands, codes.shape, Settings(grid.transform, measure=Measure.of(grid))):
        shapes = finished.shapes
        faces.append(finished.faces)
        geometry.extend(shapes.wkb[a:b].tobytes() for a, b in zip(shapes.offsets, shapes.offsets[1:], strict=False))
    return Faces.joined(faces), shapely.from_wkb(geometry)


def areas(grid: Grid, classes: Array, rows: int = 1000) -> tuple[Array, Array]:
    """Square metres of each polygon, and the polygons."""
    faces, geometry = traced(grid, classes, rows)
    return faces.metres, geometry


@pytest.mark.parametrize("rows", [7, 180])
@pytest.mark.parametrize("west", [-180, 0])
def test_the_whole_earth(rows: int, west: int) -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(1, 0, west, 0, -1, 90), 180, 360)
    classes = np.random.default_rng(0).integers(0, 4, grid.shape).astype(np.uint8)
    metres, _ = areas(grid, classes, rows)
    assert metres.min() > 0
    assert metres.sum() == pytest.approx(EARTH, rel=1e-8)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (32632, Affine(30, 0, 300_000, 0, -30, 5_400_000)),
        (32632, Affine(30, 0, 300_000, 0, -30, 5_400_000) @ Affine.rotation(40)),
        (3857, Affine(100, 0, 1_000_000, 0, -100, 7_000_000)),
        (2264, Affine(100, 0, 2_000_000, 0, -100, 700_000)),  # feet
        (4326, Affine(0.001, 0, 10, 0, 0.001, 60)),  # south-up degrees
        (4267, Affine(0.001, 0, -80, 0, -0.001, 36)),  # an older ellipsoid
        (3035, Affine(100, 0, 4_000_000, 0, -100, 3_000_000)),  # equal-area by itself
    ],
)
def test_polygons_have_the_area_of_an_equal_area_projection(crs: int, transform: Affine) -> None:
    grid = Grid(CRS.from_epsg(crs), transform, 60, 50)
    classes = np.kron(np.random.default_rng(1).integers(0, 3, (6, 5)), np.ones((10, 10))).astype(np.uint8)
    metres, geometry = areas(grid, classes)
    # Straight lines bend when projected, so short pieces; a LAEA on the same datum is the judge.
    pieces = geopandas.GeoSeries(shapely.segmentize(geometry, abs(transform.a) / 2), crs=crs)
    centre = geopandas.GeoSeries([pieces.union_all().centroid], crs=crs).to_crs(pieces.crs.geodetic_crs)[0]
    judge = f"+proj=laea +lon_0={centre.x} +lat_0={centre.y} +ellps={'clrk66' if crs == 4267 else 'GRS80'} +type=crs"
    if crs in (4326, 3857, 32632):
        judge = judge.replace("GRS80", "WGS84")
    if crs == 4267:
        judge = judge.replace("+ellps=clrk66", "+datum=NAD27")
    np.testing.assert_allclose(metres, pieces.to_crs(judge).area, rtol=1e-6)


def test_a_raster_over_the_pole() -> None:
    grid = Grid(CRS.from_epsg(3031), Affine(10_000, 0, -500_000, 0, -10_000, 500_000), 100, 100)
    metres, geometry = areas(grid, np.zeros(grid.shape, np.uint8))
    pieces = geopandas.GeoSeries(shapely.segmentize(geometry, 5_000), crs=3031)
    assert metres[0] == pytest.approx(pieces.to_crs("+proj=laea +lat_0=-90 +lon_0=0 +type=crs").area[0], rel=1e-6)


def test_corners_off_the_globe_are_told(caplog: pytest.LogCaptureFixture) -> None:
    grid = Grid(CRS.from_string("ESRI:54009"), Affine(200_000, 0, -18_000_000, 0, -200_000, 9_000_000), 90, 180)
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        area = pixel_area(grid)
    assert "off the globe" in caplog.text
    assert area is not None
    assert float(area.at(np.array(90.0), np.array(45.0))) == pytest.approx(
        4e10, rel=1e-2
    )  # Mollweide is equal-area on a sphere


def test_a_crs_without_an_ellipsoid_has_no_square_metres(caplog: pytest.LogCaptureFixture) -> None:
    local = CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]')
    with caplog.at_level(logging.WARNING, logger="geoseg"):
        assert pixel_area(Grid(local, Affine.identity(), 5, 5)) is None
    assert "areas are left empty" in caplog.text


def test_no_crs_has_no_square_metres() -> None:
    assert pixel_area(Grid(None, Affine.identity(), 5, 5)) is None
