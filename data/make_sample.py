"""Make the sample data of geoseg: two invented scenes, their true classes, and labels as an analyst would draw them.

    python data/make_sample.py data/sample

Nothing in it was ever observed: rivers, fields, woods and towns are drawn by the functions below from a seed. Spectra
are round numbers in the range of a multispectral satellite. Classes share colours on purpose, so that a pixel alone
does not tell them apart and its surroundings do:

- forest is darker than shrubland by no more than the spread of either, and grained pixel by pixel where shrubland is
  in clumps;
- cropland is in straight parcels with rows, grassland in patches, with the same mix of green and dry, and bare parcels
  have the colour of roofs;
- built-up land is roofs, streets, lawns and trees side by side, and the class is the settlement, gardens included;
- a cloud's shadow darkens the land towards the colour of water.

Random numbers come from PCG64, fields are float64 and pixels are rounded to `QUANTUM`, so that another machine, whose
sine may differ in the last bit, makes the same pixels but for one here and there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize, shapes

Field = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.uint8]

LEGEND = (
    (1, "water", "#3b7dd8"),
    (2, "forest", "#1b7837"),
    (3, "shrubland", "#8c9a3f"),
    (4, "cropland", "#f2c14e"),
    (5, "grassland", "#a6d96a"),
    (6, "built-up", "#d7301f"),
)
WATER, FOREST, SHRUBLAND, CROPLAND, GRASSLAND, BUILT_UP = (id_ for id_, _, _ in LEGEND)
NODATA = 0

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
FINE = 4  # the first four bands are sensed at 10 m, the others at 20 m
CRS = "EPSG:32632"
PIXEL = 10.0  # metres

# Reflectance times 10000 in the order of BANDS.
CLEAR_WATER = (430, 500, 320, 210, 120, 80)
TURBID_WATER = (620, 860, 760, 480, 230, 150)
WOODS = (310, 540, 350, 2750, 1550, 740)
HERBS = ((470, 800, 560, 3150, 2150, 1150), (760, 1080, 1200, 2550, 2850, 1950), (1080, 1350, 1700, 2250, 3050, 2550))
ROOFS = ((1250, 1450, 2000, 2500, 2900, 2500), (1650, 1800, 1950, 2350, 2500, 2250), (800, 900, 1050, 1500, 1800, 1550))
STREET = (950, 1080, 1200, 1500, 1800, 1650)
CLOUD = (6300, 6400, 6500, 6900, 4300, 3300)

WOODS_GRAIN = (0.17, 0.17, 0.19, 0.15, 0.06, 0.06)  # relative spread of the texture of forest and of shrubland, by band
SHADE = 0.5  # how much darker forest is than its mean with shrubland, in spreads of that texture
HERBS_GRAIN = 0.3  # spread of the texture of cropland and of grassland, in steps of dryness
QUANTUM = 20  # digital numbers; less would only store noise

NOTICE = (
    "SYNTHETIC, made by data/make_sample.py of geoseg. Not an observation of any place: "
    "scores on it are not accuracy on land. CC0 1.0."
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one scene differ from another.

    Attributes:
        suffix: end of its file names.
        seed: of everything random.
        height, width: size in pixels, even.
        west, north: upper left corner, in metres of `CRS`.
        gain: factor on all reflectance, for the illumination.
        haze: digital numbers that the atmosphere adds in blue, less in the longer bands.
        swath: share of the lower edge that lies beyond the swath.
    """

    suffix: str
    seed: int
    height: int
    width: int
    west: float
    north: float
    gain: float
    haze: float
    swath: float

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def size(self) -> float:
        """Area, in units of the first scene's: how many lakes and towns there is room for."""
        return self.height * self.width / 450_000


