"""Values of states, or of actions in them, for actions that are vectors."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.networks.headed import Headed
from prune_rl.networks.initializers import INITIALIZERS


class CriticNetwork(Headed):
    """A torso and one dense layer to one number: Q(s, a) of two inputs, V(s) of one.

    Input: an observation (D,) and, for Q, an action (A,), which the torso reads side by side.
    Output () float32.
    """

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        head = nn.Dense(1, kernel_init=INITIALIZERS["pytorch"], name="head")
        return head(self.features(*inputs))[0]

    def features(self, *inputs: jax.Array) -> jax.Array:
        """What the last layer reads: (features,) float32."""
        features: jax.Array = self.torso(jnp.concatenate(inputs))
        return features
