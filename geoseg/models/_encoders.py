"""Encoders from segmentation-models-pytorch and timm, checked before they are built."""

from __future__ import annotations

from geoseg.errors import OptionError
from geoseg.registry import suggestion


def require_encoder(name: str) -> None:
    """Refuse an encoder that smp and timm do not have.

    Raises:
        OptionError: suggests the nearest name.
    """
    import segmentation_models_pytorch as smp

    if name.startswith("tu-"):
        import timm

        known = [f"tu-{model}" for model in timm.list_models()]
        near = suggestion(name, known).split("? ")[0] if name not in known else ""
    else:
        known = sorted(smp.encoders.get_encoder_names())
        near = suggestion(name, known)
    if name not in known:
        raise OptionError(f"there is no encoder '{name}'; {near[:300]}")
