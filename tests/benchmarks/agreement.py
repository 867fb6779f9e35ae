"""Whether maps of regions depend on how they were made.

    python tests/benchmarks/agreement.py MODEL REGIONS OUT SCENES... [--block 256] [--window 320] [--margin 32]

The regions are mapped by two workers, and by one in smaller blocks. Their maps and confidences must be the same, and no
pixel may belong to two regions.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import rasterio

import geoseg


def rasters(atlas: Path) -> dict[str, Path]:
    """Maps and confidences, by region and name."""
    return {str(path.relative_to(atlas)): path for path in sorted(atlas.glob("regions/*/*.tif"))}


def compare(one: Path, other: Path) -> None:
    """Count the values that differ."""
    ours, theirs = rasters(one), rasters(other)
    assert ours.keys() == theirs.keys(), set(ours) ^ set(theirs)
    values = differ = 0
    for name, path in ours.items():
        with rasterio.open(path) as a, rasterio.open(theirs[name]) as b:
            assert a.transform == b.transform, name
            left, right = a.read(), b.read()
            values, differ = values + left.size, differ + int((left != right).sum())
    print(f"{differ} of {values:,} values of {len(ours)} rasters differ")


def shared(atlas: Path) -> None:
    """Count the pixels that are mapped, and those that more than one region has."""
    seen: Counter[tuple[str, int, int]] = Counter()
    for path in rasters(atlas).values():
        if path.name != "confidence.tif":
            with rasterio.open(path) as dataset:
                place = dataset.transform
                rows, cols = np.nonzero(dataset.read_masks(1))
                left, top = round(place.c / place.a), round(place.f / place.e)
                crs = dataset.crs.to_string()
            seen.update((crs, row, col) for row, col in zip((rows + top).tolist(), (cols + left).tolist(), strict=True))
    print(f"{sum(count > 1 for count in seen.values())} of {len(seen):,} pixels are in more than one region")


def main() -> None:
    """Map twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("regions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--window", type=int, default=320)
    parser.add_argument("--margin", default="32")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    margin = int(given.margin) if given.margin.isdigit() else given.margin
    common = {"window": given.window, "margin": margin, "confidence": True, "runtime": "torch", "overwrite": True}
    for name, how in (("two", {"jobs": 2}), ("one", {"jobs": 1, "block": given.block})):
        found = geoseg.map(given.regions, given.scenes, given.model, given.out / name, **common, **how)
        print(name, found["state"].value_counts().to_dict(), f"{found['megapixels'].sum():.2f} MP", flush=True)
    compare(given.out / "two", given.out / "one")
    shared(given.out / "two")


if __name__ == "__main__":
    main()
