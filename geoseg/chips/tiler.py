"""Cut scenes and labels into chips: overlapping, georeferenced, and honest about what is training and what is test."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window
from shapely.geometry import Polygon

from geoseg import progress
from geoseg.chips.index import check_leaks, count_columns, write_index
from geoseg.chips.layout import ChipPlan, count_cells, plan_chips
from geoseg.chips.split import SPLITS, Shares, chip_windows
from geoseg.errors import BandMismatchError, ChipError, LabelError, OutputError
from geoseg.grid import Grid
from geoseg.labels import Labels, open_labels
from geoseg.legend import IGNORE, Legend, read_legend
from geoseg.output import new_output, refuse_existing
from geoseg.raster import GDAL_ERRORS, first_line, gdal_settings, open_raster
from geoseg.readers import open_scene
from geoseg.scene import Scene
from geoseg.statistics import BandStatistics, PixelSample

logger = logging.getLogger(__name__)


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
    split: tuple[float, float, float] = (0.7, 0.15, 0.15),
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
    shares = Shares(*split)
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
    sample = PixelSample(seed=options["seed"])
    rows: list[dict[str, Any]] = []
    cutter = ChipCutter(folder, legend, min_labelled, min_valid)
    for number, (scene, labels) in enumerate(sources):
        windows = list(
            chip_windows(plan.layouts[number], plan.splits[number], chip=plan.chip, overlap=plan.overlap, gap=plan.gap)
        )
        for split, window in progress.track(windows, f"Cutting {Path(scene.name).name}", len(windows), "chips"):
            chip = cutter.cut(scene, labels, window, number, SPLITS[split])
            if chip is not None:
                rows.append(chip.row)
                if SPLITS[split] == "train":
                    sample.add(chip.values, chip.valid)
    frame = _frame(rows, sources)
    wanted = [name for name, share in zip(SPLITS, options["split"], strict=True) if share > 0]
    _refuse_poor(frame, wanted, sources)
    check_leaks(frame, plan.gap, str(output))
    description = {
        "bands": list(sources[0][0].bands),
        "dtype": sources[0][0].dtype,
        "ground_sample_distance": sources[0][0].grid.ground_sample_distance,
        "legend": legend.to_dict(),
        "statistics": BandStatistics.of(sample.pixels()).to_dict(),
        "options": options,
    }
    write_index(folder, frame, description)
    missing = _missing_classes(frame, legend, wanted)
    for name, missed in missing:
        logger.warning("No %s label of class '%s'", {"train": "training", "val": "validation"}.get(name, name), missed)
    counts = {name: int((frame["split"] == name).sum()) for name in SPLITS}
    return TileResult(str(output), counts, plan.chip, plan.block, missing)


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip just cut: its pixels, and its row of the index."""

    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChipCutter:
    """Cuts chips out of scenes into a folder of GeoTIFFs, `images/` and `labels/`."""

    folder: Path
    legend: Legend
    min_labelled: float
    min_valid: float

    def cut(self, scene: Scene, labels: Labels, window: Window, number: int, split: str) -> Chip | None:
        """Cut one chip; None when it has too few labelled or valid pixels."""
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
        return Chip(values, valid, place | pixels | {"geometry": _footprint(grid)})

    @staticmethod
    def _is_enough(labelled: npt.NDArray[np.bool_], share: float) -> bool:
        return bool(labelled.any()) and float(labelled.mean()) >= share

    def _write_image(
        self, path: Path, scene: Scene, grid: Grid, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
    ) -> None:
        profile = _profile(grid) | {"count": len(values), "dtype": values.dtype, "photometric": "MINISBLACK"}
        path.parent.mkdir(exist_ok=True)
        with gdal_settings(), rasterio.open(path, "w", **profile) as dataset:
            # Without this GDAL takes the fourth of four bytes for alpha.
            dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (len(values) - 1)
            dataset.descriptions = scene.bands
            dataset.write(values)
            if not valid.all():
                dataset.write_mask(valid)
        _require_written(path, values)

    def _write_label(self, path: Path, grid: Grid, indices: npt.NDArray[np.uint8]) -> None:
        legend = self.legend
        profile = _profile(grid) | {"count": 1, "dtype": legend.dtype, "nodata": legend.nodata}
        path.parent.mkdir(exist_ok=True)
        with gdal_settings(), rasterio.open(path, "w", **profile) as dataset:
            dataset.write_colormap(1, legend.colormap())
            dataset.write(legend.decode(indices), 1)
        _require_written(path, legend.decode(indices)[None])


def _require_written(path: Path, values: npt.NDArray[Any]) -> None:
    """Read a chip back: GDAL does not always tell of a full disk."""
    with open_raster(path, error=OutputError) as dataset, gdal_settings():
        try:
            whole = np.array_equal(dataset.read(), values, equal_nan=values.dtype.kind == "f")
        except GDAL_ERRORS as error:
            raise OutputError(f"{path}: cannot be read back: {first_line(error)}; is the disk full?") from error
    if not whole:
        raise OutputError(f"{path}: was not written whole; is the disk full?")


def _profile(grid: Grid) -> dict[str, Any]:
    return {
        "driver": "GTiff",
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
                f"{sources[0][1].path}: no {name} chip has labels on valid pixels; label more places, or give {name} "
                "no share with --split"
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
    opened = [open_scene(path, bands=bands, nodata=nodata) for path in paths]
    for scene in opened[1:]:
        if scene.bands != opened[0].bands:
            raise BandMismatchError(
                f"{scene.name} has the bands {', '.join(scene.bands)} and {opened[0].name} has "
                f"{', '.join(opened[0].bands)}; name the bands they share with --bands"
            )
    if not labels.is_dir():
        own = open_labels(labels, field=class_field, legend=chosen)
        return [(scene, own) for scene in opened]
    files = [_partner(labels, Path(path)) for path in paths]
    found = [open_labels(path, field=class_field, legend=chosen) for path in files]
    if chosen is None:
        shared = _merged([labels.legend for labels in found])
        found = [open_labels(path, field=class_field, legend=shared) for path in files]
    return list(zip(opened, found, strict=True))


def _scene_paths(scenes: str | Path | Sequence[str | Path]) -> Iterator[str | Path]:
    """The scenes given, with folders replaced by the rasters in them."""
    for path in [scenes] if isinstance(scenes, str | Path) else scenes:
        if not Path(path).is_dir():
            yield path
            continue
        inside = sorted(
            entry for entry in Path(path).iterdir() if entry.suffix.lower() in {".tif", ".tiff", ".jp2", ".vrt"}
        )
        if not inside:
            raise ChipError(f"{path}: holds no scene (.tif, .tiff, .jp2 or .vrt)")
        yield from inside


def _partner(folder: Path, scene: Path) -> Path:
    """The label file of a scene: the one in the folder with its name, whatever the extension."""
    names = sorted(
        entry for entry in folder.iterdir() if entry.stem == scene.stem and not entry.name.endswith(".aux.xml")
    )
    if len(names) != 1:
        found = "no label file" if not names else f"{len(names)} label files"
        raise LabelError(f"{folder}: has {found} for the scene {scene}; it needs one named {scene.stem}.tif or .gpkg")
    return names[0]


def _merged(legends: list[Legend]) -> Legend:
    """One legend of all: the same ids must mean the same names."""
    return Legend.from_names(sorted({(item.id, item.name) for legend in legends for item in legend}))
