"""ReDo: recycles dormant neurons while the network learns (Sokar et al. 2023)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import gin
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from prune_rl.diagnostics.dormant import dormant
from prune_rl.errors import ConfigError
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import Network, Params
from prune_rl.networks.layers import match_layers
from prune_rl.networks.units import outgoing
from prune_rl.plasticity.intervention import renew
from prune_rl.plasticity.occasions import Period, Periodic
from prune_rl.settings import Count, NotNegative, Patterns, checked
from prune_rl.specs import Inputs


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class ReDo(Periodic):
    """Every `reset_period`: new incoming weights for dormant neurons, zero outgoing ones.

    A neuron is dormant if its score (`diagnostics.dormant`) is at most the threshold. Its incoming
    kernel becomes a new network's, its bias 0, its outgoing kernel 0 (also towards a neuron that
    is recycled with it), and the optimizer's moments of all these 0: so neurons that were silent
    change no output. The optimizer's step count stays, and so does the target network until its
    next update. The layers are those of the network's wiring; the last is never recycled.

    Names are those of Dopamine's labs/redo. Released configurations set neither period nor
    threshold, so these are ours. Its wiring is wrong in two places, mended here: after the
    residual blocks it takes the next stack for the reader, and it takes flattened images to be
    ordered by channel first. It also leaves the moments of recycled biases.

    Attributes:
        dead_neurons_threshold: tau >= 0.
        reset_period: gradient steps (int) or a fraction of the run (float) between two passes.
        reset_start_step: no pass before so many gradient steps (int; float for a fraction).
        reset_end_step: none from there on (likewise); None for the end of the run.
        layers: glob patterns of layer paths, as ('torso/Dense_0',); None for all in the wiring.
        statistics_batch_size: transitions from the source that scores are measured on.

    Raises:
        ConfigError: a setting is wrong or a layer is not there; names the gin binding.
    """

    dead_neurons_threshold: Annotated[NotNegative, "a number >= 0, as 0.025"] = 0.025
    reset_period: Period = 1_000
    layers: Patterns | None = None
    statistics_batch_size: Count = 256

    def check(self, quantities: Quantities, params: Params) -> None:
        """See `Intervention`."""
        del params
        self._wiring(quantities)

    def apply(
        self, quantities: Quantities, network: Network, inputs: Inputs | None, key: jax.Array
    ) -> Network:
        """See `Intervention`."""
        assert quantities.activations is not None
        assert inputs is not None
        activations = quantities.activations(network.params, inputs)
        wiring = self._wiring(quantities)
        flags = {x: dormant(activations[x], self.dead_neurons_threshold) for x in wiring}
        params = flatten_dict(network.params["params"], sep="/")
        fresh = flatten_dict(quantities.init_params(key)["params"], sep="/")
        incoming = _incoming(params, flags)
        silenced = _outgoing(params, flags, wiring)
        values = {name: jnp.where(silenced[name], 0.0, fresh[name]) for name in params}
        renewed = {name: incoming[name] | silenced[name] for name in params}
        return renew(network, _tree(renewed), _tree(values))

    def _wiring(self, quantities: Quantities) -> dict[str, tuple[str, ...]]:
        wiring = quantities.wiring
        if quantities.activations is None or not wiring:
            raise ConfigError("ReDo: the agent's network names no hidden layers (Torso.wiring)")
        patterns = ["*"] if self.layers is None else self.layers
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return {x: wiring[x] for x in match_layers("ReDo.layers", patterns, list(wiring))}


def _incoming(
    params: Mapping[str, jax.Array], flags: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Which weights and biases make the flagged units, by parameter name."""
    none = jnp.zeros((), bool)
    of_layer = {name: flags.get(name.rpartition("/")[0], none) for name in params}
    return {name: jnp.broadcast_to(of_layer[name], leaf.shape) for name, leaf in params.items()}


def _outgoing(
    params: Mapping[str, jax.Array],
    flags: Mapping[str, jax.Array],
    wiring: Mapping[str, tuple[str, ...]],
) -> dict[str, jax.Array]:
    """Which weights read the flagged units, by parameter name."""
    read = {name: jnp.zeros(leaf.shape, bool) for name, leaf in params.items()}
    for layer, readers in wiring.items():
        for reader in readers:
            kernel = read[f"{reader}/kernel"]
            by_unit = outgoing(kernel, flags[layer].size)  # (..., units, outputs)
            read[f"{reader}/kernel"] = (by_unit | flags[layer][:, None]).reshape(kernel.shape)
    return read


def _tree(flat: dict[str, jax.Array]) -> Params:
    return {"params": unflatten_dict(flat, sep="/")}
