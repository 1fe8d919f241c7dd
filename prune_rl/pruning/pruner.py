"""Joins method, schedule and distribution into a wrapper around any optax optimizer.

Order of one update, as in JaxPruner's `wrap_optax` (jaxpruner/base_updater.py): the step count
before the update decides whether masks change; new masks come from the weights before the update;
then the optimizer moves the weights. Unlike there, the updates returned already hold pruned
weights at zero: the parameters are the sparse network, whatever the method, and dense weights that
a method needs are in the state.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import optax

from prune_rl.pruning.dynamic import drop_and_grow, zero_moments
from prune_rl.pruning.methods import Method, check_score
from prune_rl.pruning.network_masks import network_masks
from prune_rl.pruning.packing import activated, apply_masks, changed_fraction, pack, unpack_like
from prune_rl.pruning.patterns import Pattern, Unstructured
from prune_rl.pruning.schedules import Schedule
from prune_rl.pruning.scores import Score, random
from prune_rl.pruning.sparse_optimizer import (
    SparseOptimizer,
    SparseState,
    of_all_members,
    of_members,
)
from prune_rl.pruning.tensors import tensor_name
from prune_rl.pruning.ties import tie, untie

_UNSTRUCTURED, _no_drop = Unstructured(), optax.constant_schedule(0.0)


@dataclass(frozen=True)
class Pruner:
    """Keeps a network sparse as an optimizer updates it.

    Attributes:
        method: what masks are made from and what becomes of pruned weights.
        schedule: says when masks change and to which fraction of the target sparsity.
        distribution: maps parameters to their target sparsities, see `distributions`.
        pattern: makes the mask of one tensor; `Unstructured` where the method ranks single
            weights (`Method.ranks_single_weights`).
        drop_fraction: maps the step to the fraction that dynamic methods replace at it.
        rng_seed: of the random masks and scores.
        period: steps of the schedule for one update; masks that any of them changes are made at
            that update.
        pools_members: of an ensemble, whether a threshold over a whole network is one over all of
            its members.

    >>> import jax.numpy as jnp, optax
    >>> from prune_rl.pruning.config import create_updater_from_config
    >>> pruner = create_updater_from_config(10, "magnitude", sparsity=0.5)
    >>> def train(optimizer, params):
    ...     state, grads = optimizer.init(params), {"kernel": jnp.ones(params["kernel"].shape)}
    ...     for _ in range(10):
    ...         updates, state = optimizer.update(grads, state, params)
    ...         params = optax.apply_updates(params, updates)
    ...     return params["kernel"].tolist()
    >>> kernel = jnp.array([[1.0, -4.0], [3.0, 2.0]])
    >>> train(pruner.wrap(optax.sgd(0.125)), {"kernel": kernel})
    [[0.0, -5.25], [1.75, 0.0]]

    Two networks stacked on a leading axis, as the critics of an ensemble, each with its own masks:

    >>> train(pruner.wrap(optax.sgd(0.125), members=2), {"kernel": jnp.stack([kernel, -kernel])})
    [[[0.0, -5.25], [1.75, 0.0]], [[0.0, 2.75], [-4.25, 0.0]]]
    """

    method: Method
    schedule: Schedule
    distribution: Callable[..., Any]
    pattern: Pattern = _UNSTRUCTURED
    drop_fraction: optax.Schedule = _no_drop
    rng_seed: int = 8
    period: int = 1
    pools_members: bool = False

    def wrap(
        self, optimizer: optax.GradientTransformation, members: int | None = None
    ) -> SparseOptimizer:
        """The same optimizer, whose updates also set pruned weights to zero.

        `init` takes one seed's PRNG key, so that seeds have masks of their own; `rng_seed` is
        folded into it, and is the key itself without one. Methods that start sparse expect
        `apply_masks(params, state)` as parameters from then on.

        `update` needs `params`. For a pruned weight p it returns -p, exactly undone by
        `optax.apply_updates` (unless p is not finite); the updates of the others are the
        optimizer's own, and if the target sparsity is 0, of all.

        `forward_params` is where to differentiate: at a mask update of SNIP the dense weights, for
        which its score is meant, else `params` themselves.

        With `members`, parameters, gradients and state (but for its `count`) have a leading axis
        of that length, and each member is a network of its own: shares of the sparsity, masks,
        thresholds, the optimizer's moments and norms, a key split off the seed's. None: no axis.
        Only a threshold may be shared (`pools_members`).
        """
        if members is None and self.pools_members:
            return replace(self, pools_members=False).wrap(optimizer)
        optimizer = optax.with_extra_args_support(optimizer)

        def init(params: Any, key: jax.Array | None = None) -> SparseState:
            return self._init(optimizer, params, key)

        def update(
            grads: Any, state: SparseState, params: Any = None, **extra_args: Any
        ) -> tuple[Any, SparseState]:
            if params is None:
                raise ValueError("a pruned optimizer needs params: update(grads, state, params)")
            if not jax.tree.leaves(state.masks):
                updates, inner = optimizer.update(grads, state.inner_state, params, **extra_args)
                return updates, state._replace(inner_state=inner, count=self._next(state.count))
            return self._update(optimizer, grads, state, params, extra_args)

        def apply(params: Any, state: SparseState) -> Any:
            return apply_masks(params, state.masks)

        dense = _dense if self.method.keeps_dense_weights else None
        one = SparseOptimizer(
            init,
            update,
            forward_params=self._forward_params,
            apply_masks=apply,
            dense_params=dense,
            target_sparsities=self.distribution,
            scores_next=self._scores_next,
        )
        if members is None:
            return one
        return of_members(one, members, jax.random.PRNGKey(self.rng_seed))

    def _init(
        self, optimizer: optax.GradientTransformation, params: Any, key: jax.Array | None
    ) -> SparseState:
        if key is None:
            key = jax.random.PRNGKey(self.rng_seed)
        else:
            key = jax.random.fold_in(key, self.rng_seed)
        targets = self._targets(params)
        jax.tree_util.tree_map_with_path(self._check, params, targets)
        masks = tie(jax.tree.map(self._first_mask, params, _keys(key, params), targets))
        weights = None
        if self.method.keeps_dense_weights:
            # A copy: two names for one buffer could not be donated.
            weights = jax.tree.map(jnp.copy, _masked_tensors(params, masks))
        count, churn = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
        return SparseState(
            jax.tree.map(pack, masks), optimizer.init(params), count, weights, key, churn
        )

    def _check(self, path: Any, param: jax.Array, target: float | None) -> None:
        if target is not None:
            self.pattern.check(tensor_name(path), param.shape)
            if self.method.score is not None:
                check_score(self.method, param.shape)

    def _first_mask(
        self, param: jax.Array, key: jax.Array, target: float | None
    ) -> jax.Array | None:
        if target is None:
            return None
        ones = jnp.ones_like(param, dtype=bool)
        if not self.method.starts_sparse:
            return ones
        return self.pattern(random(param, param, key), ones, jnp.float32(target))

    def _scores_next(self, state: SparseState) -> jax.Array:
        if not self.method.scores_dense or not jax.tree.leaves(state.masks):
            return jnp.zeros((), bool)
        return self._is_mask_update(state.count)

    def _forward_params(self, params: Any, state: SparseState) -> Any:
        if not self.method.scores_dense or not jax.tree.leaves(state.masks):
            return params
        return jax.lax.cond(self._scores_next(state), lambda: _dense(params, state), lambda: params)

    def _update(
        self,
        optimizer: optax.GradientTransformationExtraArgs,
        grads: Any,
        state: SparseState,
        params: Any,
        extra_args: dict[str, Any],
    ) -> tuple[Any, SparseState]:
        method = self.method
        is_update = self._is_mask_update(state.count)
        weights = _dense(params, state) if method.keeps_dense_weights else params
        masks, churn = self._next_masks(is_update, state, weights, grads)
        kept = unpack_like(masks, params)
        if method.sparse_gradients:
            grads = jax.tree.map(_keep_only, grads, kept)

        def train() -> tuple[Any, Any]:
            return optimizer.update(grads, state.inner_state, weights, **extra_args)

        def skip() -> tuple[Any, Any]:
            inner = state.inner_state
            if method.grow is not None:
                inner = zero_moments(inner, params, activated(state.masks, masks, params))
            return jax.tree.map(jnp.zeros_like, grads), inner

        skips = method.skips_gradients and method.score is not None
        updates, inner = jax.lax.cond(is_update, skip, train) if skips else train()
        new_weights = self._new_weights(weights, updates, kept)
        updates = jax.tree.map(_sparse_update, params, weights, updates, kept)
        count = self._next(state.count)
        return updates, SparseState(masks, inner, count, new_weights, state.key, churn)

    def _new_weights(self, weights: Any, updates: Any, kept: Any) -> Any:
        if not self.method.keeps_dense_weights:
            return None
        if self.method.pruned == "frozen":
            updates = jax.tree.map(_keep_only, updates, kept)
        moved = optax.apply_updates(weights, updates)
        return _masked_tensors(moved, kept)

    def _next_masks(
        self, is_update: jax.Array, state: SparseState, weights: Any, grads: Any
    ) -> tuple[Any, jax.Array]:
        """Masks for this step and their churn; new ones in a branch of its own."""
        if self.method.score is None:
            return state.masks, state.churn

        def remake() -> tuple[Any, jax.Array]:
            masks = jax.tree.map(pack, tie(self._new_masks(state, weights, grads)))
            return masks, changed_fraction(state.masks, masks, weights)

        return jax.lax.cond(is_update, remake, lambda: (state.masks, state.churn))

    def _new_masks(self, state: SparseState, weights: Any, grads: Any) -> Any:
        method, active = self.method, unpack_like(untie(state.masks), weights)
        keys = _keys(jax.random.fold_in(state.key, state.count), weights)
        scores = _scores(method.score, weights, grads, keys, active)
        if method.grow is not None:
            growth = _scores(method.grow, weights, grads, keys, active)
            fraction = jnp.float32(self.drop_fraction(state.count))
            return jax.tree.map(partial(drop_and_grow, fraction), scores, growth, active)
        if method.keeps_dense_weights:
            active = jax.tree.map(jnp.ones_like, active)  # any weight may come back
        targets = self._targets(weights)
        # The last of the steps that the update stands for: one of them may be the schedule's end.
        step = state.count + (self.period - 1)
        if method.whole_network:
            return self._network_masks(step, scores, active, targets)
        sparsities = jax.tree.map(lambda own: self.schedule.sparsity(own, step), targets)
        return jax.tree.map(self.pattern, scores, active, sparsities)

    def _is_mask_update(self, count: jax.Array) -> jax.Array:
        steps = [self.schedule.is_mask_update(count + own) for own in range(self.period)]
        return reduce(operator.or_, steps)

    def _next(self, count: jax.Array) -> jax.Array:
        return optax.safe_increment(count + (self.period - 1))

    def _network_masks(self, step: jax.Array, scores: Any, active: Any, targets: Any) -> Any:
        different = set(jax.tree.leaves(targets))
        if len(different) > 1:
            raise ValueError("one threshold has one target sparsity: use distributions.uniform")
        sparsity = self.schedule.sparsity(different.pop(), step)
        rank = partial(network_masks, sparsity=sparsity, normalized=self.method.normalized)
        return of_all_members(rank, scores, active) if self.pools_members else rank(scores, active)

    def _targets(self, params: Any) -> Any:
        """Target sparsities, None for tensors that stay dense: the structure of the masks."""
        return jax.tree.map(lambda target: target or None, self.distribution(params))


def _keys(key: jax.Array, params: Any) -> Any:
    # Dense tensors get a key too, as in JaxPruner: which are pruned does not change the others'.
    return optax.tree.split_key_like(key, params)


def _scores(score: Score | None, weights: Any, grads: Any, keys: Any, masks: Any) -> Any:
    assert score is not None  # else masks are never remade

    def of_tensor(
        weight: jax.Array, grad: jax.Array, key: jax.Array, mask: jax.Array | None
    ) -> jax.Array | None:
        if mask is None:
            return None
        return score(weight.astype(jnp.float32), grad.astype(jnp.float32), key)

    return jax.tree.map(of_tensor, weights, grads, keys, masks)


def _dense(params: Any, state: SparseState) -> Any:
    """The parameters with the stored dense weights in the place of pruned ones."""

    def merge(param: jax.Array, mask: jax.Array | None, weight: Any) -> jax.Array:
        return param if mask is None else jnp.where(mask, param, weight)

    return jax.tree.map(merge, params, unpack_like(state.masks, params), state.weights)


def _masked_tensors(params: Any, masks: Any) -> Any:
    return jax.tree.map(lambda param, mask: None if mask is None else param, params, masks)


def _keep_only(leaf: jax.Array, mask: jax.Array | None) -> jax.Array:
    return leaf if mask is None else jnp.where(mask, leaf, jnp.zeros_like(leaf))


def _sparse_update(
    param: jax.Array, weight: jax.Array, update: jax.Array, mask: jax.Array | None
) -> jax.Array:
    if mask is None:
        return update
    if weight is not param:
        update = update + (weight - param)
    return jnp.where(mask, update, -param)
