"""Labels: polygons, points or a class raster, laid as class indices on the grid of a scene."""

from __future__ import annotations

from pathlib import Path

from geoseg.drivers import is_raster
from geoseg.errors import LabelError, OptionError
from geoseg.labels.background import require_id, require_in_legend
from geoseg.labels.merge import merged_legend
from geoseg.labels.polygons import CONFLICTS, LATER, PolygonLabels, polygon_labels
from geoseg.labels.protocol import LabelOptions, Labels
from geoseg.labels.raster import RasterLabels, raster_labels
from geoseg.legend import Legend
from geoseg.registry import suggestion

__all__ = ["LabelOptions", "Labels", "PolygonLabels", "RasterLabels", "merged_legend", "open_labels"]

MOST_BUFFER = 1e7
"""From the equator to a pole."""


def open_labels(
    path: str | Path,
    *,
    field: str | None = None,
    legend: Legend | None = None,
    layer: str | None = None,
    buffer: float | None = None,
    on_conflict: str = LATER,
    background: int | None = None,
) -> Labels:
    """Open labels, whatever they are made of.

    Args:
        path: a class raster, or a vector file that `read_vector` takes; any CRS and any grid.
        field: column of the polygons that holds the class, as id or name; found by its name when not given.
        legend: the classes; made from the labels when not given.
        layer: name of the layer to use, where the file has several.
        buffer: metres by which points and lines are widened (units of the labels where they have no CRS); a point
            labels the one pixel it lies in when not given.
        on_conflict: "later" for the class of the later one of two shapes that overlap, "ignore" to leave pixels under
            shapes of different classes unlabelled.
        background: id of the class of every pixel that is not labelled; called "background" where the labels do not
            have it. Pixels that `on_conflict` leaves unlabelled stay so.

    Raises:
        OptionError: a buffer, on_conflict or background that cannot be.
        LabelError: missing, broken, without such a column or layer, or with classes the legend does not have.
    """
    if buffer is not None and not 0 < buffer <= MOST_BUFFER:
        raise OptionError(
            f"buffer is {buffer:g}; it must be a distance above 0, in metres, and at most {MOST_BUFFER:g}"
        )
    if on_conflict not in CONFLICTS:
        raise OptionError(f"on_conflict is '{on_conflict}'; {suggestion(on_conflict, CONFLICTS)}")
    require_id(background)
    require_in_legend(legend, background)
    path = Path(path)
    if not is_raster(path):
        return polygon_labels(
            path, field, legend, layer=layer, buffer=buffer, on_conflict=on_conflict, background=background
        )
    if field is not None:
        raise LabelError(f"{path}: is a raster and has no column '{field}'; leave --class-field out")
    if layer is not None:
        raise LabelError(f"{path}: is a raster and has no layer '{layer}'; leave --layer out")
    if buffer is not None:
        raise LabelError(f"{path}: is a raster, with no points or lines to widen; leave --buffer out")
    return raster_labels(path, legend, background)
