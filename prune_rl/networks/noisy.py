"""Dense layers, plain or with factorised Gaussian noise on their weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

from prune_rl.networks.precision import wide_dot_general

_SIGMA_0 = 0.1  # Dopamine's; Fortunato et al. 2018 take 0.5


def noisy_dense(
    params: Mapping[str, jax.Array],
    inputs: jax.Array,
    in_noise: jax.Array,
    out_noise: jax.Array,
    dtype: Any = None,
) -> jax.Array:
    """inputs @ (kernel + kernel_sigma * in_noise out_noise^T) + bias + bias_sigma * out_noise.

    Fortunato et al. 2018, equations 8 to 11, after f(x) = sgn(x) sqrt(|x|).

    Args:
        params: kernel and kernel_sigma (inputs, units), bias and bias_sigma (units,).
        inputs: (inputs,).
        in_noise: (inputs,).
        out_noise: (units,).
        dtype: what inputs and noisy kernel are rounded to, None for nothing.

    Returns:
        (units,); everything is float32.
    """
    kernel = params["kernel"] + params["kernel_sigma"] * jnp.outer(in_noise, out_noise)
    return _product(inputs, kernel, dtype) + params["bias"] + params["bias_sigma"] * out_noise


class NoisyDense(nn.Module):
    """A dense layer that explores by noise on its weights; silent without a key 'noise'.

    Initial values are Dopamine 4.1.2's (dopamine/jax/networks.py, NoisyNetwork): kernel and bias
    uniform in ±1/sqrt(inputs), sigmas 0.1/sqrt(inputs). There all layers of a network draw from
    one key; here each has its own. Pruning gives a weight and its sigma one mask.

    Attributes:
        features: number of units.
        dtype: what inputs and noisy kernel are rounded to, None for nothing.

    Input (inputs,) float32, output (features,) float32.
    """

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        (size,) = inputs.shape
        bound = size**-0.5
        uniform, sigma = _symmetric_uniform(bound), nn.initializers.constant(_SIGMA_0 * bound)
        params = {
            "kernel": self.param("kernel", uniform, (size, self.features)),
            "kernel_sigma": self.param("kernel_sigma", sigma, (size, self.features)),
            "bias": self.param("bias", uniform, (self.features,)),
            "bias_sigma": self.param("bias_sigma", sigma, (self.features,)),
        }
        if not self.has_rng("noise"):
            return _product(inputs, params["kernel"], self.dtype) + params["bias"]
        in_key, out_key = jax.random.split(self.make_rng("noise"))
        in_noise, out_noise = _noise(in_key, size), _noise(out_key, self.features)
        return noisy_dense(params, inputs, in_noise, out_noise, self.dtype)


def dense(
    features: int,
    name: str,
    initializer: Initializer,
    *,
    noisy: bool,
    dtype: Any = None,
    dot_general: Any = None,
) -> nn.Module:
    """A layer (inputs,) -> (features,); a noisy one answers float32 whatever its dtype.

    `initializer` is for the kernel and `dot_general` its product where it is not noisy; None for
    flax's own.
    """
    if noisy:
        return NoisyDense(features, dtype, name=name)
    return nn.Dense(
        features, dtype=dtype, kernel_init=initializer, dot_general=dot_general, name=name
    )


def _product(inputs: jax.Array, kernel: jax.Array, dtype: Any) -> jax.Array:
    """inputs (n,) times kernel (n, units), summed in float32."""
    if dtype is not None:
        inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    return wide_dot_general(inputs, kernel, (((0,), (0,)), ((), ())))


def _noise(key: jax.Array, size: int) -> jax.Array:
    """f of `size` standard normal numbers, (size,) float32."""
    x = jax.random.normal(key, (size,))
    return jnp.sign(x) * jnp.sqrt(jnp.abs(x))


def _symmetric_uniform(bound: float) -> Callable[..., jax.Array]:
    """An initialiser (key, shape) -> float32 of that shape, uniform in [-bound, bound)."""
    return partial(jax.random.uniform, dtype=jnp.float32, minval=-bound, maxval=bound)
