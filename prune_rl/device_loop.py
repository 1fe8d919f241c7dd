"""The run's clock where environment, replay and agent are one compiled program.

For environments written in JAX, see `sources.on_device`. A chunk of agent steps is one dispatch; it
ends where the host has something to do: at the end of an iteration, and often enough to save, to
log and to stop. What a run learns does not depend on where its chunks end.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.device_program import Plan, Program, Record
from prune_rl.learning.seed_axis import map_seeds, on_host
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.on_device import DeviceSource
from prune_rl.training import METRICS_PERIOD, Training

_LONGEST = 1024  # agent steps of a chunk
_SECONDS = 0.5  # that a chunk is to take


class DeviceLoop(Training):
    """Takes a chunk of agent steps at a time; see `Training`."""

    rounds_at_once = 64

    def __init__(
        self,
        policy: Policy,
        source: DeviceSource,
        *,
        seeds: Sequence[int],
        interventions: Sequence[BoundIntervention] = (),
    ) -> None:
        learner = policy.learner
        strategy = learner.strategy(len(seeds), compiled_loop=True)
        super().__init__(policy, source, learner.init(seeds, strategy), len(seeds))
        self._source = source
        self._program = Program(
            one=learner.one,
            play=source.play,
            sampler=source.sampler,
            interventions=interventions,
            num_rows=source.num_rows,
            batch_size=source.batch_size,
            gamma=policy.agent.gamma,
            clip_rewards=source.clips_rewards,
            length=_LONGEST,
            period=METRICS_PERIOD,
            most_updates=policy.agent.updates_at_once,
        )
        source.prepare(self._program, strategy)
        axes = learner.state_axes
        self._run = map_seeds(
            self._program.run,
            (axes, 0, 0, None),
            (axes, 0, 0),
            donate_argnums=(0, 1),
            # More programs at once than there are cores would take their caches from each other.
            pool=ThreadPoolExecutor(_num_cores()),
        )
        self._steps = _LONGEST // 8  # of the next chunk

    def step(self, end: int | None = None) -> list[tuple[int, Episode]]:
        """A chunk of agent steps, learning included, up to `end` at most; see `Training.step`."""
        begin, count = time.monotonic(), self._steps
        if end is not None:
            count = min(count, end - self._source.steps)
        episodes = self._take(self._plan(count))
        pace = (time.monotonic() - begin) / count
        self._steps = max(min(int(_SECONDS / pace), _LONGEST), 1)
        return episodes

    def burst(self, updates: int, plays: int) -> None:
        """See `Training.burst`; so many rounds in one chunk, or as many as one holds."""
        plan = self._plan(min(plays * self.rounds_at_once, _LONGEST))
        due = np.zeros_like(plan.updates)
        due[::plays] = updates
        self._take(plan._replace(updates=due, syncs=np.zeros_like(due)))

    def _plan(self, count: int) -> Plan:
        """Of the next agent steps."""
        agent, first, made = self._agent, self._source.steps, self.gradient_steps
        updates, syncs = np.zeros((2, _LONGEST), np.int32)
        numbers = []
        for i, step in enumerate(range(first, first + count)):
            made += (due := agent.updates_due(step))
            updates[i], syncs[i] = due, bool(made and agent.is_target_update_step(step))
            numbers.append(list(agent.exploration(step).values()))
        columns = np.zeros((len(numbers[0]), _LONGEST), np.float32)
        columns[:, :count] = np.array(numbers).T
        return Plan(np.int32(count), np.int32(first), updates, syncs, list(columns))

    def _take(self, plan: Plan) -> list[tuple[int, Episode]]:
        source, count = self._source, int(plan.count)
        self.agent_state, source.worlds, record = self._run(
            self.agent_state, source.worlds, source.keys, plan
        )
        record = on_host(record)
        self._keep_metrics(record, int(plan.updates[:count].sum()))
        return source.advance(count, record)

    def _keep_metrics(self, record: Record, updates: int) -> None:
        first, self.gradient_steps = self.gradient_steps, self.gradient_steps + updates
        period = METRICS_PERIOD
        for made in range(-(-first // period), -(-self.gradient_steps // period)):
            kept = {name: own[:, made % own.shape[1]] for name, own in record.metrics.items()}
            self._metrics.append(kept)


def _num_cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
