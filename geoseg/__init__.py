"""Land-cover maps from satellite and aerial scenes.

The steps of the job are functions of this package: `tile`, `train`, `predict`, `vectorize`, `evaluate`, and `run` for
all of them; `sample` draws the points that a map is judged by, `view` shows what was made, `map` maps whole regions.
They are imported when first used, so that `import geoseg` stays light, and what they are called with is held against
their type hints before they begin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoseg.assessment.evaluate import evaluate as evaluate
    from geoseg.assessment.sample import sample as sample
    from geoseg.atlas.map import map as map
    from geoseg.chips.tiler import tile as tile
    from geoseg.prediction.predict import predict as predict
    from geoseg.readers import open_scene as open_scene
    from geoseg.training.fit import train as train
    from geoseg.vectors.vectorize import vectorize as vectorize
    from geoseg.viewing.view import view as view
    from geoseg.workflow import run as run

__version__ = "0.1.0"

_HOMES = {
    "evaluate": "geoseg.assessment.evaluate",
    "map": "geoseg.atlas.map",
    "open_scene": "geoseg.readers",
    "predict": "geoseg.prediction.predict",
    "run": "geoseg.workflow",
    "sample": "geoseg.assessment.sample",
    "tile": "geoseg.chips.tiler",
    "train": "geoseg.training.fit",
    "vectorize": "geoseg.vectors.vectorize",
    "view": "geoseg.viewing.view",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from geoseg.hints import checking

        # Kept: what is pickled by its name must be the same whenever it is asked for.
        return globals().setdefault(name, checking(getattr(importlib.import_module(_HOMES[name]), name), name))
    raise AttributeError(f"module 'geoseg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
