"""Random shifts and intensities of images (DrQ, Kostrikov et al. 2020).

Source of the constants: Dopamine 4.1.2, labs/atari_100k/atari_100k_rainbow_agent.py.
"""

from dataclasses import dataclass
from typing import Annotated

import gin
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from prune_rl.settings import Range, checked


@gin.configurable
@checked
@dataclass(frozen=True)
class Augmentation:
    """Shifts each observation as a whole, and scales its intensity.

    Attributes:
        img_pad: pixels added on every side by repeating the border; the crop starts at one of
            2·img_pad positions (Dopamine's, so the largest shift to one side is img_pad - 1).
        intensity_scale: an observation is multiplied by 1 + intensity_scale·clip(N(0, 1), -2, 2).

    Raises:
        ConfigError: a value is outside its range; names the gin binding.
    """

    img_pad: Annotated[int, Range(least=0, most=1_000)] = 4
    intensity_scale: Annotated[float, Range(least=0, below=0.5)] = 0.05  # else pixels turn negative

    def __call__(self, observations: jax.Array, key: jax.Array) -> jax.Array:
        """(B, stack, H, W, C) uint8 -> the same in float32, 0 to 255 times the intensity."""
        intensity_key, shift_key = jax.random.split(key)
        size = len(observations)
        offsets = jax.random.randint(shift_key, (2, size), 0, max(2 * self.img_pad, 1))
        noise = jnp.clip(jax.random.normal(intensity_key, (size,)), -2.0, 2.0)
        shifted = shift(observations, offsets[0], offsets[1], self.img_pad)
        return intensify(shifted, 1.0 + self.intensity_scale * noise)


def shift(observations: ArrayLike, rows: jax.Array, columns: jax.Array, pad: int) -> jax.Array:
    """Observations (B, stack, H, W, C) padded by their border and cropped at (B,) offsets.

    Offsets are 0 to 2·pad; `pad` leaves an observation as it is.
    """
    observations = jnp.asarray(observations)
    height, width = observations.shape[2:4]
    sides = [(0, 0), (0, 0), (pad, pad), (pad, pad), (0, 0)]
    padded = jnp.pad(observations, sides, "edge")

    def crop(observation: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        observation = jax.lax.dynamic_slice_in_dim(observation, row, height, axis=1)
        return jax.lax.dynamic_slice_in_dim(observation, column, width, axis=2)

    return jax.vmap(crop)(padded, rows, columns)


def intensify(observations: ArrayLike, factors: jax.Array) -> jax.Array:
    """Observations (B, ...) as float32, each times its factor (B,)."""
    images = jnp.asarray(observations, jnp.float32)
    return images * factors.reshape(-1, *[1] * (images.ndim - 1))
