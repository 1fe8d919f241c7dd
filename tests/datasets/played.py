"""What S agents on a scripted robot see, as a recorder is told it."""

import numpy as np

from prune_rl.datasets.recorder import Played
from prune_rl.specs import Box, ObservationSpec

SIZES = (11, 3)
HOPPER = Played(
    "mujoco", "Hopper-v5", ObservationSpec((11,), np.float32), Box((-1.0,) * 3, (1.0,) * 3)
)
FACTS = {"agent": "SACAgent", "agent_steps": 30, "seed": 3, "protocol": {"stored_rewards": "raw"}}


def play(recorder, steps, num_runs=2, seed=0):
    """Tells `recorder`; returns of each run (o, a, r, terminated, truncated, o') of every step."""
    rng = np.random.default_rng(seed)

    def frames():
        return rng.normal(size=(num_runs, 11)).astype(np.float32)

    seen, now = [[] for _ in range(num_runs)], frames()
    recorder.add_first(now)
    for _ in range(steps):
        terminated, truncated = rng.random((2, num_runs)) < 0.15
        actions = rng.uniform(-1, 1, (num_runs, 3)).astype(np.float32)
        rewards, after = rng.normal(size=num_runs).astype(np.float32), frames()
        first = np.where((terminated | truncated)[:, None], frames(), after)
        recorder.add(
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            next_frames=after,
            frames=first,
        )
        for i, own in enumerate(seen):
            cut = truncated[i] and not terminated[i]
            own.append((now[i].copy(), actions[i], rewards[i], terminated[i], cut, after[i]))
        now = first
    return seen
