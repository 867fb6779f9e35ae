"""The networks are those of their papers: weights counted, and identities that hold by construction."""

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geoseg.errors import OptionError
from geoseg.models import build
from geoseg.models._blocks import Deconvolution, PoolWithSwitches, Unpool
from geoseg.models._encoders import fitting
from geoseg.models.gcn import BoundaryRefinement, LargeKernel
from geoseg.models.parsenet import ScaledNorm
from geoseg.models.refinenet import ChainedPooling, Fusion, ResidualUnit
from geoseg.models.unet_classic import ClassicUNet
from small_networks import small


def weights(name, bands, classes, **options):
    """Number of weights, counted without memory for them."""
    with torch.device("meta"):
        network = build(name, bands, classes, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "encoder", "count"),
    [
        ("fcn32s", "vgg16", 136_152_917),
        ("fcn16s", "vgg16", 134_815_994),
        ("fcn8s", "vgg16", 134_489_759),
        ("deconvnet", "vgg16_bn", 251_805_653),
        ("segnet", "vgg16_bn", 29_455_125),
        ("deeplabv1", "vgg16", 20_505_429),
        ("deeplabv2", "vgg16", 37_877_652),
        ("parsenet", "vgg16", 20_528_981),
        ("refinenet", "resnet50", 99_060_309),
        ("refinenet", "resnet101", 118_052_437),
        ("refinenet", "resnet152", 133_696_085),
        ("refinenet", "vgg16_bn", 82_017_877),
        ("gcn", "resnet50", 26_087_588),
        ("gcn", "resnet101", 45_079_716),
        ("gcn", "resnet152", 60_723_364),
        ("gcn", "vgg16_bn", 16_012_452),
        ("pspnet", "resnet50", 29_900_885),
        ("deeplabv3", "resnet50", 39_638_869),
        ("deeplabv3", "resnet101", 58_630_997),
        ("deeplabv3plus", "resnet50", 26_682_725),
        ("deeplabv3plus", "resnet101", 45_674_853),
        ("unet", "resnet50", 32_524_005),
        ("unet", "vgg16_bn", 23_759_589),
    ],
)
def test_weights_of_the_canonical_forms(name, encoder, count):
    assert weights(name, 3, 21, encoder=encoder) == count


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("unet", 14_328_789),
        ("unetplusplus", 15_971_029),
        ("manet", 21_676_053),
        ("linknet", 11_663_909),
        ("fpn", 13_047_749),
        ("deeplabv3", 15_899_973),
        ("deeplabv3plus", 12_330_325),
        ("pan", 11_368_812),
        ("upernet", 19_492_549),
        ("segformer", 11_769_413),
    ],
)
def test_weights_on_resnet18(name, count):
    assert weights(name, 3, 5, encoder="resnet18") == count


def test_weights_of_the_first_unet_and_of_segnet_for_twelve_classes():
    assert weights("unet_classic", 1, 2) == weights("unet_classic", 1, 2, padding="valid") == 31_030_658
    assert weights("segnet", 3, 12) == 29_449_932


def test_a_vgg_has_the_weights_of_torchvision_under_the_same_names():
    import torchvision

    with torch.device("meta"):
        ours = build("segnet", 3, 2).body.encoder.state_dict()
        theirs = torchvision.models.vgg16_bn(weights=None).features.state_dict(prefix="features.")
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


