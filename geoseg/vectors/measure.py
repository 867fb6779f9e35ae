"""Integrals along arcs: areas and lengths, each taken once and serving both faces beside the arc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner
from geoseg.grid import Grid
from geoseg.vectors.area import PixelArea, PixelMetric, pixel_area, pixel_metric

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measure:
    """How areas and lengths on a raster become metres.

    Attributes:
        area: square metres of a pixel, or None for a map that is not tied to the Earth.
        metric: metres of a step of a pixel, or None.
    """

    area: PixelArea | None = None
    metric: PixelMetric | None = None

    @classmethod
    def of(cls, grid: Grid) -> Measure:
        """The measure of a raster."""
        area = pixel_area(grid)
        return cls(area, None if area is None else pixel_metric(grid))


def measure(points: Any, offsets: Any, scale: float, how: Measure) -> tuple[Floats, Floats, Floats]:
    """Of each arc: x dy in pixels, G dy in square metres (NaN without an area), and length in metres (else in pixels).

    Args:
        points: (N, 2) points in units of 1 / scale pixels.
        offsets: (A + 1,) where each arc starts in `points`.
        scale: units per pixel.
        how: the way to metres.
    """
    pixels = along_arcs(points, offsets, scale)
    if how.area is None:
        metres = np.full(len(pixels), np.nan)
    else:
        integral = how.area.integral()
        nodes, weights = np.polynomial.legendre.leggauss((integral.shape[0] + integral.shape[1]) // 2)
        half = np.array([how.area.width / 2, how.area.height / 2]) * scale
        metres = weighted_along_arcs(points, offsets, integral, half, nodes, weights / scale)
    if how.metric is None:
        one, none, half = np.ones((1, 1)), np.zeros((1, 1)), np.ones(2)
        return pixels, metres, lengths(points, offsets, one, none, one, half, scale)
    metric = how.metric
    half = np.array([metric.width / 2, metric.height / 2]) * scale
    return pixels, metres, lengths(points, offsets, metric.e, metric.f, metric.g, half, scale)


@compiled
def along_arcs(points: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], scale: float) -> Floats:
    """The integral of x dy along each arc, in pixels; exact, as all of it are halves of whole units."""
    result = np.zeros(len(offsets) - 1)
    for arc in range(len(result)):
        total = 0.0
        for index in range(offsets[arc], offsets[arc + 1] - 1):
            x = float(points[index, 0]) + float(points[index + 1, 0])
            total += 0.5 * x * (points[index + 1, 1] - points[index, 1])
        result[arc] = total / (scale * scale)
    return result


@compiled
def weighted_along_arcs(
    points: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    integral: Floats,
    half_size: Floats,
    nodes: Floats,
    weights: Floats,
) -> Floats:
    """The integral of G dy along each arc, by Gauss quadrature (Legendre nodes and weights) on each straight piece."""
    result = np.zeros(len(offsets) - 1)
    for arc in range(len(result)):
        for index in range(offsets[arc], offsets[arc + 1] - 1):
            x, y = float(points[index, 0]), float(points[index, 1])
            dx, dy = points[index + 1, 0] - x, points[index + 1, 1] - y
            if dy == 0:
                continue
            for node in range(len(nodes)):
                share = (1 + nodes[node]) / 2
                u, v = (x + share * dx) / half_size[0] - 1, (y + share * dy) / half_size[1] - 1
                result[arc] += weights[node] / 2 * dy * polynomial(integral, u, v)
    return result


@compiled
def lengths(
    points: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    e: Floats,
    f: Floats,
    g: Floats,
    half_size: Floats,
    scale: float,
) -> Floats:
    """The length of each arc; each straight piece by the metric in its middle."""
    result = np.zeros(len(offsets) - 1)
    for arc in range(len(result)):
        for index in range(offsets[arc], offsets[arc + 1] - 1):
            x, y = float(points[index, 0]), float(points[index, 1])
            dx, dy = points[index + 1, 0] - x, points[index + 1, 1] - y
            u, v = (x + dx / 2) / half_size[0] - 1, (y + dy / 2) / half_size[1] - 1
            square = polynomial(e, u, v) * dx * dx
            if dy != 0:
                square += 2 * polynomial(f, u, v) * dx * dy + polynomial(g, u, v) * dy * dy
            result[arc] += np.sqrt(max(square, 0.0)) / scale
    return result


@inner
def polynomial(coefficients: Floats, u: float, v: float) -> float:
    """Horner's scheme in both variables."""
    total = 0.0
    for i in range(coefficients.shape[0] - 1, -1, -1):
        inner = 0.0
        for j in range(coefficients.shape[1] - 1, -1, -1):
            inner = inner * v + coefficients[i, j]
        total = total * u + inner
    return total
