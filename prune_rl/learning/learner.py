"""What an agent hands to the run loop: its state and the compiled functions that move it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import struct

from prune_rl.learning.quantities import Quantities
from prune_rl.specs import Batch


class AgentState(struct.PyTreeNode):
    """Everything an agent learns or draws from, with a leading seed axis S on every array.

    Attributes:
        params: of the online network, pruned weights exactly zero.
        target_params: of the target network, the online ones as they were at the last sync.
        opt_state: the pruner's `SparseState`; its `count` is one scalar shared by all seeds.
        keys: (S, 2) uint32, the stream of each seed's exploration, noise and augmentation.
    """

    params: Any
    target_params: Any
    opt_state: Any
    keys: jax.Array


class Learner(NamedTuple):
    """Compiled functions over S seeds at once; a seed's randomness does not depend on S.

    Attributes:
        init: seeds, S integers in [0, 2**32) -> AgentState.
        act: (params, keys, observations (S, stack, H, W, C) uint8, epsilon float) ->
            (actions (S,) int32, keys), with the noise of noisy layers. Reads `params`, donates
            nothing.
        act_eval: the same without noise, for evaluation.
        update: (AgentState, Batch) -> (AgentState, metrics, priorities); one gradient step of
            every seed. The state given is donated: use the one returned. Metrics are (S,) float32
            arrays named loss, grad_norm (before pruning) and q_mean (of the actions taken);
            priorities (S, B) float32 are what the batch should be sampled by from now on.
        sync_target: AgentState -> AgentState with the target network a copy of the online one;
            donates like `update`.
        strategy: how `update` is mapped over seeds, see `agents.seed_axis`.
        state_axes: seed axes of an AgentState, a prefix as `seed_axis.map_seeds` takes it.
        quantities: what may be asked of one seed.
    """

    init: Callable[[Sequence[int]], AgentState]
    act: Callable[[Any, jax.Array, Any, float], tuple[jax.Array, jax.Array]]
    act_eval: Callable[[Any, jax.Array, Any, float], tuple[jax.Array, jax.Array]]
    update: Callable[[AgentState, Batch], tuple[AgentState, dict[str, jax.Array], jax.Array]]
    sync_target: Callable[[AgentState], AgentState]
    strategy: str
    state_axes: AgentState
    quantities: Quantities
