"""Milliseconds of one mask update of the Nature CNN at 95 % sparsity, ours against a sort.

Run: python benchmarks/mask_update.py
Both sides take turns on the same weights and must agree on every mask; the minimum counts.
"""

import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.pruning.masks import num_kept, topk_mask

SHAPES = {
    "conv 8x8": (8, 8, 4, 32),
    "conv 4x4": (4, 4, 32, 64),
    "conv 3x3": (3, 3, 64, 64),
    "dense": (7744, 512),
    "head": (512, 18),
}
SPARSITY, ROUNDS = np.float32(0.95), 5


def sorted_mask(scores: jax.Array, active: jax.Array, sparsity: jax.Array) -> jax.Array:
    """The same mask by a stable argsort, and a scatter of the ranks."""
    flat = jnp.where(active, scores, -jnp.inf).reshape(-1)
    order = jnp.argsort(-flat, stable=True)
    keep = jnp.arange(flat.size) < num_kept(flat.size, sparsity)
    return jnp.zeros(flat.shape, bool).at[order].set(keep).reshape(scores.shape)


def milliseconds(function: Callable[[], object]) -> float:
    """Time of one blocking call."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return 1e3 * (time.perf_counter() - start)


def compare(shape: tuple[int, ...]) -> tuple[float, float]:
    """Least milliseconds of our mask and of the sorted one."""
    scores = jnp.abs(jax.random.normal(jax.random.PRNGKey(0), shape))
    arguments = scores, jnp.ones(shape, bool), SPARSITY
    ours, by_sort = (jax.jit(f).lower(*arguments).compile() for f in (topk_mask, sorted_mask))
    np.testing.assert_array_equal(ours(*arguments), by_sort(*arguments))
    pairs = [
        (milliseconds(lambda: ours(*arguments)), milliseconds(lambda: by_sort(*arguments)))
        for _ in range(ROUNDS)
    ]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def main() -> None:
    """Prints a line per tensor and one for all of them."""
    print(f"{jax.default_backend():10} {'weights':>9} {'ours ms':>9} {'sort ms':>9} {'ratio':>6}")
    rows = {name: (math.prod(shape), *compare(shape)) for name, shape in SHAPES.items()}
    sizes, ours, by_sort = zip(*rows.values(), strict=True)
    rows["all"] = (sum(sizes), sum(ours), sum(by_sort))
    for name, (size, own, other) in rows.items():
        print(f"{name:10} {size:>9,} {own:>9.2f} {other:>9.2f} {other / own:>5.1f}x")


if __name__ == "__main__":
    main()
