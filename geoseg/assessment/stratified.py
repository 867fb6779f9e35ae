"""Accuracy and areas from a stratified random sample, with standard errors.

Sources: P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock, M. A. Wulder, Good practices for estimating
area and assessing accuracy of land change, Remote Sensing of Environment 148 (2014) 42-57; S. V. Stehman, Estimating
area and map accuracy for stratified random sampling when the strata are different from the map classes, International
Journal of Remote Sensing 35 (2014) 4923-4939.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError, OptionError

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[Any]

CONFIDENT = 1.96
"""Standard errors to each side of a 95 % confidence interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Estimates of K classes with their standard errors; NaN where one does not exist.

    Attributes:
        overall, overall_error: overall accuracy.
        users, users_error: (K,) user's accuracy.
        producers, producers_error: (K,) producer's accuracy.
        areas, areas_error: (K,) share of the ground that is of each class.
        proportions: (K, K) shares of the ground, rows map and columns reference.
    """

    overall: float
    overall_error: float
    users: Floats
    users_error: Floats
    producers: Floats
    producers_error: Floats
    areas: Floats
    areas_error: Floats
    proportions: Floats


def olofsson(counts: Counts, sizes: Counts, pixels: Counts | None = None) -> Estimates:
    """Estimate from a sample whose strata are the classes of the map (Olofsson et al. 2014, equations 1 to 11).

    Args:
        counts: (K, K) samples, rows map class (the stratum) and columns reference class.
        sizes: (K,) area or pixels of each map class.
        pixels: (K,) how many each has; where all of them were looked at, nothing is uncertain.

    Raises:
        LabelError: a class of the map has no sample.
        OptionError: shapes that do not belong together, or sizes that are no areas.
    """
    counts, sizes = np.asarray(counts, float), np.asarray(sizes, float)
    _check_sizes(sizes, counts.shape == (len(sizes), len(sizes)))
    drawn = counts.sum(1)
    if ((drawn == 0) & (sizes > 0)).any():
        missing = np.flatnonzero((drawn == 0) & (sizes > 0)).tolist()
        raise LabelError(f"strata {missing} have no sample, and what is in them cannot be guessed; label some there")
    weights = sizes / sizes.sum()
    within = _over(counts, np.where(drawn > 0, drawn, 1)[:, None])
    shares = weights[:, None] * within
    users = np.where(drawn > 0, np.diag(within), np.nan)
    areas = shares.sum(0)
    producers = _over(np.diag(shares), areas)
    variances = _over(within * (1 - within), (drawn - 1)[:, None])
    if pixels is not None:
        variances = np.where((drawn >= pixels)[:, None], 0.0, variances)
    # Of an empty class that nobody sampled nothing is uncertain.
    spread = np.where((weights == 0)[:, None], 0.0, variances)
    own = np.diag(spread)
    # Equation 7, with what the class's own stratum brings and what the others do.
    others = (weights[:, None] ** 2 * spread).sum(0) - weights**2 * own
    numerator = weights**2 * (1 - producers) ** 2 * own + producers**2 * others
    return Estimates(
        overall=float(np.diag(shares).sum()),
        overall_error=float(np.sqrt((weights**2 * own).sum())),
        users=users,
        users_error=np.sqrt(np.where(drawn > 0, np.diag(variances), np.nan)),
        producers=producers,
        producers_error=_over(np.sqrt(numerator), areas),
        areas=areas,
        areas_error=np.sqrt((weights[:, None] ** 2 * spread).sum(0)),
        proportions=shares,
    )


def stehman(strata: Counts, mapped: Counts, reference: Counts, sizes: Counts, classes: int) -> Estimates:
    """Estimate from a sample whose strata may be other than the classes of the map (Stehman 2014).

    User's and producer's accuracy are combined ratio estimators (equations 23 to 28), the rest are means (3, 25).

    Args:
        strata: (n,) stratum of each sample, 0 to H - 1.
        mapped, reference: (n,) class index of each sample in the map and on the ground.
        sizes: (H,) pixels of each stratum; it is the number of units that could have been drawn.
        classes: K.

    Raises:
        LabelError: a stratum has no sample.
        OptionError: shapes that do not belong together, or sizes that are no areas.
    """
    strata, mapped, reference = (np.asarray(values, np.int64) for values in (strata, mapped, reference))
    sizes = np.asarray(sizes, float)
    _check_sizes(sizes, strata.shape == mapped.shape == reference.shape and strata.max(initial=0) < len(sizes))
    drawn = np.bincount(strata, minlength=len(sizes))
    if ((drawn == 0) & (sizes > 0)).any():
        missing = np.flatnonzero((drawn == 0) & (sizes > 0)).tolist()
        raise LabelError(f"strata {missing} have no sample, and what is in them cannot be guessed; label some there")
    sample = _Sample(strata, drawn.astype(float), sizes)
    everywhere = np.ones(len(strata))
    right = (mapped == reference).astype(float)
    overall, overall_error = sample.ratio(right, everywhere)
    users, producers, areas = ([], [], [])  # type: tuple[list[Any], list[Any], list[Any]]
    for index in range(classes):
        on_map, on_ground = (mapped == index).astype(float), (reference == index).astype(float)
        users.append(sample.ratio(right * on_map, on_map))
        producers.append(sample.ratio(right * on_ground, on_ground))
        areas.append(sample.ratio(on_ground, everywhere))
    weights = (sizes / np.where(drawn > 0, drawn, 1))[strata] / sizes.sum()
    cells = np.bincount(mapped * classes + reference, weights=weights, minlength=classes * classes)
    (u, su), (p, sp), (a, sa) = (np.array(values, float).T for values in (users, producers, areas))
    return Estimates(overall, overall_error, u, su, p, sp, a, sa, np.asarray(cells.reshape(classes, classes), float))


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Strata of a sample: (n,) stratum of each unit, (H,) how many were drawn, (H,) of how many."""

    strata: npt.NDArray[np.int64]
    drawn: Floats
    sizes: Floats

    def ratio(self, y: Floats, x: Floats) -> tuple[float, float]:
        """The combined ratio of two totals and its standard error (Stehman 2014, equations 27 and 28)."""
        mean_y, mean_x = self._means(y), self._means(x)
        total = float((self.sizes * mean_x).sum())
        if total == 0:
            return float("nan"), float("nan")
        value = float((self.sizes * mean_y).sum()) / total
        # s_y^2 + R^2 s_x^2 - 2 R s_xy is the variance of y - R x.
        residual = y - value * x
        squares = self._means(residual**2) - self._means(residual) ** 2
        variances = _over(np.maximum(squares, 0) * self.drawn, self.drawn - 1)
        shares = np.where(self.sizes > 0, self.drawn / np.where(self.sizes > 0, self.sizes, 1), 1.0)
        parts = self.sizes**2 * (1 - np.minimum(shares, 1)) * variances / np.where(self.drawn > 0, self.drawn, 1)
        # Of a stratum that was drawn whole nothing is uncertain, be it of a single unit, which has no variance.
        return value, float(np.sqrt(np.where(shares < 1, parts, 0).sum()) / total)

    def _means(self, values: Floats) -> Floats:
        totals = np.bincount(self.strata, weights=values, minlength=len(self.sizes))
        return np.asarray(totals / np.where(self.drawn > 0, self.drawn, 1))


