"""Random lock-step histories, remembered as plain lists of episodes."""

from dataclasses import dataclass, field

import numpy as np
import pytest

FRAME_SHAPE = (2, 3, 1)


def numbered_frame(number: int) -> np.ndarray:
    """A frame whose first pixels spell `number`, so that a test can tell frames apart."""
    digits = np.frombuffer(number.to_bytes(6, "little"), np.uint8)
    return digits.reshape(FRAME_SHAPE)


@dataclass
class Episode:
    """T + 1 frame numbers, T actions and rewards; `end` is None while it goes on."""

    frames: list[int]
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    end: str | None = None


class SeedHistory:
    """What one seed lives through; it depends on its own seed only."""

    def __init__(self, seed: int, ends: tuple[float, float]) -> None:
        self.rng = np.random.default_rng(seed)
        self.ends = ends  # chance of a termination and of a truncation at each step
        self.last_number = 0
        self.episodes = [Episode([self.new_frame()])]

    def new_frame(self) -> int:
        self.last_number += 1  # from 1: an all-zero frame is padding
        return self.last_number

    def step(self) -> dict[str, object]:
        episode = self.episodes[-1]
        chance, (terminate, truncate) = self.rng.random(), self.ends
        if chance < terminate + truncate:
            episode.end = "terminated" if chance < terminate else "truncated"
        episode.actions.append(int(self.rng.integers(18)))
        episode.rewards.append(float(self.rng.integers(-8, 9)) / 8)
        episode.frames.append(self.new_frame())
        if episode.end:
            self.episodes.append(Episode([self.new_frame()]))
        return {
            "actions": episode.actions[-1],
            "rewards": episode.rewards[-1],
            "terminated": episode.end == "terminated",
            "truncated": episode.end == "truncated",
            "next_frames": numbered_frame(episode.frames[-1]),
            "frames": numbered_frame(self.episodes[-1].frames[-1]),
        }

    def startable(self, capacity: int, stack_size: int, horizon: int) -> list[tuple[Episode, int]]:
        """Episodes and steps at which a transition starts that may be sampled, oldest first."""
        rows = [
            (e, t) for e, episode in enumerate(self.episodes) for t in range(len(episode.frames))
        ]
        kept = set(rows[-capacity:])
        found = []
        for e, t in rows[-capacity:]:
            episode = self.episodes[e]
            length = len(episode.actions)
            complete = t + horizon <= length or (episode.end is not None and t < length)
            if complete and all((e, max(t - k, 0)) in kept for k in range(stack_size)):
                found.append((episode, t))
        return found


class History:
    """Seeds in lock-step; `first` and `step` give the arguments of `add_first` and `add`."""

    def __init__(self, seeds: list[int], ends: tuple[float, float] = (0.1, 0.1)) -> None:
        self.per_seed = [SeedHistory(seed, ends) for seed in seeds]

    def first(self) -> np.ndarray:
        return np.stack([numbered_frame(h.episodes[0].frames[0]) for h in self.per_seed])

    def step(self) -> dict[str, np.ndarray]:
        steps = [history.step() for history in self.per_seed]
        return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


@pytest.fixture(scope="session")
def make_history() -> type[History]:
    return History
