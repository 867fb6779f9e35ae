"""Fully convolutional networks: Shelhamer et al. 2017, Fully Convolutional Networks (arXiv:1605.06211)."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models import _vgg
from geoseg.models._blocks import Deconvolution, gaussian, initialise, scaled
from geoseg.models._encoders import Features, pooled_features
from geoseg.models._network import SegmentationNetwork

PAPER = "Shelhamer et al. 2017, arXiv:1605.06211"


def fcn(
    finest: int,
    in_channels: int,
    classes: int,
    *,
    encoder: str,
    width: int,
    kernel: int | None,
    dropout: float,
    learn_upsampling: bool,
) -> SegmentationNetwork:
    """Build an FCN whose finest scores have a stride of 32, 16 or 8.

    Args:
        finest: 32, 16 or 8.
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of a VGG, as in the paper, or of an smp encoder.
        width: channels of the first stage of a VGG; the two wide layers of a VGG have 64 times as many, 4096 in the
            paper, those of other encoders 8 times.
        kernel: side of the first wide layer; the paper's 7 for a VGG and 3 for others when None.
        dropout: share of features dropped in training after each wide layer.
        learn_upsampling: False keeps the upsampling bilinear, as the authors' trained networks do.

    Raises:
        OptionError: no such encoder, width or kernel.
    """
    name = f"fcn{finest}s"
    if kernel is not None and (kernel < 1 or kernel % 2 == 0):
        raise OptionError(f"{name} has kernel {kernel}; it must be odd and 1 or more")
    is_vgg = encoder in _vgg.NAMES
    features = pooled_features(name, encoder, in_channels, width)
    side = kernel or (7 if is_vgg else 3)
    wide = wide_layers(features.channels[-1], scaled(width, 4096 if is_vgg else 512), side, dropout)
    return SegmentationNetwork(_FCN(features, wide, classes, finest, learn_upsampling), stride=32)


def wide_layers(before: int, hidden: int, kernel: int, dropout: float) -> nn.Sequential:
    """The fully connected layers of VGG as convolutions; they keep the size."""
    wide = nn.Sequential(
        nn.Conv2d(before, hidden, kernel, padding=kernel // 2),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
    )
    initialise(wide)
    return wide


class _FCN(nn.Module):
    """Scores of stride 32, upsampled by 2 and added to those of the next finer map until `finest`, then to full size.

    All scores begin at zero (the paper, section 4.3), so an untrained network finds all classes equally likely.
    """

    def __init__(
        self, features: _vgg.VGG | Features, wide: nn.Sequential, classes: int, finest: int, learn: bool
    ) -> None:
        super().__init__()
        self.features = features
        self.wide = wide
        steps = {32: 0, 16: 1, 8: 2}[finest]
        before = [wide[3].out_channels, *features.channels[-2::-1][:steps]]
        self.scores = nn.ModuleList(_undecided(channels, classes) for channels in before)
        self.twice = nn.ModuleList(Deconvolution(classes, 2, learn=learn) for _ in range(steps))
        self.up = Deconvolution(classes, finest, learn=learn)

    def forward(self, image: Tensor) -> Tensor:
        *finer, deepest = self.features(image)
        scores = self.scores[0](self.wide(deepest))
        for twice, score in zip(self.twice, self.scores[1:], strict=True):
            scores = twice(scores) + score(finer.pop())
        logits: Tensor = self.up(scores)
        return logits


def _undecided(before: int, classes: int) -> nn.Conv2d:
    """A classifier that begins with equal scores."""
    classifier = nn.Conv2d(before, classes, 1)
    gaussian(classifier, 0.0)
    return classifier
