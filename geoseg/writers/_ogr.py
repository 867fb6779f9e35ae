"""What the formats written by GDAL share: batches go to it as one Arrow stream.

GDAL pulls a stream, and the tracer pushes batches: a thread stands between them, with one batch waiting. So every
format is written in a single pass, also those to which nothing can be appended, while the next band is being traced.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from geoseg.errors import OutputError
from geoseg.raster import first_line
from geoseg.vector import set_gdal_up
from geoseg.writers._tally import Tally

POLL_SECONDS = 0.5

READ_ROWS = 1024


class AbortedError(Exception):
    """Ends the stream when the run failed elsewhere."""


class OgrWriter:
    """Writes a layer with one of GDAL's drivers; formats are subclasses."""

    driver: str
    _tally: Tally | None = None

    def open(
        self,
        path: Path,
        crs: CRS | None,
        schema: pa.Schema,
        description: str = "",
        geometry_type: str = "Polygon",
    ) -> None:
        """Start the thread that writes.

        Raises:
            OptionError: a map that the format cannot hold, see `refuse`.
            OutputError: a path that cannot be written to, see `refuse`.
        """
        self.refuse(path, crs)
        self._path, self._schema, self._geometry_type = path, _marked(schema), geometry_type
        self._tally = Tally(self.kept(schema))
        self._batches: queue.Queue[pa.RecordBatch | Exception | None] = queue.Queue(maxsize=1)
        self._failure: BaseException | None = None
        options = self.options(crs, description)
        self._thread = threading.Thread(target=self._write_all, args=(crs, options), daemon=True)
        self._thread.start()

    def refuse(self, path: Path, crs: CRS | None) -> None:
        """Refuse what the format cannot hold, before anything is written; formats have more to say.

        Raises:
            OutputError: a path that pyogrio would take for another.
        """
        if "!" in str(path.absolute()):
            # To pyogrio that is an archive, and what follows a file of the present folder, which it would replace.
            raise OutputError(f"{path.name}: has a '!' in its path, which would lead to another file; choose another")

    def options(self, crs: CRS | None, description: str) -> dict[str, Any]:
        """Options for `pyogrio.write_arrow`."""
        return {}

    def kept(self, schema: pa.Schema) -> pa.Schema:
        """The columns that the format keeps to the last bit."""
        return schema

    def layer_name(self, stem: str) -> str:
        """The name of the layer in a file with this stem."""
        return stem

    def write(self, batch: pa.RecordBatch, bounds: Any) -> None:
        """Append a batch.

        Raises:
            OutputError: GDAL cannot write it, or could not write one before it.
        """
        self._put(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        self._raise_failure()
        if self._tally is not None:
            self._tally.add(batch)

    def style(self, classes: list[tuple[int, str, str]]) -> None:
        """Most formats have no place for it."""

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputError: GDAL could not write it.
        """
        self._put(None)
        self._thread.join()
        self._raise_failure()

    def abort(self) -> None:
        """Stop the thread."""
        self._put(AbortedError())
        self._thread.join()

    def read_back(self, path: Path) -> tuple[int, tuple[str, ...]]:
        """Read every feature, as some formats tell a count in the head of the file whatever is left of the rest.

        Raises:
            OutputError: it cannot be read, or holds as many as this writer wrote, and others.
        """
        count, found = 0, None if self._tally is None else self._tally.empty()
        try:
            with pyogrio.open_arrow(path, layer=0, batch_size=READ_ROWS, use_pyarrow=True) as (info, reader):
                columns = tuple(info["fields"])
                for batch in reader:
                    count += batch.num_rows
                    if found is not None:
                        found.add(batch, info["geometry_name"] or "wkb_geometry")
        except (DataSourceError, DataLayerError, OSError, pa.ArrowException) as error:
            raise OutputError(f"{path.name}: cannot be read back: {first_line(error)}; is the disk full?") from error
        if self._tally is not None and found is not None:
            self._tally.refuse_other(found, path.name)
        return count, columns

    def _put(self, item: pa.RecordBatch | Exception | None) -> None:
        while self._thread.is_alive():
            try:
                self._batches.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue

    def _raise_failure(self) -> None:
        if self._failure is not None:
            reason = first_line(self._failure)
            raise OutputError(f"{self._path.name}: cannot be written: {reason}; is the disk full?") from self._failure

    def _write_all(self, crs: CRS | None, options: dict[str, Any]) -> None:
        try:
            set_gdal_up()
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(self._schema, self._waiting()),
                self._path,
                layer=self.layer_name(self._path.stem),
                driver=self.driver,
                geometry_type=self._geometry_type,
                # Named, GDAL's geometry column would come with a warning where there is no CRS.
                geometry_name="geometry" if crs is not None else None,
                crs=None if crs is None else crs.to_wkt(),
                **options,
            )
        except BaseException as error:  # whatever it is, the thread that waits for this one must hear of it
            self._failure = error

    def _waiting(self) -> Iterator[pa.RecordBatch]:
        while (item := self._batches.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


def _marked(schema: pa.Schema) -> pa.Schema:
    """The schema with its geometry column marked as WKB, by which GDAL knows it."""
    index = schema.get_field_index("geometry")
    return schema.set(index, schema.field(index).with_metadata({"ARROW:extension:name": "geoarrow.wkb"}))
