"""prune_rl, of any gin files and bindings."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.serve import Loop, serve


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: gin_files, gin_bindings, what, and perhaps malloc, fill and data.

    `what` is one of `parts.PARTS`; if `malloc` is False, glibc is left as it is; `fill` is how many
    rows of replay are written before it begins, `data` how many transitions `Dataset` is given.

    Raises:
        ImportError: a module of prune_rl is not of the first folder of PYTHONPATH.
    """
    import prune_rl

    require_own_modules()
    note = _keep_memory() if settings.get("malloc", True) else "glibc as it is"
    from benchmarks.workers import parts  # imports JAX, which then allocates as told

    loop = parts.loop_of(settings, note)
    require_own_modules()
    return loop._replace(origin=str(prune_rl.__file__))


def require_own_modules() -> None:
    """Raises as `create` says: an editable install would supply what an old checkout lacks."""
    folder = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]).resolve()
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] != "prune_rl":
            continue
        if not Path(str(module.__file__)).resolve().is_relative_to(folder):
            raise ImportError(f"{name} is of {module.__file__}, expected one in {folder}")


def _keep_memory() -> str:
    """As training does at its start."""
    from prune_rl import malloc

    return str(malloc.keep_memory())


if __name__ == "__main__":
    serve(create, ["jax", "jaxlib", "flax", "optax", "numpy", "ale-py", "MinAtar"])
