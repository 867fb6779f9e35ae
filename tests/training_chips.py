"""Chips for trainings that take a second."""

import geoseg
from conftest import CORNER, UTM, striped


def make_chips(folder, *, bands=("blue", "green", "red", "nir"), order=None, names=None, size=(150, 160), **options):
    """Cut a scene of three classes in a checkerboard; `order` are the places of its bands among four."""
    import rasterio

    from geoseg.legend import Legend

    values, classes = striped(*size)
    values = values[list(order)] if order is not None else values
    for name, array, described in (("scene", values, bands), ("labels", classes[None], ("c",))):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=len(array), height=size[0], width=size[1],
            dtype=array.dtype, crs=UTM, transform=CORNER, nodata=0, photometric="minisblack",
        ) as dataset:  # fmt: skip
            dataset.write(array)
            dataset.descriptions = described
    legend = Legend.from_names(names) if names else None
    geoseg.tile(folder / "scene.tif", folder / "labels.tif", folder / "chips", chip_size=32, legend=legend, **options)
    return folder / "chips"
