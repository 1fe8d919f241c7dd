"""Pruning while a network learns: of any optax optimizer, any model; knows nothing of RL.

    optimizer = prune(optax.adam(1e-3), "magnitude", sparsity=0.95, num_gradient_steps=10_000)

`import prune_rl.pruning` imports no JAX: what is asked for is imported then.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prune_rl.pruning.any_model import prune
    from prune_rl.pruning.methods import METHODS, register_score
    from prune_rl.pruning.packing import apply_masks, unpack_like
    from prune_rl.pruning.sparse_optimizer import SparseOptimizer, SparseState
    from prune_rl.pruning.sparsity import weight_sparsity

_HOMES = {
    "METHODS": "methods",
    "SparseOptimizer": "sparse_optimizer",
    "SparseState": "sparse_optimizer",
    "apply_masks": "packing",
    "prune": "any_model",
    "register_score": "methods",
    "unpack_like": "packing",
    "weight_sparsity": "sparsity",
}
__all__ = [
    "METHODS",
    "SparseOptimizer",
    "SparseState",
    "apply_masks",
    "prune",
    "register_score",
    "unpack_like",
    "weight_sparsity",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
