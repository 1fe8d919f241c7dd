"""Which weights lead into a unit, and which lead out of it.

A layer is named by its path below 'params', as 'torso/Conv_1'. Its units are the last axis of its
kernel: features of a dense layer, channels of a convolution. A layer that reads them has them on
its second-to-last axis: once each, or once per position where a convolution's output (H, W, C) was
flattened for a dense layer. There the channel runs fastest, index = position * C + channel. (The
recycling code of labs/redo takes the position as fastest at this place; the flatten of its own
networks, like ours, does not.)

A network's `wiring` maps a layer to its readers, those that read its units. All here is of one
network: who has several stacked on leading axes, members or seeds, maps over them with `vmap`.
"""

from typing import Any

import jax

from prune_rl.errors import ConfigError, require_choice
from prune_rl.networks.layers import kernels


def kernel_of(params: Any, layer: str) -> jax.Array:
    """The kernel of `layer`.

    Args:
        params: flax variables {'params': ...} of one network.
        layer: path below 'params', as 'torso/Conv_1'.

    Raises:
        ConfigError: no such layer has a kernel; names the nearest that has.
    """
    of_layers = kernels(params)
    require_choice("layer", layer, of_layers)
    return of_layers[layer]


def incoming(kernel: jax.Array) -> jax.Array:
    """A kernel (..., in, units) as (fan_in, units): column u leads into unit u.

    `incoming(kernel).reshape(kernel.shape)` is the kernel again.
    """
    return kernel.reshape(-1, kernel.shape[-1])


def outgoing(kernel: jax.Array, num_units: int) -> jax.Array:
    """The kernel of a layer that reads `num_units` units as (positions, num_units, out).

    `positions` are those of a convolution's window, or those that were flattened for a dense layer
    (1 if it reads a dense layer). `outgoing(kernel, n).reshape(kernel.shape)` is the kernel again.

    Args:
        kernel: (..., in, out), a convolution's with `in` equal to `num_units`, or a dense layer's
            with a multiple of it.

    Raises:
        ValueError: `in` is something else.
    """
    inputs = kernel.shape[-2]
    fits = inputs % num_units == 0 if kernel.ndim == 2 else inputs == num_units
    if not fits:
        expected = "a multiple of" if kernel.ndim == 2 else "exactly"
        raise ValueError(f"expected a kernel of {expected} {num_units} inputs, got {kernel.shape}")
    return kernel.reshape(-1, num_units, kernel.shape[-1])


def outgoing_of(params: Any, layer: str, reader: str) -> jax.Array:
    """The weights by which `reader` reads the units of `layer`: (positions, units, out).

    Raises:
        ConfigError: there is no such layer, or the sizes of the two do not fit; names both.
    """
    kernel, num_units = kernel_of(params, reader), kernel_of(params, layer).shape[-1]
    try:
        return outgoing(kernel, num_units)
    except ValueError as error:
        raise ConfigError(f"{reader} cannot read the output of {layer}: {error}") from None
