"""What an agent lets diagnostics and plasticity interventions see of itself."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax


class Quantities(NamedTuple):
    """Functions of one seed; None where an agent has no such thing.

    `state` is an `AgentState` and `batch` a `Batch`, both without the seed axis; observations are
    (batch, stack, H, W, C) uint8.

    Attributes:
        observation_shape: (stack, H, W, C) of one observation.
        init_params: key -> new parameters, as at the start of a run.
        wiring: hidden layers by path and the layers that read them, see `networks.torso.Torso`.
        activations: (params, observations) -> (batch, ..., units) after the ReLU, by layer: those
            of `wiring` and what else is counted, see `networks.torso.Torso.counted`.
        features: (params, observations) -> (batch, features), what the last layer reads.
        q_values: (params, observations) -> (batch, num_actions).
        q_targets: (state, batch) -> (batch,), what the loss pulls the values to.
        losses: (params, state, batch) -> (batch,), per transition; differentiable in `params`.
    """

    observation_shape: tuple[int, ...]
    init_params: Callable[[jax.Array], Any]
    wiring: Mapping[str, tuple[str, ...]]
    activations: Callable[[Any, jax.Array], dict[str, jax.Array]] | None = None
    features: Callable[[Any, jax.Array], jax.Array] | None = None
    q_values: Callable[[Any, jax.Array], jax.Array] | None = None
    q_targets: Callable[[Any, Any], jax.Array] | None = None
    losses: Callable[[Any, Any, Any], jax.Array] | None = None
