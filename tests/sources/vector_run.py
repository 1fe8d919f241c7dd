"""Runs of vectors whose rows are told by hand, and not on any disk."""

from dataclasses import dataclass, field

import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Box, ObservationSpec


@dataclass
class VectorPart:
    """Episodes: of each its rewards, and how it ended. Observations count rows, times 1 and 10."""

    episodes: list
    first: float
    count: int | None
    name: str = "part"

    @property
    def num_rows(self):
        return sum(len(rewards) + 1 for rewards, _ in self.episodes)

    @property
    def total_transitions(self):
        return sum(len(rewards) for rewards, _ in self.episodes)

    @property
    def num_transitions(self):
        return self.total_transitions if self.count is None else self.count

    def blocks(self):
        ages = np.concatenate([np.arange(len(own) + 1) for own, _ in self.episodes])
        ends = np.concatenate([[GOES_ON] * (len(x) - 1) + [e, FINAL] for x, e in self.episodes])
        starts = ends != FINAL
        starts &= np.cumsum(starts) <= self.num_transitions
        numbers = self.first + np.arange(len(ages), dtype=np.float32)
        yield Block(
            frames=np.stack([numbers, 10 * numbers], 1).astype(np.float32),
            actions=np.full((len(ages), 1), 0.5, np.float32),
            rewards=np.concatenate([[*own, 77.0] for own, _ in self.episodes]).astype(np.float32),
            ages=ages.astype(np.int32),
            ends=ends.astype(np.uint8),
            starts=starts,
        )


# Returns 3, -1 and 8; the second was cut.
EPISODES = [([1.0, 2.0], TERMINATED), ([-1.0], TRUNCATED), ([3.0, 1.0, 4.0], TERMINATED)]


BOX = Box((-1.0,), (1.0,))


@dataclass
class VectorRun:
    """A run of a robot in one part; a share says how many transitions, the first ones."""

    number: int = 1
    first: float = 0.0
    episodes: list = field(default_factory=lambda: EPISODES)
    game: str = "Hopper-v5"
    suite: str = "mujoco"
    size: int = 2
    action_spec: Box = BOX
    gaps: tuple = ()
    asked: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    @property
    def observation_spec(self):
        return ObservationSpec((self.size,), np.float32)

    @property
    def protocol(self):
        return {"format": "scripted", **self.facts}

    def parts(self, share):
        self.asked.append(share)
        return [VectorPart(self.episodes, self.first, share.count)]

    def identity(self):
        return f"run {self.number} from {self.first:g}"
