"""What every convolutional torso shares: its input, its width, and what its layers feed."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.errors import require

FEATURES = "features"


class Torso(nn.Module):
    """Maps one observation to penultimate features; `vmap` adds batch and seed axes.

    Attributes:
        width: multiplies the number of channels of every convolution, an integer >= 1.
        wiring: hidden layers followed by a ReLU, and the layers that read the result; the layer
            that makes the features is read by `FEATURES`. Where a residual stream reads a layer
            too, it is left out: its units cannot be silenced by their outgoing weights alone.
            ReDo, dormant and dead units are about these layers.

    Raises:
        ConfigError: `width` is not such an integer; names the gin binding, as `NatureTorso.width`.
    """

    width: int = 1
    wiring: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __post_init__(self) -> None:
        valid = type(self.width) is int and self.width >= 1
        require(valid, f"{type(self).__name__}.width", self.width, "an integer >= 1")
        super().__post_init__()


def merge_stack(observation: jax.Array) -> jax.Array:
    """Turns uint8 frames (stack, H, W, C) into one float32 image (H, W, stack*C) in [0, 1].

    Channels of the oldest frame come first.
    """
    stack, height, width, channels = observation.shape
    image = jnp.moveaxis(observation, 0, 2)  # (H, W, stack, C)
    image = image.reshape(height, width, stack * channels)
    return image.astype(jnp.float32) / 255.0
