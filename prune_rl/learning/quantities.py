"""What an agent lets diagnostics and plasticity interventions see of its networks."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from prune_rl.learning.state import AgentState, Params
from prune_rl.specs import Batch, Inputs


class Quantities(NamedTuple):
    """Functions of one network, of one seed and one member; None where there is no such thing.

    `params` are the network's, `inputs` and `batch` those of B transitions of the seed.

    Attributes:
        init_params: key -> new parameters, as at the start of a run.
        inputs: shapes and dtypes of one transition's, without the batch axis.
        wiring: hidden layers by path and the layers that read them, see `networks.torsos.torso`.
        activations: (params, inputs) -> (B, ..., units) after the ReLU, by layer: those of `wiring`
            and what else is counted, see `networks.torsos.torso.Torso.counted`.
        features: (params, inputs) -> (B, features), what the last layer reads.
        q_values: (params, inputs) -> (B, num_actions).
        q_targets: (state, batch) -> (B,), what the loss pulls the values to.
        losses: (params, state, batch) -> (B,), per transition; differentiable in `params`.
    """

    init_params: Callable[[jax.Array], Params]
    inputs: Inputs
    wiring: Mapping[str, tuple[str, ...]] = {}
    activations: Callable[[Params, Inputs], dict[str, jax.Array]] | None = None
    features: Callable[[Params, Inputs], jax.Array] | None = None
    q_values: Callable[[Params, Inputs], jax.Array] | None = None
    q_targets: Callable[[AgentState, Batch], jax.Array] | None = None
    losses: Callable[[Params, AgentState, Batch], jax.Array] | None = None
