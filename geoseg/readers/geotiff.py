"""Scenes in one raster file: GeoTIFF, COG, VRT, JPEG 2000, by path or URL."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from geoseg.errors import BandMismatchError, DamagedSceneError, OptionError, SceneError
from geoseg.grid import Grid
from geoseg.names import is_remote
from geoseg.pixels import other_than
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings, grid_of, open_raster
from geoseg.readers._average import averaged
from geoseg.readers._options import NODATA_RULES, ReadOptions, limits_of
from geoseg.registry import suggestion
from geoseg.scene import band_places, require_inside

logger = logging.getLogger(__name__)

MAX_BANDS = 4096
"""Bands that are read together; a file may hold more."""


class GeoTiffScene:
    """A scene in one raster file, read window by window; each thread opens its own handle.

    A pixel is valid when every band used has data there: not its declared nodata, not NaN or infinite, and inside the
    file's masks (internal, `.msk`, and alpha bands that are not used as data). Where bands are tagged with a scale or
    an offset, values are what they stand for: pixel x scale + offset, as floating point.

    Raises:
        SceneError: missing, broken, complex, or without pixels a map could be drawn on.
        BandMismatchError: a band asked for is not there.
    """

    def __init__(
        self, path: str | Path, options: ReadOptions | None = None, *, scaling: tuple[float, float] | None = None
    ) -> None:
        """Look at a file.

        Args:
            path: the file or URL.
            options: how it is read; `nodata` is a raw value, not a scaled one.
            scaling: scale and offset of every band, in place of what the file is tagged with.
        """
        options = {} if options is None else options
        self.name = str(path)
        self._path = path
        self._allow_remote = options.get("allow_remote", False)
        self._limits = limits_of(options)
        self._needs_all = _rule(options) == "any"
        self._local = threading.local()
        with self.opened() as dataset:
            _refuse_unfit(dataset, self.name)
            self.grid = grid_of(dataset, path)
            names = _band_names(dataset)
            self._indexes = _select(options.get("bands"), names, _alpha_indexes(dataset), self.name)
            if len(self._indexes) > MAX_BANDS:
                raise BandMismatchError(
                    f"{path}: has {len(self._indexes)} bands, more than {MAX_BANDS}; name those to use with --bands"
                )
            self.bands = tuple(names[index - 1] for index in self._indexes)
            dtypes, nodata, asked = dataset.dtypes, dataset.nodatavals, options.get("nodata")
            self._raw_dtype = _dtype([dtypes[index - 1] for index in self._indexes], self.name)
            self._scaling = _scaling(dataset, self._indexes, scaling)
            self.dtype = self._raw_dtype if self._scaling is None else _scaled_dtype(self._raw_dtype)
            self._nodata = tuple(nodata[index - 1] if asked is None else asked for index in self._indexes)
            self._masks = _mask_indexes(dataset, self._indexes)
            self.is_complete = np.dtype(self._raw_dtype).kind in "iu" and self.declares_all

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels of a window inside the scene; see `Scene.read`."""
        require_inside(window, self.grid, self.name)
        dataset = self._dataset()
        try:
            with gdal_settings():
                values = dataset.read(self._indexes, window=window, out_dtype=self._raw_dtype)
                valid = np.ones(values.shape[1:], bool)
                for index in self._masks:
                    valid &= self._mask(dataset, index, window) != 0
        except GDAL_ERRORS as error:
            what = f"{self.name}: cannot read {window}: {first_line(error)}; the file may be damaged"
            if self._allow_remote or is_remote(self.name):
                raise SceneError(f"{what} or the connection broken") from error
            raise DamagedSceneError(what) from error
        valid &= self._has_data(values)
        return self._scaled(values), valid

    def _has_data(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Where raw values (bands, rows, cols) are data by their declared nodata; what is not finite never is."""
        declared = np.full(values.shape[1:], self._needs_all)
        finite = np.ones(values.shape[1:], bool)
        for band, nodata in zip(values, self._nodata, strict=True):
            has = other_than(band, nodata)
            declared = declared & has if self._needs_all else declared | has
            if band.dtype.kind == "f":
                finite &= np.isfinite(band)
        return declared & finite

    def read_coarse(self, grid: Grid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Means of the pixels under those of a coarser grid, from the file's overviews where it has any.

        Args:
            grid: where to put them; of a file without a CRS a rectangle of its own coordinates.

        Returns:
            values (bands, rows, cols), and validity (rows, cols): False where any band has no data.

        Raises:
            SceneError: it cannot be read.
        """
        try:
            with gdal_settings():
                values, valid = averaged(self._dataset(), list(self._indexes), self._nodata, grid)
        except GDAL_ERRORS as error:
            raise SceneError(f"{self.name}: cannot be read for a picture: {first_line(error)}") from error
        valid &= np.isfinite(values).all(axis=0)
        return np.asarray(self._scaled(values), np.float32), valid

    @property
    def declares_all(self) -> bool:
        """True when nothing in the file, and nobody, says that any pixel could be without data."""
        return not self._masks and all(value is None for value in self._nodata)

    def opened(self) -> rasterio.DatasetReader:
        """The file, opened anew for the caller to close.

        Raises:
            SceneError: it cannot be opened any more.
        """
        return open_raster(self._path, allow_remote=self._allow_remote, limits=self._limits)

    def release(self) -> None:
        """Close this thread's handle; the next read opens another."""
        if hasattr(self._local, "dataset"):
            self._local.dataset.close()
            del self._local.dataset

    def _scaled(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._scaling is None:
            return values
        scale, offset = (np.array(numbers, self.dtype)[:, None, None] for numbers in zip(*self._scaling, strict=True))
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(values * scale + offset, self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    def _dataset(self) -> rasterio.DatasetReader:
        # GDAL handles must not be shared by threads.
        if not hasattr(self._local, "dataset"):
            self._local.dataset = self.opened()
        return self._local.dataset

    @staticmethod
    def _mask(dataset: rasterio.DatasetReader, index: int, window: Window) -> npt.NDArray[Any]:
        if dataset.colorinterp[index - 1] == ColorInterp.alpha:
            return np.asarray(dataset.read(index, window=window))
        return np.asarray(dataset.read_masks(index, window=window))


def _rule(options: ReadOptions) -> str:
    rule = options.get("nodata_rule") or "any"
    if rule not in NODATA_RULES:
        raise OptionError(f"nodata_rule '{rule}' is unknown; {suggestion(rule, NODATA_RULES)}")
    return rule


def _dtype(dtypes: list[str], name: str) -> str:
    if any("complex" in dtype for dtype in dtypes):
        raise SceneError(f"{name}: has complex values; geoseg needs real ones, such as the amplitude")
    return str(np.result_type(*dtypes))


def _scaling(
    dataset: rasterio.DatasetReader, indexes: tuple[int, ...], given: tuple[float, float] | None
) -> tuple[tuple[float, float], ...] | None:
    """Scale and offset of each band used, None where they change nothing."""
    if given is not None:
        pairs = (given,) * len(indexes)
    else:
        scales, offsets = dataset.scales, dataset.offsets  # each look at them asks every band
        pairs = tuple((float(scales[i - 1]), float(offsets[i - 1])) for i in indexes)
    # Some writers leave a scale of 0 where they mean none.
    pairs = tuple((scale or 1.0, offset) for scale, offset in pairs)
    return None if all(pair == (1.0, 0.0) for pair in pairs) else pairs


def _scaled_dtype(raw: str) -> str:
    return "float32" if np.dtype(raw).itemsize <= 2 or raw == "float32" else "float64"


def _refuse_unfit(dataset: rasterio.DatasetReader, name: str) -> None:
    if dataset.count == 0:
        inside = dataset.subdatasets
        hint = f"; it holds {inside[0]}: make a GeoTIFF of what you need with 'gdal_translate'" if inside else ""
        raise SceneError(f"{name}: has no bands{hint}")
    # Some writers name a CRS all the same; the pixels are not placed in it.
    if dataset.transform.is_identity:
        points, _ = dataset.gcps
        if points or dataset.rpcs:
            kind = "ground control points" if points else "RPC coefficients"
            raise SceneError(
                f"{name}: is placed by {kind} only; make a georeferenced copy with 'gdalwarp IN OUT' first"
            )


def _band_names(dataset: rasterio.DatasetReader) -> tuple[str, ...]:
    """Descriptions where there are any; a band without one, or with another's, is named by its number."""
    described = [(text or "").strip() for text in dataset.descriptions]
    times = Counter(described)
    return tuple(
        text if text and times[text] == 1 else f"band_{number}" for number, text in enumerate(described, start=1)
    )


def _alpha_indexes(dataset: rasterio.DatasetReader) -> tuple[int, ...]:
    """Bands tagged alpha. One that is described as something else (near infrared, say) is data all the same."""
    described = dataset.descriptions
    return tuple(
        number
        for number, kind in enumerate(dataset.colorinterp, start=1)
        if kind == ColorInterp.alpha and (described[number - 1] or "alpha").strip().lower() == "alpha"
    )


def _select(
    bands: tuple[str, ...] | None, names: tuple[str, ...], alpha: tuple[int, ...], scene: str
) -> tuple[int, ...]:
    """1-based numbers of the bands asked for; all but alpha by default."""
    if bands is None:
        indexes = tuple(number for number in range(1, len(names) + 1) if number not in alpha)
        if not indexes:
            raise BandMismatchError(f"{scene}: has nothing but an alpha band; name the bands to use with --bands")
        if alpha and not any(name.lower() == "alpha" for name in names):
            # GDAL tags the fourth of four bytes so, whatever it is.
            everything = ",".join(map(str, range(1, len(names) + 1)))
            logger.warning(
                "%s: band %d is tagged alpha and taken as a mask; if it is data, give --bands %s",
                scene, alpha[0], everything,
            )  # fmt: skip
        return indexes
    return tuple(place + 1 for place in band_places(bands, names, scene))


def _mask_indexes(dataset: rasterio.DatasetReader, used: tuple[int, ...]) -> tuple[int, ...]:
    """Bands whose mask says where data is: one for a mask of the whole file, and alpha bands not used as data.

    GDAL reports an alpha band as the mask of the others; that is left to the alpha band itself, which counts only when
    it is not data.
    """
    taken, kinds = set(used), dataset.mask_flag_enums
    masks = [number for number in _alpha_indexes(dataset) if number not in taken]
    for number in used:
        flags = kinds[number - 1]
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            masks.append(number)
            break
        if not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & set(flags):
            masks.append(number)
    return tuple(masks)
