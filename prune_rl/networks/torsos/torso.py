"""What every convolutional torso shares: its input, its width, and what its layers feed."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

from prune_rl.errors import require
from prune_rl.networks.initializers import INITIALIZERS
from prune_rl.networks.noisy import dense
from prune_rl.settings import Count, OneOf

FEATURES = "features"
Wiring = Mapping[str, tuple[str, ...]]  # from a layer to its readers


class Torso(nn.Module):
    """Maps one observation to penultimate features; `vmap` adds batch and seed axes.

    Attributes:
        width: multiplies the number of channels of every convolution, an integer >= 1.
        scale_hidden: whether it multiplies the units of the dense layer too.
        kernel_init: 'xavier_uniform' or 'rainbow', see `networks.initializers`.
        global_average_pooling: whether the dense layer reads the mean of each channel over the
            image instead of every place of it (Sokar & Castro 2025, arXiv 2505.17749,
            "Mind the GAP!"): C inputs instead of H·W·C.
        noisy: whether the dense layer is a `NoisyDense`; agents with noisy nets set it.
        dtype: what the layers round inputs and weights to, None for nothing; agents set it.
        wiring: hidden layers followed by a ReLU, and the layers that read the result; the layer
            that makes the features is read by `FEATURES`. Where a residual stream reads a layer
            too, it is left out: its units cannot be silenced by their outgoing weights alone.
            ReDo and dead units are about these layers.
        counted: hidden layers whose dormant units are counted beside those of `wiring`, and the
            module whose output, after a ReLU, is what their units answer.

    Raises:
        ConfigError: a value is not valid; names the gin binding, as `NatureTorso.width`.
    """

    width: Count = 1
    kernel_init: Annotated[str, OneOf(INITIALIZERS)] = "xavier_uniform"
    noisy: bool = False
    scale_hidden: bool = False
    global_average_pooling: bool = False
    dtype: Any = None
    wiring: ClassVar[Wiring] = {}
    counted: ClassVar[Mapping[str, str]] = {}

    def _initializer(self) -> Initializer:
        return INITIALIZERS[self.kernel_init]

    def _hidden(self, features: int, image: jax.Array) -> jax.Array:
        """The dense layer that ends a torso, with its ReLU; call it in a compact method.

        `image` (H, W, C), the last convolution's after its ReLU, to (features,), float32 or
        `dtype`; `features` are those of width 1.
        """
        features *= self.width if self.scale_hidden else 1
        init = self._initializer()
        layer = dense(features, "Dense_0", init, noisy=self.noisy, dtype=self.dtype)
        inputs = image.mean(axis=(0, 1)) if self.global_average_pooling else image.reshape(-1)
        return nn.relu(layer(inputs))


def merge_stack(observation: jax.Array) -> jax.Array:
    """Turns uint8 frames (stack, H, W, C) into one float32 image (H, W, stack*C) of 0 to 1.

    Channels of the oldest frame come first.
    """
    valid, expected = observation.ndim == 4, "images; vectors need another torso"
    require(valid, "torso: observations of shape", observation.shape, expected)
    stack, height, width, channels = observation.shape
    image = jnp.moveaxis(observation, 0, 2)  # (H, W, stack, C)
    return image.reshape(height, width, stack * channels).astype(jnp.float32) / 255.0


def require_vector(observation: jax.Array) -> jax.Array:
    """The same (D,) float32; raises `ConfigError` for images."""
    valid, expected = observation.ndim == 1, "vectors; images need another torso"
    require(valid, "torso: observations of shape", observation.shape, expected)
    return observation
