"""Weights trained on ImageNet, from the hub that smp and timm take them from."""

from __future__ import annotations

import os
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import huggingface_hub
import segmentation_models_pytorch as smp
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import Tensor

from geoseg.errors import ModelError, OptionError
from geoseg.models._weight_file import read_weights

PATIENCE = 4.0
"""Seconds that the hub has to answer; its own client tries for half a minute."""

_NAME = "imagenet"


def imagenet_weights(encoder: str) -> dict[str, Tensor]:
    """Tensors by name of an encoder trained on the red, green and blue of ImageNet.

    What was downloaded before is used without asking the hub. `HF_HUB_OFFLINE` and `HF_ENDPOINT` are respected.

    Raises:
        OptionError: there are no such weights for this encoder.
        ModelError: they are not here and the hub cannot be reached.
    """
    if encoder.startswith("tu-"):
        return _of_timm(encoder)
    settings = smp.encoders.encoders[encoder]["pretrained_settings"].get(_NAME)
    if settings is None:
        known = ", ".join(smp.encoders.encoders[encoder]["pretrained_settings"])
        raise OptionError(f"there are no weights '{_NAME}' for {encoder}, only {known}; give them as a file")
    place = {"repo_id": settings["repo_id"], "filename": "model.safetensors", "revision": settings["revision"]}
    kept = huggingface_hub.try_to_load_from_cache(**place)
    if isinstance(kept, str):
        return read_weights(Path(kept))
    _require_hub(encoder)
    try:
        return read_weights(Path(huggingface_hub.hf_hub_download(**place)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _unreachable(encoder) from error


def _of_timm(encoder: str) -> dict[str, Tensor]:
    import timm

    name = encoder.removeprefix("tu-")
    if not timm.models.is_model_pretrained(name):
        raise OptionError(f"timm has no pretrained weights for {encoder}; give them as a file, or take resnet34")
    if not _is_offline():
        _require_hub(encoder)
    try:
        tensors: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, RuntimeError) as error:
        raise _unreachable(encoder) from error
    return tensors


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _require_hub(encoder: str) -> None:
    """Raise ModelError where the hub does not answer soon."""
    answers: list[bool] = []
    if not _is_offline():
        # A thread, because looking up a name may take as long as it likes.
        asking = threading.Thread(target=lambda: answers.append(_answers()), daemon=True)
        asking.start()
        asking.join(PATIENCE)
    if not any(answers):
        raise _unreachable(encoder)


def _answers() -> bool:
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE):  # noqa: S310 - its scheme is checked above
            return True
    except HTTPError:
        return True  # an answer, if not a kind one
    except (OSError, ValueError):
        return False


def _unreachable(encoder: str) -> ModelError:
    return ModelError(
        f"the ImageNet weights of {encoder} are not on this machine and the hub cannot be reached; download them "
        "elsewhere and give the file to --weights, or train without"
    )
