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
        rows = [_of_band(number, values) for number, values in enumerate(pixels.T, start=1)]
        return cls(*zip(*rows, strict=True))

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


def _of_band(number: int, values: npt.NDArray[Any]) -> tuple[float, float, float, float]:
    """Mean, deviation, and 1st and 99th percentile of one band's values (n,)."""
    values = values.astype(np.float64)
    low, high = np.percentile(values, [1, 99])
    np.clip(values, low, high, out=values)
    with np.errstate(over="ignore"):
        mean, std = float(values.mean()), float(values.std())
    if not np.isfinite(std):
        value = float(np.abs(values).max())
        raise SceneError(
            f"band {number} holds values as large as {value:.3g}; declare what means no data with --nodata"
        )
    # A constant band carries nothing; 1 keeps it finite. Its deviation may be what the mean was rounded by, not 0.
    return mean, std if std > 0 and low < high else 1.0, float(low), float(high)
