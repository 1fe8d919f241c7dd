"""Action values from features."""

import jax
from flax import linen as nn


class QNetwork(nn.Module):
    """A torso and one dense layer to an action value each, Xavier-uniform as in Dopamine 4.1.2.

    Example:
        network = QNetwork(NatureTorso(), num_actions=18)
        params = network.init(key, observation)
        values = network.apply(params, observation)  # (num_actions,) float32
    """

    torso: nn.Module
    num_actions: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        features = self.torso(observation)
        init = nn.initializers.xavier_uniform()
        return nn.Dense(self.num_actions, kernel_init=init, name="head")(features)
