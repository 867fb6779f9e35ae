"""Figures of an assessment, each a pure function of its data: good enough to print."""

from geoseg.assessment.figures.class_scores import bars_figure
from geoseg.assessment.figures.confusion_matrix import confusion_figure
from geoseg.assessment.figures.map_panels import AGREE, DIFFER, agreement, colored, compared, maps_figure
from geoseg.assessment.figures.style import NAME_LENGTH, plain_name, png, short_count, svg
from geoseg.assessment.figures.training_curves import Curves, curves_figure, read_curves

__all__ = [
    "AGREE",
    "DIFFER",
    "NAME_LENGTH",
    "Curves",
    "agreement",
    "bars_figure",
    "colored",
    "compared",
    "confusion_figure",
    "curves_figure",
    "maps_figure",
    "plain_name",
    "png",
    "read_curves",
    "short_count",
    "svg",
]
