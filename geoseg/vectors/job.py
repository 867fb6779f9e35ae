"""One run of `vectorize`: from the rows of a map to features, with what was met on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg import progress
from geoseg.connected import Int32s
from geoseg.raster import BLOCK_CACHE, block_cache
from geoseg.shares import open_confidence
from geoseg.vectors import regions as by_regions
from geoseg.vectors.group import Feature, grouping
from geoseg.vectors.layer import Layer
from geoseg.vectors.measure import Measure
from geoseg.vectors.options import Options
from geoseg.vectors.reproject import Reprojection
from geoseg.vectors.sieve import sieved
from geoseg.vectors.source import MapSource
from geoseg.vectors.stream import Band, Settings, band_rows, polygons

logger = logging.getLogger(__name__)


class Job:
    """What goes into a layer and how; a context that holds the confidence raster open.

    Attributes:
        layer: the columns, and a count of what went into them.
        crs: coordinate system of the layer.
        geometry_type: "Polygon" or "MultiPolygon".
    """

    def __init__(
        self,
        source: MapSource,
        options: Options,
        *,
        classes: tuple[str, ...] | None,
        confidence: str | Path | None,
        by: str | Path | None,
        by_field: str | None,
        dst_crs: str | None,
    ) -> None:
        self._source, self._classes = source, classes
        self._pieces, self._most = 0, options.max_vertices
        measure = Measure.of(source.grid)
        self._rule = options.rule(measure)
        self._wanted_ids = None
        if classes is not None and source.categories.fixed:
            self._wanted_ids = source.categories.find(classes)
        self._grouping = grouping(options.connectivity, options.dissolve)
        self.geometry_type = self._grouping.geometry_type
        reprojection = None if dst_crs is None else Reprojection(source.grid, dst_crs)
        self.crs: CRS | None = source.grid.crs if reprojection is None else reprojection.crs
        self._regions = None if by is None else by_regions.Regions(Path(by), by_field, source.grid)
        self._confidence = None if confidence is None else open_confidence(Path(confidence), source.grid)
        self.layer = Layer(source, confidence is not None, None if self._regions is None else self._regions.names)
        self._settings = Settings(
            source.grid.transform,
            simplify=options.pixels(options.simplify, source.grid, measure),
            smooth=options.pixels(options.smooth, source.grid, measure),
            wanted=None if classes is None else self._wanted,
            measure=measure,
            reproject=reprojection,
            max_vertices=options.max_vertices or None,
        )

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._confidence is not None:
            self._confidence.close()

    def block_cache(self) -> AbstractContextManager[None]:
        """Let GDAL hold no more blocks than the rows of a band reach into: none is read again."""
        if self._confidence is not None:
            return nullcontext()
        # GDAL takes numbers below 100,000 for megabytes.
        return block_cache(min(max(int(2.2 * self._source.block_row), 1_000_000), BLOCK_CACHE))

    def features(self) -> Iterator[Feature]:
        """Faces and their shapes, as they are finished."""
        shape = self._source.grid.shape
        for finished in polygons(self._bands(), shape, self._settings, self._grouping.watch):
            self._pieces += finished.pieces
            yield from self._grouping.add(finished)
        yield from self._grouping.end()
        self._tell()

    def _tell(self) -> None:
        """Say what was left out, and refuse classes that were nowhere."""
        if self._classes is not None:
            self._source.categories.find(self._classes)
        if self._pieces:
            logger.warning(
                "%d polygons are pieces of larger ones, of more than %d vertices; --max-vertices 0 leaves them whole",
                self._pieces,
                self._most,
            )
        if self._regions is not None and self._regions.left_out:
            logger.warning("%d pixels lie in none of the regions and are left out", self._regions.left_out)

    def _bands(self) -> Iterator[Band]:
        """The map band by band, sieved and cut, always in bands of the same height however it is read."""
        width = self._source.grid.width
        codes = self._read(band_rows(width))
        if self._rule is not None:
            codes = sieved(codes, self._source.grid.shape, self._rule)
        top = 0
        for part in rebanded(codes, band_rows(width)):
            rows = part if self._regions is None else self._regions.cut(part, top)
            here = Window(0, top, width, len(part))
            yield Band(rows, None if self._confidence is None else self._confidence.read(here)[0])
            top += len(part)

    def _read(self, rows: int) -> Iterator[Int32s]:
        height, width = self._source.grid.shape
        with progress.bar("vectorize", height * width / 1e6, "MP") as bar:
            for codes in self._source.read(rows):
                yield codes
                bar.advance(codes.size / 1e6)

    def _wanted(self, codes: Int32s) -> npt.NDArray[np.bool_]:
        classes = codes if self._regions is None else by_regions.class_of(codes)
        ids = self._wanted_ids
        if ids is None:
            categories = self._source.categories
            names = [
                name for name in self._classes or () if name in categories.names or name in map(str, categories.ids)
            ]
            ids = categories.find(tuple(names))
        return np.isin(np.array(self._source.categories.ids, np.int64)[classes], ids)


def rebanded(bands: Iterable[Int32s], rows: int) -> Iterator[Int32s]:
    """The same rows in bands of `rows` rows, the last one lower."""
    waiting: list[Int32s] = []
    count = 0
    for band in bands:
        waiting.append(band)
        count += len(band)
        while count >= rows:
            whole = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            yield whole[:rows]
            waiting, count = [whole[rows:]], count - rows
    if count:
        yield np.concatenate(waiting)