def sample_size(sizes: Counts, users: Counts, standard_error: float) -> int:
    """Samples needed for a standard error of the overall accuracy: n = (sum W_i S_i / S(O))^2 (Olofsson 2014, eq. 13).

    Args:
        sizes: (K,) area or pixels of each stratum.
        users: (K,) expected user's accuracies U_i, of which S_i = sqrt(U_i (1 - U_i)).
        standard_error: wanted, such as 0.01.

    >>> sample_size([200_000, 150_000, 3_200_000, 6_450_000], [0.7, 0.6, 0.9, 0.95], 0.01)
    641

    Raises:
        OptionError: an accuracy or standard error that cannot be.
    """
    sizes, users = np.asarray(sizes, float), np.asarray(users, float)
    _check_sizes(sizes, users.shape == sizes.shape)
    if not (standard_error > 0 and np.isfinite(standard_error)):
        raise OptionError(f"the wanted standard error is {standard_error:g}; it must be above 0, such as 0.01")
    if not ((users > 0) & (users < 1)).all():
        raise OptionError("expected user's accuracies must lie between 0 and 1, such as 0.8")
    spread = (sizes / sizes.sum() * np.sqrt(users * (1 - users))).sum()
    return int(np.ceil((spread / standard_error) ** 2))


def allocate(sizes: Counts, total: int, least: int = 50) -> npt.NDArray[np.int64]:
    """Share samples out over strata as Olofsson et al. 2014 (section 5.1.2) recommend.

    Strata whose proportional share would be below `least` get `least`; the rest is shared out in proportion to area.
    Where there are not that many for all, all get about the same. No stratum gets more than it has pixels.

    Args:
        sizes: (H,) pixels of each stratum.
        total: samples in all.
        least: of a rare stratum, 50 to 100 in the paper.

    >>> allocate([200_000, 150_000, 3_200_000, 6_450_000], 641, 75).tolist()
    [75, 75, 163, 328]

    Raises:
        OptionError: fewer samples than two for each stratum.
    """
    sizes = np.asarray(sizes, float)
    present = sizes > 0
    _check_sizes(sizes, True)
    if total < 2 * present.sum():
        raise OptionError(
            f"{total} samples are too few for {present.sum()} strata; a standard error needs at least 2 in each"
        )
    floor = min(least, total // int(present.sum()))
    result = np.minimum(sizes, floor)
    large = present.copy()
    while True:
        left = total - result[~large].sum()
        share = np.where(large, sizes / max(sizes[large].sum(), 1) * left, 0)
        small = large & (share < floor)
        if not small.any():
            break
        large &= ~small
    result[large] = share[large]
    return np.asarray(np.minimum(_rounded(result), sizes), np.int64)


def _rounded(values: Floats) -> npt.NDArray[np.int64]:
    """Whole numbers of the same sum: the largest remainders are rounded up."""
    whole = np.floor(values + 1e-9).astype(np.int64)
    missing = round(float(values.sum())) - int(whole.sum())
    whole[np.argsort(whole - values, kind="stable")[:missing]] += 1
    return whole


def _check_sizes(sizes: Floats, fits: bool) -> None:
    if not fits:
        raise OptionError("strata, samples and sizes do not belong together; there must be one size per stratum")
    if not (np.isfinite(sizes) & (sizes >= 0)).all() or sizes.sum() <= 0:
        raise OptionError(f"the sizes of the strata are {sizes.tolist()}; they must be areas, and one above 0")


def _over(above: Floats, below: Floats) -> Floats:
    below = np.broadcast_to(below, np.broadcast_shapes(np.shape(above), np.shape(below)))
    ratio: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return ratio
