"""Cut scenes and labels into chips: overlapping, georeferenced, and honest about what is training and what is test."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.windows import Window
from shapely.geometry import Polygon

from geoseg import progress
from geoseg.chips.index import check_leaks, count_columns, leaking_pairs, write_index
from geoseg.chips.layout import ChipPlan, count_cells, plan_chips
from geoseg.chips.split import SPLITS, Shares, chip_windows
from geoseg.errors import BandMismatchError, ChipError, LabelError, OptionError, OutputError, require_seed
from geoseg.grid import Grid
from geoseg.labels import Labels, merged_legend, open_labels
from geoseg.legend import IGNORE, Legend, read_legend
from geoseg.output import new_output, refuse_existing
from geoseg.raster import GDAL_ERRORS, create_raster, first_line, gdal_settings, open_raster
from geoseg.readers import open_scene
from geoseg.scene import Scene, warn_of_no_crs
from geoseg.statistics import BandStatistics, PixelSample

logger = logging.getLogger(__name__)

SCENE_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
LABEL_SUFFIXES = (*SCENE_SUFFIXES, ".png", ".gpkg", ".geojson", ".json", ".parquet", ".fgb", ".shp", ".gml", ".kml")


@dataclass(frozen=True, slots=True)
class TileResult:
    """What `tile` made.

    Attributes:
        output: the chip folder.
        chips: number of chips per split.
        chip_size, block_size: in pixels.
        missing: (split, class name) pairs of classes that a split has no labels of.
    """

    output: str
    chips: dict[str, int]
    chip_size: int
    block_size: int
    missing: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        splits = ", ".join(f"{count} {split}" for split, count in self.chips.items())
        return f"{self.output}: {sum(self.chips.values())} chips of {self.chip_size} pixels ({splits})"


def tile(
    scenes: str | Path | Sequence[str | Path],
    labels: str | Path,
    output: str | Path,
    *,
    class_field: str | None = None,
    legend: str | Path | Legend | None = None,
    bands: tuple[str, ...] | None = None,
    nodata: float | None = None,
    chip_size: int | None = None,
    overlap: float = 0.25,
    block_size: int | None = None,
    split: Sequence[float] = (0.7, 0.15, 0.15),
    split_by: str = "auto",
    min_labelled: float = 0.0,
    min_valid: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> TileResult:
    """Cut scenes into overlapping chips with labels, split into training, validation and test by ground.

    Args:
        scenes: one or more scenes, or a folder of them; all with the same bands.
        labels: polygons or a class raster that lies on all scenes, or a folder with a file for each scene, named alike.
        output: the chip folder to make.
        class_field: column of the polygons that holds the class.
        legend: a legend, or a legend.toml; made from the labels when not given.
        bands: names or numbers of the bands to use.
        nodata: value without data, in place of what the scenes declare.
        chip_size: side of a chip in pixels; chosen from the labels when not given.
        overlap: share of a chip that its neighbours share, and the gap between splits.
        block_size: side of the blocks that are split, in pixels; chosen when not given.
        split: shares of training, validation and test.
        split_by: "blocks", "scene", or "auto" (scenes from 8 on).
        min_labelled: least share of labelled pixels of a chip that is kept; at least one pixel must be labelled.
        min_valid: least share of valid pixels of a chip that is kept.
        seed: of the split and of the sample that the statistics are made of.
        overwrite: replace the folder if it is there.

    Raises:
        GeosegError: see the classes of `geoseg.errors`; nothing is left under `output`.
    """
    output = Path(output)
    refuse_existing(output, overwrite)
    shares = Shares.of(split)
    require_seed(seed)
    sources = open_pairs(scenes, Path(labels), class_field, legend, bands, nodata)
    cells = [count_cells(scene, own) for scene, own in sources]
    plan = plan_chips(
        cells,
        chip_size=chip_size,
        overlap=overlap,
        block_size=block_size,
        shares=shares,
        split_by=split_by,
        seed=seed,
        name=str(labels),
    )
    logger.info("Chips of %d pixels, %d apart between splits, split by %s", plan.chip, plan.gap, plan.by)
    options = {
        "scenes": [scene.name for scene, _ in sources],
        "labels": str(labels),
        "chip_size": plan.chip,
        "overlap": plan.overlap,
        "gap": plan.gap,
        "block_size": plan.block,
        "split": list(shares.values),
        "split_by": plan.by,
        "min_labelled": min_labelled,
        "min_valid": min_valid,
        "seed": seed,
    }
    with new_output(output, overwrite=overwrite) as workspace:
        workspace.main.mkdir()
        return _cut_all(workspace.main, output, sources, plan, options, min_labelled, min_valid)


def _cut_all(
    folder: Path,
    output: Path,
    sources: list[tuple[Scene, Labels]],
    plan: ChipPlan,
    options: dict[str, Any],
    min_labelled: float,
    min_valid: float,
) -> TileResult:
    legend = sources[0][1].legend
    rows: list[dict[str, Any]] = []
    cutter = ChipCutter(folder, legend, min_labelled, min_valid)
    for number, (scene, labels) in enumerate(sources):
        layout, splits = plan.layouts[number], plan.splits[number]
        windows = list(chip_windows(layout, splits, chip=plan.chip, overlap=plan.overlap, gap=plan.gap))
        for split, window in progress.track(windows, f"Cutting {Path(scene.name).name}", len(windows), "chips"):
            row = cutter.cut(scene, labels, window, number, SPLITS[split])
            if row is not None:
                rows.append(row)
    frame = _without_leaks(_frame(rows, sources), plan.gap, folder)
    wanted = [name for name, share in zip(SPLITS, options["split"], strict=True) if share > 0]
    _refuse_poor(frame, wanted, sources)
    check_leaks(frame, plan.gap, str(output))
    description = {
        "bands": list(sources[0][0].bands),
        "dtype": sources[0][0].dtype,
        "ground_sample_distance": sources[0][0].grid.ground_sample_distance,
        "legend": legend.to_dict(),
        "statistics": _statistics(frame, folder, options["seed"]).to_dict(),
        "options": options,
    }
    write_index(folder, frame, description)
    missing = _missing_classes(frame, legend, wanted)
    for name, missed in missing:
        logger.warning("No %s label of class '%s'", {"train": "training", "val": "validation"}.get(name, name), missed)
    counts = {name: int((frame["split"] == name).sum()) for name in SPLITS}
    return TileResult(str(output), counts, plan.chip, plan.block, missing)


def _without_leaks(frame: gpd.GeoDataFrame, gap: int, folder: Path) -> gpd.GeoDataFrame:
    """Leave out chips that lie on, or too near, the ground of another split: where scenes overlap or touch.

    Of two such chips the training chip goes, or the validation chip when the other is for the test.
    """
    pairs = leaking_pairs(frame, gap)
    rank = frame["split"].map(SPLITS.index).to_numpy()
    lost = np.unique(np.where(rank[pairs[:, 0]] < rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1]))
    if not len(lost):
        return frame
    logger.warning("%d chips lie on or near ground of another split in another scene and are left out", len(lost))
    for column in ("image", "label"):
        for name in frame[column].iloc[lost]:
            (folder / name).unlink()
    return frame.drop(frame.index[lost]).reset_index(drop=True)


def _statistics(frame: gpd.GeoDataFrame, folder: Path, seed: int) -> BandStatistics:
    """Statistics of the bands over the valid pixels of the training chips."""
    sample = PixelSample(seed=seed)
    for image in frame.loc[frame["split"] == "train", "image"]:
        chip = open_scene(folder / image)
        sample.add(*chip.read(chip.grid.window))
    return BandStatistics.of(sample.pixels())


@dataclass(frozen=True, slots=True)
class ChipCutter:
    """Cuts chips out of scenes into a folder of GeoTIFFs, `images/` and `labels/`."""

    folder: Path
    legend: Legend
    min_labelled: float
    min_valid: float

    def cut(self, scene: Scene, labels: Labels, window: Window, number: int, split: str) -> dict[str, Any] | None:
        """Cut one chip and return its row of the index; None when it has too few labelled or valid pixels."""
        grid = scene.grid.crop(window)
        indices = labels.read(grid)
        if not self._is_enough(indices != IGNORE, self.min_labelled):
            return None
        values, valid = scene.read(window)
        indices = np.where(valid, indices, np.uint8(IGNORE))
        if not self._is_enough(indices != IGNORE, self.min_labelled) or valid.mean() < self.min_valid:
            return None
        stem = f"{number:04d}_{_safe(Path(scene.name).stem)}_{int(window.row_off):06d}_{int(window.col_off):06d}.tif"
        image, label = Path("images") / stem, Path("labels") / stem
        self._write_image(self.folder / image, scene, grid, values, valid)
        self._write_label(self.folder / label, grid, indices)
        counts = np.bincount(indices[indices != IGNORE], minlength=len(self.legend))
        place = {
            "image": image.as_posix(),
            "label": label.as_posix(),
            "split": split,
            "scene": number,
            "row": int(window.row_off),
            "col": int(window.col_off),
            "height": grid.height,
            "width": grid.width,
        }
        pixels = dict(zip(count_columns(self.legend), counts.tolist(), strict=True))
        return place | pixels | {"geometry": _footprint(grid)}

    @staticmethod
    def _is_enough(labelled: npt.NDArray[np.bool_], share: float) -> bool:
        return bool(labelled.any()) and float(labelled.mean()) >= share

    def _write_image(
        self, path: Path, scene: Scene, grid: Grid, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
    ) -> None:
        profile = _profile(grid) | {"count": len(values), "dtype": values.dtype, "photometric": "MINISBLACK"}
        with _writing(path, profile) as dataset:
            # Without this GDAL takes the fourth of four bytes for alpha.
            dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (len(values) - 1)
            dataset.descriptions = scene.bands
            dataset.write(values)
            if not valid.all():
                dataset.write_mask(valid)
        _require_written(path, values, valid)

    def _write_label(self, path: Path, grid: Grid, indices: npt.NDArray[np.uint8]) -> None:
        legend = self.legend
        profile = _profile(grid) | {"count": 1, "dtype": legend.dtype, "nodata": legend.nodata}
        ids = legend.decode(indices)
        with _writing(path, profile) as dataset:
            dataset.write_colormap(1, legend.colormap())
            dataset.write(ids, 1)
        _require_written(path, ids[None], ids != legend.nodata)


@contextmanager
def _writing(path: Path, profile: dict[str, Any]) -> Iterator[Any]:
    """Create a chip's file; GDAL's errors are translated."""
    path.parent.mkdir(exist_ok=True)
    try:
        with create_raster(path, **profile) as dataset:
            yield dataset
    except GDAL_ERRORS as error:
        raise OutputError(f"chip {path.name}: cannot be written: {first_line(error)}; is the disk full?") from error


def _require_written(path: Path, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
    """Read a chip back: GDAL does not always tell of a full disk."""
    try:
        with open_raster(path, error=OutputError) as dataset, gdal_settings():
            whole = np.array_equal(dataset.read(), values, equal_nan=values.dtype.kind == "f")
            whole = whole and np.array_equal(dataset.read_masks(1) != 0, valid)
    except GDAL_ERRORS as error:
        raise OutputError(f"chip {path.name}: cannot be read back: {first_line(error)}; is the disk full?") from error
    if not whole:
        raise OutputError(f"chip {path.name}: was not written whole; is the disk full?")


def _profile(grid: Grid) -> dict[str, Any]:
    return {
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "transform": grid.transform,
        "compress": "deflate",
        "interleave": "band",
    }


def _safe(name: str) -> str:
    """A scene's name made harmless for a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]


