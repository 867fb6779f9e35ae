"""Number the faces of a band: the connected areas of one code, and count what lies in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled, inner

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NONE = np.int32(-1)
"""Code of a pixel without a class."""

OUTSIDE = np.int32(-1)
"""Label of nodata and of what lies beyond the raster."""


@compiled
def label_faces(codes: Int32s, labels: Int32s, opened: int, diagonal: bool) -> tuple[Int32s, Int32s]:
    """Number the faces of a band, and join those that were open above it.

    Args:
        codes: (rows + 1, cols + 2) codes; row 0 is the last row of the band above, the outermost columns are `NONE`.
        labels: same shape; row 0 holds the labels 0 to opened - 1 of the faces above, the rest is written here.
            `OUTSIDE` wherever the code is `NONE`.
        opened: how many faces were open above.
        diagonal: pixels that touch in a corner belong to one face too (8-connected).

    Returns:
        (opened,) the new label of each open face, and (faces,) the code of each new label. Labels are dense and row 0
        is renumbered too.
    """
    parent = np.empty(opened + labels.size, np.int32)
    for label in range(opened):
        parent[label] = label
    count = _first_pass(codes, labels, parent, opened, diagonal)
    faces = number_roots(parent, count)
    code_of = np.empty(faces, np.int32)
    for row in range(labels.shape[0]):
        for col in range(1, labels.shape[1] - 1):
            if labels[row, col] >= 0:
                labels[row, col] = parent[labels[row, col]]
                code_of[labels[row, col]] = codes[row, col]
    return parent[:opened].copy(), code_of


@inner
def _first_pass(codes: Any, labels: Any, parent: Any, opened: int, diagonal: bool) -> int:
    """Give each pixel the label of its left or upper neighbour of the same code, else a new one."""
    count = opened
    for row in range(1, codes.shape[0]):
        for col in range(1, codes.shape[1] - 1):
            value = codes[row, col]
            if value == NONE:
                continue
            up, left = codes[row - 1, col] == value, codes[row, col - 1] == value
            if left:
                labels[row, col] = labels[row, col - 1]
                # With the same code diagonally between them, the two are joined already.
                if up and codes[row - 1, col - 1] != value:
                    join(parent, labels[row - 1, col], labels[row, col - 1])
            elif up:
                labels[row, col] = labels[row - 1, col]
            else:
                labels[row, col] = count
                parent[count] = count
                count += 1
            if diagonal:
                if codes[row - 1, col - 1] == value:
                    join(parent, labels[row - 1, col - 1], labels[row, col])
                if codes[row - 1, col + 1] == value:
                    join(parent, labels[row - 1, col + 1], labels[row, col])
    return count


@inner
def root(parent: Any, label: int) -> int:
    """The root of a label in a forest of labels."""
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@inner
def join(parent: Any, one: int, other: int) -> None:
    """Unite two trees of a forest; the smaller label becomes the root, so that every label comes after its root."""
    one, other = root(parent, one), root(parent, other)
    parent[max(one, other)] = min(one, other)


@compiled
def number_roots(parent: Any, count: int) -> int:
    """Replace each label's parent by the dense number of its root; returns how many roots there are."""
    faces = 0
    for label in range(count):
        if parent[label] == label:
            parent[label] = faces
            faces += 1
        else:
            # The parent comes earlier and holds its number already.
            parent[label] = parent[parent[label]]
    return faces


@compiled
def tally_pixels(labels: Int32s, top: int, pixels: Int64s, first: Int64s) -> None:
    """Count the pixels of each face in the rows below row 0, and find the first of them.

    Args:
        labels: (rows + 1, cols + 2) as `label_faces` left them.
        top: row of the raster at which row 1 lies.
        pixels: (faces,) counts, added to.
        first: (faces,) the least number of a pixel, counted along the rows of the raster; lowered.
    """
    width = labels.shape[1] - 2
    for row in range(1, labels.shape[0]):
        start = (top + row - 1) * width - 1
        for col in range(1, width + 1):
            face = labels[row, col]
            if face >= 0:
                if pixels[face] == 0:
                    first[face] = min(first[face], start + col)
                pixels[face] += 1


@compiled
def tally_values(
    labels: Int32s, values: npt.NDArray[np.float32], counts: Int64s, totals: Floats, least: Floats
) -> None:
    """Count, add up and find the least of the values in each face; NaN is no value.

    Args:
        labels: (rows + 1, cols + 2) as `label_faces` left them.
        values: (rows, cols) below row 0 of `labels`; rows that `labels` has more are not looked at.
        counts, totals, least: (faces,) added to, added to, lowered.
    """
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            face, value = labels[row + 1, col + 1], float(values[row, col])
            if face >= 0 and value == value:
                counts[face] += 1
                totals[face] += value
                least[face] = min(least[face], value)
