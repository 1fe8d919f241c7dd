"""The two phases of an iteration: S seeds that learn in lock-step, and their evaluation.

Order of one agent step, as in Dopamine 4.1.2 (jax/agents/dqn/dqn_agent.py): make the updates that
are due (and intervene after each), copy the target network if that is due, act, step the
environment, store the transition.

Of several updates in a row, each batch is drawn while the device computes the update before: the
priorities of that one come a batch late.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.environments.batch import EnvironmentBatch, Step
from prune_rl.environments.stack import FrameStack
from prune_rl.learning.learner import AgentState, Learner
from prune_rl.learning.value_agent import ValueAgent
from prune_rl.plasticity.intervention import BoundIntervention
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Batch, Draw, Probe

# One in so many updates has its metrics kept, so that fetching them never stalls the learner.
_METRICS_PERIOD = 10
EVALUATION = 1  # stream of a seed's randomness


class Trainer:
    """S seeds that learn, one agent step at a time; what a checkpoint holds.

    Attributes:
      agent_state: pytree, leading seed axis.
      agent_steps: environment steps taken by each seed.
      gradient_steps: optimizer updates made for each seed.
    """

    def __init__(
        self,
        agent: ValueAgent,
        learner: Learner,
        environments: EnvironmentBatch,
        replay: ReplayBuffer,
        *,
        seeds: npt.NDArray[np.int64],
        interventions: Sequence[BoundIntervention] = (),
    ) -> None:
        self._agent, self._learner = agent, learner
        self._interventions = interventions
        self._environments, self._replay = environments, replay
        self._stack = FrameStack(len(seeds), environments.observation_spec)
        self._tracker = EpisodeTracker(len(seeds))
        self.agent_state: AgentState = learner.init(seeds.tolist())
        self.agent_steps = 0
        self.gradient_steps = 0
        self._metrics: list[dict[str, jax.Array]] = []
        self._priorities: jax.Array | None = None  # of an update that the replay has not seen
        self._fixed_probe: dict[str, Probe] = {}

    def start(self) -> None:
        """Resets the environments; call it once, unless `set_state` restores a run."""
        frames = self._environments.reset()
        self._stack.reset(frames)
        self._replay.add_first(frames)

    def step(self) -> list[Episode]:
        """One agent step of every seed, learning included; returns the episodes that ended."""
        self._learn()
        state = self.agent_state
        epsilon = self._agent.epsilon(self.agent_steps)
        device_actions, keys = self._learner.act(
            state.params, state.keys, self._stack.array, epsilon
        )
        self.agent_state = state.replace(keys=keys)
        actions = np.asarray(device_actions)
        step = self._environments.step(actions)
        self._write_priorities()  # a new transition takes the largest
        self._replay.add(
            actions=actions,
            rewards=np.clip(step.rewards, -1, 1),  # for learning only
            terminated=step.terminated | step.life_lost,
            truncated=step.truncated,
            next_frames=step.next_frames,
            frames=step.frames,
        )
        _push(self._stack, step)
        self.agent_steps += 1
        return self._tracker.add(step)

    def _learn(self) -> None:
        # Each seed has stored exactly agent_steps transitions.
        if self.agent_steps <= self._agent.min_replay_history:
            return
        for _ in range(self._agent.updates_due(self.agent_steps)):
            batch = self._replay.sample()
            state, metrics, priorities = self._learner.update(self.agent_state, batch)
            self.agent_state = state
            self._write_priorities()
            if batch.probabilities is not None:
                self._priorities = priorities
            if self.gradient_steps % _METRICS_PERIOD == 0:
                self._metrics.append(metrics)
            self.gradient_steps += 1
            self._intervene()
        if self._agent.is_target_update_step(self.agent_steps):
            self.agent_state = self._learner.sync_target(self.agent_state)

    def _write_priorities(self) -> None:
        """Hands the replay the priorities that it has not seen, waiting for the device."""
        if self._priorities is not None:
            self._replay.update_priorities(np.asarray(self._priorities))
            self._priorities = None

    def _intervene(self) -> None:
        for intervention in self._interventions:
            if self.gradient_steps not in intervention.occasions:
                continue
            size = intervention.num_observations
            observations = self._replay.sample_uniformly(size).s_tm1 if size else None
            self.agent_state = intervention.apply(self.agent_state, observations)

    def probe(
        self, draws: Mapping[str, Draw], iteration: int, *, fixed: bool
    ) -> Mapping[str, Probe]:
        """What each draw asks of the replay, apart from what training samples.

        New for every iteration, from the replay as it is now; if `fixed`, drawn at the first call
        and the same ever after.
        """
        if fixed and self._fixed_probe:
            return self._fixed_probe
        replay = self._replay
        drawn = {name: replay.probe(x, f"{name} {iteration}") for name, x in draws.items()}
        if fixed:
            self._fixed_probe = drawn
        return drawn

    def take_metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """Means (S,) over the updates sampled since the last call; empty if there were none."""
        fetched, self._metrics = jax.device_get(self._metrics), []
        names = fetched[0].keys() if fetched else ()
        return {n: np.mean([m[n] for m in fetched], axis=0, dtype=np.float64) for n in names}

    def get_state(self) -> dict[str, Any]:
        """Everything on the host, as nested dicts of NumPy arrays."""
        return {
            "counters": {
                "agent_steps": np.int64(self.agent_steps),
                "gradient_steps": np.int64(self.gradient_steps),
            },
            "environments": self._environments.get_state(),
            "replay": self._replay.get_state(),
            "stack": self._stack.get_state(),
            "episodes": self._tracker.get_state(),
        } | ({"probe": _to_arrays(self._fixed_probe)} if self._fixed_probe else {})

    def set_state(self, agent_state: AgentState, host: dict[str, Any]) -> None:
        """Goes on, to the bit, from a run's `agent_state` and `get_state()`."""
        self.agent_state = agent_state
        self.agent_steps = int(host["counters"]["agent_steps"])
        self.gradient_steps = int(host["counters"]["gradient_steps"])
        self._environments.set_state(host["environments"])
        self._replay.set_state(host["replay"])
        self._stack.set_state(host["stack"])
        self._tracker.set_state(host["episodes"])
        self._fixed_probe = _from_arrays(host.get("probe", {}))


