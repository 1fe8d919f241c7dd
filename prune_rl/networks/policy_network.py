"""Policies over actions that are vectors."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from prune_rl.networks.headed import Headed
from prune_rl.networks.initializers import INITIALIZERS

Spread = Literal["none", "state", "free"]


class PolicyNetwork(Headed):
    """A torso and dense layers to a point (A,), and to what spreads actions around it.

    What the numbers mean, squashed or not, is `learning.policies`'s. Input (D,) float32, output
    (mean (A,), log of the standard deviation (A,)), both float32; the second is zeros where there
    is none.

    Attributes:
        action_size: A.
        spread: 'state' for a deviation that a layer reads off the features (Haarnoja et al. 2018),
            'free' for one parameter of each dimension (Kostrikov et al. 2022), 'none' for a
            deterministic policy.
        log_std_range: what it is clipped to.
        bounded: whether the mean is squashed into [-1, 1] by tanh.
    """

    action_size: int = 1
    spread: Spread = "state"
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    bounded: bool = False
    _LAST: ClassVar[dict[str, tuple[str, ...]]] = {"state": ("mean", "log_std")}

    @property
    def readers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The last layers."""
        return self._LAST.get(self.spread, ("mean",))

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = self.features(observation)
        init = INITIALIZERS["pytorch"]
        mean = nn.Dense(self.action_size, kernel_init=init, name="mean")(features)
        mean = jnp.tanh(mean) if self.bounded else mean
        if self.spread == "none":
            return mean, jnp.zeros_like(mean)
        if self.spread == "state":
            log_std = nn.Dense(self.action_size, kernel_init=init, name="log_std")(features)
        else:
            log_std = self.param("log_std", nn.initializers.zeros, (self.action_size,))
        return mean, jnp.clip(log_std, *self.log_std_range)

    def features(self, observation: jax.Array) -> jax.Array:
        """What the last layers read of one observation: (features,) float32."""
        features: jax.Array = self.torso(observation)
        return features
