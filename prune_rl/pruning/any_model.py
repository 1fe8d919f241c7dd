"""Prunes any optax optimizer of any model, for those who use nothing else of this package."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from typing import Annotated, Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prune_rl.errors import ConfigError, nearest, require
from prune_rl.pruning.config import create_pruner
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.schedule_settings import Step, UpdateFreq
from prune_rl.pruning.sparse_optimizer import SparseOptimizer, SparseState
from prune_rl.pruning.tensors import is_prunable, prunable_tensors, tensor_name
from prune_rl.settings import Count, OneOf, Patterns, Range, checked

_Function = TypeVar("_Function", bound=Callable[..., Any])
_UNKNOWN_LENGTH = 2**31 - 1  # no run is longer
# Steps that are fractions of the run unless they are given, by `schedule_type`.
_OF_THE_RUN = {
    "polynomial": ("update_start_step", "update_end_step"),
    "periodic": ("update_end_step",),
}


def _in_pythons_numbers(function: _Function) -> _Function:
    """The same, which takes NumPy's numbers too."""

    @wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        own = {name: x.item() if isinstance(x, np.generic) else x for name, x in named.items()}
        return function(*args, **own)

    return cast(_Function, wrapper)


@_in_pythons_numbers
@checked
def prune(
    optimizer: optax.GradientTransformation,
    method: Annotated[str, OneOf(METHODS)] = "magnitude",
    *,
    sparsity: float,
    num_gradient_steps: Annotated[Count | None, "an integer >= 1 or None"] = None,
    update_start_step: Step = None,
    update_end_step: Step = None,
    update_freq: UpdateFreq = None,
    schedule_type: str = "polynomial",
    power: float = 3,
    dist_type: str = "erk",
    dense_layers: Patterns = (),
    sparsity_type: str = "unstructured",
    drop_fraction: float = 0.1,
    rng_seed: int = 8,
    pool_members: bool = False,
    masked_momentum: bool = False,
    prunable: Patterns = "kernel",
    members: Annotated[int | None, Range(least=1), "an integer >= 1 or None"] = None,
) -> SparseOptimizer:
    """The same optimizer, whose updates also prune: an optax `GradientTransformationExtraArgs`.

    Parameters may be any pytree of arrays: of flax linen or nnx, Haiku, Equinox, or your own. After
    `optax.apply_updates` they are the sparse network, pruned weights exactly zero, whatever the
    method: nothing is to be done before a forward pass or after an update. gin is not asked.

    Args:
        optimizer: any of optax's, a chain too. What comes after the pruned one in a chain of
            yours would change its updates: let it be the last, or wrap the whole chain.
        method: one of `methods.METHODS`.
        sparsity: final fraction of zeros in prunable tensors together, in [0, 1).
        num_gradient_steps: those that you will make, which fractions are fractions of; None if
            steps are given as integers.
        update_start_step: see `config.create_pruner`, as for those down to `masked_momentum`.
        update_end_step: gradient step (int, from 0) or fraction (float) of the last mask update.
        update_freq: gradient steps between mask updates.
        schedule_type: 'polynomial', 'one_shot', 'periodic' or 'none'.
        power: of the polynomial.
        dist_type: 'erk' or 'uniform'.
        dense_layers: glob patterns of layers, as 'head' or 'encoder/*'.
        sparsity_type: 'unstructured', 'block_4,4', 'channel_-1', or 'nm_2,4', which keeps 2 weights
            of 4 whatever `sparsity` is.
        drop_fraction: of 'set' and 'rigl'.
        rng_seed: of random masks.
        pool_members: whether `members` share a threshold that is over whole networks.
        masked_momentum: whether an optimizer's momentum moves weights that 'snip' has masked.
        prunable: glob patterns of the tensors to prune; without a '/' of the last part of a name,
            as 'kernel', 'w' or 'weight', else of all of it, as '*/0' of lists of (w, b). Of those
            that fit, tensors of fewer than two axes are left out: '*' is all that have two or more.
        members: length of a leading axis of networks, each pruned by itself; see `Pruner.wrap`.

    NumPy's numbers are as good as Python's.

    Returns:
        What `Pruner.wrap` does. Its `init` raises `ConfigError` too: for patterns that fit nothing,
        shapes that a `sparsity_type` does not divide, other `members` than there are, prunable
        tensors that hold no real floats.

    Raises:
        ConfigError: an argument is wrong; names it.

    >>> import jax.numpy as jnp, optax
    >>> from prune_rl.pruning import prune
    >>> params = {"w": jnp.array([[1.0, -4.0], [3.0, 2.0]]), "b": jnp.zeros(2)}
    >>> optimizer = prune(
    ...     optax.sgd(0.125), sparsity=0.5, update_start_step=0, update_end_step=4, prunable="w"
    ... )
    >>> state = optimizer.init(params)
    >>> for _ in range(5):
    ...     grads = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    ...     updates, state = optimizer.update(grads, state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> params["w"].tolist()
    [[0.0, -4.625], [2.375, 0.0]]
    """
    steps = {"update_start_step": update_start_step, "update_end_step": update_end_step}
    if num_gradient_steps is None:
        num_gradient_steps = _UNKNOWN_LENGTH
        if METHODS[method].score is not None:
            _require_absolute(steps, _OF_THE_RUN.get(schedule_type, ()))
    patterns = [prunable] if isinstance(prunable, str) else tuple(prunable)
    require(len(patterns) > 0, "prune.prunable", prunable, "at least one pattern, as 'kernel'")
    with _named_as_arguments():
        pruner = create_pruner(
            num_gradient_steps,
            method,
            sparsity=sparsity,
            update_start_step=update_start_step,
            update_end_step=update_end_step,
            update_freq=update_freq,
            schedule_type=schedule_type,
            power=power,
            dist_type=dist_type,
            dense_layers=dense_layers,
            sparsity_type=sparsity_type,
            drop_fraction=drop_fraction,
            rng_seed=rng_seed,
            pool_members=pool_members,
            masked_momentum=masked_momentum,
        )
    share = partial(pruner.distribution, prunable=patterns)
    pruned = replace(pruner, distribution=share).wrap(optimizer, members)

    def init(params: Any, key: jax.Array | None = None) -> SparseState:
        _require_prunable(params, patterns, least_axes=2 if members is None else 3)
        if members is not None:
            _require_members(params, members)
        with _named_as_arguments():
            return pruned.init(params, key)

    return pruned._replace(init=init)


