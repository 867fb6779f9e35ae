"""What labelled samples say of a map: its accuracy and the areas of its classes, with confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.assessment.estimates import ClassEstimate, Estimate, Interval, Stratum
from geoseg.assessment.matching import STRANGER
from geoseg.assessment.samples import Samples, Strata, map_at
from geoseg.assessment.scores import MapArea
from geoseg.assessment.stratified import Estimates, olofsson, stehman
from geoseg.class_raster import ClassRaster
from geoseg.confusion import Accuracy
from geoseg.errors import LabelError
from geoseg.legend import IGNORE

Indices = npt.NDArray[np.uint8]

FEWEST = 2
"""Samples in a stratum, without which it has no variance."""


def estimate(samples: Samples, raster: ClassRaster, areas: tuple[MapArea, ...]) -> Estimate:
    """Estimate accuracy and areas of a map.

    Where the samples were drawn by the classes of this very map, or where the file does not say how, strata are the
    map's classes (Olofsson et al. 2014), weighed by their mapped areas; else what the file says (Stehman 2014).

    Args:
        samples: labelled points.
        raster: the map.
        areas: of its classes.

    Raises:
        LabelError: no sample lies on the map, or a stratum has none.
    """
    mapped = map_at(raster, samples.points)
    used = (mapped != IGNORE) & (samples.reference != STRANGER)
    outside = int((mapped == IGNORE).sum())
    if not used.any():
        raise LabelError(
            f"{samples.path}: none of its {len(mapped)} labelled points lies on a class of {raster.path}; "
            "check that they are of the same ground"
        )
    on_map, on_ground = mapped[used], samples.reference[used]
    classes = len(raster.legend)
    counts = np.bincount(on_map.astype(np.int64) * classes + on_ground, minlength=classes**2).reshape(classes, classes)
    own = _of_others(samples.strata, mapped, used, raster, areas)
    if own is None:
        sizes, drawn, names = np.array([one.share for one in areas]), counts.sum(1), raster.legend.names
        pixels = np.array([one.pixels for one in areas])
    else:
        sizes, drawn, names = own.pixels, np.bincount(own.of[used], minlength=len(own.pixels)), own.names
        pixels = own.pixels
    _refuse_unsampled(samples, drawn, sizes, names)
    found = olofsson(counts, sizes, pixels) if own is None else stehman(own.of[used], on_map, on_ground, sizes, classes)
    shares = sizes / sizes.sum()
    strata = tuple(Stratum(name, float(share), int(n)) for name, share, n in zip(names, shares, drawn, strict=True))
    # A stratum of one pixel, which was looked at, is known.
    few = [one.name for one, size in zip(strata, pixels, strict=True) if one.samples < min(size, FEWEST)]
    whole = Accuracy(found.proportions.T)
    return Estimate(
        method="Olofsson et al. 2014" if own is None else "Stehman 2014",
        source=str(samples.path),
        samples=int(used.sum()),
        unlabelled=samples.unlabelled,
        outside=outside,
        overall=_interval(found.overall, found.overall_error),
        quantity_disagreement=_number(whole.quantity_disagreement),
        allocation_disagreement=_number(whole.allocation_disagreement),
        classes=_class_estimates(found, areas),
        strata=strata,
        counts=tuple(map(tuple, counts.tolist())),
        proportions=tuple(tuple(map(_number, row)) for row in found.proportions.tolist()),
        notes=tuple(_notes(samples, outside, few, 0 if own is None else _uncovered(own, areas))),
    )


def _of_others(
    strata: Strata | None,
    mapped: Indices,
    used: npt.NDArray[np.bool_],
    raster: ClassRaster,
    areas: tuple[MapArea, ...],
) -> Strata | None:
    """The strata of the samples, None where they are the classes of the map or nobody knows them."""
    if strata is None:
        return None
    ids = np.array(strata.ids)[strata.of[used]]
    if not (ids == np.array(raster.legend.ids)[mapped[used]]).all():
        return strata
    pixels = {one.id: one.pixels for one in areas}
    same = all(pixels.get(id_) == size for id_, size in zip(strata.ids, strata.pixels.tolist(), strict=True))
    return None if same else strata


def _refuse_unsampled(
    samples: Samples, drawn: npt.NDArray[np.int64], sizes: npt.NDArray[Any], names: tuple[str, ...]
) -> None:
    bare = [name for name, n, size in zip(names, drawn, sizes, strict=True) if n == 0 and size > 0]
    if bare:
        raise LabelError(
            f"{samples.path}: no labelled sample lies in {', '.join(bare)}, so nothing can be said of the whole map; "
            "label at least 2 samples of each stratum"
        )


def _class_estimates(found: Estimates, areas: tuple[MapArea, ...]) -> tuple[ClassEstimate, ...]:
    hectares = [one.hectares for one in areas]
    total = None if any(one is None for one in hectares) else sum(one or 0.0 for one in hectares)
    return tuple(
        ClassEstimate(
            id=one.id,
            name=one.name,
            color=one.color,
            users=_interval(found.users[index], found.users_error[index]),
            producers=_interval(found.producers[index], found.producers_error[index]),
            area_share=_interval(found.areas[index], found.areas_error[index]),
            hectares=None if total is None else _interval(total * found.areas[index], total * found.areas_error[index]),
            mapped_share=one.share,
            mapped_hectares=one.hectares,
        )
        for index, one in enumerate(areas)
    )


def _uncovered(strata: Strata, areas: tuple[MapArea, ...]) -> int:
    """Pixels of the map in none of the strata."""
    return max(sum(one.pixels for one in areas) - int(strata.pixels.sum()), 0)


def _notes(samples: Samples, outside: int, few: list[str], uncovered: int) -> list[str]:
    told, strange = [], int((samples.reference == STRANGER).sum())
    if samples.strata is None:
        told.append(
            f"{samples.path.name} does not say how its points were drawn; they are taken as random within each class "
            "of the map."
        )
    if samples.unlabelled:
        told.append(f"{samples.unlabelled} samples have no class yet and were left out.")
    if outside:
        told.append(f"{outside} samples lie outside of the map or where it has no class, and were left out.")
    if strange:
        told.append(
            f"{strange} samples are of classes that the map's legend lacks ({', '.join(samples.lacking)}), left out."
        )
    if few:
        told.append(f"Fewer than {FEWEST} samples in {', '.join(few)}: no variance, so no intervals that depend on it.")
    if uncovered:
        told.append(f"{uncovered:,} pixels of the map are in none of the strata; the estimates are not of them.")
    told.append("Intervals are of 95 % and take the labels of the samples to be right.")
    return told


def _interval(value: float, error: float) -> Interval:
    return Interval(_number(value), _number(error))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
