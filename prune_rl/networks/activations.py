"""What the hidden units of a network answer, layer by layer."""

from typing import Any

import jax
from flax import linen as nn

from prune_rl.networks.noisy import NoisyDense
from prune_rl.networks.q_network import QNetwork


def hidden_activations(
    network: QNetwork, params: Any, observations: jax.Array
) -> dict[str, jax.Array]:
    """Outputs after the ReLU of the layers that `network.wiring` names.

    Args:
        network: a module with a `wiring`.
        params: of one seed.
        observations: (batch, stack, H, W, C) uint8.

    Returns:
        (batch, ..., units) float32 by layer path, as 'torso/Conv_0': (32, 21, 21, 32).
    """

    def layer_outputs(observation: jax.Array) -> Any:
        _, variables = network.apply(
            params, observation, capture_intermediates=_is_layer, mutable="intermediates"
        )
        return variables["intermediates"]

    outputs = jax.vmap(layer_outputs)(observations)
    return {layer: nn.relu(_output(outputs, layer)) for layer in network.wiring}


def _is_layer(module: nn.Module, method: str) -> bool:
    return method == "__call__" and isinstance(module, nn.Conv | nn.Dense | NoisyDense)


def _output(tree: Any, layer: str) -> jax.Array:
    for name in layer.split("/"):
        tree = tree[name]
    return tree["__call__"][0]
