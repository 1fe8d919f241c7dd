"""What the hidden units of a network answer, layer by layer."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

from prune_rl.networks.precision import at_least_float32


def hidden_activations(network: nn.Module, params: Any, *inputs: jax.Array) -> dict[str, jax.Array]:
    """What the units of the layers that `network.counted` names answer, after the ReLU.

    Args:
        network: a module with a `counted`, see `QNetwork`.
        params: flax variables {'params': ...} of one seed.
        inputs: what it is called with, each with a batch axis: (batch, stack, H, W, C) uint8.

    Returns:
        (batch, ..., units) float32 by layer path, as 'torso/Conv_0': (32, 21, 21, 32).
    """
    sources = set(network.counted.values())

    def is_source(module: nn.Module, method: str) -> bool:
        return method == "__call__" and "/".join(module.path) in sources

    def outputs_of(*alone: jax.Array) -> Mapping[str, Any]:
        _, variables = network.apply(
            params, *alone, capture_intermediates=is_source, mutable="intermediates"
        )
        return variables.get("intermediates", {})

    outputs = jax.vmap(outputs_of)(*inputs)
    return {layer: nn.relu(_output(outputs, source)) for layer, source in network.counted.items()}


def _output(intermediates: Mapping[str, Any], module: str) -> jax.Array:
    """What the module at that path answered, (batch, ..., units) float32."""
    for name in module.split("/"):
        intermediates = intermediates[name]
    return at_least_float32(intermediates["__call__"][0])
