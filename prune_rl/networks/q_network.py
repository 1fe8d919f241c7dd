"""Action values from features."""

from collections.abc import Mapping

import gin
import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.networks.torso import FEATURES

_LEAST_SQUARE = 1e-12  # of a norm that divides: silent features stay zero, with a finite gradient


@gin.configurable
class QNetwork(nn.Module):
    """A torso and one dense layer to an action value each, Xavier-uniform as in Dopamine 4.1.2.

    Attributes:
        torso: a module from one observation to features.
        num_actions: length of the output.
        normalize_representation: divides the features by their L2 norm before the last layer
            (Kumar et al. 2022; Dopamine's ImpalaNetworkWithRepresentations): the L2 baseline.

    Example:
        network = QNetwork(NatureTorso(), num_actions=18)
        params = network.init(key, observation)
        values = network.apply(params, observation)  # (num_actions,) float32
    """

    torso: nn.Module
    num_actions: int
    normalize_representation: bool = False

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        init = nn.initializers.xavier_uniform()
        head = nn.Dense(self.num_actions, kernel_init=init, name="head")
        return head(self.features(observation))

    def features(self, observation: jax.Array) -> jax.Array:
        """What the last layer reads, (features,) float32."""
        features = self.torso(observation)
        if not self.normalize_representation:
            return features
        square = jnp.maximum(jnp.sum(jnp.square(features)), _LEAST_SQUARE)
        return features * jax.lax.rsqrt(square)

    @property
    def wiring(self) -> Mapping[str, tuple[str, ...]]:
        """Hidden layers and their readers by path, as 'torso/Dense_0': ('head',); see `Torso`."""
        inner = getattr(self.torso, "wiring", {})
        return {f"torso/{layer}": tuple(map(_path, readers)) for layer, readers in inner.items()}


def _path(reader: str) -> str:
    return "head" if reader == FEATURES else f"torso/{reader}"
