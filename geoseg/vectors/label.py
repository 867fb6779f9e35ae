"""Number the faces of a band: the 4-connected areas of one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE
from geoseg.vectors.compiled import compiled

Int32s = npt.NDArray[np.int32]

OUTSIDE = np.int32(-1)
"""Label of nodata and of what lies beyond the raster."""


@compiled
def label_faces(classes: npt.NDArray[np.uint8], labels: Int32s, opened: int) -> tuple[Int32s, npt.NDArray[np.uint8]]:
    """Number the faces of a band, and join those that were open above it.

    Args:
        classes: (rows + 1, cols + 2) class indices; row 0 is the last row of the band above, the outermost columns are
            `IGNORE`.
        labels: same shape; row 0 holds the labels 0 to opened - 1 of the faces above, the rest is written here.
            `OUTSIDE` wherever the class is `IGNORE`.
        opened: how many faces were open above.

    Returns:
        (opened,) the new label of each open face, and (faces,) the class index of each new label. Labels are dense and
        row 0 is renumbered too.
    """
    parent = np.empty(opened + labels.size, np.int32)
    for label in range(opened):
        parent[label] = label
    count = _first_pass(classes, labels, parent, opened)
    faces = _number_roots(parent, count)
    class_of = np.empty(faces, np.uint8)
    for row in range(labels.shape[0]):
        for col in range(1, labels.shape[1] - 1):
            if labels[row, col] >= 0:
                labels[row, col] = parent[labels[row, col]]
                class_of[labels[row, col]] = classes[row, col]
    return parent[:opened].copy(), class_of


@compiled
def _first_pass(classes: Any, labels: Any, parent: Any, opened: int) -> int:
    """Give each pixel the label of its left or upper neighbour of the same class, else a new one."""
    count = opened
    for row in range(1, classes.shape[0]):
        for col in range(1, classes.shape[1] - 1):
            value = classes[row, col]
            if value == IGNORE:
                continue
            up, left = classes[row - 1, col] == value, classes[row, col - 1] == value
            if left:
                labels[row, col] = labels[row, col - 1]
                # With the same class diagonally between them, the two are joined already.
                if up and classes[row - 1, col - 1] != value:
                    _join(parent, labels[row - 1, col], labels[row, col - 1])
            elif up:
                labels[row, col] = labels[row - 1, col]
            else:
                labels[row, col] = count
                parent[count] = count
                count += 1
    return count


@compiled
def _root(parent: Any, label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled
def _join(parent: Any, one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    # The smaller label becomes the root, so that every label comes after its root.
    parent[max(one, other)] = min(one, other)


@compiled
def _number_roots(parent: Any, count: int) -> int:
    """Replace each label's parent by the dense number of its root."""
    faces = 0
    for label in range(count):
        if parent[label] == label:
            parent[label] = faces
            faces += 1
        else:
            # The parent comes earlier and holds its number already.
            parent[label] = parent[parent[label]]
    return faces
