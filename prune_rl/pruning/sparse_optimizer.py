"""What a pruner makes of an optimizer: its state, its functions, and the same for an ensemble."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax


class SparseState(NamedTuple):
    """State of a wrapped optimizer, a pytree of arrays.

    Shapes are those of one network; with members all but `count` have a leading axis of theirs.

    Attributes:
        masks: tree like the parameters, see `packing`: one bit per weight, set where it is kept;
            None for tensors that stay dense. Noise scales have their weights' masks, see `ties`.
        inner_state: the wrapped optimizer's own.
        count: int32 scalar, gradient steps made; all seeds and members share it.
        weights: tree like `masks`, of dense weights, if the method keeps them; else None.
        key: uint32 (2,), what all randomness of the masks comes from.
        churn: float32 scalar, fraction of mask bits that the last mask update changed; 0 before.
    """

    masks: Any
    inner_state: Any
    count: Any
    weights: Any
    key: Any
    churn: Any


# With one `count` for all, the choice to make new masks is one branch under `vmap`, not a
# selection between masks computed at every step.
_AXES = SparseState(masks=0, inner_state=0, count=None, weights=0, key=0, churn=0)
_MEMBERS = "members"  # name of their axis where they are mapped


class SparseOptimizer(optax.GradientTransformationExtraArgs):
    """An optax optimizer with more functions; `Pruner.wrap` says what they do.

    To optax it is the pair of `init` and `update`, as any other; the rest are attributes.

    Attributes:
        init: (params, key=None) -> SparseState.
        update: (grads, state, params, **extra_args) -> (updates, SparseState).
        forward_params: (params, state) -> the parameters at which to take the gradients.
        apply_masks: (params, state) -> the parameters with pruned weights exactly 0.
        dense_params: (params, state) -> the parameters with the values that pruned weights still
            have in their places; None if the method leaves them none.
        target_sparsities: params of one network -> the sparsity of each tensor when all is done,
            None where it stays dense.
        scores_next: state -> whether the next update makes masks of gradients at dense weights.
        seed_axes: of the state, a `vmap` prefix for an axis of seeds in front of everything.
        members: how many networks it is for, their axis first everywhere; None for one without.
    """

    init: Callable[..., SparseState]
    update: Callable[..., tuple[Any, SparseState]]
    forward_params: Callable[[Any, SparseState], Any]
    apply_masks: Callable[[Any, SparseState], Any]
    dense_params: Callable[[Any, SparseState], Any] | None
    target_sparsities: Callable[[Any], Any]
    scores_next: Callable[[SparseState], Any]
    seed_axes: SparseState
    members: int | None

    def __new__(
        cls,
        init: Callable[..., SparseState],
        update: Callable[..., tuple[Any, SparseState]],
        *,
        forward_params: Callable[[Any, SparseState], Any],
        apply_masks: Callable[[Any, SparseState], Any],
        dense_params: Callable[[Any, SparseState], Any] | None,
        target_sparsities: Callable[[Any], Any],
        scores_next: Callable[[SparseState], Any],
        seed_axes: SparseState = _AXES,
        members: int | None = None,
    ) -> "SparseOptimizer":
        self = super().__new__(cls, init, update)
        self.forward_params, self.apply_masks = forward_params, apply_masks
        self.dense_params, self.target_sparsities = dense_params, target_sparsities
        self.scores_next, self.seed_axes, self.members = scores_next, seed_axes, members
        return self

    def _replace(self, **changes: Any) -> "SparseOptimizer":
        """The same with other attributes; a tuple's own would lose those beside the pair."""
        return SparseOptimizer(**(self._asdict() | vars(self) | changes))


def of_members(one: SparseOptimizer, members: int, default_key: jax.Array) -> SparseOptimizer:
    """The same for `members` networks at once, each of which trains as it would alone.

    Args:
        one: for one network.
        members: their number, the leading axis of parameters, gradients and extra arguments.
        default_key: split among the members if `init` gets no key.
    """

    def init(params: Any, key: jax.Array | None = None) -> SparseState:
        keys = jax.random.split(default_key if key is None else key, members)
        state: SparseState = jax.vmap(one.init, 0, _AXES)(params, keys)
        return state

    def update(
        grads: Any, state: SparseState, params: Any = None, **extra_args: Any
    ) -> tuple[Any, SparseState]:
        # vmap maps keyword arguments too, over their leading axis.
        mapped = jax.vmap(one.update, (0, _AXES, 0), (0, _AXES), axis_name=_MEMBERS)
        updates: tuple[Any, SparseState] = mapped(grads, state, params, **extra_args)
        return updates

    dense = one.dense_params
    return SparseOptimizer(
        init,
        update,
        forward_params=jax.vmap(one.forward_params, (0, _AXES)),
        apply_masks=jax.vmap(one.apply_masks, (0, _AXES)),
        dense_params=None if dense is None else jax.vmap(dense, (0, _AXES)),
        target_sparsities=one.target_sparsities,
        scores_next=one.scores_next,
        members=members,
    )


def of_all_members(function: Callable[..., Any], *trees: Any) -> Any:
    """One member's part of what `function` makes of the trees of all, within their update.

    It is given their axis first and answers likewise.
    """
    answer = function(*jax.lax.all_gather(trees, _MEMBERS))
    own = jax.lax.axis_index(_MEMBERS)
    return jax.tree.map(lambda leaf: leaf[own], answer)
