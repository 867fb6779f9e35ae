"""Changes a chip may undergo without becoming something else. Labels are moved, never interpolated."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import OptionError
from geoseg.legend import IGNORE
from geoseg.registry import suggestion

Image = npt.NDArray[np.float32]
"""Bands (bands, rows, cols), scaled to zero mean and unit deviation; 0 in all bands where there is no data."""

Label = npt.NDArray[np.uint8]
"""Class indices (rows, cols), `IGNORE` where nothing is labelled."""

MOST = 2.0
"""The largest strength."""

DARK = 3.0
"""Deviations below the mean at which gamma takes a band to be black."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly chips are changed when they are drawn; 0 is never or not at all, 1 the common strength.

    The default is mild: on single scenes more of it scored lower.

    Attributes:
        d4: share of the draws that are flipped and rotated at random, 0 to 1.
        jitter: of brightness and contrast, see `jitter`.
        gamma: of a power law, exponents up to 1.25 and down to its inverse at 1.
        noise: white, of up to 0.1 deviations at 1.
        blur: by 3 x 3 pixels, in all at 1.
        scale: larger and smaller by up to 4/3 at 1.
        dropout: chance of each band to be missing, a tenth at 1.
        cutmix: chance that a rectangle is taken from another chip, one half at 1 (Yun et al. 2019, arXiv:1905.04899).
    """

    d4: float = 1.0
    jitter: float = 0.5
    gamma: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    scale: float = 0.0
    dropout: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), 1.0 if field.name == "d4" else MOST
            if not 0 <= value <= most:
                raise OptionError(f"augmentation {field.name} is {value:g}; it must be 0 to {most:g}")

    def __str__(self) -> str:
        """As `parse_augmentation` reads it."""
        values = dataclasses.asdict(self)
        return "+".join(f"{name}:{value:g}" for name, value in values.items() if value or name == "d4")

    def change(self, image: Image, label: Label, rng: np.random.Generator) -> tuple[Image, Label]:
        """Change an image and its label, all but for `cutmix`, which takes two."""
        if self.d4 and rng.random() < self.d4:
            element = int(rng.integers(8))
            image, label = d4(image, element), d4(label, element)
        if self.scale:
            image, label = scale(image, label, math.exp(self.scale * rng.uniform(-1, 1) * math.log(4 / 3)), rng)
        return self._recolour(image, rng), label

    def _recolour(self, image: Image, rng: np.random.Generator) -> Image:
        valid = _valid(image)
        changed = image
        if self.gamma:
            changed = gamma(changed, math.exp(self.gamma * rng.uniform(-1, 1) * math.log(1.25)))
        if self.jitter:
            changed = jitter(changed, rng, self.jitter)
        if self.blur:
            changed = blur(changed, min(1.0, self.blur * rng.random()))
        if self.noise:
            deviation = np.float32(0.1 * self.noise * rng.random())
            changed = changed + deviation * rng.standard_normal(image.shape, np.float32)
        if not valid.all():
            changed = np.where(valid, changed, np.float32(0))
        return drop(changed, rng, 0.1 * self.dropout) if self.dropout else changed


NONE = Augmentation(d4=0.0, jitter=0.0)
"""Chips as they are."""


def parse_augmentation(text: str | float) -> Augmentation:
    """The augmentation that a text asks for.

    Args:
        text: "default", "none", a number (the strength of the jitter), or a sum of changes, each with a strength of 1
            unless it says, such as "jitter:0.5+scale+cutmix:0.5". Flips and rotations are on but with "none" and
            "d4:0"; "default+scale" adds to the default.

    >>> parse_augmentation("jitter:0.25+scale")
    Augmentation(d4=1.0, jitter=0.25, gamma=0.0, noise=0.0, blur=0.0, scale=1.0, dropout=0.0, cutmix=0.0)

    Raises:
        OptionError: no such change, or a strength that it cannot have.
    """
    text = str(text).strip()
    if text == "none":
        return NONE
    if _is_number(text):
        return Augmentation(jitter=float(text))
    terms = [term.strip() for term in text.split("+")]
    base = Augmentation() if "default" in terms else Augmentation(jitter=0.0)
    return dataclasses.replace(base, **dict(_strength(term) for term in terms if term != "default"))


def _strength(term: str) -> tuple[str, float]:
    name, colon, number = (part.strip() for part in term.partition(":"))
    known = tuple(field.name for field in dataclasses.fields(Augmentation))
    if name not in known:
        raise OptionError(f"there is no augmentation '{name}'; {suggestion(name, (*known, 'default', 'none'))}")
    if colon and not _is_number(number):
        raise OptionError(f"augmentation '{term}' has the strength '{number}'; write a number, as in {name}:0.5")
    return name, float(number) if colon else 1.0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def d4(array: npt.NDArray[Any], element: int) -> npt.NDArray[Any]:
    """One of the eight flips and rotations of the square, on the last two axes; element 0 changes nothing."""
    turned = np.rot90(array, element % 4, axes=(-2, -1))
    return turned[..., ::-1] if element >= 4 else turned


def scale(image: Image, label: Label, factor: float, rng: np.random.Generator) -> tuple[Image, Label]:
    """Enlarge (`factor` above 1) or reduce, in a frame of the same size.

    The image is bilinear, the label the nearest pixel. Of what is enlarged a random part is shown; what is reduced lies
    at a random place, around it the image is mirrored and nothing is labelled. What would be mixed with pixels without
    data becomes one of them.
    """
    if factor == 1:
        return image, label
    rows, cols = (_sources(length, factor, rng.random()) for length in label.shape)
    kept = np.outer(_inside(rows, label.shape[0]), _inside(cols, label.shape[1]))
    near = label[np.ix_(_mirrored(np.rint(rows), label.shape[0]), _mirrored(np.rint(cols), label.shape[1]))]
    changed = _between(_between(image, rows, 1), cols, 2)
    valid = _valid(image)
    if not valid.all():
        mixed = _between(_between(valid[None].astype(np.float32), rows, 1), cols, 2)[0] < 1
        changed[:, mixed] = 0
        kept &= ~mixed
    return changed, np.where(kept, near, np.uint8(IGNORE))


def _valid(image: Image) -> npt.NDArray[np.bool_]:
    """Where there is data (rows, cols)."""
    return np.asarray(image.any(0))


def _sources(length: int, factor: float, place: float) -> npt.NDArray[np.float64]:
    """Where the pixels of an axis come from, in pixels; `place` from 0 to 1 says which part is shown."""
    span = length / factor
    return np.asarray((np.arange(length) + 0.5) / factor + place * (length - span) - 0.5)


def _inside(places: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.bool_]:
    return (places >= -0.5) & (places <= length - 0.5)


def _mirrored(places: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.intp]:
    """Whole places brought into 0 to length - 1 by reflection at the first and the last pixel."""
    period = max(2 * (length - 1), 1)
    folded = places.astype(np.intp) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(folded)


def _between(image: Image, places: npt.NDArray[np.float64], axis: int) -> Image:
    """Linear interpolation along an axis."""
    length, low = image.shape[axis], np.floor(places)
    share = (places - low).astype(np.float32)
    share = share[:, None] if axis == 1 else share
    one, other = (image.take(_mirrored(whole, length), axis=axis) for whole in (low, low + 1))
    other -= one
    other *= share
    other += one
    return other


def jitter(image: Image, rng: np.random.Generator, strength: float) -> Image:
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
    changed = image * gain.astype(np.float32)
    changed += offset.astype(np.float32)
    return changed


def gamma(image: Image, exponent: float) -> Image:
    """A power law between black, `DARK` deviations below the mean, and the mean, which stays; and on above it."""
    light = image / np.float32(DARK) + 1
    return np.where(light > 0, np.float32(DARK) * (np.maximum(light, 0) ** np.float32(exponent) - 1), image)


def blur(image: Image, share: float) -> Image:
    """Mix with the binomial mean of 3 x 3 pixels; `share` 0 changes nothing, nor do pixels beside those without data.

    Borders repeat their outermost pixel.
    """
    change = np.float32(share) * (_softened(image) - image)
    valid = _valid(image)
    if not valid.all():
        change[:, _softened(valid[None].astype(np.float32))[0] < 1] = 0
    return image + change


def _softened(image: Image) -> Image:
    for axis in (1, 2):
        ends = [(0, 0), (0, 0), (0, 0)]
        ends[axis] = (1, 1)
        wide: Image = np.moveaxis(np.pad(image, ends, mode="edge"), axis, 0)
        image = np.moveaxis((wide[:-2] + 2 * wide[1:-1] + wide[2:]) / np.float32(4), 0, axis)
    return image


def drop(image: Image, rng: np.random.Generator, chance: float) -> Image:
    """Set bands to 0, their mean, each by chance; one at least stays."""
    kept = rng.random(len(image)) >= chance
    kept[rng.integers(len(image))] = True
    return image if kept.all() else image * kept[:, None, None].astype(np.float32)


def cutmix(chip: tuple[Image, Label], other: tuple[Image, Label], rng: np.random.Generator) -> tuple[Image, Label]:
    """A chip with a rectangle of another, of any share of its area."""
    image, label = chip[0].copy(), chip[1].copy()
    side = math.sqrt(rng.random())
    spans = []
    for length in label.shape:
        size = round(side * length)
        start = int(rng.integers(length - size + 1))
        spans.append(slice(start, start + size))
    place = tuple(spans)
    image[:, *place] = other[0][:, *place]
    label[place] = other[1][place]
    return image, label
