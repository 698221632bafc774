"""Which views are drawn: inside the image, of the areas that were asked for, equal bits from a seed."""

from __future__ import annotations

import pytest
import torch

from condensery import BadInput, Rng
from condensery.teaching import ViewSampling
from condensery.views import box_mask

RNG = Rng(0)


def test_equal_bits_from_a_seed_and_others_from_another() -> None:
    first, again, other = (ViewSampling(20).draw(30, True, rng) for rng in (RNG, RNG, Rng(1)))
    assert set(first) == {"boxes", "flips", "partners", "patches"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first)


def test_crops_have_the_areas_asked_for_and_lie_anywhere() -> None:
    boxes = ViewSampling(200, smallest=0.3).draw(50, False, RNG)["boxes"].double()
    top, left, height, width = boxes.unbind(-1)
    assert float((top + height).max()) <= 255 and float((left + width).max()) <= 255
    area = height * width / 255**2
    assert 0.25 < float(area.min()) < 0.32 and float(area.max()) > 0.97
    assert abs(float(area.mean()) - 0.65) < 0.02, (
        "sides beyond the image are cut, which makes little difference"
    )
    wide = width / height
    assert 0.74 < float(wide.min()) < 0.78 and 1.28 < float(wide.max()) < 1.35
    for start, length in ((top, height), (left, width)):
        free = 255 - length
        assert abs(float((start[free > 20] / free[free > 20]).mean()) - 0.5) < 0.02


def test_patches_come_from_others_and_have_any_area() -> None:
    drawn = ViewSampling(300).draw(40, True, RNG)
    partners, patches = drawn["partners"], drawn["patches"]
    assert not bool((partners == torch.arange(40)[:, None]).any())
    assert len(set(partners.flatten().tolist())) == 40
    share = box_mask(patches.reshape(-1, 4), 32, 32).float().mean((1, 2))
    assert 0.3 < float(share.mean()) < 0.45, "of U[0, 1] around any point, about four tenths remain"
    assert abs(float(drawn["flips"].float().mean()) - 0.5) < 0.02


def test_parts_that_are_not_wanted_take_no_bytes() -> None:
    assert set(ViewSampling(2, patches=0).draw(3, False, RNG)) == {"boxes"}
    assert set(ViewSampling(2).draw(1, False, RNG)) == {"boxes"}, "a single image has no partner"
    some = ViewSampling(500, patches=0.25).draw(20, False, RNG)["patches"]
    assert abs(float((some[..., 2:].amin(-1) > 0).float().mean()) - 0.25) < 0.03


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"count": 0}, "--views must be 1 to 10000 views an image, not 0"),
        ({"smallest": 0.0}, "--smallest-crop must be a share of the area"),
        ({"smallest": 1.1}, "--smallest-crop must be a share of the area"),
        ({"patches": -0.1}, "--patches must be a share of views"),
    ],
)
def test_bad_samplings_refused(options: dict[str, float], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        ViewSampling(**options)  # type: ignore[arg-type]