def recipes(seed: int) -> tuple[Recipe, Recipe]:
    """The scene to train on, and a smaller one, elsewhere and under another sky, to test on."""
    return (
        Recipe("", seed, 646, 702, 561_240.0, 5_312_480.0, gain=1.0, haze=90.0, swath=0.16),
        Recipe("_2", seed + 1, 386, 418, 573_180.0, 5_301_060.0, gain=0.95, haze=150.0, swath=0.08),
    )


@dataclass(frozen=True, slots=True)
class Land:
    """The ground, before anything is between it and the sensor.

    Attributes:
        classes: class ids, (rows, columns).
        parcels: number of the field each pixel would lie in, whether it is farmed or not.
        reflectance: (bands, rows, columns), all at 10 m.
    """

    classes: Classes
    parcels: npt.NDArray[np.int64]
    reflectance: Field


@dataclass(frozen=True, slots=True)
class Scene:
    """What the sensor recorded, and what it should have seen.

    Attributes:
        fine: bands at 10 m, uint16, 0 beyond the swath.
        coarse: bands at 20 m, likewise.
        reference: true class ids at 10 m, 0 beyond the swath.
        parcels: as in `Land`.
        clear: pixels in the swath without cloud or its shadow.
    """

    fine: npt.NDArray[np.uint16]
    coarse: npt.NDArray[np.uint16]
    reference: Classes
    parcels: npt.NDArray[np.int64]
    clear: Mask

    @property
    def stacked(self) -> npt.NDArray[np.uint16]:
        """All bands at 10 m, the coarse ones with each pixel repeated."""
        return np.concatenate([self.fine, np.repeat(np.repeat(self.coarse, 2, axis=1), 2, axis=2)])


def stream(seed: int, what: str) -> np.random.Generator:
    """Random numbers for one purpose: to draw more for one thing leaves the others as they are."""
    return np.random.Generator(np.random.PCG64([seed, *what.encode()]))


def blur(field: Field, radius: int) -> Field:
    """Three box means of 2 `radius` + 1 pixels, near to a Gaussian; edges are mirrored. Works on the last two axes."""
    for axis in (-1, -2) * 3:
        pad = [(0, 0)] * field.ndim
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(field, pad, mode="symmetric"), axis=axis)
        length = 2 * radius + 1
        upper = np.take(total, np.arange(length, total.shape[axis]), axis=axis)
        lower = np.take(total, np.arange(total.shape[axis] - length), axis=axis)
        field = (upper - lower) / length
    return field


def waves(rng: np.random.Generator, shape: tuple[int, int], radius: int) -> Field:
    """A random field of mean 0 and spread 1 whose hills are about 2 `radius` pixels wide."""
    margin = 2 * radius
    white = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin))
    field = blur(white, radius)[margin : margin + shape[0], margin : margin + shape[1]]
    return (field - field.mean()) / field.std()


def rotated(rows: Field, cols: Field, angle: float) -> tuple[Field, Field]:
    """Coordinates along and across a direction, in pixels."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cols * cos + rows * sin, rows * cos - cols * sin


def pixel_grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Row and column of each pixel."""
    rows, cols = np.indices(shape).astype(np.float64)
    return rows, cols


