"""What an exported policy says of itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.loading import LoadedRun
from prune_rl.specs import Box

_MINATAR = {"n": "noop", "l": "left", "u": "up", "r": "right", "d": "down", "f": "fire"}


def about(run: LoadedRun) -> dict[str, Any]:
    """JSON: where the policy comes from, what it sees, and what its actions mean."""
    return {
        "from": {
            "run": run.directory.resolve().name,
            "seed": run.seed,
            "agent": type(run.agent).__name__,
            "game": run.game,
            "agent_steps": run.agent_steps,
            "gradient_steps": run.gradient_steps,
            "sparsity": round(run.sparsity, 6),
            "protocol": dict(run.protocol),
        },
        "observation": _observation(run),
        "actions": _actions(run),
    }


def _observation(run: LoadedRun) -> dict[str, Any]:
    spec = run.observation_spec
    form = {"shape": list(spec.shape), "dtype": np.dtype(spec.dtype).name}
    if spec.is_image:
        layout = "(stack, height, width, channels), oldest frame first"
        first = "frames from before an episode's first are zeros"
        return {**form, "layout": f"{layout}; {first}", "scaled": "by 1/255, in the policy"}
    scaled = "to the data's mean and deviation, in the policy" if run.scale else "not at all"
    return {**form, "layout": "as the game gives it", "scaled": scaled}


def _actions(run: LoadedRun) -> dict[str, Any]:
    spec = run.action_spec
    if isinstance(spec, Box):
        bounds = {"low": list(spec.low), "high": list(spec.high)}
        return {"kind": "box", "size": len(spec.low), **bounds}
    own = {"kind": "numbered", "size": spec.num_actions}
    names = action_names(run.protocol)
    return own | ({"names": names} if len(names) == spec.num_actions else {})


def action_names(protocol: Mapping[str, Any]) -> list[str]:
    """Of a game's numbered actions, in their order; none where they are not known."""
    suite, game = protocol.get("suite"), protocol.get("game", "")
    try:
        if suite == "atari":
            from prune_rl.environments.games import minimal_actions

            return [action.name.lower() for action in minimal_actions(game)]
        if suite == "minatar":
            from prune_rl.environments.minatar import create_minatar_game

            own = create_minatar_game(game, sticky_probability=0.0)
            return [_MINATAR[own.env.action_map[i]] for i in own.minimal_action_set()]
    except ConfigError:  # a game that is not installed here
        pass
    return []