def _require_absolute(steps: dict[str, Any], needed: Sequence[str]) -> None:
    for name, value in steps.items():
        known = not isinstance(value, float) and (value is not None or name not in needed)
        expected = "an integer number of gradient steps, or num_gradient_steps beside it"
        require(known, f"prune.{name}", value, expected)


def _require_prunable(params: Any, patterns: Sequence[str], least_axes: int) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [tensor_name(path) for path, leaf in leaves if np.ndim(leaf) >= least_axes]
    for pattern in patterns:
        if not any(is_prunable(name, [pattern]) for name in names):
            advice = nearest(pattern, names) if names else "there is none"
            problem = "fits no tensor of two axes or more"
            raise ConfigError(f"prune.prunable={pattern!r}: {problem}; {advice}")
    for name, tensor in prunable_tensors(params, patterns).items():
        real = jnp.issubdtype(jnp.result_type(tensor), jnp.floating)
        require(real, "prune.prunable", name, f"real floats, not {jnp.result_type(tensor)}")


def _require_members(params: Any, members: int) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        its = np.shape(leaf)[:1]
        expected = f"the length of the leading axis of {tensor_name(path)}, {[*its, 'none'][0]}"
        require(its == (members,), "prune.members", members, expected)


@contextmanager
def _named_as_arguments() -> Iterator[None]:
    """Mistakes are told in the names of `prune`, not in those of gin's bindings."""
    try:
        yield
    except ConfigError as error:
        line = str(error).replace("create_updater_from_config.", "prune.")
        raise ConfigError(line.replace("pruner_type", "method")) from error
