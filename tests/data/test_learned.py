"""Images that a detector was trained on: known by few characters, and hardly ever the wrong ones."""

from pathlib import Path

import pytest

from detection.data.learned import MOST, WIDTH, digests_of, joined, parted


def test_an_image_is_known_by_name_and_length_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(b"one")
    frame = tmp_path / "1.jpg"
    frame.write_bytes(b"of another camera")
    (known,) = digests_of([f"{tmp_path}/a/1.jpg", f"{tmp_path}/b/1.jpg"])
    assert len(known) == WIDTH
    assert known not in digests_of([str(frame), f"{tmp_path}/gone.jpg"])


def test_all_of_coco_is_less_than_a_megabyte_and_others_are_not_taken_for_it(tmp_path: Path) -> None:
    learned = digests_of(f"{tmp_path}/{number:012}.jpg" for number in range(10_000))
    text = joined(learned)
    assert len(text) == 10_000 * WIDTH
    assert 118_287 * WIDTH < 1_000_000
    assert MOST > 118_287
    assert parted(text) == learned
    assert not digests_of(f"{tmp_path}/{number:012}.jpg" for number in range(10_000, 12_000)) & learned


def test_of_more_images_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.data.learned.MOST", 100)
    many = {f"{number:08}" for number in range(105)}
    assert len(parted(joined(many))) == 100
    assert joined(many) == joined(parted(joined(many)) | many)
    assert parted(joined([])) == set()