def _footprint(grid: Grid) -> Polygon:
    corners = ((0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0))
    return Polygon([grid.transform @ corner for corner in corners])


def _frame(rows: list[dict[str, Any]], sources: list[tuple[Scene, Labels]]) -> gpd.GeoDataFrame:
    """The index; in the scenes' CRS when they share one, else in longitude and latitude."""
    if not rows:
        raise ChipError(
            f"{sources[0][0].name}: no chip has enough labelled and valid pixels; lower --min-labelled or label more"
        )
    crss = {scene.grid.crs for scene, _ in sources}
    frame = gpd.GeoDataFrame(rows, geometry="geometry")
    if len(crss) == 1:
        crs = crss.pop()
        return frame.set_crs(crs.to_wkt()) if crs else frame
    if None in crss:
        raise ChipError("some scenes have a CRS and others have none; assign the missing ones first")
    geographic = frame.geometry.copy()
    for number, (scene, _) in enumerate(sources):
        own = frame["scene"] == number
        geographic[own] = frame.geometry[own].set_crs(scene.grid.crs).to_crs("EPSG:4326")
    return frame.set_geometry(geographic.set_crs("EPSG:4326", allow_override=True))


def _refuse_poor(frame: gpd.GeoDataFrame, wanted: list[str], sources: list[tuple[Scene, Labels]]) -> None:
    for name in wanted:
        if not (frame["split"] == name).any():
            raise ChipError(
                f"{sources[0][1].path}: no {name} chip has labels on valid pixels of its own ground; label more "
                f"places, give {name} no share with --split, or use scenes that overlap less"
            )


