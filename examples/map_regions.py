"""Map the districts of a place in batch: python examples/map_regions.py MODEL OUT."""

import sys
from pathlib import Path

import geopandas as gpd
import shapely

import geoseg
from geoseg.sample_data import sample_folder

if __name__ == "__main__":  # dask starts processes, which import this file
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    halves = [shapely.box(573180, 5297200, 575000, 5301060), shapely.box(575000, 5297200, 577360, 5301060)]
    out.mkdir()
    gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs="EPSG:32632").to_file(out / "districts.gpkg")
    scene = sample_folder() / "synthetic_scene_2.tif"
    outcomes = geoseg.map(out / "districts.gpkg", scene, model, out / "atlas", jobs=1, window=512)
    print(outcomes[["name", "state", "megapixels", "seconds"]])
