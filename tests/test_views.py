"""Views of images: what a crop, a flip and a patch are, pixel by pixel, and what labels in a byte are worth."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from condensery import BadInput, Rng, SyntheticSet
from condensery.records import ImageSpec
from condensery.views import WIDEST_RANGE, Views, box_mask, crop_and_enlarge, index_dtype, quantise

RNG = Rng(3)
M, V, C = 4, 3, 5


def images(channels: int = 2, height: int = 8, width: int = 6, count: int = M) -> Tensor:
    return torch.randn(count, channels, height, width, generator=RNG.fork("images").torch())


def some_views(**changes: Any) -> Views:
    generator = RNG.fork("views").torch()
    boxes = torch.tensor([[10, 20, 200, 190], [0, 0, 255, 255], [55, 0, 200, 128]], dtype=torch.uint8)
    parts: dict[str, Any] = {
        "boxes": boxes.repeat(M, 1, 1),
        "levels": torch.randint(0, 256, (M, V, C), generator=generator).to(torch.uint8),
        "step": 0.05,
        "temperature": 2.0,
        "num_classes": C,
        "flips": torch.tensor([[0, 1, 1]] * M, dtype=torch.uint8),
        "partners": torch.tensor([[1, 2, 3], [0, 0, 0], [3, 3, 2], [0, 1, 2]], dtype=torch.uint8),
        "patches": torch.tensor(
            [[0, 0, 128, 128], [100, 50, 155, 205], [0, 0, 0, 0]], dtype=torch.uint8
        ).repeat(M, 1, 1),
    }
    return Views(**{**parts, **changes})


def slow_crop(image: list[list[float]], box: list[int], flip: int) -> list[list[float]]:
    """The definition in docs/file-format.md, pixel by pixel in plain Python."""
    height, width = len(image), len(image[0])
    top, left, tall, wide = box

    def at(start: int, length: int, side: int, i: int) -> tuple[int, int, float]:
        place = min(max(side * start / 255 + (i + 0.5) * length / 255 - 0.5, 0), side - 1)
        below = min(math.floor(place), side - 1)
        return below, min(below + 1, side - 1), place - below

    result = []
    for i in range(height):
        y0, y1, dy = at(top, tall, height, i)
        row = []
        for j in range(width):
            x0, x1, dx = at(left, wide, width, j)
            upper = image[y0][x0] * (1 - dx) + image[y0][x1] * dx
            lower = image[y1][x0] * (1 - dx) + image[y1][x1] * dx
            row.append(upper * (1 - dy) + lower * dy)
        result.append(row[::-1] if flip else row)
    return result


@pytest.mark.parametrize("box", [[0, 0, 255, 255], [10, 20, 200, 190], [130, 0, 125, 60], [254, 254, 1, 1]])
@pytest.mark.parametrize("flip", [0, 1])
def test_a_crop_is_what_a_plain_loop_says(box: list[int], flip: int) -> None:
    pictures = images()
    found = crop_and_enlarge(
        pictures, torch.tensor([box] * M, dtype=torch.uint8), torch.tensor([flip] * M, dtype=torch.uint8)
    )
    slow = torch.tensor([[slow_crop(plane, box, flip) for plane in picture] for picture in pictures.tolist()])
    torch.testing.assert_close(found, slow, rtol=0, atol=2e-5)


def test_the_whole_image_is_a_view_of_itself() -> None:
    whole = torch.tensor([[0, 0, 255, 255]] * M, dtype=torch.uint8)
    torch.testing.assert_close(crop_and_enlarge(images(), whole), images(), rtol=0, atol=2e-5)
    mirrored = crop_and_enlarge(images(), whole, torch.ones(M, dtype=torch.uint8))
    torch.testing.assert_close(mirrored, images().flip(3), rtol=0, atol=2e-5)


def test_boxes_in_pixels_by_hand() -> None:
    """Of 8 rows and 6 columns: 64 / 255 of 8 is 2.008, rounded 2; up to 192 / 255: 6.02, 6. Columns 0 to 3."""
    (mask,) = box_mask(torch.tensor([[64, 0, 128, 128]], dtype=torch.uint8), 8, 6)
    assert mask.int().tolist() == [[0] * 6] * 2 + [[1, 1, 1, 0, 0, 0]] * 4 + [[0] * 6] * 2
    everything, nothing = box_mask(torch.tensor([[0, 0, 255, 255], [9, 9, 0, 9]], dtype=torch.uint8), 8, 6)
    assert bool(everything.all()) and not bool(nothing.any())


def test_a_patch_shows_the_partner_s_view_before_its_own_patch() -> None:
    views, pictures = some_views(), images()
    plain = some_views(partners=None, patches=None)
    for v in range(V):
        found = views.of(pictures, torch.arange(M), v)
        bare = plain.of(pictures, torch.arange(M), v)
        for i in range(M):
            inside = box_mask(views.patches[i, v][None], 8, 6)[0].expand(2, -1, -1)
            partner = int(views.partners[i, v])
            assert torch.equal(found[i][inside], bare[partner][inside])
            assert torch.equal(found[i][~inside], bare[i][~inside])
    assert torch.equal(views.of(pictures, torch.arange(M), 2), plain.of(pictures, torch.arange(M), 2))


def test_views_of_some_images_are_those_of_all() -> None:
    views, pictures = some_views(), images()
    indices, numbers = torch.tensor([3, 0, 2]), torch.tensor([2, 1, 0])
    some = views.of(pictures, indices, numbers)
    for k in range(3):
        alone = views.of(pictures, indices[k : k + 1], int(numbers[k]))
        torch.testing.assert_close(some[k : k + 1], alone, rtol=0, atol=1e-6)
        every = views.probabilities(torch.arange(M), int(numbers[k]))
        assert torch.equal(views.probabilities(indices, numbers)[k], every[indices[k]])
    parts = list(views.batches(pictures, 1, size=3))
    assert [len(labels) for _, labels in parts] == [3, 1]
    torch.testing.assert_close(torch.cat([p for p, _ in parts]), views.of(pictures, torch.arange(M), 1))


def test_views_are_differentiable_in_the_images() -> None:
    pictures, views = images(1, 4, 4, 2).double().requires_grad_(), some_views()
    two = Views(
        views.boxes[:2],
        views.levels[:2],
        0.1,
        1.0,
        C,
        views.flips[:2],
        views.partners[:2, :] % 2,
        views.patches[:2],
    )
    for number in range(V):
        assert torch.autograd.gradcheck(lambda x, n=number: two.of(x, torch.arange(2), n), (pictures,))


def test_labels_by_hand() -> None:
    """Levels 0 and 20 of 0.1 nats at temperature 2: the logits differ by 1, so the odds are e."""
    levels = torch.tensor([[[0, 20]]], dtype=torch.uint8)
    views = Views(torch.tensor([[[0, 0, 255, 255]]], dtype=torch.uint8), levels, 0.1, 2.0, 2)
    (label,) = views.probabilities(torch.tensor([0]), 0)
    torch.testing.assert_close(label, torch.tensor([1 / (1 + math.e), math.e / (1 + math.e)]))
    (sharp,) = views.probabilities(torch.tensor([0]), 0, temperature=1)
    torch.testing.assert_close(sharp, torch.tensor([1 / (1 + math.e**2), math.e**2 / (1 + math.e**2)]))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_no_logarithm_is_off_by_more_than_a_step(bits: int, temperature: float) -> None:
    logits = 3 * torch.randn(50, 7, 10, generator=RNG.torch())
    levels, step, classes = quantise(logits, bits)
    assert classes is None and levels.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    assert step * (2**bits - 1) == pytest.approx(float((logits.amax(-1) - logits.amin(-1)).max()), rel=1e-5)
    exact = (logits.double() / temperature).log_softmax(-1)
    found = (levels.double() * step / temperature).log_softmax(-1)
    assert float((found - exact).abs().max()) <= step / temperature
    assert float((found - exact).abs().max()) > 0.1 * step / temperature, "the bound is not a loose one"


def test_far_logits_are_cut_off_and_equal_ones_are_uniform() -> None:
    levels, step, _ = quantise(torch.tensor([[0.0, 10.0, 1000.0]]))
    assert levels.tolist() == [[0, 0, 255]] and step * 255 == pytest.approx(WIDEST_RANGE)
    levels, step, _ = quantise(torch.full((2, 3), 7.0))
    assert step > 0 and len(set(levels.flatten().tolist())) == 1


def test_the_largest_few_and_the_mean_of_the_others() -> None:
    logits = torch.tensor([[0.0, 5.0, 1.0, 4.0, 0.5, 1.5]])
    levels, step, classes = quantise(logits, 16, largest=2)
    assert classes is not None and classes.tolist() == [[1, 3]] and classes.dtype == torch.uint8
    views = Views(
        torch.tensor([[[0, 0, 255, 255]]], dtype=torch.uint8),
        levels[None],
        step,
        1.0,
        6,
        classes=classes[None],
    )
    (found,) = views.probabilities(torch.tensor([0]), 0)
    exact = logits.softmax(1)[0]
    torch.testing.assert_close(found[[1, 3]], exact[[1, 3]], rtol=1e-3, atol=0)
    torch.testing.assert_close(found[[0, 2, 4, 5]], exact[[0, 2, 4, 5]].mean().expand(4), rtol=1e-3, atol=0)


def test_indices_are_as_small_as_can_be() -> None:
    assert [index_dtype(n) for n in (256, 257, 65_537)] == [torch.uint8, torch.uint16, torch.int32]


def test_many_partners_need_two_bytes() -> None:
    count = 300
    views = Views(
        torch.tensor([0, 0, 255, 255], dtype=torch.uint8).repeat(count, 1, 1),
        torch.zeros(count, 1, C, dtype=torch.uint8),
        0.1,
        1.0,
        C,
        partners=torch.full((count, 1), 299).to(torch.uint16),
        patches=torch.tensor([0, 0, 255, 255], dtype=torch.uint8).repeat(count, 1, 1),
    )
    pictures = images(count=count)
    every = views.of(pictures, torch.arange(count), 0)
    torch.testing.assert_close(every, pictures[299:].expand(count, -1, -1, -1), rtol=0, atol=2e-5)


def test_bytes_are_counted() -> None:
    """Each of 12 views: 4 for the box, 1 flip, 1 partner, 4 for the patch, 5 classes."""
    assert some_views().nbytes == 12 * 15 and len(some_views()) == 12 and some_views().per_image == 3


BOXES = some_views().boxes


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"boxes": BOXES.int()}, "boxes of views must be uint8"),
        ({"boxes": BOXES[0]}, r"boxes of views must be \(images, views, 4\)"),
        ({"boxes": BOXES[:, :0]}, r"boxes of views must be \(images, views, 4\)"),
        (
            {"boxes": BOXES + torch.tensor([100, 0, 0, 0], dtype=torch.uint8)},
            "view 0 of image 0 lies outside the image",
        ),
        (
            {"boxes": BOXES * torch.tensor([1, 1, 0, 1], dtype=torch.uint8)},
            "lies outside the image or is empty",
        ),
        ({"flips": torch.full((M, V), 2, dtype=torch.uint8)}, "flips of views must be 0 or 1, not 2"),
        ({"flips": torch.zeros(M, V)}, "flips of views must be uint8, not torch.float32"),
        ({"partners": None}, "views need partners with their patches"),
        ({"partners": torch.full((M, V), 4, dtype=torch.uint8)}, "patches of images 4 to 4, but there are 4"),
        ({"partners": torch.full((M, V), -1, dtype=torch.int32)}, "patches of images -1 to -1"),
        (
            {"patches": torch.full((M, V, 4), 200, dtype=torch.uint8)},
            "patches of views: view 0 of image 0 lies outside",
        ),
        ({"levels": torch.zeros(M, V, C)}, "levels of views must be uint8 or uint16, not torch.float32"),
        ({"levels": torch.zeros(M, V, C + 1, dtype=torch.uint8)}, "levels of views must be"),
        ({"classes": torch.zeros(M, V, 2, dtype=torch.uint8)}, "names a class twice"),
        ({"classes": torch.full((M, V, 1), 5, dtype=torch.uint8)}, "name class 5 of 5 classes"),
        ({"classes": torch.zeros(M, V, C, dtype=torch.uint8)}, "labels of views name 5 of 5 classes"),
        ({"classes": torch.tensor([3, 1], dtype=torch.uint8).repeat(M, V, 1)}, "levels of views must be"),
        ({"step": 0.0}, "the step of labels of views must be a positive number, not 0"),
        ({"step": float("nan")}, "the step of labels of views must be a positive number, not nan"),
        ({"temperature": -1.0}, "the temperature of labels of views must be a positive number, not -1"),
    ],
)
def test_views_refuse(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        some_views(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bits": 4}, "8 or 16 bits a class, not 4"),
        ({"largest": 0}, "1 to 3 largest can be kept, not 0"),
        ({"largest": 4}, "1 to 3 largest can be kept, not 4"),
    ],
)
def test_quantise_refuses(options: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        quantise(torch.zeros(2, 3), **options)
    with pytest.raises(BadInput, match="not finite"):
        quantise(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(BadInput, match="there is no view 3"):
        next(some_views().batches(images(), 3, 2))


def test_a_set_with_views_as_a_dataset() -> None:
    spec = ImageSpec(1, 8, 6, tuple("abcde"), (0.5,), (0.5,))
    pictures, views = images(1), some_views()
    synthetic = SyntheticSet(pictures, torch.tensor([0, 1, 2, 3]), spec, targets=views)
    dataset = synthetic.dataset()
    assert (len(synthetic), synthetic.stored_images, len(dataset)) == (4, 4, 12)  # type: ignore[arg-type]
    assert synthetic.bytes == 4 * 48 * 4 + 4 * 8 + views.nbytes
    for number, (batch, labels) in enumerate(torch.utils.data.DataLoader(dataset, batch_size=4)):
        torch.testing.assert_close(batch, views.of(pictures, torch.arange(4), number))
        torch.testing.assert_close(labels, views.probabilities(torch.arange(4), number))
    assert len(list(dataset)) == 12  # type: ignore[call-overload]
    assert synthetic.hard().targets is None
