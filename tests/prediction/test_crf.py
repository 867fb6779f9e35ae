import pytest
import torch

from geoseg.errors import OptionError
from geoseg.prediction.crf import refine
from geoseg.prediction.crf_options import CrfOptions

OPTIONS = CrfOptions(iterations=4, radius=3)


def problem(classes=5, bands=4, height=60, width=70, *, holes=True, dtype=torch.float64, seed=0):
    """Random probabilities, a blocky image with noise, and its validity."""
    rng = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(classes, height, width, generator=rng, dtype=dtype).softmax(0)
    blocks = torch.randn(bands, 1 + height // 10, 1 + width // 10, generator=rng, dtype=dtype)
    image = blocks.repeat_interleave(10, 1).repeat_interleave(10, 2)[:, :height, :width]
    image = image + 0.2 * torch.randn(bands, height, width, generator=rng, dtype=dtype)
    valid = torch.rand(height, width, generator=rng) > (0.1 if holes else -1)
    return probabilities, image, valid


def tiled(probabilities, image, valid, options, core, halo):
    done = torch.full_like(probabilities, float("nan"))
    height, width = valid.shape
    for row in range(0, height, core):
        for col in range(0, width, core):
            top, left = max(row - halo, 0), max(col - halo, 0)
            window = (slice(top, row + core + halo), slice(left, col + core + halo))
            part = refine(*(x[(..., *window)] for x in (probabilities, image, valid)), options)
            kept = part[:, row - top : row - top + core, col - left : col - left + core]
            done[:, row : row + core, col : col + core] = kept
    return done


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("classes", "bands"), [(2, 1), (5, 3), (3, 13), (9, 40)])
def test_tiled_with_the_halo_equals_whole(classes, bands, dilation):
    options = CrfOptions(iterations=3, radius=2, dilation=dilation)
    parts = problem(classes, bands)
    whole = refine(*parts, options)
    assert (tiled(*parts, options, 16, options.halo) - whole).abs().max() < 1e-12
    assert (tiled(*parts, options, 16, 0) - whole).abs().max() > 1e-3


def test_tiled_equals_whole_in_single_precision():
    parts = problem(dtype=torch.float32)
    assert (tiled(*parts, OPTIONS, 32, OPTIONS.halo) - refine(*parts, OPTIONS)).abs().max() < 1e-5


@pytest.mark.parametrize("spread", [0.15, 0.17, 0.2])
def test_neighbours_that_hardly_count_are_counted_in_single_precision(spread):
    options = CrfOptions(appearance=0, spread=spread)
    exact = problem(holes=False)
    single = (exact[0].float(), exact[1].float(), exact[2])
    assert (refine(*single, options) - refine(*exact, options)).abs().max() < 1e-5


def test_no_less_than_the_halo_is_enough():
    """A change of one pixel is felt as far as the halo, and no further."""
    flat = torch.full((2, 1, 80), 0.5, dtype=torch.float64)
    changed = flat.clone()
    changed[:, 0, 0] = torch.tensor([0.9, 0.1])
    options = CrfOptions(iterations=4, radius=3, dilation=2)
    image, valid = torch.zeros(1, 1, 80, dtype=torch.float64), torch.ones(1, 80, dtype=torch.bool)
    felt = (refine(flat, image, valid, options) != refine(changed, image, valid, options)).any(0)[0].nonzero()
    assert int(felt.max()) == options.halo == 24


def test_zero_weights_change_nothing():
    parts = problem()
    same = refine(*parts, CrfOptions(appearance=0, smoothness=0))
    assert (same - parts[0]).abs().max() < 1e-12


@pytest.mark.parametrize("bands", [1, 4, 200])
def test_probabilities_stay_probabilities(bands):
    parts = problem(bands=bands, height=20, width=24)
    refined = refine(*parts, OPTIONS)
    assert (refined.sum(0) - 1).abs().max() < 1e-12
    assert refined.min() >= 0


def test_uniform_stays_uniform():
    _, _, valid = problem()
    flat = torch.full((4, 60, 70), 0.25, dtype=torch.float64)
    assert (refine(flat, torch.ones(3, 60, 70, dtype=torch.float64), valid, OPTIONS) - 0.25).abs().max() < 1e-12


def test_a_constant_image_is_smoothed():
    """Without edges there are fewer borders between classes, and the odd one out follows its neighbours."""
    probabilities, image, valid = problem(holes=False)
    refined = refine(probabilities, torch.zeros_like(image), valid, OPTIONS)
    before, after = (x.argmax(0).diff(dim=1).count_nonzero() for x in (probabilities, refined))
    assert after < 0.95 * before
    odd = torch.tensor([0.8, 0.2], dtype=torch.float64)[:, None, None].repeat(1, 15, 15)
    odd[:, 7, 7] = torch.tensor([0.4, 0.6])
    smoothed = refine(odd, torch.zeros(1, 15, 15), torch.ones(15, 15, dtype=torch.bool), OPTIONS)
    assert (smoothed.argmax(0) == 0).all()


def test_a_wrong_pixel_is_mended_and_the_edge_stays():
    labels = (torch.arange(30) >= 15).long()[None].repeat(30, 1)
    image = labels.double()[None] * 4
    wrong = labels.clone()
    wrong[10, 5] = 1
    wrong[20, 25] = 0
    wrong[12, 14] = 1  # beside the edge
    probabilities = torch.where(torch.nn.functional.one_hot(wrong).bool(), 0.7, 0.3).permute(2, 0, 1).double()
    refined = refine(probabilities, image, torch.ones(30, 30, dtype=torch.bool), OPTIONS)
    assert (refined.argmax(0) == labels).all()


