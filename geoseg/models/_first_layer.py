"""Fit the first convolution of pretrained weights to other bands, by what the bands see."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from geoseg.models._roles import roles

ExtraBands = Literal["mean", "zero"]


def match(trained: tuple[str, ...], bands: tuple[str, ...]) -> tuple[tuple[int | None, ...], str]:
    """Which of the trained planes each band takes, and in a sentence what was assumed.

    Args:
        trained: what the planes of the weights see, as in `geoseg.models._roles.SETS`, or names.
        bands: names of the bands that the network will see.

    Returns:
        A place among `trained` per band, None for a band that the weights do not know; and the sentence, "" where
        every band was told by its name.
    """
    ours, theirs = roles(bands), [role or name.casefold() for role, name in zip(roles(trained), trained, strict=True)]
    # The words of `SETS` are no band names of their own; what `roles` does not know is compared as it is written.
    wanted = [role or name.casefold() for role, name in zip(ours, bands, strict=True)]
    places = tuple(theirs.index(role) if role in theirs else None for role in wanted)
    unknown = [name for name, place in zip(bands, places, strict=True) if place is None]
    if len(unknown) < len(bands):
        said = f"the weights do not know {', '.join(unknown)}" if unknown else ""
        return places, said
    if len(bands) == len(trained):
        order = ", ".join(trained)
        return tuple(
            range(len(bands))
        ), f"the names of the bands do not say what they see, so they are taken for {order}"
    return places, "the names of the bands do not say what they see, so each begins with the mean of the trained planes"


def adapt(weight: Tensor, places: tuple[int | None, ...], extra: ExtraBands) -> Tensor:
    """The weights of a convolution for other bands.

    With "mean" a band that the weights do not know begins with the mean of all planes, and all are scaled so that the
    sum over the bands stays what it was: an image that is the same in all bands gives the same features, as with the
    rule of timm, but no plane comes to a band of another colour. With "zero" such a band begins with no influence:
    where all trained bands are there, the features are exactly those of the trained network.

    Args:
        weight: (out, trained bands, kh, kw).
        places: which plane each band takes, None for the rest.
        extra: "mean" or "zero".

    Returns:
        (out, bands, kh, kw).
    """
    mean = weight.mean(1) if extra == "mean" else torch.zeros_like(weight[:, 0])
    planes = torch.stack([mean if place is None else weight[:, place] for place in places], 1)
    if extra == "zero" or (len(places) == weight.shape[1] and set(places) == set(range(len(places)))):
        return planes
    planes = planes * (weight.shape[1] / len(places))
    # What bands that are not there carried goes to all alike; nothing where all are.
    return planes + ((weight.sum(1) - planes.sum(1)) / len(places))[:, None]