def lay_parcels(recipe: Recipe) -> tuple[npt.NDArray[np.int64], Field, Mask]:
    """Divide the land in fields: districts with a direction each, strips in them, and cuts across the strips.

    Returns:
        The number of each pixel's parcel, its rows as a wave of spread 1, and the tracks along some of the strips.
    """
    rng = stream(recipe.seed, "parcels")
    rows, cols = pixel_grid(recipe.shape)
    count = max(3, round(9 * recipe.size))
    centers = rng.random((count, 2)) * recipe.shape
    warp = 12.0 * waves(rng, recipe.shape, 25)
    distance = [(rows - row + warp) ** 2 + (cols - col - warp) ** 2 for row, col in centers]
    district = np.argmin(distance, axis=0)

    parcels = np.zeros(recipe.shape, np.int64)
    furrows = np.zeros(recipe.shape)
    tracks = np.zeros(recipe.shape, bool)
    for number in range(count):
        inside = district == number
        along, across = rotated(rows[inside], cols[inside], rng.uniform(0, np.pi))
        borders = across.min() + np.cumsum(rng.uniform(11, 27, 120))
        strip = np.searchsorted(borders, across)
        shift, length = rng.uniform(0, 60, 121)[strip], rng.uniform(26, 62, 121)[strip]
        cell = np.floor((along - along.min() + shift) / length).astype(np.int64)
        parcels[inside] = (number * 200 + strip) * 100 + cell
        period = rng.uniform(3.4, 4.8, 121)[strip]
        phase = np.mod(across / period, 1.0)
        furrows[inside] = (np.abs(2 * phase - 1) * 2 - 1) * np.sqrt(3.0)  # a triangle wave has a spread of 1 / sqrt(3)
        nearest = np.abs(across - borders[np.minimum(strip, 119)])
        tracks[inside] = (nearest < 0.7) & (strip % 3 == 0)
    return parcels, furrows, tracks


def of_parcels(parcels: npt.NDArray[np.int64], rng: np.random.Generator, mean_of: Field) -> tuple[Field, Field]:
    """For each pixel, the mean of a field over its parcel, and a number from 0 to 1 drawn for the parcel."""
    _, number = np.unique(parcels, return_inverse=True)
    number = number.reshape(parcels.shape)
    mean = np.bincount(number.ravel(), mean_of.ravel()) / np.bincount(number.ravel())
    return mean[number], rng.random(len(mean))[number]


def follow_river(
    rng: np.random.Generator, start: tuple[float, float], heading: float, steps: int, bend: int
) -> Iterator[tuple[float, float, float]]:
    """A winding line of one-pixel steps: row, column and a width wave of spread 1 at each."""
    swing = waves(rng, (1, steps), bend)[0]
    width = waves(rng, (1, steps), 3 * bend)[0]
    angle = heading + 0.85 * swing
    rows = start[0] + np.cumsum(np.sin(angle))
    cols = start[1] + np.cumsum(np.cos(angle))
    yield from zip(rows.tolist(), cols.tolist(), width.tolist(), strict=True)


def stamp(mask: Mask, row: float, col: float, radius: float) -> None:
    """Set the pixels whose centre lies within `radius` of a point; the point may be outside."""
    reach = int(radius) + 1
    top, left = max(int(row) - reach, 0), max(int(col) - reach, 0)
    part = mask[top : max(int(row) + reach + 2, 0), left : max(int(col) + reach + 2, 0)]
    if part.size:
        rows, cols = pixel_grid((part.shape[0], part.shape[1]))
        part |= (rows + top - row) ** 2 + (cols + left - col) ** 2 <= radius**2


def fill_water(recipe: Recipe) -> Mask:
    """A river from the upper edge down, a stream that may reach it, a lake and ponds."""
    rng = stream(recipe.seed, "water")
    height, width = recipe.shape
    water = np.zeros(recipe.shape, bool)
    for row, col, wave in follow_river(rng, (-6.0, 0.3 * width), 1.15, 3 * height, 14):
        stamp(water, row, col, 4.2 + 0.9 * wave)
    brook = np.zeros(recipe.shape, bool)
    for row, col, wave in follow_river(rng, (0.62 * height, width + 4.0), 3.05, 3 * width, 9):
        inside = 0 <= row < height and 0 <= col < width
        if inside and water[int(row), int(col)]:
            break
        stamp(brook, row, col, 1.7 + 0.25 * wave)
    water |= brook

    rows, cols = pixel_grid(recipe.shape)
    shore = waves(rng, recipe.shape, 9)
    spots = [(0.22 * height, 0.72 * width, 34.0 * np.sqrt(recipe.size))]
    spots += [(*(rng.random(2) * recipe.shape), rng.uniform(4, 8)) for _ in range(round(22 * recipe.size))]
    for row, col, radius in spots:
        distance = np.sqrt((rows - row) ** 2 + ((cols - col) / 1.4) ** 2)
        water |= distance < radius * (1 + 0.22 * shore)
    return water


