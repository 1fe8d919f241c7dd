"""The run's clock where environment, replay and agent are one compiled program.

For environments written in JAX, see `sources.on_device`; the steps of a chunk are agent steps.
"""

from collections.abc import Sequence

import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.chunked import LONGEST, ChunkedTraining, map_chunks
from prune_rl.device_program import Plan, Program
from prune_rl.learning.learner import METRICS_PERIOD
from prune_rl.learning.seed_axis import on_host
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.on_device import DeviceSource


class DeviceLoop(ChunkedTraining):
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
            length=LONGEST,
            period=METRICS_PERIOD,
            most_updates=policy.agent.updates_at_once,
        )
        source.prepare(self._program, strategy)
        axes = learner.state_axes
        self._run = map_chunks(self._program.run, (axes, 0, 0, None), (axes, 0, 0), (0, 1))

    def burst(self, updates: int, plays: int) -> None:
        """See `Training.burst`; so many rounds in one chunk, or as many as one holds."""
        plan = self._plan(min(plays * self.rounds_at_once, LONGEST))
        due = np.zeros_like(plan.updates)
        due[::plays] = updates
        self._follow(plan._replace(updates=due, syncs=np.zeros_like(due)))

    def _take(self, count: int) -> list[tuple[int, Episode]]:
        return self._follow(self._plan(count))

    def _plan(self, count: int) -> Plan:
        """Of the next agent steps."""
        agent, first, made = self._agent, self._source.steps, self.gradient_steps
        updates, syncs = np.zeros((2, LONGEST), np.int32)
        numbers = []
        for i, step in enumerate(range(first, first + count)):
            made += (due := agent.updates_due(step))
            updates[i], syncs[i] = due, bool(made and agent.is_target_update_step(step))
            numbers.append(list(agent.exploration(step).values()))
        columns = np.zeros((len(numbers[0]), LONGEST), np.float32)
        columns[:, :count] = np.array(numbers).T
        return Plan(np.int32(count), np.int32(first), updates, syncs, list(columns))

    def _follow(self, plan: Plan) -> list[tuple[int, Episode]]:
        source, count = self._source, int(plan.count)
        self.agent_state, source.worlds, record = self._run(
            self.agent_state, source.worlds, source.keys, plan
        )
        record = on_host(record)
        self._keep_metrics(record.metrics, int(plan.updates[:count].sum()))
        return source.advance(count, record)