def _to_arrays(probe: dict[str, Probe]) -> dict[str, Any]:
    return {name: x._asdict() if isinstance(x, Batch) else x for name, x in probe.items()}


def _from_arrays(arrays: dict[str, Any]) -> dict[str, Probe]:
    return {name: Batch(**x) if isinstance(x, dict) else x for name, x in arrays.items()}


def evaluation_keys(seeds: npt.NDArray[np.int64], iteration: int) -> jax.Array:
    """Exploration keys (S, 2) uint32 of one evaluation, which no other phase uses."""

    def key(seed: int) -> jax.Array:
        stream = jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)
        return jax.random.fold_in(stream, iteration)

    return jnp.stack([key(seed) for seed in seeds.tolist()])


def evaluate(
    agent: ValueAgent,
    learner: Learner,
    environments: EnvironmentBatch,
    *,
    params: Any,
    keys: jax.Array,
    num_steps: int = 0,
    num_episodes: int = 0,
) -> Iterator[Episode]:
    """Plays episodes with `agent.epsilon_eval`, learning nothing; yields them as they end.

    Each seed plays until its episode is over and it has taken `num_steps` agent steps, as
    Dopamine's evaluation phase does, and finished `num_episodes` episodes, as that of Dopamine's
    labs/atari_100k does. `params` and `keys` have the leading seed axis.
    """
    num_seeds = len(keys)
    stack = FrameStack(num_seeds, environments.observation_spec)
    stack.reset(environments.reset())
    tracker = EpisodeTracker(num_seeds)
    steps_taken, active = 0, np.ones(num_seeds, bool)
    episodes_played = np.zeros(num_seeds, np.int64)
    while active.any():
        actions, keys = learner.act_eval(params, keys, stack.array, agent.epsilon_eval)
        step = environments.step(np.asarray(actions))
        _push(stack, step)
        steps_taken += 1
        for episode in tracker.add(step):
            if active[episode.seed_index]:
                yield episode
        ended = step.terminated | step.truncated
        episodes_played += ended
        active &= ~(ended & (steps_taken >= num_steps) & (episodes_played >= num_episodes))


def _push(stack: FrameStack, step: Step) -> None:
    stack.push(step.frames)
    ended = step.terminated | step.truncated | step.life_lost
    if ended.any():
        stack.reset(step.frames, ended)
