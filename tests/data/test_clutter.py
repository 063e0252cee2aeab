import numpy as np
import pytest

from detection.data.shape_drawing import draw_background, scribble, smooth_noise


def test_backgrounds_are_textured_and_differ() -> None:
    images = [draw_background(np.random.default_rng(seed), 64) for seed in range(40)]
    for image in images:
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert image.std(axis=(0, 1)).max() > 2
    means = np.stack([image.mean(axis=(0, 1)) for image in images])
    assert (means.std(axis=0) > 20).all()


@pytest.mark.parametrize("cells", [2, 9, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_bounded_and_smooth(cells: int, channels: int) -> None:
    noise = smooth_noise(np.random.default_rng(0), 64, cells, channels)
    assert noise.shape == (64, 64, channels)
    assert noise.dtype == np.float32
    assert np.abs(noise).max() <= 1
    assert np.abs(np.diff(noise, axis=0)).max() <= 2 * cells / 64 + 1e-5


def test_scribbles_are_drawn_in_place_and_leave_most_of_the_image() -> None:
    shares = []
    for seed in range(60):
        image = np.full((96, 96, 3), 128, np.uint8)
        scribble(np.random.default_rng(seed), image, 1)
        shares.append((image != 128).any(axis=2).mean())
    assert 0.005 < np.mean(shares) < 0.2
    assert max(shares) < 0.5


def test_no_scribbles() -> None:
    image = np.full((96, 96, 3), 128, np.uint8)
    scribble(np.random.default_rng(0), image, 0)
    assert (image == 128).all()
