"""Draw the points at which a map is to be judged: a stratified random sample of its pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from rasterio.windows import Window

from geoseg import progress
from geoseg.assessment.compare import windows
from geoseg.assessment.samples import REFERENCE, SAMPLE, STRATUM, STRATUM_NAME, STRATUM_PIXELS
from geoseg.assessment.stratified import allocate, sample_size
from geoseg.class_raster import ClassRaster, open_class_raster
from geoseg.disk import stamps_for
from geoseg.errors import MapError, OptionError, OutputError, require_seed
from geoseg.grid import Grid
from geoseg.legend import IGNORE, Legend, read_legend
from geoseg.output import new_output
from geoseg.registry import suggestion
from geoseg.writers.geopackage import EXTENSIONS, Writer

ACCURACY = 0.8
"""User's accuracy that is expected where nobody says otherwise."""

MOST = 1_000_000
"""Samples that one file is to hold."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SampledStratum:
    """What was drawn in one stratum.

    Attributes:
        id, name: of the stratum.
        pixels: how many it has.
        samples: how many of them were drawn.
    """

    id: int
    name: str
    pixels: int
    samples: int


@dataclass(frozen=True, slots=True)
class SampleResult:
    """A sample to be labelled.

    Attributes:
        output: the GeoPackage.
        samples: points in it.
        strata: where they lie.
        standard_error: of the overall accuracy that is to be expected.
    """

    output: Path
    samples: int
    strata: tuple[SampledStratum, ...]
    standard_error: float

    def __str__(self) -> str:
        from geoseg.assessment.tables import table

        rows = [["stratum", "pixels", "samples"]]
        rows += [[one.name, f"{one.pixels:,}".replace(",", " "), str(one.samples)] for one in self.strata]
        return "\n".join(
            [
                *table(rows),
                "",
                f"{self.output}: {self.samples} points; expected standard error of the overall accuracy "
                f"{self.standard_error:.4f}. Fill in '{REFERENCE}' of each, then geoseg evaluate MAP --samples FILE",
            ]
        )


def sample(
    map_path: str | Path,
    output: str | Path,
    *,
    size: int | None = None,
    standard_error: float = 0.01,
    accuracy: float | Mapping[str, float] = ACCURACY,
    least: int = 50,
    strata: str | Path | None = None,
    legend: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> SampleResult:
    """Draw a stratified random sample of a map's pixels, to be labelled by people who see the ground.

    Size and allocation are those of Olofsson et al. 2014: as many points as the wanted standard error needs, `least` of
    each rare class and the rest in proportion to area. Points come in random order, at the middle of their pixels.

    Args:
        map_path: a class raster.
        output: GeoPackage to write, with a column `reference_id` to fill in, which QGIS offers as a list of names.
        size: points in all, in place of what the standard error needs.
        standard_error: of the overall accuracy, wanted.
        accuracy: user's accuracy to be expected, of all strata or by their names.
        least: points of a rare stratum.
        strata: class raster on any grid whose classes are the strata, in place of the map's own.
        legend: legend.toml, for a map that does not name its classes itself.
        seed: of the drawing.
        overwrite: replace what is there.

    Raises:
        MapError: the map or the strata cannot be read, or have no pixel in common.
        OptionError: a size, standard error or accuracy that cannot be.
        OutputError: the file exists already or cannot be written.
    """
    require_seed(seed)
    output = Path(output)
    if output.suffix.lower() not in EXTENSIONS:
        raise OptionError(f"{output}: samples are written as a GeoPackage; name it .gpkg")
    if least < 2:
        raise OptionError(f"at least {least} samples of a stratum cannot be; a standard error needs 2 or more")
    sources = stamps_for(output, [path for path in (map_path, strata, legend) if path is not None])
    with new_output(output, overwrite=overwrite, sources=sources) as workspace:
        mapped = open_class_raster(map_path, legend=None if legend is None else read_legend(Path(legend)))
        layers = mapped if strata is None else open_class_raster(strata)
        source = _Strata(mapped, layers)
        counts = source.count()
        sizes = counts.sum(0)
        if not sizes.any():
            raise MapError(f"{layers.path}: has no class where {mapped.path} has one, so there is nothing to draw from")
        expected = _expected(accuracy, layers.legend)
        wanted = size if size is not None else sample_size(sizes, expected, standard_error)
        if wanted > MOST:
            raise OptionError(f"{wanted:,} samples are more than people can label; allow a larger standard error")
        drawn = allocate(sizes, max(wanted, 2 * int((sizes > 0).sum())) if size is None else wanted, least)
        rng = np.random.default_rng(seed)
        of, rows, cols = source.draw(counts, drawn, rng)
        order = rng.permutation(len(of))
        used: dict[str, Any] = {"map": str(map_path), "strata": None if strata is None else str(strata), "seed": seed}
        used |= {"size": int(drawn.sum()), "least": least, "accuracy": expected.tolist()}
        _write(workspace.main, mapped, layers.legend, sizes, of[order], rows[order], cols[order], used)
        spread = np.divide(expected * (1 - expected), drawn, out=np.zeros(len(drawn)), where=drawn > 0)
        return SampleResult(
            output=workspace.target,
            samples=int(drawn.sum()),
            strata=tuple(
                SampledStratum(item.id, item.name, int(pixels), int(n))
                for item, pixels, n in zip(layers.legend, sizes, drawn, strict=True)
            ),
            standard_error=float(np.sqrt(((sizes / sizes.sum()) ** 2 * spread).sum())),
        )


@dataclass(frozen=True, slots=True)
class _Strata:
    """The pixels of a map that have a class, by the classes of another raster or its own."""

    mapped: ClassRaster
    layers: ClassRaster

    def count(self) -> Counts:
        """(windows, strata) pixels."""
        grid, classes = self.mapped.grid, len(self.layers.legend)
        found = []
        with progress.bar("counting", grid.height * grid.width / 1e6, "MP") as shown:
            for window in windows(grid):
                indices = self._read(window)
                found.append(np.bincount(indices.ravel(), minlength=256)[:classes])
                shown.advance(indices.size / 1e6)
        return np.array(found, np.int64)

    def draw(self, counts: Counts, drawn: Counts, rng: np.random.Generator) -> tuple[Counts, Counts, Counts]:
        """Stratum, row and column of pixels, each of a stratum as likely as any other, none twice.

        Which of a stratum's pixels are drawn is decided first, by their numbers along the windows; then only windows
        that hold one are read.
        """
        of, rows, cols = [], [], []
        sizes, before = counts.sum(0), np.zeros_like(counts)
        before[1:] = counts[:-1].cumsum(0)
        ranks = [
            np.sort(rng.choice(total, n, replace=False, shuffle=False)) for total, n in zip(sizes, drawn, strict=True)
        ]
        for place, window in enumerate(windows(self.mapped.grid)):
            indices: npt.NDArray[np.uint8] | None = None
            for stratum, own in enumerate(ranks):
                first, last = np.searchsorted(
                    own, [before[place, stratum], before[place, stratum] + counts[place, stratum]]
                )
                if first == last:
                    continue
                indices = self._read(window) if indices is None else indices
                pixels = np.flatnonzero(indices == stratum)[own[first:last] - before[place, stratum]]
                of.append(np.full(len(pixels), stratum))
                rows.append(pixels // window.width + window.row_off)
                cols.append(pixels % window.width + window.col_off)
        return np.concatenate(of), np.concatenate(rows), np.concatenate(cols)

    def _read(self, window: Window) -> npt.NDArray[np.uint8]:
        mapped = self.mapped.read(window)
        if self.layers is self.mapped:
            return mapped
        layers = self.layers.read_on(self.mapped.grid.crop(window))
        return np.where(mapped == IGNORE, np.uint8(IGNORE), layers)


def _expected(accuracy: float | Mapping[str, float], legend: Legend) -> npt.NDArray[np.float64]:
    if not isinstance(accuracy, Mapping):
        return np.full(len(legend), float(accuracy))
    for name in accuracy:
        if name not in legend.names:
            raise OptionError(
                f"there is no stratum '{name}' to expect an accuracy of; {suggestion(name, legend.names)}"
            )
    return np.array([float(accuracy.get(name, ACCURACY)) for name in legend.names])


def _write(
    path: Path,
    mapped: ClassRaster,
    strata: Legend,
    sizes: Counts,
    of: Counts,
    rows: Counts,
    cols: Counts,
    options: dict[str, Any],
) -> None:
    """Write the points and the form to label them with, and read them back."""
    points = _points(mapped.grid, rows, cols)
    names = np.array(strata.names, object)
    columns: dict[str, Any] = {
        SAMPLE: pa.array(np.arange(1, len(of) + 1), pa.int32()),
        REFERENCE: pa.nulls(len(of), pa.int32()),
        "note": pa.nulls(len(of), pa.string()),
        STRATUM: pa.array(np.array(strata.ids)[of], pa.int32()),
        STRATUM_NAME: pa.array(names[of].tolist(), pa.string()),
        STRATUM_PIXELS: pa.array(sizes[of], pa.int64()),
        "geometry": pa.array(shapely.to_wkb(points).tolist(), pa.binary()),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    writer = Writer()
    writer.open(path, mapped.grid.crs, batch.schema, "geoseg sample " + json.dumps(options), "Point")
    try:
        writer.write(batch, shapely.bounds(points))
        classes = [(item.id, item.name, item.color) for item in mapped.legend]
        writer.labelling(REFERENCE, classes, (STRATUM, STRATUM_NAME, STRATUM_PIXELS))
    except BaseException:
        writer.abort()
        raise
    writer.close()
    count, found = writer.read_back(path)
    if count != len(of) or found != tuple(columns)[:-1]:
        raise OutputError(f"{path.name}: {count} of {len(of)} points could be read back; is the disk full?")


def _points(grid: Grid, rows: Counts, cols: Counts) -> npt.NDArray[Any]:
    """The middles of pixels."""
    t, x, y = grid.transform, cols + 0.5, rows + 0.5
    return np.asarray(shapely.points(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f))
