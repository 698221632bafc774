"""The benchmark's bytes are those of the files that methods write."""

from __future__ import annotations

import math

import pytest
from generator_bytes import break_even, generator_bytes, main, pixel_bytes

from condensery import ImageSpec
from condensery.synthetic.generator import stored_shapes

GREY = (1, 8, 8)


@pytest.mark.parametrize(("classes", "ipc"), [(3, 1), (3, 20), (40, 1)])
def test_a_file_has_its_tensors_and_a_short_head(classes: int, ipc: int) -> None:
    spec = ImageSpec(*GREY, tuple(map(str, range(classes))), (0.5,), (0.25,))
    shapes = stored_shapes(spec, codes=ipc, length=5, width=4, blocks=1)
    numbers = sum(math.prod(shape) for shape in shapes.values())
    tensors = 4 * numbers + 8 * classes + 8 * classes * ipc
    assert tensors < generator_bytes(classes, GREY, ipc, width=4, length=5) < tensors + 2000


def test_the_break_even_is_the_first_number_that_is_smaller() -> None:
    for each in (4, 1):
        first = break_even(10, GREY, width=4, length=5, each=each)
        sizes = [
            (generator_bytes(10, GREY, n, 4, 5), pixel_bytes(10, GREY, n, each)) for n in (first - 1, first)
        ]
        assert sizes[0][0] >= sizes[0][1] and sizes[1][0] < sizes[1][1]
    assert pixel_bytes(10, GREY, 3, 4) == 30 * (4 * 64 + 8)


def test_it_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        "sys.argv", ["", "--classes", "10", "--sides", "8", "--channels", "1", "--width", "4"]
    )
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.count("|") == lines[0].count("|") for line in lines)
