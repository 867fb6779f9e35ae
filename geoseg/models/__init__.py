"""Networks, one file per architecture, found by file name.

Each file has `build(in_channels, classes, **options)` that returns a `SegmentationNetwork`. Files that begin with an
underscore are what they share.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

from geoseg import registry
from geoseg.errors import OptionError

if TYPE_CHECKING:
    from geoseg.models._network import SegmentationNetwork


def architectures() -> tuple[str, ...]:
    """Names of the architectures that can be built."""
    return registry.names(__name__)


def build(
    architecture: str, in_channels: int, classes: int, *, reduce_bands: int | None = None, **options: Any
) -> SegmentationNetwork:
    """Build an untrained network.

    Args:
        architecture: name of a file of this folder.
        in_channels: number of bands, at least 1.
        classes: number of classes, at least 2.
        reduce_bands: bands that a learned projection leaves of them, None for no projection.
        **options: of the architecture's own `build`.

    Raises:
        OptionError: no such architecture or option, or counts that cannot be.
    """
    if in_channels < 1:
        raise OptionError(f"a network of {in_channels} bands cannot see anything; it needs at least 1")
    if classes < 2:
        raise OptionError(f"a network of {classes} class cannot tell anything apart; it needs at least 2")
    module, known = registry.load(__name__, architecture), _options(architecture)
    for option in options:
        if option not in known:
            hint = registry.suggestion(option, known) if known else "it has none"
            raise OptionError(f"{architecture} has no option '{option}'; {hint}")
    if reduce_bands is None:
        network: SegmentationNetwork = module.build(in_channels, classes, **options)
        return network
    from geoseg.models._reducer import put_before, require_reducible

    require_reducible(in_channels, reduce_bands)
    network = module.build(reduce_bands, classes, **options)
    put_before(network, in_channels, reduce_bands)
    return network


def reach(architecture: str, **options: Any) -> int | None:
    """How far an output pixel of a network can look, in pixels to one side; None when it sees the whole window.

    Measured on a network of one band and few channels: what can be seen does not depend on their number, and a wide
    one takes minutes.

    Args:
        architecture: name of a file of this folder.
        **options: of the architecture's own `build`.
    """
    from geoseg.models._network import measure_reach

    thin = {option: 8 for option in ("width", "channels") if option in _options(architecture)}
    # What looks at one pixel at a time does not reach further.
    options.pop("reduce_bands", None)
    return measure_reach(build(architecture, 1, 2, **(options | thin)), 1)


def encoder_of(architecture: str, **options: Any) -> str | None:
    """Name of the encoder of a network that `build` makes of these options, None where it has none."""
    default = inspect.signature(registry.load(__name__, architecture).build).parameters.get("encoder")
    return options.get("encoder", default.default) if default else None


def options_of(architecture: str) -> dict[str, Any]:
    """What an architecture's `build` takes beside the counts of bands and classes: the type of each option."""
    build_ = registry.load(__name__, architecture).build
    kinds = get_type_hints(build_)
    return {name: kinds[name] for name in _options(architecture)}


def _options(architecture: str) -> list[str]:
    """What an architecture's `build` takes beside the counts of bands and classes."""
    return list(inspect.signature(registry.load(__name__, architecture).build).parameters)[2:]
