"""Deep RL agents that prune their networks while they learn.

`import prune_rl` imports no JAX: what is asked for is imported then. docs/api.md shows its use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prune_rl.api import build_agent, train
    from prune_rl.loading import load_run
    from prune_rl.pruning.any_model import prune
    from prune_rl.results import read_results

__version__ = "0.1.0"
__all__ = ["__version__", "build_agent", "load_run", "prune", "read_results", "train"]

_HOMES = {
    "build_agent": "prune_rl.api",
    "load_run": "prune_rl.loading",
    "prune": "prune_rl.pruning.any_model",
    "read_results": "prune_rl.results",
}


def __getattr__(name: str) -> Any:
    if name == "train":  # the command's module, which can be called
        return importlib.import_module("prune_rl.train")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
