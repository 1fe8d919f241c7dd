"""Inputs that JaxPruner and our pruner both see, from fixed seeds."""

import jax
import numpy as np

SHAPES = {
    "params": {
        "torso": {
            "Conv_0": {"kernel": (3, 3, 2, 8), "bias": (8,)},
            "Conv_1": {"kernel": (3, 3, 8, 12), "bias": (12,)},
            "Dense_0": {"kernel": (48, 16), "bias": (16,)},
        },
        "head": {"kernel": (16, 6), "bias": (6,)},
    }
}
# JaxPruner's SET and RigL take no trees with tensors that stay dense.
KERNELS = {"conv": {"kernel": (3, 3, 4, 8)}, "dense": {"kernel": (32, 12)}}
NUM_STEPS, START, END, FREQ, SPARSITY = 12, 3, 9, 3, 0.8
ALGORITHMS = {
    "magnitude": "MagnitudePruning",
    "random": "RandomPruning",
    "saliency": "SaliencyPruning",
    "global_magnitude": "GlobalMagnitudePruning",
    "global_saliency": "GlobalSaliencyPruning",
    "static_sparse": "StaticRandomSparse",
    "set": "SET",
    "rigl": "RigL",
}
TOPK = [(size, s) for size in (1, 3, 10, 257, 4096) for s in (0.0, 1e-9, 0.25, 0.5, 0.95, 0.999)]
N_BY_M, BLOCKS = [(2, 4), (1, 4)], [(4, 4), (2, 2)]
PATTERN_SHAPES = [(8, 16), (4, 8, 3, 4)]
TARGETS = [0.3, 0.8, 0.95]


def draw(shapes, seed, decimals=None):
    """A tree of normal float32 weights; rounded, so that there are ties, if told to how far."""
    rng = np.random.default_rng(seed)

    def tensor(shape):
        values = rng.normal(size=shape)
        return (values if decimals is None else values.round(decimals)).astype(np.float32)

    return jax.tree.map(tensor, shapes, is_leaf=lambda node: isinstance(node, tuple))


def gradients(shapes):
    """One tree of gradients for each step."""
    return [draw(shapes, 100 + step) for step in range(NUM_STEPS)]


def tied_scores(size):
    """Non-negative scores with many ties."""
    return np.abs(draw(size if isinstance(size, tuple) else (size,), 7, decimals=1))
