"""What every architecture promises: logits of the input's size, for any size."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.grid import round_up


class SegmentationNetwork(nn.Module):
    """A network with the shape contract of geoseg.

    `forward` takes (N, C, H, W) for any H and W and returns logits (N, K, H, W). Inside, the input is padded by
    reflection on the right and below to what the body can take, and the output is cropped.

    Attributes:
        body: (N, C, H, W) to (N, K, H, W) for H and W that are multiples of `stride` and at least `min_size`.
        stride: pixels between the coarsest samples; windows must begin at multiples of it to agree with each other.
        min_size: least side of an input that needs no padding.
    """

    def __init__(self, body: nn.Module, *, stride: int, min_size: int | None = None) -> None:
        super().__init__()
        self.body = body
        self.stride = stride
        self.min_size = min_size or stride

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, K, H, W) of an image (N, C, H, W)."""
        height, width = image.shape[-2:]
        below = round_up(max(height, self.min_size), self.stride) - height
        right = round_up(max(width, self.min_size), self.stride) - width
        logits: Tensor = self.body(_pad(image, right, below))
        return logits[..., :height, :width]


def _pad(image: Tensor, right: int, below: int) -> Tensor:
    """Reflect the image over its right and lower edge, as often as it takes."""
    while right > 0 or below > 0:
        # One reflection gives at most one pixel less than the side; a side of one pixel is repeated.
        height, width = image.shape[-2:]
        step_right, step_below = min(right, max(width - 1, 1)), min(below, max(height - 1, 1))
        mode = "reflect" if step_right < width and step_below < height else "replicate"
        image = F.pad(image, (0, step_right, 0, step_below), mode=mode)
        right, below = right - step_right, below - step_below
    return image


def align_by_pixel_areas(network: nn.Module) -> None:
    """Make every upsampling independent of the window's size.

    With `align_corners=True`, the default of several decoders, the place that an output pixel looks at depends on how
    large the window is, so windows of different size disagree.
    """
    for module in network.modules():
        if isinstance(module, nn.Upsample | nn.UpsamplingBilinear2d):
            module.align_corners = None if module.mode == "nearest" else False


@torch.no_grad()
def _make_transparent(network: nn.Module) -> None:
    """Set a network so that the gradient of any output reaches every input it could ever depend on."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            parameter.copy_(torch.rand_like(parameter) / fan_in + 0.5 / fan_in)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()


def _average_instead_of_max(network: nn.Module) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.MaxPool2d):
            pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
            setattr(network, name, pool)
        else:
            _average_instead_of_max(child)


def measure_reach(network: SegmentationNetwork, in_channels: int, limits: tuple[int, ...] = (320, 1280)) -> int | None:
    """How far an output pixel can look, in pixels to one side; None when it sees everything.

    The largest distance between an output pixel and an input pixel with a non-zero gradient, over all phases of the
    stride. All weights are made positive and max pooling is replaced by averaging, so that no path is closed.

    Args:
        network: any network; it is left as it is.
        in_channels: its number of bands.
        limits: distances to try; beyond the last a network counts as seeing everything.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    _make_transparent(probe)
    _average_instead_of_max(probe)
    for limit in limits:
        reach = _reach_within(probe, in_channels, round_up(limit, probe.stride))
        if reach is not None:
            return reach
    return None


def _reach_within(probe: SegmentationNetwork, in_channels: int, middle: int) -> int | None:
    """The reach seen on a strip of twice `middle` columns, None when it meets the ends."""
    height = round_up(max(probe.min_size, probe.stride), probe.stride)
    image = torch.full((1, in_channels, height, 2 * middle), 1.0, dtype=torch.float64, requires_grad=True)
    outputs = probe(image)[0, :, height // 2].sum(0)
    reach = 0
    for column in range(middle, middle + probe.stride):
        (gradient,) = torch.autograd.grad(outputs[column], image, retain_graph=True)
        seen = gradient[0].abs().sum((0, 1)).nonzero()
        first, last = int(seen.min()), int(seen.max())
        if first == 0 or last == 2 * middle - 1:
            return None
        reach = max(reach, column - first, last - column)
    return reach
