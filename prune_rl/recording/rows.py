"""What a row of metrics.jsonl says of a seed's episodes and weights."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.pruning.sparsity import weight_sparsity

_sparsity_of_seeds = jax.jit(jax.vmap(weight_sparsity))


def episode_fields(episodes: Sequence[Episode]) -> dict[str, float | int | None]:
    """Mean raw return, mean length (agent steps) and number of one seed's episodes."""
    return {
        "episode_return_mean": mean_return(episodes),
        "episode_length_mean": _mean([episode.length for episode in episodes]),
        "num_episodes": len(episodes),
    }


def mean_return(episodes: Sequence[Episode]) -> float | None:
    """Mean raw return; None without episodes."""
    return _mean([episode.episode_return for episode in episodes])


def sparsity_fields(params: Any) -> list[dict[str, Any]]:
    """Each seed's sparsity, in all and by layer, of parameters with a leading seed axis."""
    by_layer = jax.device_get(_sparsity_of_seeds(params))
    total = by_layer.pop("total")
    return [
        {
            "sparsity": float(total[i]),
            "sparsity_by_layer": {name: float(zeros[i]) for name, zeros in by_layer.items()},
        }
        for i in range(len(total))
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
