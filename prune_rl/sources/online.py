"""An environment that is played while the agent learns, and the replay that remembers it."""

from collections.abc import Sequence
from typing import Protocol

import gin
import jax
import numpy as np

from prune_rl import randomness
from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.environments.stack import FrameStack
from prune_rl.errors import require, require_choice
from prune_rl.learning.agent import Agent
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_buffer import DeviceReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.settings import checked
from prune_rl.sources.source import Act, Replay, Setting
from prune_rl.state import State, part, per_seed


class Observer(Protocol):
    """Told what the replay is told, and when; see `ReplayBuffer`."""

    def add_first(self, frames: np.ndarray) -> None: ...

    def add(
        self,
        *,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None: ...


def require_fitting(agent: Agent, replay: ReplayBuffer, num_steps: int) -> None:
    """Raises `ConfigError` for a replay with which an agent cannot learn in so many agent steps.

    One that never holds a batch, or what is to be stored before learning; it is about what was
    asked for: a short run never fills what it has.
    """
    capacity, asked = "ReplayBuffer.max_capacity", replay.max_capacity
    warm_up = f"{type(agent).__name__}.min_replay_history"
    needs = {"ReplayBuffer.batch_size": replay.batch_size, warm_up: agent.min_replay_history}
    for binding, least in needs.items():
        require(asked >= least, capacity, asked, f"at least {binding}={least}")
    if agent.num_gradient_steps(num_steps):
        first, binding = agent.first_update, f"{type(agent).__name__}.update_horizon"
        expected = f"at most {first}, the agent steps before the first update"
        require(agent.update_horizon <= first, binding, agent.update_horizon, expected)


@gin.configurable
@checked
class OnlineSource:
    """S environments in lock-step and their replay; see `Source`. The clock is the agent step.

    Args:
        setting: what it is made for.
        clip_rewards: whether rewards are stored between -1 and 1; returns are never clipped.
        replay_on_device: whether the replay lies in device memory, see `replay.device_buffer`.

    Raises:
        ConfigError: a setting is wrong.
    """

    clock = "agent_steps"

    def __init__(
        self, setting: Setting, *, clip_rewards: bool = True, replay_on_device: bool = False
    ) -> None:
        agent = setting.agent
        scheme = f"{type(agent).__name__}.replay_scheme"
        require_choice(scheme, agent.replay_scheme, SAMPLERS)
        self._agent, self.clips_rewards = agent, clip_rewards
        self.num_gradient_steps = agent.num_gradient_steps
        self.nominal_gradient_steps = agent.nominal_gradient_steps
        self._environments = setting.create_environments(randomness.TRAINING)
        self.observation_spec = self._environments.observation_spec
        self.action_spec = self._environments.action_spec
        self.protocol = self._environments.protocol
        create = DeviceReplayBuffer if replay_on_device else ReplayBuffer
        self._buffer = create(
            seeds=setting.seeds,
            observation_spec=self.observation_spec,
            action_spec=self.action_spec,
            update_horizon=agent.update_horizon,
            gamma=agent.gamma,
            create_sampler=SAMPLERS[agent.replay_scheme],
            longest_run=setting.num_steps,
        )
        require_fitting(agent, self._buffer, setting.num_steps)
        self.replay: Replay = self._buffer
        self._stack = FrameStack(len(setting.seeds), self.observation_spec)
        self._tracker = EpisodeTracker(len(setting.seeds))
        self.agent_steps = 0
        self._priorities: jax.Array | None = None  # of an update that the replay has not seen
        self._observers: list[Observer] = []

    def watch(self, observer: Observer) -> None:
        """Tells `observer` from now on all that is stored, after the replay; not saved."""
        self._observers.append(observer)

    def _told(self) -> list[Observer]:
        return [self._buffer, *self._observers]

    @property
    def steps(self) -> int:
        """Agent steps."""
        return self.agent_steps

    @property
    def frames(self) -> int:
        """See `Source`."""
        return self.agent_steps * self._environments.frame_skip

    def updates_due(self) -> int:
        """See `Agent.updates_due`."""
        return self._agent.updates_due(self.agent_steps)

    def start(self) -> None:
        """See `Source`."""
        frames = self._environments.reset()
        self._stack.reset(frames)
        for own in self._told():
            own.add_first(frames)

    def tick(self, act: Act) -> list[Episode]:
        """One agent step of every seed."""
        actions = act(self._stack.array)
        step = self._environments.step(actions)
        self._write_priorities()  # a new transition takes the largest
        for own in self._told():
            own.add(
                actions=actions,
                rewards=np.clip(step.rewards, -1, 1) if self.clips_rewards else step.rewards,
                terminated=step.terminated | step.life_lost,
                truncated=step.truncated,
                next_frames=step.next_frames,
                frames=step.frames,
            )
        self._stack.follow(step)
        self.agent_steps += 1
        return self._tracker.add(step)

    def update_priorities(self, priorities: jax.Array) -> None:
        """See `Source`. Of several updates in a row, they reach the replay a batch late."""
        self._write_priorities()
        self._priorities = priorities

    def _write_priorities(self) -> None:
        """Hands the replay the priorities that it has not seen; one on the host waits for them."""
        if self._priorities is not None:
            self._buffer.update_priorities(self._priorities)
            self._priorities = None

    def get_state(self) -> list[State]:
        """See `Source`."""
        self._write_priorities()  # those of a step that failed
        return per_seed(
            environment=self._environments.get_state(),
            replay=self.replay.get_state(),
            stack=self._stack.get_state(),
            episode=self._tracker.get_state(),
            agent_steps=[np.array(self.agent_steps, np.int64)] * len(self._stack.array),
        )

    def set_state(self, states: Sequence[State]) -> None:
        """See `Source`."""
        self.agent_steps = int(states[0]["agent_steps"])
        self._environments.set_state(part(states, "environment"))
        self.replay.set_state(part(states, "replay"))
        self._stack.set_state(part(states, "stack"))
        self._tracker.set_state(part(states, "episode"))
        self._priorities = None

    def close(self) -> None:
        """See `Source`."""
        self._environments.close()
