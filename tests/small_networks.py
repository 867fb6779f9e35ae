"""Small forms of every architecture, so that the contract can be tried on all of them."""

import functools

import torch

from geoseg.models import agreeing_reach, build

TINY = {"encoder": "tu-test_resnet"}
VGG = {"encoder": "vgg11_bn", "width": 4}
SMALL = {
    "deconvnet": VGG,
    "deeplabv1": VGG,
    "deeplabv2": VGG,
    "deeplabv3": TINY | {"channels": 16},
    "deeplabv3plus": TINY | {"channels": 16},
    "dpt": {"encoder": "tu-test_vit", "channels": 16},
    "fcn16s": VGG,
    "fcn32s": VGG,
    "fcn8s": VGG,
    "fpn": TINY,
    "gcn": TINY | {"channels": 5},
    "linknet": TINY | {"depth": 4},
    "manet": TINY,
    "pan": TINY,
    "parsenet": VGG,
    "pspnet": TINY,
    "refinenet": TINY | {"width": 4, "output_units": 1},
    "segformer": {"channels": 16},
    "segnet": VGG,
    "unet": TINY | {"depth": 4},
    "unet_classic": {"width": 4},
    "unet_compact": {"width": 8},
    "unetplusplus": TINY | {"depth": 3},
    "upernet": TINY | {"channels": 16},
}

VARIANTS = {
    "deconvnet on resnet": TINY | {"width": 4},
    "deconvnet nearest": VGG | {"unpool": "nearest"},
    "deeplabv2 on resnet": TINY | {"width": 4},
    "fcn8s on resnet": TINY | {"width": 4, "learn_upsampling": True},
    "parsenet on resnet": TINY | {"width": 4},
    "segformer on resnet": TINY | {"channels": 16},
    "segnet shallow": {"encoder": "vgg13", "width": 4, "depth": 2},
    "unet_classic valid": {"width": 4, "padding": "valid"},
}
FORMS = SMALL | VARIANTS
"""Options by name of the architecture, or that and a few words."""


def small(name, bands=3, classes=4, **options):
    """A small form of an architecture; what its paper begins with zero is awake, or all outputs would be equal."""
    torch.manual_seed(0)
    network = build(name.split()[0], bands, classes, **(FORMS.get(name, {}) | options))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.1)
    return network


@functools.cache
def agreeing(name):
    """How far a small form sees with means on which windows agree, after chips of 64 pixels."""
    return agreeing_reach(name.split()[0], 64, **FORMS[name])
