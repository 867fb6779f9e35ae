"""Smooth class probabilities along the edges of the image: a dense CRF with truncated windows.

Mean field of Kraehenbuehl and Koltun 2011, Efficient Inference in Fully Connected CRFs (arXiv:1210.5644), with kernels
that end at a window as in Teichmann and Cipolla 2018, Convolutional CRFs (arXiv:1805.04777). A pixel then depends on
what is near it alone, so a scene may be done in windows without any seam.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.prediction.crf_options import CrfOptions

_FLOOR = 1e-6
"""Least probability: what a network is sure is absent may still come back."""

_ALONE = 1e-12
"""Sum of kernels below which a pixel hears nothing: one that is unlike all around it is left as it is."""

_Side = tuple[slice, slice]
_Kernel = tuple[_Side, _Side, Tensor]


def refine(probabilities: Tensor, image: Tensor, valid: Tensor, options: CrfOptions) -> Tensor:
    """Smooth class probabilities where the image is smooth.

    The message to a pixel is the kernel-weighted mean of its neighbours' probabilities, one mean per kernel, so the
    weights mean the same at edges and beside holes. Needs room for about 2r(r + 1) maps of the window's size.

    Args:
        probabilities: (K, H, W), float32 or float64, from 0 to 1, summing to 1 over the classes.
        image: (C, H, W), bands scaled to unit deviation by constants of the whole scene.
        valid: (H, W) booleans; an invalid pixel sends no message and keeps its probabilities.
        options: see `CrfOptions`.

    Returns:
        (K, H, W), of the type of `probabilities`. All that is further than `options.halo` from the sides of the window,
        or at sides that are those of the scene, is what the whole scene would give.

    Raises:
        OptionError: half precision, which cannot hold the sums, or sizes that differ.
    """
    _require_fit(probabilities, image, valid)
    dtype = probabilities.dtype
    zero = probabilities.new_zeros(())
    unary = torch.where(valid, probabilities.clamp_min(_FLOOR).log(), zero)
    bands = torch.where(valid, image.to(dtype), zero)
    kernels = list(_alike(bands, options)) if options.appearance else []
    line = _line(options, probabilities)
    present = valid.to(dtype)[None]
    likes = options.appearance / _gather(kernels, present).clamp_min(_ALONE)
    nears = options.smoothness / _smooth(present, line, options).clamp_min(_ALONE)
    beliefs = torch.where(valid, probabilities, zero)
    for _ in range(options.iterations):
        message = likes * _gather(kernels, beliefs) + nears * _smooth(beliefs, line, options)
        beliefs = torch.where(valid, (unary + message).softmax(0), zero)
    return torch.where(valid, beliefs, probabilities)


def _require_fit(probabilities: Tensor, image: Tensor, valid: Tensor) -> None:
    if probabilities.dtype not in (torch.float32, torch.float64):
        raise OptionError(f"the CRF cannot sum in {probabilities.dtype}; give probabilities in float32 or float64")
    size = tuple(probabilities.shape[1:])
    if probabilities.ndim != 3 or image.ndim != 3 or tuple(image.shape[1:]) != size or tuple(valid.shape) != size:
        shapes = ", ".join(str(tuple(part.shape)) for part in (probabilities, image, valid))
        raise OptionError(f"the CRF has shapes {shapes}; it needs (classes, H, W), (bands, H, W) and (H, W)")


def _alike(bands: Tensor, options: CrfOptions) -> Iterator[_Kernel]:
    """The kernel of appearance: half of the neighbours, as it is the same in both directions."""
    height, width = bands.shape[1:]
    reach = range(-options.radius, options.radius + 1)
    scale = 2 * options.likeness**2 * max(len(bands), 1)  # squared distances grow with the number of bands
    for down, right in ((y, x) for y in reach for x in reach if (y, x) > (0, 0)):
        rows, cols = down * options.dilation, right * options.dilation
        if rows >= height or abs(cols) >= width:
            continue
        here = (slice(0, height - rows), slice(max(0, -cols), width - max(0, cols)))
        there = (slice(rows, height), slice(max(0, cols), width - max(0, -cols)))
        apart = (bands[(slice(None), *here)] - bands[(slice(None), *there)]).square_().sum(0)
        space = (down**2 + right**2) / (2 * options.nearness**2)
        yield here, there, apart.div_(-scale).sub_(space).exp_()


def _gather(kernels: list[_Kernel], maps: Tensor) -> Tensor:
    """Sums of the neighbours' values (n, H, W), weighted by their likeness."""
    total = torch.zeros_like(maps)
    for here, there, kernel in kernels:
        one, other = (slice(None), *here), (slice(None), *there)
        total[one].addcmul_(maps[other], kernel)
        total[other].addcmul_(maps[one], kernel)
    return total


def _line(options: CrfOptions, like: Tensor) -> Tensor:
    """The Gaussian of smoothness along one axis (2r + 1,)."""
    steps = torch.arange(-options.radius, options.radius + 1, dtype=like.dtype, device=like.device)
    return (-(steps**2) / (2 * options.spread**2)).exp()


def _smooth(maps: Tensor, line: Tensor, options: CrfOptions) -> Tensor:
    """Sums of the neighbours' values (n, H, W), weighted by their nearness; a pixel is no neighbour of its own."""
    around = options.radius * options.dilation
    # All of other rows, and of the own row all others: a sum with itself less itself would round far neighbours away.
    others = line.clone()
    others[options.radius] = 0
    one = maps[:, None]
    down = F.conv2d(one, others[None, None, :, None], padding=(around, 0), dilation=options.dilation)
    rows = F.conv2d(down, line[None, None, None], padding=(0, around), dilation=options.dilation)
    own = F.conv2d(one, others[None, None, None], padding=(0, around), dilation=options.dilation)
    return (rows + own)[:, 0]
