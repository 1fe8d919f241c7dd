"""Action values, or their distributions, from features."""

from typing import Annotated

import gin
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from prune_rl.networks.headed import Headed
from prune_rl.networks.initializers import INITIALIZERS
from prune_rl.networks.noisy import dense
from prune_rl.networks.precision import PRECISIONS, at_least_float32, wide_dot_general
from prune_rl.settings import OneOf, checked

LEAST_SQUARE = 1e-12  # of a norm that divides: silent features stay zero, with a finite gradient


@gin.configurable(allowlist=["normalize_representation", "kernel_init"])
@checked
class QNetwork(Headed):
    """A torso and one dense layer, or two where dueling, to action values or logits.

    Sources: Dopamine 4.1.2, dopamine/jax/networks.py (NatureDQNNetwork, RainbowNetwork,
    FullRainbowNetwork).

    Attributes:
        torso: a module from one observation to (features,), float32 or its `dtype`.
        num_actions: A.
        num_atoms: N of the value distribution (Bellemare et al. 2017); 1 for plain values.
        vmax: the N atoms are spread evenly over [-vmax, vmax].
        dueling: a stream of advantages and one of values, joined with the mean advantage taken
            off, atom by atom (Wang et al. 2016, equation 9).
        noisy: the layers here and the torso's dense layer are `NoisyDense`.
        normalize_representation: divides the features by their L2 norm before the last layer
            (Kumar et al. 2022; Dopamine's ImpalaNetworkWithRepresentations): the L2 baseline.
        kernel_init: of the layers here, see `networks.initializers`.
        precision: of products, and of the layers here; the torso's `dtype` has to fit it. Agents
            set both.

    Example:
        network = QNetwork(NatureTorso(), num_actions=18)
        params = network.init(key, observation)
        values = network.apply(params, observation)  # (A,) float32; logits (A, N) if N > 1
    """

    num_actions: int
    num_atoms: int = 1
    vmax: float = 10.0
    dueling: bool = False
    noisy: bool = False
    normalize_representation: bool = False
    kernel_init: Annotated[str, OneOf(INITIALIZERS)] = "xavier_uniform"
    precision: Annotated[str, OneOf(PRECISIONS)] = "fp32"

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        features = self.features(observation)
        if self.dueling:
            advantages = self._stream("advantage", self.num_actions, features)
            outputs = self._stream("value", 1, features) + advantages - advantages.mean(axis=0)
        else:
            outputs = self._stream("head", self.num_actions, features)
        return outputs[:, 0] if self.num_atoms == 1 else outputs

    def _stream(self, name: str, rows: int, features: jax.Array) -> jax.Array:
        """The answers (rows, N) float32 of the layer called `name` to (features,) float32."""
        layer = dense(
            rows * self.num_atoms,
            name,
            INITIALIZERS[self.kernel_init],
            noisy=self.noisy,
            dtype=PRECISIONS[self.precision].dtype,
            # Values rounded to bfloat16 would tie: their differences are small.
            dot_general=wide_dot_general,
        )
        with PRECISIONS[self.precision].of_products():
            return layer(features).reshape(rows, self.num_atoms)

    def features(self, observation: jax.Array) -> jax.Array:
        """What the last layer reads of one observation: (features,) float32."""
        with PRECISIONS[self.precision].of_products():
            features = at_least_float32(self.torso(observation))
        if not self.normalize_representation:
            return features
        square = jnp.maximum(jnp.sum(jnp.square(features)), LEAST_SQUARE)
        return features * jax.lax.rsqrt(square)

    @property
    def support(self) -> jax.Array:
        """The atoms' values, (N,) float32."""
        return jnp.linspace(-self.vmax, self.vmax, self.num_atoms)

    def expectation(self, outputs: jax.Array) -> jax.Array:
        """Action values (..., A) of outputs: themselves, or the means of (..., A, N) logits.

        float32 all of them.
        """
        if self.num_atoms == 1:
            return outputs
        return jnp.matmul(nn.softmax(outputs), self.support, precision=lax.Precision.HIGHEST)

    @property
    def readers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The last layers."""
        return ("advantage", "value") if self.dueling else ("head",)
