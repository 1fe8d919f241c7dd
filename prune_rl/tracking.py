"""`--track`: services that show a run beside TensorBoard, and what they are told of it."""

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from prune_rl.errors import ConfigError, require_choice

if TYPE_CHECKING:  # --help needs no JAX
    from prune_rl.parts import Parts
    from prune_rl.recording.sinks import Sink


def require_tracker(name: str) -> None:
    """Raises `ConfigError` unless `name` is one of `TRACKERS` and installed."""
    require_choice("--track", name, TRACKERS)
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # a mere folder of that name is no package
        advice = f"pip install 'prune_rl[{name}]'"
        raise ConfigError(f"--track={name}: {name} is not installed: {advice}")


def create_sink(name: str, parts: "Parts") -> "Sink":
    """That of a run whose config.gin is written."""
    return TRACKERS[name](parts)


def _create_wandb(parts: "Parts") -> "Sink":
    from prune_rl.recording.wandb_sink import About, WandB
    from prune_rl.reporting.arms import agent_of
    from prune_rl.reporting.config import read_config, values
    from prune_rl.reporting.pruned import read_pruning

    config = read_config(parts.base_dir)
    game = parts.source.protocol.get("game")
    tags = [agent_of(config), *([str(game)] if game else []), *read_pruning(config).words]
    return WandB(
        parts.base_dir,
        About(parts.source.clock, list(parts.seeds), values(config), tags),
    )


# What makes each, by the name of the package that it needs, which is its extra too.
TRACKERS: dict[str, Callable[["Parts"], "Sink"]] = {"wandb": _create_wandb}