def test_the_order_of_classes_and_bands_does_not_matter():
    probabilities, image, valid = problem(classes=6, bands=7)
    refined = refine(probabilities, image, valid, OPTIONS)
    order = torch.randperm(6)
    assert (refine(probabilities[order], image, valid, OPTIONS) - refined[order]).abs().max() < 1e-12
    assert (refine(probabilities, image[torch.randperm(7)], valid, OPTIONS) - refined).abs().max() < 1e-12


def test_doubled_bands_change_nothing():
    """The same likeness serves few bands and many."""
    probabilities, image, valid = problem()
    twice = refine(probabilities, torch.cat([image, image]), valid, OPTIONS)
    assert (twice - refine(probabilities, image, valid, OPTIONS)).abs().max() < 1e-12


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))])
def test_it_commutes_with_flips_and_turns(turn):
    parts = problem()
    assert (refine(*map(turn, parts), OPTIONS) - turn(refine(*parts, OPTIONS))).abs().max() < 1e-12


def test_what_is_invalid_never_leaks():
    probabilities, image, valid = problem()
    refined = refine(probabilities, image, valid, OPTIONS)
    image[:, ~valid] = float("nan")
    dirty = probabilities.clone()
    dirty[:, ~valid] = float("inf")
    again = refine(dirty, image, valid, OPTIONS)
    assert torch.equal(again[:, valid], refined[:, valid])
    assert torch.equal(again[:, ~valid], dirty[:, ~valid])


def test_a_pixel_alone_keeps_its_probabilities():
    probabilities, image, valid = problem(holes=False)
    valid[:] = False
    valid[30, 30] = True
    assert (refine(probabilities, image, valid, OPTIONS) - probabilities).abs().max() < 1e-12


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (2, 9)])
def test_windows_smaller_than_the_kernel(size):
    parts = problem(height=size[0], width=size[1], holes=False)
    refined = refine(*parts, CrfOptions(radius=4, dilation=3))
    assert refined.shape == parts[0].shape
    assert (refined.sum(0) - 1).abs().max() < 1e-12


def test_messages_are_those_of_the_formula():
    """One iteration against the sum written out, at a pixel beside the edge and a hole."""
    probabilities, image, valid = problem(classes=3, bands=2, height=12, width=12)
    options = CrfOptions(iterations=1, radius=2, dilation=2, appearance=2.5, smoothness=0.7)
    y, x = next((y, x) for y, x in valid.nonzero().tolist() if 0 < y < 3 < x)
    alike = near = torch.zeros(3, dtype=torch.float64)
    alike_sum = near_sum = 0.0
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            j, i = y + 2 * dy, x + 2 * dx
            if (dy, dx) == (0, 0) or not (0 <= j < 12 and 0 <= i < 12) or not valid[j, i]:
                continue
            apart = float((image[:, y, x] - image[:, j, i]).square().sum())
            space = dy * dy + dx * dx
            k = torch.tensor(-space / (2 * 4.0**2) - apart / (2 * 0.5**2 * 2), dtype=torch.float64).exp()
            g = torch.tensor(-space / (2 * 2.0**2), dtype=torch.float64).exp()
            alike, alike_sum = alike + k * probabilities[:, j, i], alike_sum + k
            near, near_sum = near + g * probabilities[:, j, i], near_sum + g
    expected = (probabilities[:, y, x].log() + 2.5 * alike / alike_sum + 0.7 * near / near_sum).softmax(0)
    assert (refine(probabilities, image, valid, options)[:, y, x] - expected).abs().max() < 1e-12


def test_options_as_they_are_typed():
    assert CrfOptions.parse("") == CrfOptions()
    assert CrfOptions.parse("radius=3, likeness=0.3") == CrfOptions(radius=3, likeness=0.3)


def test_as_much_is_smoothed_at_a_time_as_the_memory_holds():
    wide = CrfOptions(radius=20)
    assert CrfOptions().side((5000, 5000), 4, 5, 1_000_000_000) == 512
    assert wide.side((5000, 5000), 4, 5, 1_000_000_000) == 256
    assert wide.side((100, 100), 4, 5, 1_000_000_000) == 512
    with pytest.raises(OptionError, match="smaller radius"):
        CrfOptions(radius=60).side((5000, 5000), 4, 5, 1_000_000_000)


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("radios=3", "did you mean 'radius'"),
            ("radius", "radius of the CRF has no value"),
            ("radius=2.5", "'2.5'; it must be a whole number"),
            ("likeness=x", "'x'; it must be a number"),
            ("spread=nan", "spread of the CRF is nan"),
            ("radius=2,radius=3", "given twice"),
        ],
    )
    def test_what_is_typed_and_cannot_be(self, text, says):
        with pytest.raises(OptionError, match=says):
            CrfOptions.parse(text)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype):
        probabilities, image, valid = problem()
        with pytest.raises(OptionError, match="float32 or float64"):
            refine(probabilities.to(dtype), image, valid, OPTIONS)

    def test_sizes_that_differ(self):
        probabilities, image, valid = problem()
        with pytest.raises(OptionError, match="shapes"):
            refine(probabilities, image[:, 1:], valid, OPTIONS)

    @pytest.mark.parametrize(
        "wrong",
        [{"iterations": 0}, {"radius": 0}, {"dilation": 0}, {"likeness": 0.0}, {"appearance": -1.0},
         {"spread": float("nan")}, {"smoothness": float("inf")}, {"appearance": 1e30}, {"likeness": 1e-30},
         {"nearness": 1e-200}, {"spread": 1e-30}],
    )  # fmt: skip
    def test_options_that_cannot_be(self, wrong):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            CrfOptions(**wrong)
