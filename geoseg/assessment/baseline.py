"""The rival every network must beat: a Gaussian maximum likelihood classifier that looks at one pixel at a time.

Source of the method: J. A. Richards, Remote Sensing Digital Image Analysis, chapter "Supervised Classification
Techniques"; the shrinkage towards the pooled covariance is that of J. H. Friedman, Regularized Discriminant Analysis
(1989), with a weight that follows from the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError, OptionError
from geoseg.legend import IGNORE

Floats = npt.NDArray[np.float64]

_CHUNK = 1 << 16
_RIDGE = 1e-6  # of a standardised band's variance: keeps constant and doubled bands invertible


@dataclass(frozen=True, slots=True, eq=False)
class GaussianClassifier:
    """One normal distribution per class, all equally likely beforehand.

    Attributes:
        centre, scale: (bands,) what standardises the bands.
        means: (classes, bands) of standardised values.
        whiteners: (classes, bands, bands) W with W.T @ W the inverse covariance.
        offsets: (classes,) minus half the logarithm of the covariance's determinant; -inf for a class without pixels.
    """

    centre: Floats
    scale: Floats
    means: Floats
    whiteners: Floats
    offsets: Floats

    def predict(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Classify pixels.

        Args:
            values: (bands, rows, cols), in the units of the training pixels.

        Returns:
            Class indices (rows, cols), `IGNORE` where a band is not finite.

        Raises:
            OptionError: another number of bands than in training.
        """
        bands = len(self.centre)
        if values.ndim != 3 or values.shape[0] != bands:
            raise OptionError(f"values of shape {values.shape} do not fit a classifier of {bands} bands x rows x cols")
        flat = values.reshape(bands, -1)
        indices = np.full(flat.shape[1], IGNORE, np.uint8)
        for start in range(0, flat.shape[1], _CHUNK):
            part = slice(start, start + _CHUNK)
            indices[part] = self._classify(flat[:, part])
        return indices.reshape(values.shape[1:])

    def _classify(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Class indices (n,) of pixels (bands, n); the discriminant is g = -ln|S|/2 - (x-m)' inv(S) (x-m) / 2."""
        finite = np.isfinite(pixels).all(axis=0)
        standard = (pixels[:, finite] - self.centre[:, None]) / self.scale[:, None]
        best = np.full(standard.shape[1], -np.inf)
        winner = np.full(standard.shape[1], IGNORE, np.uint8)
        for index in np.flatnonzero(np.isfinite(self.offsets)):
            distance = self.whiteners[index] @ (standard - self.means[index][:, None])
            score = self.offsets[index] - 0.5 * (distance**2).sum(axis=0)
            better = score > best
            best[better], winner[better] = score[better], index
        indices = np.full(pixels.shape[1], IGNORE, np.uint8)
        indices[finite] = winner
        return indices


def fit(pixels: npt.NDArray[Any], indices: npt.NDArray[Any], classes: int) -> GaussianClassifier:
    """Estimate the classifier.

    The covariance of a class of n pixels in B bands is shrunk to the pooled one with weight min(1, B / n): not at all
    where pixels abound, wholly where they are too few for a covariance of their own. A class without any pixel is never
    predicted.

    Args:
        pixels: (n, bands) values; rows with a value that is not finite are left out.
        indices: (n,) class indices; rows with `IGNORE` are left out.
        classes: K, the number of classes.

    Raises:
        LabelError: no labelled pixel is left.
        OptionError: shapes that do not belong together, or an index beyond `classes`.
    """
    if pixels.ndim != 2 or indices.shape != pixels.shape[:1]:
        raise OptionError(f"pixels {pixels.shape} and indices {indices.shape} must be (n, bands) and (n,)")
    usable = np.isfinite(pixels).all(axis=1) & (indices != IGNORE)
    if not usable.any():
        raise LabelError(
            "there is no labelled pixel with data in all bands, so a per-pixel classifier cannot be trained"
        )
    values, labels = pixels[usable].astype(np.float64), indices[usable].astype(np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        raise OptionError(f"class index {labels.max()} is not one of {classes} classes")
    centre, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    counts = np.bincount(labels, minlength=classes)
    means, covariances = _moments((values - centre) / scale, labels, classes)
    whiteners, offsets = _discriminants(covariances, counts)
    return GaussianClassifier(centre, scale, means, whiteners, offsets)


def _moments(values: Floats, labels: npt.NDArray[np.int64], classes: int) -> tuple[Floats, Floats]:
    """Means (K, B) and covariances (K, B, B) per class, zero for a class without pixels."""
    bands = values.shape[1]
    means, covariances = np.zeros((classes, bands)), np.zeros((classes, bands, bands))
    for index in np.unique(labels):
        members = values[labels == index]
        means[index] = members.mean(axis=0)
        deviations = members - means[index]
        covariances[index] = deviations.T @ deviations / len(members)
    return means, covariances


def _discriminants(covariances: Floats, counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Whitening matrices (K, B, B) and offsets (K,) of the shrunk covariances."""
    bands = covariances.shape[1]
    pooled = np.tensordot(counts / counts.sum(), covariances, axes=1)
    whiteners, offsets = np.zeros_like(covariances), np.full(len(counts), -np.inf)
    for index in np.flatnonzero(counts):
        weight = min(1.0, bands / counts[index])
        shrunk = (1 - weight) * covariances[index] + weight * pooled + _RIDGE * np.eye(bands)
        root = np.linalg.cholesky(shrunk)
        whiteners[index] = np.linalg.inv(root)
        offsets[index] = -np.log(np.diag(root)).sum()
    return whiteners, offsets