class TestFCN:
    @pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
    def test_it_begins_undecided(self, name):
        network = build(name, 3, 4, encoder="vgg11", width=4)
        assert not network(torch.rand(1, 3, 64, 64)).any()

    def test_upsampling_is_bilinear_and_frozen(self):
        up = Deconvolution(3, 16, learn=False)
        x = torch.rand(1, 3, 9, 9)
        assert not up.weight.requires_grad
        expected = F.interpolate(x, scale_factor=16, mode="bilinear", align_corners=False)
        # At the rim a transposed convolution sees nothing where interpolation repeats.
        assert torch.allclose(up(x)[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-6)

    @pytest.mark.parametrize(("name", "level", "factor"), [("fcn16s", 1, 16), ("fcn8s", 2, 8)])
    def test_what_is_added_is_the_score_of_the_finer_map(self, name, level, factor):
        network = small(name).eval()
        for number, score in enumerate(network.body.scores):
            if number != level:
                nn.init.zeros_(score.weight)
        image = torch.rand(1, 3, 128, 128)
        with torch.inference_mode():
            finer = network.body.scores[level](network.body.features(image)[-1 - level])
            expected = F.interpolate(finer, scale_factor=factor, mode="bilinear", align_corners=False)
            rim = factor // 2
            inner = (..., slice(rim, -rim), slice(rim, -rim))
            assert torch.allclose(network(image)[inner], expected[inner], atol=1e-5)

    def test_sixteen_does_not_look_at_stride_8(self):
        assert len(build("fcn16s", 3, 2, encoder="vgg11", width=4).body.scores) == 2


class TestUnpooling:
    @pytest.mark.parametrize("size", [(8, 8), (97, 75)])
    def test_values_return_to_where_they_were_largest(self, size):
        x = torch.rand(2, 3, *size) + 0.1
        pooled, switches = PoolWithSwitches()(x)
        back = Unpool()(pooled, switches, x.shape)
        assert back.shape == x.shape
        kept = back != 0
        assert torch.equal(back[kept], x[kept])
        rows, cols = size[0] // 2 * 2, size[1] // 2 * 2
        assert (F.avg_pool2d(kept[..., :rows, :cols].float(), 2) == 0.25).all(), "one of each four"
        assert torch.equal(PoolWithSwitches()(back)[0], pooled)

    def test_segnet_mirrors_its_encoder(self):
        network = build("segnet", 3, 7, width=8)
        convolutions = [m for m in network.body.decoder[::-1] for m in m.modules() if isinstance(m, nn.Conv2d)]
        assert [m.out_channels for m in convolutions] == [64, 64, 64, 64, 64, 32, 32, 32, 16, 16, 8, 8, 7]
        assert isinstance(network.body.decoder[0][-1], nn.Conv2d), "no BatchNorm after the scores"

    @pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
    def test_segnet_of_any_depth(self, depth):
        network = build("segnet", 3, 2, encoder="vgg11_bn", depth=depth, width=4).eval()
        assert network.stride == 2**depth
        assert len([m for m in network.modules() if isinstance(m, PoolWithSwitches)]) == depth
        with torch.inference_mode():
            assert network(torch.rand(1, 3, 97, 75)).shape == (1, 2, 97, 75)


def test_the_first_unet_loses_184_pixels_without_padding():
    network = ClassicUNet(1, 2, width=4, pad=0).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_without_padding_a_scene_in_windows_is_the_scene_in_one():
    network = small("unet_classic valid").double().eval()
    image = torch.rand(1, 3, 48, 480, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(image)
        parts = [network(image[..., start : start + 288])[..., 112:176] for start in (0, 64, 128, 192)]
    assert torch.allclose(torch.cat(parts, -1), whole[..., 112:368], atol=1e-12)


class TestParseNet:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_features_have_the_length_of_the_scale(self, dtype):
        x = torch.randn(2, 32, 5, 7).to(dtype) * 100
        assert torch.allclose(ScaledNorm(32, 10.0)(x).norm(dim=1), torch.tensor(10.0), atol=1e-3)

    def test_nothing_stays_nothing(self):
        norm = ScaledNorm(8, 10.0)
        x = torch.zeros(1, 8, 3, 3, requires_grad=True)
        norm(x).sum().backward()
        assert not norm(x).any()
        assert torch.isfinite(x.grad).all()
        assert norm.scale.grad is not None

    @pytest.mark.parametrize("scale", [0.0, 10.0])
    def test_only_the_mean_sees_everything(self, scale):
        network = small("parsenet").double().eval()
        nn.init.constant_(network.body.norm_everywhere.scale, scale)
        image = torch.rand(1, 3, 8, 1024, dtype=torch.float64)
        touched = image.clone()
        touched[..., :8] += 1
        with torch.inference_mode():
            differs = (network(image) != network(touched))[..., -8:]
        assert bool(differs.any()) == (scale > 0)

    def test_joining_first_or_adding_scores_is_the_same(self):
        body = small("parsenet").eval().body
        half = body.classifier.in_channels // 2
        here, everywhere = torch.rand(1, half, 4, 4), torch.rand(1, half, 1, 1)
        with torch.inference_mode():
            joined = body.classifier(torch.cat([here, everywhere.expand_as(here)], 1))
            weight, bias = body.classifier.weight, body.classifier.bias
            added = F.conv2d(here, weight[:, :half], bias) + F.conv2d(everywhere, weight[:, half:])
        assert torch.allclose(joined, added, atol=1e-5)


class TestRefineNet:
    def test_units_begin_as_the_identity(self):
        network = build("refinenet", 3, 2, encoder="tu-test_resnet", width=4)
        x = torch.randn(1, 4, 6, 6)
        assert torch.equal(network.body.adapt[0][1](x), x)
        assert torch.equal(network.body.refine[0](x), x.relu())

    def test_shapes(self):
        x = torch.randn(1, 8, 6, 10)
        assert ChainedPooling(8)(x).shape == x.shape
        assert ResidualUnit(8)(x).shape == x.shape
        assert Fusion(8, 16)(x, torch.randn(1, 16, 3, 5)).shape == x.shape


class TestGCN:
    def test_large_kernels_with_a_one_in_the_middle_are_twice_the_input(self):
        block = LargeKernel(3, 3, 7)
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv2d)):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
            rows, cols = conv.kernel_size
            with torch.no_grad():
                conv.weight[range(3), range(3), rows // 2, cols // 2] = 1
        x = torch.randn(2, 3, 9, 11)
        assert torch.equal(block(x), 2 * x)

    def test_border_refinement_of_nothing_is_the_identity(self):
        block = BoundaryRefinement(3)
        nn.init.zeros_(block.refine[-1].weight)
        nn.init.zeros_(block.refine[-1].bias)
        x = torch.randn(1, 3, 5, 5)
        assert torch.equal(block(x), x)

    def test_few_classes_do_not_make_it_thin(self):
        network = build("gcn", 3, 2, encoder="tu-test_resnet")
        assert network.body.classifier.in_channels == 21


def test_deeplab_v2_sums_its_branches():
    network = small("deeplabv2").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = network.body.trunk(image)
        scores = torch.stack([branch(features) for branch in network.body.branches]).sum(0)
        expected = F.interpolate(scores, scale_factor=8, mode="bilinear", align_corners=False)
        assert torch.allclose(network(image), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["segnet", "fcn8s", "unet_classic", "gcn", "deeplabv1", "refinenet"])
def test_it_learns_a_toy(name):
    network = small(name).train()
    torch.manual_seed(0)
    labels = torch.zeros(4, 64, 64, dtype=torch.long)
    labels[:, 12:36, 12:36] = 1
    labels[:, 40:60, 30:60] = 2
    image = F.one_hot(labels, 4).movedim(-1, 1)[:, :3] + 0.3 * torch.randn(4, 3, 64, 64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(network(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("unett", {}, "did you mean 'unet'"),
        ("segnett", {}, "did you mean 'segnet'"),
        ("unet", {"encodr": "resnet18"}, "did you mean 'encoder'"),
        ("unet", {"encoder": "resnet19"}, "did you mean 'resnet18'|did you mean 'resnet1"),
        ("unet", {"encoder": "tu-nothing"}, "no encoder 'tu-nothing'"),
        ("unet", {"encoder": "tu-vit_tiny_patch16_224"}, "cannot take the encoder"),
        ("unet", {"depth": 9}, "3, 4 or 5"),
        ("unet", {"encoder": "tu-swin_tiny_patch4_window7_224"}, "Input height"),
        ("refinenet", {"encoder": "tu-coat_tiny"}, "refinenet cannot take the encoder 'tu-coat_tiny'"),
        ("unetplusplus", {"encoder": "mit_b0"}, "cannot take the encoder 'mit_b0'"),
        ("pspnet", {"encoder": "vgg11"}, "dilate to a stride of 8 and 'vgg11' cannot"),
        ("deeplabv3plus", {"encoder": "densenet121"}, "dilate to a stride of 16 and 'densenet121' cannot"),
        ("deeplabv1", {"encoder": "densenet121"}, "dilate"),
        ("deeplabv3", {"output_stride": 4}, "8 or 16"),
        ("pan", {"encoder": "tu-swin_tiny_patch4_window7_224"}, "dilate"),
        ("unet_compact", {"depth": 0}, "1 to 5"),
        ("segnet", {"encoder": "resnet18"}, "max pooling, which 'resnet18' does not have.*vgg16_bn"),
        ("segnet", {"depth": 6}, "1 to 5"),
        ("segnet", {"width": 1}, "4 to 256"),
        ("deconvnet", {"encoder": "resnet18", "unpool": "indices"}, "max pooling, which 'resnet18' does not have"),
        ("deconvnet", {"unpool": "switches"}, "indices, transpose or nearest"),
        ("dpt", {"encoder": "resnet18"}, "vision transformer"),
        ("fcn8s", {"kernel": 4}, "odd"),
        ("gcn", {"kernel": 4}, "odd"),
        ("gcn", {"channels": 0}, "1 or more"),
        ("refinenet", {"output_units": 0}, "1 or more"),
        ("parsenet", {"scale": 0.0}, "more than 0"),
        ("unet_classic", {"padding": "reflect"}, "same or valid"),
    ],
)
def test_what_cannot_be_built_is_said(name, options, says):
    with pytest.raises(OptionError, match=says):
        build(name, 3, 2, **options)


@pytest.mark.parametrize(
    ("kind", "name"), [("any", "unet"), ("convolutional", "linknet"), ("dilating", "deeplabv3"), ("vgg", "segnet")]
)
def test_the_encoders_that_are_said_to_fit_do_and_no_others(kind, name):
    some = {"resnet18", "resnext50_32x4d", "se_resnet50", "dpn68", "mobilenet_v2", "mobileone_s0", "efficientnet-b0"}
    some |= {"vgg11_bn", "densenet121", "xception", "inceptionv4", "mit_b0"}
    can = set()
    for encoder in some:
        # mit computes with values while it is built.
        with contextlib.suppress(OptionError), torch.device("cpu" if encoder == "mit_b0" else "meta"):
            build(name, 4, 2, encoder=encoder)
            can.add(encoder)
    assert can == some & set(fitting(kind))


@pytest.mark.parametrize(("bands", "classes"), [(0, 2), (3, 1)])
def test_counts_that_cannot_be(bands, classes):
    with pytest.raises(OptionError):
        build("unet_compact", bands, classes)
