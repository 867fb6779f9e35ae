"""What there is to say about an architecture, beside the code that builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Encoders = Literal["any", "convolutional", "dilating", "vgg", "vgg or dilating", "vit", "none"]

FITTING: dict[Encoders, str] = {
    "any": "any of segmentation-models-pytorch, or tu- and the name of a timm model with features at strides 2 to 32",
    "convolutional": "any but the transformers, with features at strides 2 to 32",
    "dilating": "those that can keep a finer stride: resnets, resnexts, efficientnets, mobilenets, mit, many of timm",
    "vgg": "vgg11, vgg13, vgg16, vgg19, each also with _bn; their max pooling says where to unpool",
    "vgg or dilating": "vgg11 to vgg19, each also with _bn, and those that can keep a finer stride, such as resnets",
    "vit": "tu- and the name of a plain vision transformer of timm",
    "none": "none; the whole network is its own",
}
"""Which encoders each kind of architecture takes, in words."""


@dataclass(frozen=True, slots=True)
class About:
    """An architecture in words.

    Attributes:
        title: its name in the literature.
        paper: where it comes from: authors, year and identifier.
        summary: what it does, in a sentence.
        context: of its default form: "local" when an output depends on pixels up to some distance, "global" when on the
            whole window.
        encoders: which encoders fit, a key of `FITTING`.
        pools: whether it is global by one mean over the window, which may be taken so that windows agree.
    """

    title: str
    paper: str
    summary: str
    context: Literal["local", "global"]
    encoders: Encoders
    pools: bool = False