def _missing_classes(frame: gpd.GeoDataFrame, legend: Legend, wanted: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (split, name)
        for split in wanted
        for name, column in zip(legend.names, count_columns(legend), strict=True)
        if not frame.loc[frame["split"] == split, column].any()
    )


def open_pairs(
    scenes: str | Path | Sequence[str | Path],
    labels: Path,
    class_field: str | None,
    legend: str | Path | Legend | None,
    bands: tuple[str, ...] | None,
    nodata: float | None,
) -> list[tuple[Scene, Labels]]:
    """Open each scene with its labels; one legend and one set of bands for all."""
    chosen = legend if isinstance(legend, Legend) or legend is None else read_legend(Path(legend))
    paths = list(_scene_paths(scenes))
    if not paths:
        raise OptionError("there is no scene; name at least one")
    opened = [open_scene(path, bands=bands, nodata=nodata) for path in paths]
    _require_alike(opened, by_number=bands is not None and all(band.isdecimal() for band in bands))
    if not labels.is_dir():
        own = open_labels(labels, field=class_field, legend=chosen)
        return [(scene, own) for scene in opened]
    files = [_partner(labels, Path(path)) for path in paths]
    found = [open_labels(path, field=class_field, legend=chosen) for path in files]
    if chosen is None:
        shared = merged_legend(found)
        found = [open_labels(path, field=class_field, legend=shared) for path in files]
    return list(zip(opened, found, strict=True))


