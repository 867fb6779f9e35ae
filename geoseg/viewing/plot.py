"""Layers as two Bokeh figures that lie on each other, one for each side of the swipe line.

Both have the same sources, colours and ranges, so a layer is in the page once and both sides move together. No name
from data goes into a figure; what a page says of its layers is its own affair.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from bokeh.models import ColumnDataSource, LinearColorMapper, PanTool, Range1d, WheelZoomTool
from bokeh.palettes import Cividis256
from bokeh.plotting import figure
from PIL import Image as Pillow

from geoseg.legend import TerrainClass
from geoseg.viewing.composite import Image
from geoseg.viewing.layers import (
    LEFT,
    RIGHT,
    SIDES,
    ClassLayer,
    Layer,
    PictureLayer,
    RasterLayer,
    ShapeLayer,
    ShareLayer,
)
from geoseg.viewing.place import Place

FILL = 0.35
"""Opacity of the inside of polygons, of that of their outlines."""

CLEAR = "#00000000"
_QUALITY = 90


@dataclass(slots=True)
class Plot:
    """What is drawn.

    Attributes:
        left, right: figures, one for each side of the swipe line.
        drawn: for each layer the names of its sources, of its colours and of its parts on each side.
    """

    left: Any
    right: Any
    drawn: list[dict[str, Any]] = field(default_factory=list)


def plot(layers: list[Layer], place: Place, key: str, *, wheel: bool) -> Plot:
    """Draw layers, the first one lowest.

    Args:
        layers: what to draw.
        place: where.
        key: begins the names of all that is drawn, so that two plots may be on one page.
        wheel: zoom with the wheel alone; else with Ctrl and the wheel, so that a page can be scrolled over the plot.
    """
    left, bottom, right, top = place.bounds
    across, down = (
        Range1d(start=start, end=end, name=f"{key}-{axis}")
        for axis, start, end in (("x", left, right), ("y", bottom, top))
    )
    sides = {side: _figure(across, down, wheel) for side in SIDES}
    made = Plot(sides[LEFT], sides[RIGHT])
    for number, layer in enumerate(layers):
        name = f"{key}-{number}"
        drawn: dict[str, Any] = {"sources": [], "mapper": None, "parts": {side: [] for side in SIDES}}
        for part, (glyph, source, settings, mapper) in enumerate(_glyphs(layer, name)):
            source.name = f"{name}-{part}"
            drawn["sources"].append({"name": source.name, "kind": glyph})
            drawn["mapper"] = drawn["mapper"] or mapper
            for side, figure_ in sides.items():
                rendered = getattr(figure_, glyph)(source=source, **settings)
                rendered.name = f"{name}-{part}-{side}"
                rendered.visible = side in layer.sides
                drawn["parts"][side].append(rendered.name)
        made.drawn.append(drawn)
    return made


def _figure(across: Range1d, down: Range1d, wheel: bool) -> Any:
    drag = PanTool()
    scroll = WheelZoomTool() if wheel else WheelZoomTool(modifiers={"ctrl": True})
    made = figure(
        x_range=across,
        y_range=down,
        sizing_mode="stretch_both",
        toolbar_location=None,
        tools=[drag, scroll],
        active_drag=drag,
        active_scroll=scroll,
        x_axis_type=None,
        y_axis_type=None,
        min_border=0,
        outline_line_color=None,
        background_fill_color="white",
        border_fill_color="white",
        lod_threshold=None,
    )
    made.grid.visible = False
    return made


_Glyph = tuple[str, ColumnDataSource, dict[str, Any], str | None]


def _glyphs(layer: Layer, name: str) -> Iterator[_Glyph]:
    """Glyph, source, settings and name of the colours of each part of a layer."""
    if isinstance(layer, PictureLayer):
        yield "image_url", *_picture(layer), None
    elif isinstance(layer, ClassLayer):
        mapper = _class_mapper(layer.classes, f"{name}-mapper")
        yield "image", *_pixels(layer, layer.indices, mapper), mapper.name
    elif isinstance(layer, ShareLayer):
        mapper = LinearColorMapper(palette=list(Cividis256), low=0, high=100, high_color=CLEAR, name=f"{name}-mapper")
        yield "image", *_pixels(layer, layer.percent, mapper), mapper.name
    elif isinstance(layer, ShapeLayer):
        yield from _shapes(layer, _class_mapper(layer.classes, f"{name}-mapper"))


def _picture(layer: PictureLayer) -> tuple[ColumnDataSource, dict[str, Any]]:
    left, bottom, right, top = layer.grid.bounds
    source = ColumnDataSource({"url": [as_url(layer.pixels)], "x": [left], "y": [top]})
    size = {"w": right - left, "h": top - bottom, "anchor": "top_left"}
    return source, {"url": "url", "x": "x", "y": "y", **size, "global_alpha": layer.opacity}


def as_url(pixels: Image) -> str:
    """A picture (rows, cols, 4) as a data URL, as WebP: small, with opacity."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", quality=_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pixels(
    layer: RasterLayer, values: npt.NDArray[np.uint8], mapper: LinearColorMapper
) -> tuple[ColumnDataSource, dict[str, Any]]:
    left, bottom, right, top = layer.grid.bounds
    source = ColumnDataSource({"image": [np.ascontiguousarray(values[::-1])]})
    place = {"x": left, "y": bottom, "dw": right - left, "dh": top - bottom}
    return source, {"image": "image", **place, "color_mapper": mapper, "global_alpha": layer.opacity}


