"""How a program written for one seed runs over S of them.

Two strategies, because neither wins everywhere. 'vmap' batches every operation over the seeds:
one small program, but convolutions with weights per seed become grouped convolutions, which XLA
runs slowly on CPU when they are large. 'unroll' writes the seeds one after another into one
program: every operation keeps its single-seed form, compile time grows with S. A loop inside the
program (`lax.map`) lost to both on CPU, up to 10 times slower, and is not offered.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

STRATEGIES = ("vmap", "unroll")


def default_strategy(backend: str, torso_name: str) -> str:
    """The strategy measured fastest for updates of several seeds (benchmarks/seed_strategies.py).

    Args:
        backend: 'cpu', 'gpu' or 'tpu', as `jax.default_backend()` says.
        torso_name: class name of the torso, as 'ImpalaTorso'.

    Accelerators are unmeasured and get 'vmap', which needs the fewest and largest operations.
    """
    if backend == "cpu" and torso_name in ("NatureTorso", "ImpalaTorso"):
        return "unroll"
    return "vmap"


def map_seeds(
    function: Callable[..., Any], strategy: str, in_axes: Any, out_axes: Any
) -> Callable[..., Any]:
    """Maps `function` over a leading seed axis, with `strategy` one of `STRATEGIES`.

    Args:
        function: takes and returns pytrees of arrays of one seed.
        strategy: under 'unroll' a seed's weights and actions are the same bits for any S; under
            'vmap' they may differ in the last ones.
        in_axes: tree prefix of the arguments as in `jax.vmap`, 0 where an array has the seed axis
            and None where all seeds share it.
        out_axes: the same for the results; a shared result must be equal for all seeds.
    """
    if strategy == "vmap":
        return jax.vmap(function, in_axes, out_axes)

    def unrolled(*args: Any) -> Any:
        mapped = _is_mapped(in_axes, args)
        leaves = jax.tree.leaves(args)
        num_seeds = next(len(leaf) for leaf, own in zip(leaves, mapped, strict=True) if own)
        results = [function(*_take(args, mapped, seed)) for seed in range(num_seeds)]
        return _stack(results, out_axes)

    return unrolled


def split_seeds(tree: Any, axes: Any) -> list[Any]:
    """The tree of each seed, from one with a leading seed axis where `axes` (see above) says 0."""
    mapped, leaves = _is_mapped(axes, tree), jax.tree.leaves(tree)
    num_seeds = next(len(leaf) for leaf, own in zip(leaves, mapped, strict=True) if own)
    return [_take(tree, mapped, seed) for seed in range(num_seeds)]


def join_seeds(trees: Sequence[Any], axes: Any) -> Any:
    """The inverse of `split_seeds`; what all seeds share is taken from the first."""
    return _stack(trees, axes)


def where_mapped(condition: jax.Array, one: Any, other: Any, axes: Any) -> Any:
    """`one` where the `condition`, a boolean scalar, holds of a seed, else `other`.

    These are alike and of that seed; `axes` is their tree prefix, as of `map_seeds`. What all seeds
    share is the `other`'s.
    """
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), _is_mapped(axes, other), strict=True)
    chosen = [jnp.where(condition, a, b) if mapped else b for a, b, mapped in leaves]
    return jax.tree.unflatten(jax.tree.structure(other), chosen)


def _is_mapped(axes: Any, tree: Any) -> list[bool]:
    # None is no leaf of a pytree: as booleans, the axes broadcast over subtrees that are None too.
    flags = jax.tree.map(lambda axis: axis is not None, axes, is_leaf=lambda axis: axis is None)
    return jax.tree.leaves(jax.tree.broadcast(flags, tree))


def _take(tree: Any, mapped: list[bool], seed: int) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    pairs = zip(leaves, mapped, strict=True)
    return jax.tree.unflatten(structure, [leaf[seed] if own else leaf for leaf, own in pairs])


def _stack(results: Sequence[Any], axes: Any) -> Any:
    mapped = _is_mapped(axes, results[0])
    of_leaf = zip(*map(jax.tree.leaves, results), strict=True)  # S values of each leaf
    pairs = zip(of_leaf, mapped, strict=True)
    leaves = [jnp.stack(values) if own else values[0] for values, own in pairs]
    return jax.tree.unflatten(jax.tree.structure(results[0]), leaves)
