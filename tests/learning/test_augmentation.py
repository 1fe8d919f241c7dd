"""Shifts and intensities against NumPy's padding and slicing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.learning.augmentation import Augmentation, intensify, shift

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 6, 2), dtype=np.uint8)


def shifted_by_numpy(image, row, column, pad):
    padded = np.pad(image, [(0, 0), (pad, pad), (pad, pad), (0, 0)], "edge")
    return padded[:, row : row + image.shape[1], column : column + image.shape[2]]


@pytest.mark.parametrize("pad", [1, 4])
def test_shift_is_a_crop_of_the_padded_image(pad):
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 2 * pad + 1, (2, len(IMAGES)))
    expected = [shifted_by_numpy(*args, pad) for args in zip(IMAGES, rows, columns, strict=True)]
    np.testing.assert_array_equal(
        shift(IMAGES, jnp.asarray(rows), jnp.asarray(columns), pad), expected
    )


def test_the_middle_offset_shifts_nothing():
    middle = jnp.full(len(IMAGES), 4)
    np.testing.assert_array_equal(shift(IMAGES, middle, middle, 4), IMAGES)


def test_intensity_multiplies_each_observation():
    factors = np.float32([0.9, 1.0, 1.1, 1.05, 0.95])
    expected = IMAGES.astype(np.float32) * factors[:, None, None, None, None]
    np.testing.assert_allclose(intensify(IMAGES, jnp.asarray(factors)), expected, rtol=1e-6)


def test_all_frames_of_a_stack_move_together_and_observations_apart():
    """Every result is one of the 64 crops times one intensity, and not all are the same."""
    pad, flat = 4, np.full((200, 2, 9, 9, 1), 100, np.uint8)
    flat[:, :, 4, 4] = 200  # its place tells the shift
    out = np.asarray(Augmentation(img_pad=pad)(flat, jax.random.PRNGKey(0)))
    intensity = out[:, 0].reshape(200, -1).min(1) / 100
    assert (abs(intensity - 1) <= 0.1 + 1e-6).all()
    assert intensity.std() == pytest.approx(0.0475, abs=0.01)  # 0.05 sigma, clipped at 2
    places = out.reshape(200, 2, -1).argmax(-1)
    np.testing.assert_array_equal(places[:, 0], places[:, 1])
    rows, columns = np.divmod(places[:, 0], 9)
    assert set(rows) == set(columns) == set(range(1, 9))  # offsets 0 to 7, never 8
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) > 50  # of 64: independent
    for pair in itertools.combinations((rows, columns, intensity), 2):
        assert abs(np.corrcoef(pair)[0, 1]) < 0.25


def test_no_padding_and_no_scale_change_nothing():
    same = Augmentation(img_pad=0, intensity_scale=0.0)(IMAGES, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(same, IMAGES)
    assert same.dtype == jnp.float32


@pytest.mark.parametrize(("name", "value"), [("img_pad", -1), ("intensity_scale", 0.5)])
def test_a_wrong_value_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=f"^Augmentation.{name}="):
        Augmentation(**{name: value})
