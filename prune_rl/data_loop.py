"""The run's clock where data are fixed and lie on the device: batches and updates are one program.

See `sources.dataset_on_device`; the steps of a chunk are gradient steps.
"""

from collections.abc import Sequence

import numpy as np

from prune_rl.acting.episodes import Episode
from prune_rl.acting.policy import Policy
from prune_rl.chunked import LONGEST, ChunkedTraining, map_chunks
from prune_rl.data_program import Plan, Program
from prune_rl.learning.learner import METRICS_PERIOD
from prune_rl.learning.seed_axis import on_host
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.sources.dataset_on_device import DeviceDatasetSource


class DataLoop(ChunkedTraining):
    """Takes a chunk of gradient steps at a time; see `Training`."""

    rounds_at_once = 16

    def __init__(
        self,
        policy: Policy,
        source: DeviceDatasetSource,
        *,
        seeds: Sequence[int],
        interventions: Sequence[BoundIntervention] = (),
    ) -> None:
        learner, agent = policy.learner, policy.agent
        strategy = learner.strategy(len(seeds), compiled_loop=True)
        super().__init__(policy, source, learner.init(seeds, strategy), len(seeds))
        self._source = source
        source.prepare(strategy)
        program = Program(
            one=learner.one,
            interventions=interventions,
            batch_size=source.batch_size,
            horizon=agent.update_horizon,
            gamma=agent.gamma,
            length=LONGEST,
            period=METRICS_PERIOD,
        )
        axes = learner.state_axes
        self._run = map_chunks(program.run, (axes, None, 0, None), (axes, 0), (0,))

    def burst(self, updates: int, plays: int) -> None:
        """See `Training.burst`; so many rounds in one chunk, or as many as one holds."""
        count = min(updates * self.rounds_at_once, LONGEST)
        if count:
            self._learn(Plan(np.int32(count), np.zeros(LONGEST, np.int32)))
        self._source.steps += plays * self.rounds_at_once

    def _take(self, count: int) -> list[tuple[int, Episode]]:
        syncs = np.zeros(LONGEST, np.int32)
        for i in range(count):
            # An update due at a gradient step has been made by then.
            syncs[i] = self._agent.is_target_update_step(self.gradient_steps + i + 1)
        self._learn(Plan(np.int32(count), syncs))
        self._source.steps += count
        return []

    def _learn(self, plan: Plan) -> None:
        source = self._source
        self.agent_state, metrics = self._run(self.agent_state, source.data, source.draws, plan)
        self._keep_metrics(on_host(metrics), int(plan.count))
