"""Begin with an encoder that was trained before, whatever the bands."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segmentation_models_pytorch.encoders._base import EncoderMixin
from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from torch import nn

from geoseg.errors import ModelError, OptionError
from geoseg.models import _vgg
from geoseg.models._first_layer import ExtraBands, adapt, match
from geoseg.models._network import SegmentationNetwork
from geoseg.models._roles import SETS
from geoseg.models._state_dict import fitting, require_shapes
from geoseg.models._weight_file import SUFFIXES, read_weights
from geoseg.registry import suggestion

_SCALING = {
    "rgb": "ImageNet: values 0 to 1, standardised per band",
    "sentinel2": "reflectance: level-1C numbers divided by 10000",
    **dict.fromkeys((name for name in SETS if name.startswith("landsat")), "values of 8 bits, divided by 255"),
}


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What a network began with.

    Attributes:
        source: "imagenet" or the file.
        sha256: of the file, None for the hub's.
        encoder: whose weights they are.
        bands: what they were trained on, in their order.
        scaling: how the bands were scaled then. Networks of geoseg see bands standardised by the training pixels.
        extra_bands: how bands begin that the weights do not know.
        assumed: what the names of the bands did not say, "" where they said it all.
    """

    source: str
    sha256: str | None
    encoder: str
    bands: tuple[str, ...]
    scaling: str
    extra_bands: ExtraBands
    assumed: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def load_encoder(
    network: SegmentationNetwork,
    source: str | Path,
    encoder: str,
    bands: tuple[str, ...],
    *,
    trained: str | None = None,
    extra: ExtraBands = "mean",
) -> Pretrained:
    """Fill the encoder of a network with weights that were trained before.

    Args:
        network: untrained, of `bands`.
        source: "imagenet", or a file (.safetensors, .pth, .pt).
        encoder: name of the network's encoder.
        bands: names of its bands.
        trained: bands that the weights take: a key of `SETS`, or names in order, with commas; told from their number
            when None.
        extra: how bands begin that the weights do not know, see `adapt`.

    Raises:
        OptionError: the network has no encoder, or a setting that cannot be.
        ModelError: no such weights, not whole, not safe, or of another encoder or other bands.
    """
    if extra not in ("mean", "zero"):
        raise OptionError(f"extra_bands is '{extra}'; it must be mean or zero")
    target = encoder_module(network)
    if target is None:
        raise OptionError("this network has no encoder that was trained before; take --arch unet to use --weights")
    file = None if str(source) == "imagenet" else _as_file(source)
    if file is None:
        from geoseg.models._hub import imagenet_weights

        tensors, name = imagenet_weights(encoder), f"the ImageNet weights of {encoder}"
    else:
        tensors, name = read_weights(file), str(file)
    own = target.state_dict()
    found = fitting(tensors, own, name, encoder)
    first = next(key for key, value in own.items() if value.ndim == 4)
    key, seen = _bands_of(found[first].shape[1], trained, name)
    places, assumed = match(seen, bands)
    for place, value in own.items():
        if place == first or (value.ndim == 4 and found[place].shape[1] == len(seen) != value.shape[1] == len(bands)):
            found[place] = adapt(found[place], places, extra)
    require_shapes(found, own, name, encoder)
    nn.Module.load_state_dict(target, found)
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file else None
    return Pretrained(str(source), digest, encoder, seen, _SCALING.get(key, "unknown"), extra, assumed)


def encoder_module(network: nn.Module) -> nn.Module | None:
    """The part of a network that may be trained before, None where it has none."""
    kinds = (EncoderMixin, TimmUniversalEncoder, TimmViTEncoder, _vgg.VGG, _vgg.SwitchedVGG)
    return next((module for module in network.modules() if isinstance(module, kinds)), None)


def _as_file(source: str | Path) -> Path:
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES and not path.exists():
        raise OptionError(f"weights is '{source}'; it must be imagenet or a file ({', '.join(SUFFIXES)})")
    return path


def _bands_of(count: int, trained: str | None, name: str) -> tuple[str, tuple[str, ...]]:
    """The key of `SETS`, "" for none, and the bands that the first convolution takes."""
    if trained is None:
        keys = [key for key, bands in SETS.items() if len(bands) == count]
        if len(keys) != 1:
            say = " or ".join(keys) or "their names in order, with commas"
            raise ModelError(f"{name}: takes {count} bands and does not say which; say so with --weight-bands ({say})")
        return keys[0], SETS[keys[0]]
    if "," not in trained and trained not in SETS and count > 1:
        raise OptionError(f"there are no weight bands '{trained}'; {suggestion(trained, list(SETS))}")
    bands = SETS.get(trained) or tuple(band.strip() for band in trained.split(","))
    if len(bands) != count:
        raise ModelError(
            f"{name}: takes {count} bands and --weight-bands {trained} names {len(bands)}; name all of them"
        )
    return (trained if trained in SETS else ""), bands
