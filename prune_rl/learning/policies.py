"""Densities of actions, from what a `PolicyNetwork` answers for one observation.

Actions are (A,) in [-1, 1]; `ActionBox` fits them to those of an environment.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.specs import ActionSpec, Box

_LOG_SQRT_2PI = 0.5 * float(np.log(2 * np.pi))


def sample_gaussian(
    mean: jax.Array, log_std: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A normal number (A,) in each dimension, made of standard ones, and its log density ()."""
    return mean + jnp.exp(log_std) * noise, _log_density(noise, log_std)


def gaussian_log_prob(mean: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
    """The log () of the normal density at an action (A,), summed over dimensions."""
    return _log_density((action - mean) * jnp.exp(-log_std), log_std)


def sample_squashed(
    mean: jax.Array, log_std: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The tanh (A,) of such a number, and its log density ().

    Haarnoja et al. 2018, appendix C, equation 21; the slope of tanh as in Dopamine and TensorFlow
    Probability, which overflows nowhere: log(1 - tanh(u)²) = 2·(log 2 - u - softplus(-2u)).
    """
    raw, log_prob = sample_gaussian(mean, log_std, noise)
    log_slope = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), log_prob - log_slope.sum()


def _log_density(noise: jax.Array, log_std: jax.Array) -> jax.Array:
    return -(0.5 * jnp.square(noise) + log_std + _LOG_SQRT_2PI).sum()


def exponential_weights(advantages: jax.Array, largest: float) -> jax.Array:
    """exp of each, at most `largest`: what an action weighs that an actor is to copy (B,)."""
    # An exponential beyond float32 would be infinite before it is cut.
    return jnp.exp(jnp.minimum(advantages, float(np.log(largest))))


class Choice(NamedTuple):
    """How what a `PolicyNetwork` answers for one observation becomes an action in [-1, 1].

    Attributes:
        drawn: (mean (A,), log_std (A,), standard normal numbers (A,)) -> action (A,), as played
            while an agent learns.
        middle: mean (A,) -> action (A,), as evaluations play.
    """

    drawn: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    middle: Callable[[jax.Array], jax.Array]


def _inside(action: jax.Array) -> jax.Array:
    return jnp.clip(action, -1.0, 1.0)


SQUASHED = Choice(lambda mean, log_std, noise: sample_squashed(mean, log_std, noise)[0], jnp.tanh)
# Gaussians whose density counts what lies beyond the box, which no environment is given.
CLIPPED = Choice(
    lambda mean, log_std, noise: _inside(sample_gaussian(mean, log_std, noise)[0]), _inside
)
DETERMINISTIC = Choice(lambda mean, log_std, noise: _inside(mean), _inside)


class ActionBox(NamedTuple):
    """The box of an environment's actions, onto which [-1, 1] in each dimension is stretched.

    Attributes:
        center: (A,) float32.
        half: (A,) float32, half its width.
    """

    center: np.ndarray
    half: np.ndarray

    def outside(self, action: jax.Array) -> jax.Array:
        """An action (..., A) of the environment, of one in [-1, 1]."""
        return self.center + self.half * action

    def inside(self, action: jax.Array) -> jax.Array:
        """The inverse; what recorded data may have beyond the borders stays there."""
        return (action - self.center) / self.half


def action_box(agent: str, spec: ActionSpec) -> ActionBox:
    """The box of a spec.

    Raises:
        ConfigError: actions are numbered or unbounded; names the `agent`.
    """
    if not isinstance(spec, Box):
        expected = "expected vectors, but this source has numbered actions; add suites/mujoco.gin"
        raise ConfigError(f"Runner.agent={agent}: {expected}")
    low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ConfigError(f"Runner.agent={agent}: expected actions between two finite borders")
    return ActionBox((high + low) / 2, (high - low) / 2)
