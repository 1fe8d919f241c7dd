"""Policies over actions that are vectors."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.networks.headed import Headed
from prune_rl.networks.initializers import INITIALIZERS

Spread = Literal["none", "state", "free"]


class PolicyNetwork(Headed):
    """A torso and a dense layer to a point (A,), and to what spreads actions around it.

    What the numbers mean, squashed or not, is `learning.policies`'s. Input (D,) float32, output
    (mean (A,), log of the standard deviation (A,)), both float32; the second is zeros where there
    is none.

    Attributes:
        action_size: A.
        spread: 'state' for a deviation that the same layer reads off the features (Haarnoja et al.
            2018), 'free' for one parameter of each dimension (Kostrikov et al. 2022), 'none' for a
            deterministic policy.
        log_std_range: what it is clipped to.
        bounded: whether the mean is squashed into [-1, 1] by tanh.
    """

    action_size: int = 1
    spread: Spread = "state"
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    bounded: bool = False

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        # One product for both, as in Dopamine's actor.
        units = self.action_size * (2 if self.spread == "state" else 1)
        head = nn.Dense(units, kernel_init=INITIALIZERS["pytorch"], name="head")
        answer = head(self.features(observation))
        mean = answer[: self.action_size]
        mean = jnp.tanh(mean) if self.bounded else mean
        if self.spread == "none":
            return mean, jnp.zeros_like(mean)
        if self.spread == "state":
            log_std = answer[self.action_size :]
        else:
            log_std = self.param("log_std", nn.initializers.zeros, (self.action_size,))
        return mean, jnp.clip(log_std, *self.log_std_range)

    def features(self, observation: jax.Array) -> jax.Array:
        """What the last layers read of one observation: (features,) float32."""
        features: jax.Array = self.torso(observation)
        return features
