"""What a row of metrics.jsonl says of a seed's episodes and weights; names as in `metrics`."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.environments.reference_scores import References, normalized
from prune_rl.learning.seed_axis import map_seeds, split_seeds
from prune_rl.learning.state import Params
from prune_rl.pruning.sparsity import weight_sparsity


def episode_fields(
    episodes: Sequence[Episode], references: References | None = None
) -> dict[str, float | int | None]:
    """Mean raw return, mean length (agent steps) and number of one seed's episodes.

    And the normalised score of that return, where there are reference scores.
    """
    own, score = mean_return(episodes), {}
    if references is not None:
        score = {"normalized_score": None if own is None else normalized(own, references)}
    return {
        "episode_return_mean": own,
        **score,
        "episode_length_mean": _mean([episode.length for episode in episodes]),
        "num_episodes": len(episodes),
    }


def mean_return(episodes: Sequence[Episode]) -> float | None:
    """Mean raw return; None without episodes."""
    return _mean([episode.episode_return for episode in episodes])


def sparsity_fields(params: Any) -> list[dict[str, Any]]:
    """Each seed's sparsity: of all weights, of each network where there are several, by layer.

    `params` are those of each network, of S seeds as `learning.seed_axis` lays them.
    """
    of_seeds = split_seeds(jax.device_get(_sparsities(params)), 0)
    return [
        {"sparsity": float(total)} | _named(jax.tree.map(float, of_networks))
        for total, of_networks in of_seeds
    ]


def _sparsities_of_one(params: Mapping[str, Params]) -> list[Any]:
    of_networks = {name: weight_sparsity(own) for name, own in params.items()}
    return [weight_sparsity(params)["total"], of_networks]


_sparsities = map_seeds(_sparsities_of_one, (0,), 0)


def _named(of_networks: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, by_layer in of_networks.items():
        total = by_layer.pop("total")
        if len(of_networks) == 1:
            fields["sparsity_by_layer"] = by_layer
        elif by_layer:  # a temperature has none
            fields |= {f"{name}/sparsity": total, f"{name}/sparsity_by_layer": by_layer}
    return fields


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
