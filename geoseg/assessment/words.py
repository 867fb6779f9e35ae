"""Numbers as a report writes them."""

from __future__ import annotations

from geoseg.assessment.estimates import Interval
from geoseg.assessment.scores import Score
from geoseg.assessment.worst import Spot

DASH = "\N{EN DASH}"


def score(value: Score) -> str:
    """A score between 0 and 1 with three decimals, a dash where there is none.

    >>> score(0.5), score(None)
    ('0.500', '–')
    """
    return DASH if value is None else f"{value:.3f}"


def percent(value: Score) -> str:
    """A share of 1 as a percentage with one decimal.

    >>> percent(0.0001), percent(0.1234), percent(None)
    ('< 0.1 %', '12.3 %', '–')
    """
    if value is None:
        return DASH
    return "< 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def spaced(value: int) -> str:
    """A whole number in groups of three, kept on one line.

    >>> spaced(1234567).split()
    ['1', '234', '567']
    """
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def hectares(value: float | None) -> str:
    """An area with as many decimals as it bears."""
    if value is None:
        return DASH
    return spaced(round(value)) if abs(value) >= 100 else f"{value:.2f}"


def share_interval(found: Interval) -> str:
    """A share with its 95 % confidence interval, in percent.

    >>> share_interval(Interval(0.8, 0.05)), share_interval(Interval(None, None))
    ('80.0 ± 9.8 %', '–')
    """
    if found.value is None:
        return DASH
    half = DASH if found.half_width is None else f"{100 * found.half_width:.1f}"
    return f"{100 * found.value:.1f} ± {half} %"


def area_interval(found: Interval | None) -> str:
    """An area with its 95 % confidence interval, in hectares."""
    if found is None or found.value is None:
        return DASH
    return f"{hectares(found.value)} ± {hectares(found.half_width)}"


def degrees(spot: Spot) -> str:
    """Where a place is: latitude and longitude, or its pixel.

    >>> from types import SimpleNamespace as Fake
    >>> degrees(Fake(lonlat=(-78.65833, 35.74897)))
    '35.74897° N, 78.65833° W'
    """
    if spot.lonlat is None:
        return f"row {int(spot.window.row_off)}, column {int(spot.window.col_off)}"
    lon, lat = spot.lonlat
    return f"{abs(lat):.5f}° {'S' if lat < 0 else 'N'}, {abs(lon):.5f}° {'W' if lon < 0 else 'E'}"


def p_value(value: float | None) -> str:
    """The probability of a difference by chance.

    >>> p_value(0.00001), p_value(0.0421)
    ('< 0.001', '0.042')
    """
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
