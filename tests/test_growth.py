"""The benchmark of how the cost of each part grows, and the photographs that commands are measured on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.commands import write_devkit
from benchmarks.growth import Growth, Part
from detection.data.voc import VOCDetection


def counting_to(number: int) -> Callable[[], int]:
    return lambda: sum(range(number))


def test_exponents_are_slopes_of_logarithms() -> None:
    linear = Part("images", "x", (10, 100, 1000), counting_to)
    assert Growth(linear, [0.1, 1.0, 10.0]).exponent == pytest.approx(1)
    bent = Growth(linear, [1.0, 1.0, 10.0])
    assert bent.exponent == pytest.approx(0.5)
    assert bent.last == pytest.approx(1)
    pixels = Growth(linear._replace(power=2), [1.0, 100.0, 1e4])
    assert pixels.exponent == pytest.approx(1)
    assert "1.00 | 1.00 | yes |" in growth.line_of(pixels)
    steep = Growth(linear, [1.0, 100.0, 1e4])
    assert growth.line_of(steep).endswith("2.00 | 2.00 | NO |")
    assert growth.line_of(steep._replace(part=linear._replace(pairs=True))).endswith("pairs |")


def test_what_grows_is_timed_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_LEAST", 0.002)
    parts = [Part(axis, "counting", (10_000, 1_000_000), counting_to) for axis in "abcd"]
    found = [growth.measured(part) for part in parts]
    assert all(0.5 < one.exponent < 1.5 for one in found)
    growth.draw(found, tmp_path / "images/growth.png")
    assert (tmp_path / "images/growth.png").stat().st_size > 10_000


def test_every_part_runs_at_its_smallest_size(tmp_path: Path) -> None:
    parts = growth.parts(tmp_path)
    assert len({(part.axis, part.name) for part in parts}) == len(parts)
    for part in parts:
        if part.name not in ("VOC AP", "COCO AP"):  # another test has them
            part.make(part.sizes[0])()


def test_photographs_are_a_set_in_vocs_layout(tmp_path: Path) -> None:
    pictures = write_devkit(tmp_path, 3, different=2)
    assert sorted(path.name for path in pictures.iterdir()) == ["000000.jpg", "000001.jpg", "000002.jpg"]
    sets = [VOCDetection(tmp_path, [(2007, split)], None) for split in ("train", "val")]
    for one in sets:
        assert len(one) == 3
        assert all(len(one[i].target["labels"]) > 0 for i in range(3))
