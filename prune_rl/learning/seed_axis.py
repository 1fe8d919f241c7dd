"""How a program written for one seed runs over S of them, and how their trees lie.

Two strategies, because neither wins everywhere. 'vmap' stacks the seeds on a leading axis and
batches every operation over it: one dispatch, but convolutions with weights per seed become grouped
convolutions, which XLA runs slowly on CPU when they are large. 'unroll' gives each seed arrays of
its own and dispatches the program of one seed S times: each seed costs what it costs alone, and is
the same to the bit. Seeds that were written one after another into one program, or sliced out of
stacked arrays and stacked again, cost twice as much (benchmarks/README.md).
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

STRATEGIES = ("vmap", "unroll")


def default_strategy(
    backend: str, torso_name: str, num_seeds: int, *, compiled_loop: bool = False
) -> str:
    """The strategy measured fastest for agent steps of S seeds (`python -m benchmarks`).

    Args:
        backend: 'cpu', 'gpu' or 'tpu', as `jax.default_backend()` says.
        torso_name: class name of the torso, as 'ImpalaTorso'.
        num_seeds: one seed needs no axis.
        compiled_loop: whether whole runs are compiled, and not their steps: there dispatches cost
            nothing, and seeds of their own run on cores of their own.

    Accelerators are unmeasured: several seeds get 'vmap', with the fewest and largest operations.
    """
    large = torso_name in ("NatureTorso", "ImpalaTorso")
    on_cpu = backend == "cpu" and (large or compiled_loop)
    return "unroll" if num_seeds == 1 or on_cpu else "vmap"


@jax.tree_util.register_pytree_node_class
class Separate:
    """Trees of S seeds, alike, each of arrays of its own.

    An attribute of it is that of each seed, Separate again; NumPy stacks one of arrays: (S, ...).

    Attributes:
        trees: S of them.
    """

    def __init__(self, trees: Iterable[Any]) -> None:
        self.trees = tuple(trees)

    def __len__(self) -> int:
        return len(self.trees)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python and JAX look for is none of the seeds'
            raise AttributeError(name)
        return Separate(getattr(tree, name) for tree in self.trees)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.stack([np.asarray(tree) for tree in self.trees], dtype=dtype)

    def replace(self, **fields: "Separate") -> "Separate":
        """With other fields of each seed's tree, which is a dataclass of flax."""
        columns = zip(*(own.trees for own in fields.values()), strict=True)
        pairs = zip(self.trees, columns, strict=True)
        return Separate(tree.replace(**dict(zip(fields, own, strict=True))) for tree, own in pairs)

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """See `jax.tree_util.register_pytree_node_class`."""
        return self.trees, None

    @classmethod
    def tree_unflatten(cls, _: None, trees: Iterable[Any]) -> "Separate":
        """See `tree_flatten`."""
        return cls(trees)


def map_seeds(
    function: Callable[..., Any],
    in_axes: tuple[Any, ...],
    out_axes: Any,
    donate_argnums: int | Sequence[int] = (),
    pool: Executor | None = None,
) -> Callable[..., Any]:
    """Compiles `function` for S seeds, whichever way they lie.

    If the first argument is `Separate` it runs once for each seed, and each result is Separate;
    from stacked ones (a batch of the host) each seed gets its part. Else it is vmapped, and
    Separate ones are stacked.

    Args:
        function: takes and returns pytrees of arrays of one seed.
        in_axes: of each argument 0, None or a tree prefix as in `jax.vmap`: 0 where a stacked
            array has the seed axis, None where all seeds share it.
        out_axes: the same for the results, a tuple if there are several; what seeds share must be
            equal for all.
        donate_argnums: as of `jax.jit`.
        pool: whose threads each run a seed that is apart to its end; else all are dispatched at
            once, and nothing is waited for.
    """
    one = jax.jit(function, donate_argnums=donate_argnums)
    stacked = jax.jit(jax.vmap(function, in_axes, out_axes), donate_argnums=donate_argnums)

    def over_seeds(*args: Any) -> Any:
        pairs = list(zip(args, in_axes, strict=True))
        if not isinstance(args[0], Separate):
            return stacked(*(_stacked(*pair) for pair in pairs))
        own = [[seed_of(*pair, i) for pair in pairs] for i in range(len(args[0]))]
        if pool is None:
            results = [one(*of_seed) for of_seed in own]
        else:
            results = list(pool.map(lambda of_seed: jax.block_until_ready(one(*of_seed)), own))
        if isinstance(out_axes, tuple):
            return tuple(Separate(own) for own in zip(*results, strict=True))
        return Separate(results)

    over_seeds.programs = (one, stacked)  # type: ignore[attr-defined]  # to count what is compiled
    return over_seeds


def split_seeds(tree: Any, axes: Any) -> list[Any]:
    """The tree of each seed, from a Separate or one stacked where `axes` (see above) says 0."""
    if isinstance(tree, Separate):
        return list(tree.trees)
    mapped, leaves = _is_mapped(axes, tree), jax.tree.leaves(tree)
    num_seeds = next(len(leaf) for leaf, own in zip(leaves, mapped, strict=True) if own)
    return [_take(tree, mapped, seed) for seed in range(num_seeds)]


def join_seeds(trees: Sequence[Any], axes: Any) -> Any:
    """The inverse of `split_seeds`, stacked; what all seeds share is taken from the first."""
    mapped = _is_mapped(axes, trees[0])
    of_leaf = zip(*map(jax.tree.leaves, trees), strict=True)  # S values of each leaf
    pairs = zip(of_leaf, mapped, strict=True)
    leaves = [jnp.stack(values) if own else values[0] for values, own in pairs]
    return jax.tree.unflatten(jax.tree.structure(trees[0]), leaves)


def laid_out(trees: Sequence[Any], axes: Any, strategy: str) -> Any:
    """The trees of S seeds as `strategy` wants them to lie."""
    return Separate(trees) if strategy == "unroll" else join_seeds(trees, axes)


def on_host(tree: Any) -> Any:
    """Arrays (S, ...) of the host, from a Separate or a stacked one; waits for the device."""
    fetched = jax.device_get(tree)
    if not isinstance(fetched, Separate):
        return fetched
    return jax.tree.map(lambda *own: np.stack(own), *fetched.trees)


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


def _stacked(tree: Any, axes: Any) -> Any:
    return join_seeds(tree.trees, axes) if isinstance(tree, Separate) else tree


def seed_of(tree: Any, axes: int | None, seed: int) -> Any:
    """The tree of one seed, of which alone a copy is made, from a Separate or a stacked one."""
    if isinstance(tree, Separate):
        return tree.trees[seed]
    return tree if axes is None else jax.tree.map(lambda leaf: leaf[seed], tree)


def _take(tree: Any, mapped: list[bool], seed: int) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    pairs = zip(leaves, mapped, strict=True)
    return jax.tree.unflatten(structure, [leaf[seed] if own else leaf for leaf, own in pairs])
