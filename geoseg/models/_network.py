"""What every architecture promises: logits of the input's size, for any size."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.grid import round_up
from geoseg.models._blocks import PoolWithSwitches, Unpool


class SegmentationNetwork(nn.Module):
    """A network with the shape contract of geoseg.

    `forward` takes (N, C, H, W) for any H and W and returns logits (N, K, H, W). Inside, the input is padded by
    reflection on the right and below to what the body can take, and the output is cropped. A network with a margin
    leaves it out of its answer on each side: (N, K, H - 2 m, W - 2 m).

    Attributes:
        body: (N, C, H, W) to (N, K, H, W) for H and W that are multiples of `stride` and at least `min_size`.
        stride: pixels between the coarsest samples; windows must begin at multiples of it to agree with each other.
        min_size: least side of an input that needs no padding.
        min_batch: least batch that it can be trained with; 2 where BatchNorm sees one value per channel and image.
        sees_all: True where the architecture looks at the whole window by its nature, whatever the encoder does.
        margin: pixels that the body leaves out on each side; see `geoseg.models._inner`.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        stride: int,
        min_size: int | None = None,
        min_batch: int = 1,
        sees_all: bool = False,
        margin: int = 0,
    ) -> None:
        super().__init__()
        self.body = body
        self.stride = stride
        self.min_size = min_size or stride
        self.min_batch = min_batch
        self.sees_all = sees_all
        self.margin = margin

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, K, H, W) of an image (N, C, H, W), without the margin if there is one."""
        height, width = image.shape[-2:]
        below = round_up(max(height, self.min_size), self.stride) - height
        right = round_up(max(width, self.min_size), self.stride) - width
        logits: Tensor = self.body(reflect(image, right, below))
        return logits[..., : height - 2 * self.margin, : width - 2 * self.margin]

    def require_trainable(self, name: str, chip_size: int, batch_size: int) -> None:
        """Refuse chips and batches that this network cannot learn from, before any work.

        Args:
            name: of the architecture, for the sentence.
            chip_size: side of the training chips, in pixels.
            batch_size: chips per step.

        Raises:
            OptionError: the chips are smaller than the network's least window, or the batch too small for BatchNorm.
        """
        if chip_size < self.min_size:
            raise OptionError(
                f"{name} needs chips of {self.min_size} pixels or more and these have {chip_size}; tile again with "
                f"--chip-size {self.min_size}, or take a network with a smaller stride"
            )
        # A chip of one stride is one pixel in the deepest map.
        one_value = round_up(chip_size, self.stride) == self.stride and self.stride > 1
        norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules())
        least = max(self.min_batch, 2 if one_value and norms else 1)
        if batch_size < least:
            raise OptionError(
                f"{name} cannot learn from batches of {batch_size} with chips of {chip_size} pixels: its BatchNorm "
                f"would see one value per channel; take --batch-size {least} or more"
            )


def reflect(image: Tensor, right: int, below: int) -> Tensor:
    """Reflect an image (N, C, H, W) over its right and lower edge by some pixels, as often as it takes."""
    while right > 0 or below > 0:
        # One reflection gives at most one pixel less than the side; a side of one pixel is repeated.
        height, width = image.shape[-2:]
        step_right, step_below = min(right, max(width - 1, 1)), min(below, max(height - 1, 1))
        mode = "reflect" if step_right < width and step_below < height else "replicate"
        image = F.pad(image, (0, step_right, 0, step_below), mode=mode)
        right, below = right - step_right, below - step_below
    return image


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
        elif isinstance(module, nn.LayerNorm) and module.bias is not None:
            # What is normalised is never below minus the root of its length: nothing is cut off by a ReLU.
            module.bias.fill_(module.normalized_shape[-1] ** 0.5)


def _open_pools(network: nn.Module) -> None:
    """Replace what passes one pixel of several by what passes all of them."""
    for name, child in network.named_children():
        if isinstance(child, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
        elif isinstance(child, PoolWithSwitches | Unpool):
            setattr(network, name, child.opened())
        else:
            _open_pools(child)


def measure_reach(
    network: SegmentationNetwork, in_channels: int, limits: tuple[int, ...] = (320, 1280, 2560)
) -> int | None:
    """How far an output pixel can look, in pixels to one side; None when it sees everything.

    The largest distance between an output pixel and an input pixel with a non-zero gradient, over all phases of the
    stride. All weights are made positive and max pooling is replaced by averaging, so that no path is closed.

    Args:
        network: any network; it is left as it is.
        in_channels: its number of bands.
        limits: distances to try; beyond the last a network counts as seeing everything.
    """
    if network.sees_all:
        return None
    probe = copy.deepcopy(network).cpu().double().eval()
    _make_transparent(probe)
    _open_pools(probe)
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

    @functools.cache
    def seen(column: int) -> tuple[int, int]:
        (gradient,) = torch.autograd.grad(outputs[column], image, retain_graph=True)
        columns = gradient[0].abs().sum((0, 1)).nonzero()
        # Of a network that lets nothing through nothing can be promised: it counts as seeing everything.
        return (int(columns.min()), int(columns.max())) if len(columns) else (0, 2 * middle - 1)

    reach = 0
    spans = [(middle, middle + probe.stride - 1)]
    while spans:
        low, high = spans.pop()
        for column in (low, high):
            first, last = seen(column)
            if first == 0 or last == 2 * middle - 1:
                return None
            reach = max(reach, column - first, last - column)
        # What is seen never moves back as columns go on: where both ends of a span see the same, so do all within.
        if high - low > 1 and seen(low) != seen(high):
            spans += [(low, (low + high) // 2), ((low + high) // 2, high)]
    return reach
