"""The steps of the job as Python functions, on the sample scene: python examples/steps.py OUT [--quick]."""

from __future__ import annotations

import argparse
from pathlib import Path

import geoseg
from geoseg.sample_data import sample_folder


def main() -> None:
    """Tile, train, predict, vectorize, evaluate; then map a second scene with the same model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--quick", action="store_true", help="train for a moment only, to see that it works")
    options = parser.parse_args()
    sample, out = sample_folder(), options.out
    out.mkdir()

    print(geoseg.tile(sample / "synthetic_scene.tif", sample / "synthetic_labels.gpkg", out / "chips"))
    effort = {"epochs": 1, "chips_per_epoch": 16} if options.quick else {}
    print(geoseg.train(out / "chips", out / "model.safetensors", **effort))

    # The second scene was never seen: another place, hazier.
    print(geoseg.predict(out / "model.safetensors", sample / "synthetic_scene_2.tif", out / "map.tif"))
    print(geoseg.vectorize(out / "map.tif", out / "map.gpkg", simplify=1.0))
    print(geoseg.evaluate(out / "map.tif", sample / "synthetic_reference_2.tif", out / "report"))


if __name__ == "__main__":
    main()
