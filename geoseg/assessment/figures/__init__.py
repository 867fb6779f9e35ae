"""Figures of an assessment, each a pure function of its data: good enough to print."""

from geoseg.assessment.figures.areas import areas_figure
from geoseg.assessment.figures.class_scores import bars_figure
from geoseg.assessment.figures.confusion_matrix import confusion_figure
from geoseg.assessment.figures.map_panels import AGREE, DIFFER, agreement, colored, maps_figure
from geoseg.assessment.figures.reliability import reliability_figure
from geoseg.assessment.figures.style import DPI, NAME_LENGTH, plain_name, png, short_count, svg
from geoseg.assessment.figures.training_curves import Curves, curves_figure, read_curves
from geoseg.assessment.figures.worst_places import spot_images, worst_figure

__all__ = [
    "AGREE",
    "DIFFER",
    "DPI",
    "NAME_LENGTH",
    "Curves",
    "agreement",
    "areas_figure",
    "bars_figure",
    "colored",
    "confusion_figure",
    "curves_figure",
    "maps_figure",
    "plain_name",
    "png",
    "read_curves",
    "reliability_figure",
    "short_count",
    "spot_images",
    "svg",
    "worst_figure",
]
