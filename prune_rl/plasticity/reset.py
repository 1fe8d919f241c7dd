"""Reset: layers start afresh now and then while the replay stays (Nikishin et al. 2022)."""

from dataclasses import dataclass

import gin
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from prune_rl.errors import require
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.state import Network, Params
from prune_rl.networks.layers import kernels, match_layers
from prune_rl.plasticity.intervention import renew
from prune_rl.plasticity.occasions import Period, Periodic
from prune_rl.settings import Patterns, checked
from prune_rl.specs import Inputs


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class Reset(Periodic):
    """Re-initialises layers, and the optimizer's moments of them, every `reset_period`.

    Kernels and biases become those of a new network, drawn for every seed and reset. The
    optimizer's step count stays, and so does the target network until its next update. After
    Dopamine's labs/redo (LayerReset), which on a ResNet can reach dense layers only: hence the
    default.

    Attributes:
        reset_layers: 'dense' for all dense layers, 'all' for the whole network, or glob patterns
            of layer paths, as ('torso/Dense_*', 'head').
        reset_period: gradient steps (int) or a fraction of the run (float) between resets.
        reset_start_step: no reset before so many gradient steps (int; float for a fraction).
        reset_end_step: none from there on (likewise); None for the end of the run.

    Raises:
        ConfigError: a setting is wrong or a pattern fits no layer; names the gin binding.
    """

    reset_layers: Patterns = "dense"
    reset_period: Period = 200_000
    statistics_batch_size = 0

    def check(self, quantities: Quantities, params: Params) -> None:
        """See `Intervention`."""
        del quantities
        layers, expected = self._layers(params), "layers that the network has"
        require(bool(layers), "Reset.reset_layers", self.reset_layers, expected)

    def apply(
        self, quantities: Quantities, network: Network, inputs: Inputs | None, key: jax.Array
    ) -> Network:
        """See `Intervention`; `inputs` are not looked at."""
        del inputs
        layers, whole = self._layers(network.params), self.reset_layers == "all"
        renewed = {
            # Normalisations and deviations of actions are in no layer that has a kernel.
            name: jnp.full(leaf.shape, whole or name.rpartition("/")[0] in layers)
            for name, leaf in flatten_dict(network.params["params"], sep="/").items()
        }
        tree = {"params": unflatten_dict(renewed, sep="/")}
        return renew(network, tree, quantities.init_params(key))

    def _layers(self, params: Params) -> list[str]:
        of_layers = kernels(params)
        if self.reset_layers == "all":
            return list(of_layers)
        if self.reset_layers == "dense":
            return [layer for layer, kernel in of_layers.items() if kernel.ndim == 2]
        patterns = self.reset_layers
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return match_layers("Reset.reset_layers", patterns, list(of_layers))
