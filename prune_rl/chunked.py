"""Runs of which many steps of the clock are one dispatch of a compiled program: a chunk.

It ends where the host has something to do: at the end of an iteration, and often enough to save, to
log and to stop. What a run learns does not depend on where its chunks end.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.learning.learner import METRICS_PERIOD, Metrics
from prune_rl.learning.seed_axis import map_seeds
from prune_rl.learning.state import AgentStates
from prune_rl.sources.source import Source
from prune_rl.training import Training

LONGEST = 1024  # steps of the clock in a chunk
_SECONDS = 0.5  # that a chunk is to take


class ChunkedTraining(Training):
    """Takes a chunk of its source's steps at a time; see `Training`."""

    def __init__(
        self, policy: Policy, source: Source, agent_state: AgentStates, num_seeds: int
    ) -> None:
        super().__init__(policy, source, agent_state, num_seeds)
        self._steps = LONGEST // 8  # of the next chunk

    def step(self, end: int | None = None) -> list[tuple[int, Episode]]:
        """A chunk of steps, learning included, up to `end` at most; see `Training.step`."""
        begin, count = time.monotonic(), self._steps
        if end is not None:
            count = min(count, end - self._origin.steps)
        episodes = self._take(count)
        pace = (time.monotonic() - begin) / count
        self._steps = max(min(int(_SECONDS / pace), LONGEST), 1)
        return episodes

    def _take(self, count: int) -> list[tuple[int, Episode]]:
        """So many steps of the clock, in one dispatch, up to its end."""
        raise NotImplementedError

    def _keep_metrics(self, metrics: Metrics, updates: int) -> None:
        """Those (S, M) of a chunk of so many gradient steps, on the host."""
        first, self.gradient_steps = self.gradient_steps, self.gradient_steps + updates
        period = METRICS_PERIOD
        for made in range(-(-first // period), -(-self.gradient_steps // period)):
            kept = {name: own[:, made % own.shape[1]] for name, own in metrics.items()}
            self._metrics.append(kept)


def map_chunks(
    function: Callable[..., Any], in_axes: tuple[Any, ...], out_axes: Any, donate: tuple[int, ...]
) -> Callable[..., Any]:
    """`learning.seed_axis.map_seeds`, of a function that runs a chunk of one seed to its end."""
    # More programs at once than there are cores would take their caches from each other.
    pool = ThreadPoolExecutor(_num_cores())
    return map_seeds(function, in_axes, out_axes, donate_argnums=donate, pool=pool)


def _num_cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
