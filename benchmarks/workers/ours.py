"""prune_rl, of any gin files and bindings."""

from collections.abc import Mapping
from typing import Any

from benchmarks.serve import Loop, serve


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: gin_files, gin_bindings, what, and perhaps malloc and fill.

    `what` is one of `parts.PARTS`; without `malloc`, glibc is left as it is; `fill` is how many
    rows of replay are written before it begins.
    """
    note = _keep_memory() if settings.get("malloc", True) else "glibc as it is"
    from benchmarks.workers import parts  # imports JAX, which then allocates as told

    return parts.loop_of(settings, note)


def _keep_memory() -> str:
    """As training does at its start; a checkout from before that does nothing."""
    try:
        from prune_rl import malloc
    except ImportError:
        return "no malloc settings"
    return str(malloc.keep_memory())


if __name__ == "__main__":
    serve(create, ["jax", "jaxlib", "flax", "optax", "numpy", "ale-py", "MinAtar"])