def _require_alike(scenes: list[Scene], *, by_number: bool) -> None:
    """Refuse scenes of different bands; warn of those that differ in other ways."""
    first = scenes[0]
    for scene in scenes:
        warn_of_no_crs(scene)
        same = [band.casefold() for band in scene.bands] == [band.casefold() for band in first.bands]
        if not same and not (by_number and len(scene.bands) == len(first.bands)):
            raise BandMismatchError(
                f"{scene.name} has the bands {', '.join(scene.bands)} and {first.name} has "
                f"{', '.join(first.bands)}; choose the bands they share by number with --bands"
            )
        ours, theirs = first.grid.ground_sample_distance, scene.grid.ground_sample_distance
        if ours and theirs and not 0.8 <= theirs / ours <= 1.25:
            logger.warning("%s has pixels of %.3g m and %s of %.3g m", scene.name, theirs, first.name, ours)
        if scene.dtype != first.dtype:
            logger.warning("%s holds %s values and %s %s", scene.name, scene.dtype, first.name, first.dtype)


def _scene_paths(scenes: str | Path | Sequence[str | Path]) -> Iterator[str | Path]:
    """The scenes given, with folders replaced by the rasters in them."""
    for path in [scenes] if isinstance(scenes, str | Path) else scenes:
        if not Path(path).is_dir():
            yield path
            continue
        inside = sorted(entry for entry in Path(path).iterdir() if entry.suffix.lower() in SCENE_SUFFIXES)
        if not inside:
            raise ChipError(f"{path}: holds no scene (.tif, .tiff, .jp2 or .vrt)")
        yield from inside


def _partner(folder: Path, scene: Path) -> Path:
    """The label file of a scene: the raster or vector file in the folder that has its name."""
    files = sorted(f for f in folder.iterdir() if f.stem == scene.stem and f.suffix.lower() in LABEL_SUFFIXES)
    if len(files) != 1:
        found = "no label file" if not files else f"{len(files)} label files"
        raise LabelError(f"{folder}: has {found} for the scene {scene}; it needs one named {scene.stem}.tif or .gpkg")
    return files[0]
