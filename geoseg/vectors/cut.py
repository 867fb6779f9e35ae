"""Cut faces with too many vertices, so that no polygon, and no memory, grows without end.

A face is cut by giving its pixels other codes: the bits above the code proper. The tracer then sees borders where there
were none, so that the pieces share their borders as any two faces do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.compiled import compiled
from geoseg.connected import Int32s
from geoseg.vectors.faces import Faces

CELL, ODD, ENDED = 1 << 28, 1 << 29, 1 << 30
PLAIN = CELL - 1
"""Greatest plain code."""


def bare(codes: Int32s) -> Int32s:
    """Codes without the marks of cuts; `NONE` stays what it is."""
    return np.where(codes < 0, codes, codes & PLAIN)


@compiled
def cut_cells(codes: Int32s, labels: Int32s, large: npt.NDArray[np.bool_], columns: int) -> None:
    """Cut large faces of a band from the band above and into cells of so many columns.

    Args:
        codes, labels: (rows + 1, cols + 2) as `label_faces` left them.
        large: (F,) the faces to cut.
        columns: width of a cell.
    """
    for row in range(1, codes.shape[0]):
        for col in range(1, codes.shape[1] - 1):
            face = labels[row, col]
            if face >= 0 and large[face]:
                odd = (col - 1) // columns % 2
                codes[row, col] = codes[row, col] & PLAIN | CELL | (ODD if odd else 0)


def cut_row(codes: Int32s, labels: Int32s, faces: Faces, limit: int) -> None:
    """Let faces end with the last row of a band: those cut to cells, and those with more vertices than the limit.

    They stay open, as their borders below belong to the next band, but no pixel there has their code.
    """
    ended = (faces.vertices > limit) | (faces.code & CELL != 0)
    # One more, which does not end, for `OUTSIDE`: a band of nothing but nodata has no faces at all.
    codes[-1][np.append(ended, False)[labels[-1]]] |= ENDED