def found_towns(recipe: Recipe, water: Mask) -> tuple[Mask, Mask, Mask]:
    """Settlements and the roads between them.

    Returns:
        The settled land, the roads, and the centres, which are built more densely.
    """
    rng = stream(recipe.seed, "towns")
    rows, cols = pixel_grid(recipe.shape)
    edge = waves(rng, recipe.shape, 8)
    count = max(4, round(12 * recipe.size))
    places: list[tuple[float, float]] = []
    while len(places) < count:
        row, col = (0.06 + 0.88 * rng.random(2)) * recipe.shape
        free = all((row - r) ** 2 + (col - c) ** 2 > 105**2 for r, c in places)
        if not water[int(row), int(col)] and (free or rng.random() < 0.002):
            places.append((row, col))

    settled = np.zeros(recipe.shape, bool)
    centers = np.zeros(recipe.shape, bool)
    for number, (row, col) in enumerate(places):
        radius = rng.uniform(15, 25) + (24 * np.sqrt(recipe.size) if number == 0 else 0)
        distance = np.sqrt((rows - row) ** 2 + (cols - col) ** 2)
        settled |= distance < radius * (1 + 0.25 * edge)
        centers |= distance < 0.35 * radius

    roads = np.zeros(recipe.shape, bool)
    for number, place in enumerate(places[1:], start=1):
        target = min(places[:number], key=lambda other: (other[0] - place[0]) ** 2 + (other[1] - place[1]) ** 2)
        sway = rng.uniform(-14, 14)
        for step in np.linspace(0, 1, 600):
            bulge = sway * 4 * step * (1 - step)
            stamp(
                roads,
                place[0] + step * (target[0] - place[0]) + bulge,
                place[1] + step * (target[1] - place[1]) - bulge,
                1.5,
            )
    return settled & ~water, roads & ~settled, centers & ~water


