"""Changes a chip may undergo without becoming something else. Labels are moved, never interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def d4(array: npt.NDArray[Any], element: int) -> npt.NDArray[Any]:
    """One of the eight flips and rotations of the square, on the last two axes; element 0 changes nothing."""
    turned = np.rot90(array, element % 4, axes=(-2, -1))
    return turned[..., ::-1] if element >= 4 else turned


def jitter(image: npt.NDArray[np.float32], rng: np.random.Generator, strength: float) -> npt.NDArray[np.float32]:
    """Vary brightness and contrast as another date or sensor would.

    Args:
        image: (bands, rows, cols), scaled to unit deviation.
        rng: source of chance.
        strength: 0 changes nothing; 1 is a gain of 0.8 to 1.2 for all bands, 0.95 to 1.05 for each, and an offset of
            up to 0.1 deviations for all and for each.
    """
    bands = (len(image), 1, 1)
    gain = 1 + strength * (rng.uniform(-0.2, 0.2) + rng.uniform(-0.05, 0.05, bands))
    offset = strength * (rng.uniform(-0.1, 0.1) + rng.uniform(-0.1, 0.1, bands))
    return (image * gain + offset).astype(np.float32)
