"""The SAC of sbx-rl 0.28.0 (JAX) on HalfCheetah-v5, as installed.

Its own `learn` makes every step: act, play, store, draw a batch, one gradient step of all networks.
Its defaults are our settings, 256 x 2 and batches of 256; the warm-up and the replay's size are
shorter, as on our side. It writes no log.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import torch
from sbx import SAC

from benchmarks.serve import Loop, serve

_WARM_UPDATES = 8


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: game, history, capacity."""
    torch.set_num_threads(1)
    history = settings["history"]
    model = SAC(
        "MlpPolicy",
        gymnasium.make(settings["game"]),
        learning_starts=history,
        buffer_size=settings["capacity"],
        seed=0,
    )

    def run(steps: int) -> None:
        model.learn(steps, reset_num_timesteps=False)

    run(history + _WARM_UPDATES)
    return Loop(run)


if __name__ == "__main__":
    serve(create, ["sbx-rl", "stable-baselines3", "jax", "jaxlib", "flax", "mujoco", "gymnasium"])
