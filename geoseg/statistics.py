"""How a model scales its bands: fixed numbers from the training pixels, the same for every scene and window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError

LIMIT = 10.0
"""Scaled values are cut at this many standard deviations, so that a wild pixel cannot outshout its neighbours."""


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Robust statistics of each band over the valid training pixels.

    Attributes:
        mean, std: of the values cut at `low` and `high`, per band.
        low, high: 1st and 99th percentile, per band.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, pixels: npt.NDArray[Any]) -> BandStatistics:
        """Statistics of valid pixels (n, bands), n at least 1.

        Raises:
            SceneError: values so large that they have no finite deviation.
        """
        pixels = pixels.astype(np.float64)
        low, high = np.percentile(pixels, [1, 99], axis=0)
        cut = np.clip(pixels, low, high)
        with np.errstate(over="ignore"):
            std = cut.std(axis=0)
        if not np.isfinite(std).all():
            band, value = int(np.argmin(np.isfinite(std))) + 1, float(np.abs(cut).max())
            raise SceneError(
                f"band {band} holds values as large as {value:.3g}; declare what means no data with --nodata"
            )
        # A constant band carries nothing; 1 keeps it finite.
        std = np.where(std > 0, std, 1.0)
        return cls(*(tuple(float(x) for x in values) for values in (cut.mean(axis=0), std, low, high)))

    def scale(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Band values (bands, rows, cols) to zero mean and unit deviation; invalid pixels become 0, the mean."""
        # Large integers and doubles lose their differences in single precision; what fits in it stays fast.
        exact = values.dtype == np.float32 or values.dtype.itemsize <= 2
        dtype = np.float32 if exact else np.float64
        mean: npt.NDArray[Any] = np.array(self.mean, dtype)[:, None, None]
        std: npt.NDArray[Any] = np.array(self.std, dtype)[:, None, None]
        with np.errstate(invalid="ignore", over="ignore"):
            scaled: npt.NDArray[Any] = (values.astype(dtype) - mean) / std
        np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        scaled[:, ~valid] = 0.0
        return np.asarray(scaled, np.float32)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain values, for JSON."""
        return {"mean": list(self.mean), "std": list(self.std), "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_dict(cls, values: dict[str, list[float]]) -> BandStatistics:
        """The inverse of `to_dict`; raises KeyError, TypeError or ValueError for anything else."""
        numbers = {key: tuple(float(x) for x in values[key]) for key in ("mean", "std", "low", "high")}
        if len({len(column) for column in numbers.values()}) != 1:
            raise ValueError("the columns differ in length")
        return cls(**numbers)


class PixelSample:
    """A sample of pixels from a stream of arrays, of bounded size, the same for the same stream."""

    def __init__(self, size: int = 1_000_000, seed: int = 0) -> None:
        """Keep up to `size` pixels."""
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._parts: list[npt.NDArray[Any]] = []
        self._kept = 0
        self._share = 1.0

    def add(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Offer the valid pixels of `values` (bands, rows, cols)."""
        pixels = values[:, valid].T
        if self._share < 1:
            pixels = pixels[self._rng.random(len(pixels)) < self._share]
        self._parts.append(np.ascontiguousarray(pixels))
        self._kept += len(pixels)
        while self._kept > self._size:
            # Halving all parts alike keeps every pixel seen so far equally likely.
            self._share /= 2
            self._parts = [part[self._rng.random(len(part)) < 0.5] for part in self._parts]
            self._kept = sum(map(len, self._parts))

    def pixels(self) -> npt.NDArray[Any]:
        """The sample (n, bands)."""
        return np.concatenate(self._parts) if self._parts else np.empty((0, 0))
