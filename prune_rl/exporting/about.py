"""What an exported policy says of itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prune_rl.loaded_run import LoadedRun
from prune_rl.specs import Box


def about(run: LoadedRun, action_names: Sequence[str] = ()) -> dict[str, Any]:
    """JSON: where a policy comes from, what it sees, and what its actions mean.

    Args:
        run: that trained it.
        action_names: of numbered actions, in their order; none if nobody knows.
    """
    return {
        "from": {
            "run": run.directory.resolve().name,
            "seed": run.seed,
            "agent": type(run.agent).__name__,
            "game": run.game,
            "agent_steps": run.agent_steps,
            "gradient_steps": run.gradient_steps,
            "sparsity": round(run.sparsity, 4),
            "protocol": dict(run.protocol),
        },
        "observation": _observation(run),
        "actions": _actions(run) | ({"names": list(action_names)} if action_names else {}),
    }


def _observation(run: LoadedRun) -> dict[str, Any]:
    spec = run.observation_spec
    form = {"shape": list(spec.shape), "dtype": np.dtype(spec.dtype).name}
    if spec.is_image:
        layout = "(stack, height, width, channels), oldest frame first"
        first = "frames from before an episode's first are zeros"
        return {**form, "layout": f"{layout}; {first}", "scaled": "by 1/255, in the policy"}
    scaled = "by the data's mean and deviation, in the policy" if run.scale else "not at all"
    return {**form, "layout": "as the game gives it", "scaled": scaled}


def _actions(run: LoadedRun) -> dict[str, Any]:
    spec = run.action_spec
    if isinstance(spec, Box):
        borders = {"low": list(spec.low), "high": list(spec.high)}
        return {"kind": "box", "size": len(spec.low), **borders}
    return {"kind": "numbered", "size": spec.num_actions}
