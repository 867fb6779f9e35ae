"""Global convolutional network: Peng et al. 2017, Large Kernel Matters (arXiv:1703.02719)."""

from __future__ import annotations

from torch import Tensor, nn

from geoseg.errors import OptionError
from geoseg.models._about import About
from geoseg.models._blocks import Deconvolution, initialise
from geoseg.models._encoders import Features
from geoseg.models._network import SegmentationNetwork

ABOUT = About(
    title="GCN",
    paper="Peng et al. 2017, arXiv:1703.02719",
    summary="scores of each stride by very large separable kernels, refined at borders, upsampled and added",
    context="local",
    encoders="any",
)


def build(
    in_channels: int, classes: int, *, encoder: str = "resnet34", kernel: int = 15, channels: int | None = None
) -> SegmentationNetwork:
    """Build a GCN.

    Args:
        in_channels: number of bands.
        classes: number of classes.
        encoder: name of an smp encoder, or "tu-" and the name of a timm model; resnet152 in the paper.
        kernel: odd length of the large kernels, 3 or more. The paper's 15 spans 480 pixels at stride 32; of chips much
            smaller than that most of it sees padding.
        channels: of the score maps; the number of classes in the paper, at least 21 when None, as with few classes the
            network would be thin. Other than the classes they are brought to these by a 1x1 convolution at the end.

    Raises:
        OptionError: no such encoder, kernel or number of channels.
    """
    if kernel < 3 or kernel % 2 == 0:
        raise OptionError(f"gcn has kernel {kernel}; it must be odd and 3 or more")
    if channels is not None and channels < 1:
        raise OptionError(f"gcn has {channels} channels; it needs 1 or more")
    features = Features("gcn", encoder, in_channels)
    return SegmentationNetwork(_GCN(features, classes, kernel, channels or max(classes, 21)), stride=32)


class LargeKernel(nn.Module):
    """The sum of a k x 1 then 1 x k and of a 1 x k then k x 1 convolution, without a non-linearity between.

    Args:
        before: channels of the input.
        after: channels of the output.
        kernel: k, odd.
    """

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        column, row, half = (kernel, 1), (1, kernel), kernel // 2
        self.down_across = nn.Sequential(
            nn.Conv2d(before, after, column, padding=(half, 0)), nn.Conv2d(after, after, row, padding=(0, half))
        )
        self.across_down = nn.Sequential(
            nn.Conv2d(before, after, row, padding=(0, half)), nn.Conv2d(after, after, column, padding=(half, 0))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same size."""
        result: Tensor = self.down_across(x) + self.across_down(x)
        return result


class BoundaryRefinement(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        result: Tensor = x + self.refine(x)
        return result


class _GCN(nn.Module):
    def __init__(self, features: Features, classes: int, kernel: int, channels: int) -> None:
        super().__init__()
        self.features = features
        # Finest first: strides 4, 8, 16 and 32.
        self.score = nn.ModuleList(
            nn.Sequential(LargeKernel(before, channels, kernel), BoundaryRefinement(channels))
            for before in features.channels[1:]
        )
        # Strides 1, 2, 4, 8 and 16.
        self.twice = nn.ModuleList(Deconvolution(channels, 2) for _ in range(5))
        self.refine = nn.ModuleList(BoundaryRefinement(channels) for _ in range(5))
        self.classifier = nn.Identity() if channels == classes else nn.Conv2d(channels, classes, 1)
        for part in (self.score, self.refine, self.classifier):
            initialise(part)

    def forward(self, image: Tensor) -> Tensor:
        scores = [score(x) for score, x in zip(self.score, self.features(image)[1:], strict=True)]
        x = scores.pop()
        for level in (4, 3, 2, 1, 0):
            x = self.twice[level](x)
            x = self.refine[level](x + scores.pop() if scores else x)
        logits: Tensor = self.classifier(x)
        return logits