def _class_mapper(classes: tuple[TerrainClass, ...], name: str) -> LinearColorMapper:
    colors = [item.color for item in classes]
    # A bin per class: without the half steps the colours of neighbours would mix.
    return LinearColorMapper(
        palette=colors, low=-0.5, high=len(colors) - 0.5, high_color=CLEAR, nan_color=CLEAR, name=name
    )


def _shapes(layer: ShapeLayer, mapper: LinearColorMapper) -> Iterator[_Glyph]:
    shapes = layer.frame.geometry.to_numpy()
    facts = {
        name: np.round(layer.frame[name].to_numpy(np.float64), 3)
        for name in ("confidence", "area_ha")
        if name in layer.frame.columns
    }
    left, bottom, right, top = layer.frame.total_bounds
    digits = int(np.clip(5 - np.floor(np.log10(max(right - left, top - bottom, 1e-9))), 0, 12))
    color = {"field": "k", "transform": mapper}
    alpha = layer.opacity
    for dimension, glyph in ((2, "multi_polygons"), (1, "multi_line"), (0, "scatter")):
        parts, owner = _parts(shapes, dimension)
        if not len(parts):
            continue
        data = _coordinates(parts, dimension, digits)
        data |= {"k": layer.indices[owner].astype(float).tolist()}
        data |= {name: [None if np.isnan(v) else v for v in values[owner].tolist()] for name, values in facts.items()}
        settings: dict[str, Any] = {"line_color": color, "line_alpha": alpha, "line_width": 1.2}
        if dimension == 2:
            settings |= {"xs": "xs", "ys": "ys", "fill_color": color, "fill_alpha": FILL * alpha}
        elif dimension == 1:
            settings |= {"xs": "xs", "ys": "ys", "line_width": 2}
        else:
            settings |= {"x": "x", "y": "y", "size": 9, "fill_color": color, "fill_alpha": alpha, "line_color": "white"}
        yield glyph, ColumnDataSource(data), settings, mapper.name


def _parts(shapes: Any, dimension: int) -> tuple[Any, npt.NDArray[np.int64]]:
    """The parts of shapes that have a dimension, and to which shape each belongs; polygons of one shape stay one."""
    if dimension == 2:
        polygonal = np.isin(shapely.get_type_id(shapes), (3, 6)) & ~shapely.is_empty(shapes)
        return shapes[polygonal], np.flatnonzero(polygonal)
    parts, owner = shapely.get_parts(shapes, return_index=True)
    fits = np.isin(shapely.get_type_id(parts), (1, 2) if dimension == 1 else (0,)) & ~shapely.is_empty(parts)
    return parts[fits], owner[fits]


def _coordinates(parts: Any, dimension: int, digits: int) -> dict[str, list[Any]]:
    if dimension == 0:
        x, y = np.round(shapely.get_coordinates(parts), digits).T.tolist()
        return {"x": x, "y": y}
    if dimension == 1:
        lines = [np.round(shapely.get_coordinates(part), digits).T.tolist() for part in parts]
        return {"xs": [line[0] for line in lines], "ys": [line[1] for line in lines]}
    rings = [
        [[np.round(shapely.get_coordinates(ring), digits).T.tolist() for ring in shapely.get_rings(polygon)]
         for polygon in shapely.get_parts(part)]
        for part in parts
    ]  # fmt: skip
    return {name: [[[ring[axis] for ring in polygon] for polygon in part] for part in rings]
            for axis, name in enumerate(("xs", "ys"))}  # fmt: skip
