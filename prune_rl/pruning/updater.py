"""Joins score, schedule and distribution into a wrapper around any optax optimizer.

Order of one update, as in JaxPruner's `wrap_optax` (jaxpruner/base_updater.py): the step count
before the update decides whether masks change; new masks come from the weights before the update;
the optimizer sees dense gradients, so that its moments of pruned weights go on accumulating.
Unlike there, the updates returned already hold pruned weights at zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import optax

from prune_rl.errors import require, require_choice
from prune_rl.pruning import distributions
from prune_rl.pruning.masks import topk_mask
from prune_rl.pruning.packing import pack, unpack
from prune_rl.pruning.schedules import NoUpdateSchedule, Schedule, resolve_schedule
from prune_rl.pruning.scores import PRUNER_TYPES, SCORES, Score, magnitude

_DISTRIBUTIONS = {"uniform": distributions.uniform, "erk": distributions.erk}


class SparseState(NamedTuple):
    """State of a wrapped optimizer, a pytree of arrays.

    Attributes:
        masks: tree like the parameters: packed (see `packing`), 1 where a weight is kept; None
            for tensors that stay dense.
        inner_state: the wrapped optimizer's own.
        count: int32 scalar, gradient steps made.
        weights: None.
        churn: float32 scalar, fraction of the masks' bits that the last mask update changed.
    """

    masks: Any
    inner_state: Any
    count: Any
    weights: Any
    churn: Any


@dataclass(frozen=True)
class Pruner:
    """Prunes parameters as an optimizer updates them, each tensor for itself.

    Attributes:
        score: ranks the weights of a tensor.
        schedule: says when masks change and to which fraction of the target sparsity.
        distribution: maps parameters to their target sparsities, see `distributions`.

    >>> import jax.numpy as jnp, optax
    >>> pruner = create_updater_from_config(10, "magnitude", sparsity=0.5)
    >>> optimizer = pruner.wrap(optax.sgd(0.125))
    >>> params = {"kernel": jnp.array([[1.0, -4.0], [3.0, 2.0]])}
    >>> state = optimizer.init(params)
    >>> for _ in range(10):
    ...     updates, state = optimizer.update({"kernel": jnp.ones((2, 2))}, state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> params["kernel"].tolist()
    [[0.0, -5.25], [1.75, 0.0]]
    """

    score: Score
    schedule: Schedule
    distribution: Callable[[Any], Any]

    def wrap(
        self, optimizer: optax.GradientTransformation
    ) -> optax.GradientTransformationExtraArgs:
        """The same optimizer, whose updates also set pruned weights to zero and keep them there.

        `update` needs `params`. Its state is a `SparseState`. For a pruned weight p it returns
        -p, exactly undone by `optax.apply_updates` (unless p is not finite); the updates of the
        others are the optimizer's own, and if the target sparsity is 0, of all.
        """
        optimizer = optax.with_extra_args_support(optimizer)

        def init(params: Any) -> SparseState:
            masks = jax.tree.map(_initial_mask, params, self.distribution(params))
            zero = jnp.zeros((), jnp.float32)
            return SparseState(masks, optimizer.init(params), jnp.zeros((), jnp.int32), None, zero)

        def update(
            grads: Any, state: SparseState, params: Any = None, **extra_args: Any
        ) -> tuple[Any, SparseState]:
            if params is None:
                raise ValueError("a pruned optimizer needs params: update(grads, state, params)")
            masks, churn = self._masks(state, params, grads)
            updates, inner = optimizer.update(grads, state.inner_state, params, **extra_args)
            updates = jax.tree.map(_prune, params, updates, masks)
            count = optax.safe_increment(state.count)
            return updates, SparseState(masks, inner, count, None, churn)

        return optax.GradientTransformationExtraArgs(init, update)

    def seed_axes(self) -> SparseState:
        """Seed axes of the wrapped optimizer's state, a `vmap` prefix.

        All seeds share `count`, so that the choice to make new masks is one branch under `vmap`,
        not a selection between masks computed at every step.
        """
        return SparseState(masks=0, inner_state=0, count=None, weights=0, churn=0)

    def _masks(self, state: SparseState, params: Any, grads: Any) -> Any:
        if not jax.tree.leaves(state.masks):
            return state.masks, state.churn

        def new_masks() -> Any:
            key = jax.random.fold_in(jax.random.PRNGKey(0), state.count)
            keys, targets = optax.tree.split_key_like(key, params), self.distribution(params)
            masks = jax.tree.map(
                partial(self._new_mask, state.count), params, grads, keys, state.masks, targets
            )
            return masks, _churn(state.masks, masks, params)

        is_update = self.schedule.is_mask_update(state.count)
        return jax.lax.cond(is_update, new_masks, lambda: (state.masks, state.churn))

    def _new_mask(
        self,
        count: jax.Array,
        param: jax.Array,
        grad: jax.Array,
        key: jax.Array,
        mask: jax.Array | None,
        target: float,
    ) -> jax.Array | None:
        if mask is None:
            return None
        active = unpack(mask, param.shape)
        sparsity = self.schedule.sparsity(target, count)
        return pack(topk_mask(self.score(param, grad, key), active, sparsity))


def _churn(old: Any, new: Any, params: Any) -> jax.Array:
    masked = jax.tree.leaves(jax.tree.map(lambda p, m: 0 if m is None else p.size, params, old))
    changed = jax.tree.map(
        lambda a, b: jnp.sum(jax.lax.population_count(a ^ b).astype(jnp.int32)), old, new
    )
    return sum(jax.tree.leaves(changed)).astype(jnp.float32) / sum(masked)


def _initial_mask(param: jax.Array, target: float | None) -> jax.Array | None:
    return pack(jnp.ones_like(param, dtype=bool)) if target else None


def _prune(param: jax.Array, update: jax.Array, mask: jax.Array | None) -> jax.Array:
    return update if mask is None else jnp.where(unpack(mask, param.shape), update, -param)


@gin.configurable
def create_updater_from_config(
    num_gradient_steps: int,
    pruner_type: str = "no_prune",
    *,
    dist_type: str = "erk",
    update_start_step: int | float | None = None,
    update_end_step: int | float | None = None,
    update_freq: int | None = None,
    sparsity: float = 0.0,
) -> Pruner:
    """Creates the pruner of a run; names are those of JaxPruner's Dopamine baseline.

    Args:
        num_gradient_steps: gradient steps that the run will make.
        pruner_type: one of `scores.PRUNER_TYPES`.
        dist_type: 'uniform' or 'erk', how sparsity is shared among tensors.
        update_start_step: see `schedules.resolve_schedule`, as for the next two.
        update_end_step: gradient step (int) or fraction of the run (float) of the last mask update.
        update_freq: gradient steps between mask updates.
        sparsity: final fraction of zeros in tensors of rank > 1, in [0, 1).

    Raises:
        ConfigError: a setting is wrong or asks to prune without a pruner; names the gin binding.
    """
    require_choice("create_updater_from_config.pruner_type", pruner_type, PRUNER_TYPES)
    require_choice("create_updater_from_config.dist_type", dist_type, _DISTRIBUTIONS)
    is_number = isinstance(sparsity, int | float) and not isinstance(sparsity, bool)
    binding, valid = "create_updater_from_config.sparsity", is_number and 0.0 <= sparsity < 1.0
    require(valid, binding, sparsity, "a fraction in [0, 1), as 0.95")
    if pruner_type == "no_prune":
        advice = "0.0 for pruner_type 'no_prune'; to prune add --gin_files=pruning/magnitude.gin"
        require(sparsity == 0.0, binding, sparsity, advice)
        dense = partial(distributions.uniform, sparsity=0.0)
        return Pruner(magnitude, NoUpdateSchedule(), dense)
    schedule = resolve_schedule(num_gradient_steps, update_start_step, update_end_step, update_freq)
    distribution = partial(_DISTRIBUTIONS[dist_type], sparsity=float(sparsity))
    return Pruner(SCORES[pruner_type], schedule, distribution)