def paint_settlements(recipe: Recipe, centers: Mask) -> Field:
    """Roofs, streets, lawns and trees, as if the whole scene were built up: (bands, rows, columns)."""
    rng = stream(recipe.seed, "settlements")
    along, across = rotated(*pixel_grid(recipe.shape), 0.45)
    along, across = along - along.min(), across - across.min()
    lot = (along // 3.2).astype(np.int64), (across // 2.6).astype(np.int64)
    size = lot[0].max() + 1, lot[1].max() + 1
    dice = rng.random(size)[lot]
    shade = 1 + 0.16 * rng.standard_normal(size)[lot]
    kind = rng.integers(0, len(ROOFS), (size[0] // 4 + 1, size[1] // 4 + 1))[lot[0] // 4, lot[1] // 4]

    colors = np.array([*ROOFS, STREET, HERBS[0], WOODS], np.float64)
    roofs = np.where(centers, 0.72, 0.44)
    surface = np.where(dice < roofs, kind, np.where(dice < roofs + 0.6 * (1 - roofs), 4, 5))
    streets = (np.mod(along, 3.2 * 5) < 1.5) | (np.mod(across, 2.6 * 4) < 1.5)
    surface[streets] = 3
    return np.moveaxis(colors[surface] * np.where(streets, 1.0, shade)[..., None], -1, 0)


def mix(first: tuple[int, ...], second: tuple[int, ...], share: Field) -> Field:
    """Spectra between two, (bands, rows, columns)."""
    start, end = (np.array(spectrum, np.float64)[:, None, None] for spectrum in (first, second))
    return start + (end - start) * share


def paint_herbs(dryness: Field) -> Field:
    """Green at dryness 0, dry at 1, bare soil at 2: (bands, rows, columns)."""
    dryness = np.clip(dryness, 0.0, 2.0)
    green, dry, bare = HERBS
    return np.where(dryness < 1, mix(green, dry, dryness), mix(dry, bare, dryness - 1))


def make_land(recipe: Recipe) -> Land:
    """Classes first, from the wild to the built; then a colour for each pixel."""
    rng = stream(recipe.seed, "land")
    shape = recipe.shape
    parcels, furrows, tracks = lay_parcels(recipe)
    water = fill_water(recipe)
    settled, roads, centers = found_towns(recipe, water)

    wild = waves(rng, shape, 17) + 0.45 * waves(rng, shape, 5)
    tall = waves(rng, shape, 15)
    fertile, chance = of_parcels(parcels, rng, waves(rng, shape, 22))
    farmed = (fertile > -0.25) & (chance < 0.92)
    classes = np.where(farmed, CROPLAND, GRASSLAND).astype(np.uint8)
    woods = wild > 0.32
    classes[woods & (tall > -0.1)] = FOREST
    classes[woods & (tall <= -0.1)] = SHRUBLAND
    classes[roads | settled] = BUILT_UP
    classes[water] = WATER

    # Cropland in thirds, nearly: green, dry and bare; grassland from green to dry.
    _, crop = of_parcels(parcels, rng, fertile)
    sown = np.where(crop < 0.45, 0.1 + 1.2 * crop, np.where(crop < 0.75, 0.5 + 0.8 * crop, 0.2 + 1.8 * crop))
    meadow = 0.5 + 0.28 * waves(rng, shape, 12)
    patches = as_seen(waves(rng, shape, 2))
    dryness = np.where(farmed, sown + HERBS_GRAIN * as_seen(furrows), meadow + HERBS_GRAIN * patches)
    dryness[tracks & farmed] = 1.7

    trees, bushes = as_seen(waves(rng, shape, 0)), as_seen(waves(rng, shape, 1) + waves(rng, shape, 2))
    grain = np.where(classes == FOREST, trees - SHADE, bushes + SHADE)
    stand = np.clip(0.12 + 0.1 * waves(rng, shape, 14), 0.0, 0.5)
    woody = mix(WOODS, HERBS[0], stand) * (1 + np.array(WOODS_GRAIN)[:, None, None] * grain)
    wet = mix(CLEAR_WATER, TURBID_WATER, np.clip(0.45 + 0.35 * waves(rng, shape, 20), 0.0, 1.0))
    built = paint_settlements(recipe, centers)
    built[:, roads] = np.array(STREET, np.float64)[:, None]

    reflectance = paint_herbs(dryness)
    for ids, colors in (((FOREST, SHRUBLAND), woody), ((BUILT_UP,), built), ((WATER,), wet)):
        reflectance = np.where(np.isin(classes, ids), colors, reflectance)
    return Land(classes, parcels, np.clip(reflectance, 40.0, None))


def spread(reflectance: Field) -> Field:
    """The optics' blur: each pixel takes a tenth of its light from either side, along rows and along columns."""
    for axis in (-1, -2):
        pad = [(0, 0)] * reflectance.ndim
        pad[axis] = (1, 1)
        padded = np.pad(reflectance, pad, mode="edge")
        length = reflectance.shape[axis]
        before, after = (np.take(padded, np.arange(start, start + length), axis=axis) for start in (0, 2))
        reflectance = 0.8 * reflectance + 0.1 * (before + after)
    return reflectance


def as_seen(field: Field) -> Field:
    """A texture scaled so that its spread is 1 behind the optics, whether it is fine or coarse."""
    return field / spread(field).std()


def cloud_cover(recipe: Recipe) -> tuple[Field, Field]:
    """Opacity of clouds and of their shadows, 0 to 1."""
    rng = stream(recipe.seed, "clouds")
    height, width = recipe.shape
    rows, cols = pixel_grid(recipe.shape)
    billows = waves(rng, recipe.shape, 7) + 0.5 * waves(rng, recipe.shape, 2)
    opacity = np.zeros(recipe.shape)
    for row, col, radius in ((0.82, 0.16, 19.0), (0.48, 0.86, 13.0))[: 2 if recipe.size > 0.6 else 1]:
        distance = np.sqrt((rows - row * height) ** 2 + ((cols - col * width) / 1.3) ** 2) / radius
        opacity = np.maximum(opacity, np.clip(2.2 * (1 - distance + 0.22 * billows), 0.0, 1.0))
    shadow = np.zeros(recipe.shape)
    shadow[:-24, :-15] = opacity[24:, 15:]  # the sun stands in the south-east
    return opacity, shadow


def observe(recipe: Recipe) -> Scene:
    """The land under light, haze, clouds and noise, on two grids, as far as the swath reaches."""
    land = make_land(recipe)
    rng = stream(recipe.seed, "sensor")
    height, width = recipe.shape
    rows, cols = pixel_grid(recipe.shape)
    relief = waves(rng, recipe.shape, 20)
    slope = blur(relief - np.roll(relief, (3, 3), (0, 1)), 3)
    light = recipe.gain * (1.05 - 0.06 * rows / height - 0.05 * cols / width) * (1 + 0.05 * slope / slope.std())
    opacity, shadow = cloud_cover(recipe)

    radiance = spread(land.reflectance) * light * (1 - 0.62 * shadow * (1 - opacity))
    radiance += recipe.haze * np.array([1.0, 0.7, 0.45, 0.2, 0.08, 0.04])[:, None, None]
    radiance += (np.array(CLOUD, np.float64)[:, None, None] - radiance) * opacity

    coarse = radiance[FINE:].reshape(-1, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    beyond = coarse_beyond(recipe)
    fine = digitise(radiance[:FINE], rng, np.repeat(np.repeat(beyond, 2, axis=0), 2, axis=1))
    outside = fine[0] == NODATA
    reference = np.where(outside, NODATA, land.classes).astype(np.uint8)
    return Scene(
        fine, digitise(coarse, rng, beyond), reference, land.parcels, ~outside & (opacity < 0.02) & (shadow < 0.02)
    )


def coarse_beyond(recipe: Recipe) -> Mask:
    """Pixels of 20 m beyond the slanted eastern edge of the swath."""
    rows, cols = pixel_grid((recipe.height // 2, recipe.width // 2))
    return 2 * cols + 0.22 * 2 * rows > recipe.width * (1 - recipe.swath) + 0.22 * recipe.height


def digitise(radiance: Field, rng: np.random.Generator, beyond: Mask) -> npt.NDArray[np.uint16]:
    """Add noise and round to `QUANTUM`; 0 stands for what is beyond the swath only."""
    noisy = radiance + rng.standard_normal(radiance.shape) * (14.0 + 0.012 * radiance)
    numbers = np.clip(np.rint(noisy / QUANTUM) * QUANTUM, QUANTUM, 10_000).astype(np.uint16)
    numbers[:, beyond] = NODATA
    return numbers


QUOTA = {BUILT_UP: 24, WATER: 20, FOREST: 24, SHRUBLAND: 24, CROPLAND: 34, GRASSLAND: 24}
"""Polygons to draw of each class, where there is room."""

MISTAKES = {FOREST: SHRUBLAND, SHRUBLAND: FOREST, GRASSLAND: CROPLAND, CROPLAND: GRASSLAND}
"""What an analyst takes one class for, in one polygon each."""


def draw_labels(scene: Scene, seed: int) -> tuple[list[shapely.Polygon], list[int]]:
    """Polygons in pixel coordinates and their class ids, drawn all over the scene, with an analyst's small faults.

    Some begin beside another, as one who draws a border on the screen does both sides of it. A few polygons have the
    wrong class and some lie a pixel off.
    """
    rng = stream(seed, "labels")
    # An analyst draws one field, not the whole plain.
    things = np.where(scene.reference == CROPLAND, scene.parcels + len(LEGEND) + 1, scene.reference)
    things[~scene.clear] = -1
    free = scene.clear.copy()
    polygons: list[shapely.Polygon] = []
    ids: list[int] = []
    for class_id, quota in QUOTA.items():
        mine = (scene.reference == class_id) & scene.clear
        core = mine & (blur(mine.astype(np.float64), 1) > (0.55 if class_id in (WATER, BUILT_UP) else 0.8))
        beside = core & (blur((~free & scene.clear).astype(np.float64), 3) > 0.02)
        drawn = 0
        for row, col in chain(islice(scattered(beside, rng), quota // 2), scattered(core, rng)):
            if drawn == quota:
                break
            polygon = outline(things, row, col, rng)
            if polygon is None or not claim(free, polygon):
                continue
            if drawn % 6 == 5:
                polygon = shapely.transform(polygon, lambda xy: xy + rng.integers(-1, 2, 2))
            polygons.append(polygon)
            ids.append(MISTAKES.get(class_id, class_id) if drawn == 3 else class_id)
            drawn += 1
    return polygons, ids


def scattered(mask: Mask, rng: np.random.Generator, cell: int = 46) -> Iterator[tuple[int, int]]:
    """Pixels of a mask, one in each square of `cell` pixels that has any, three times over, in random order."""
    corners = [(row, col) for row in range(0, mask.shape[0], cell) for col in range(0, mask.shape[1], cell)]
    for _ in range(3):
        for number in rng.permutation(len(corners)):
            top, left = corners[number]
            rows, cols = np.nonzero(mask[top : top + cell, left : left + cell])
            if len(rows):
                pick = rng.integers(len(rows))
                yield top + int(rows[pick]), left + int(cols[pick])


def outline(things: npt.NDArray[np.int64], row: int, col: int, rng: np.random.Generator) -> shapely.Polygon | None:
    """A sloppy polygon in the thing at a pixel, or None where it is too small to draw."""
    reach = 24
    top, left = max(row - reach, 0), max(col - reach, 0)
    part = things[top : row + reach, left : col + reach]
    corners = int(rng.integers(6, 10))
    turn = (np.arange(corners) + rng.uniform(0.1, 0.9, corners)) * (2 * np.pi / corners)
    radius = rng.uniform(10, 22) * rng.uniform(0.75, 1.15, corners)
    loop = np.stack([col - left + 0.5 + radius * np.cos(turn), row - top + 0.5 + radius * np.sin(turn)], axis=-1)
    inside = rasterize([shapely.Polygon(loop)], part.shape, dtype="uint8").astype(bool)
    inside &= part == part[row - top, col - left]
    center = shapely.Point(col - left + 0.5, row - top + 0.5)
    pieces = (shapely.geometry.shape(piece) for piece, _ in shapes(inside.astype(np.uint8), mask=inside))
    piece = next((piece for piece in pieces if piece.contains(center)), None)
    if piece is None:
        return None
    clicks = shapely.Polygon(piece.exterior).simplify(1.4)
    points = np.asarray(clicks.exterior.coords)[:-1]
    polygon = shapely.Polygon(points + rng.uniform(-0.6, 0.6, points.shape) + (left, top))
    return polygon if polygon.is_valid and polygon.area >= 45 else None


def claim(free: Mask, polygon: shapely.Polygon) -> bool:
    """Take a polygon's pixels unless another has some of those well inside it, for borders are drawn twice."""
    heart = polygon.buffer(-1.5)
    pixels, inner = (
        rasterize([part], free.shape, dtype="uint8").astype(bool)
        for part in (polygon, polygon if heart.is_empty else heart)
    )
    if not free[inner].all():
        return False
    free[pixels] = False
    return True


def transform_of(recipe: Recipe, pixel: float = PIXEL) -> Affine:
    """Pixel to map coordinates."""
    return Affine(pixel, 0.0, recipe.west, 0.0, -pixel, recipe.north)


def label_table(scene: Scene, recipe: Recipe) -> geopandas.GeoDataFrame:
    """The labels as a table in longitude and latitude, rounded to 7 decimals (a centimetre)."""
    polygons, ids = draw_labels(scene, recipe.seed)
    names = {id_: name for id_, name, _ in LEGEND}
    table = geopandas.GeoDataFrame(
        {"class": [names[id_] for id_ in ids], "class_id": ids},
        geometry=shapely.transform(polygons, lambda xy: xy * (PIXEL, -PIXEL) + (recipe.west, recipe.north)),
        crs=CRS,
    ).to_crs("EPSG:4326")
    return table.set_geometry(shapely.transform(table.geometry.to_numpy(), lambda xy: np.round(xy, 7)), crs=table.crs)


def write_raster(path: Path, pixels: npt.NDArray[Any], transform: Affine, names: tuple[str, ...], **tags: str) -> None:
    """Write a tiled GeoTIFF that says it is synthetic."""
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype.name,
        "crs": CRS, "transform": transform, "nodata": NODATA,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band",
        "compress": "deflate", "zlevel": 9, "predictor": 2 if pixels.dtype == np.uint16 else 1,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.update_tags(SYNTHETIC="YES", TIFFTAG_IMAGEDESCRIPTION=NOTICE, TIFFTAG_COPYRIGHT="CC0 1.0", **tags)
        dataset.write(pixels)
        for number, name in enumerate(names, start=1):
            dataset.set_band_description(number, name)
        if names == ("class",):
            dataset.write_colormap(1, {NODATA: (0, 0, 0, 0)} | {id_: rgba(color) for id_, _, color in LEGEND})


def rgba(color: str) -> tuple[int, int, int, int]:
    """'#rrggbb' as red, green, blue and full opacity."""
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue, 255


def write_scene(folder: Path, scene: Scene, recipe: Recipe) -> None:
    """Write the stacked scene and the reference."""
    transform = transform_of(recipe)
    write_raster(folder / f"synthetic_scene{recipe.suffix}.tif", scene.stacked, transform, BANDS)
    legend = json.dumps([{"id": id_, "name": name, "color": color} for id_, name, color in LEGEND])
    path = folder / f"synthetic_reference{recipe.suffix}.tif"
    write_raster(path, scene.reference[None], transform, ("class",), GEOSEG_LEGEND=legend)


def write_labels(path: Path, table: geopandas.GeoDataFrame) -> None:
    """Write the labels as a GeoPackage without today's date, so that the file changes only when they do."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    path.unlink(missing_ok=True)
    try:
        table.to_file(path, driver="GPKG", layer="labels", layer_metadata={"SYNTHETIC": "YES", "DESCRIPTION": NOTICE})
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def write_legend(path: Path) -> None:
    """Write the classes' ids, names and colours."""
    entries = (f'[[class]]\nid = {id_}\nname = "{name}"\ncolor = "{color}"\n' for id_, name, color in LEGEND)
    path.write_text("# Classes of the synthetic sample scenes.\n\n" + "\n".join(entries), encoding="utf-8")


def make_sample(folder: Path, seed: int) -> None:
    """Write all files of the sample."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = recipes(seed)
    scene = observe(first)
    write_scene(folder, scene, first)
    write_raster(folder / "synthetic_bands_10m.tif", scene.fine, transform_of(first), BANDS[:FINE])
    write_raster(folder / "synthetic_bands_20m.tif", scene.coarse, transform_of(first, 2 * PIXEL), BANDS[FINE:])
    write_labels(folder / "synthetic_labels.gpkg", label_table(scene, first))
    write_scene(folder, observe(second), second)
    write_legend(folder / "legend.toml")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the synthetic sample data of geoseg.")
    parser.add_argument("folder", type=Path, help="where to write it, for example data/sample")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed makes another land (default: %(default)s)")
    arguments = parser.parse_args()
    make_sample(arguments.folder, arguments.seed)


SEED = 7
"""Seed of the committed sample."""

if __name__ == "__main__":
    main()
