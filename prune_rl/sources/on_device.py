"""Environments written in JAX with their replays, all in device memory."""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import gin
import jax
import numpy as np

from prune_rl import randomness
from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.device_program import Program, Record, World
from prune_rl.errors import require_choice
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.seed_axis import Separate, laid_out, split_seeds
from prune_rl.replay import device_ring
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_samplers import DEVICE_SAMPLERS
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.settings import checked
from prune_rl.sources.online import require_fitting
from prune_rl.sources.source import Setting
from prune_rl.specs import Batch, Draw, Probe
from prune_rl.state import State, part, per_seed


@gin.configurable
@checked
class DeviceSource:
    """S environments and replays that one compiled program steps; see `Source`.

    `device_loop.DeviceLoop` takes `worlds` and hands them back. The clock is the agent step.
    Games and batches are drawn by the laws of `OnlineSource`, but other numbers come out.

    Args:
        setting: what it is made for.
        clip_rewards: whether rewards are stored between -1 and 1; returns are never clipped.

    Attributes:
        play: the environment of one seed.
        sampler: of one seed's replay.
        num_rows: of one seed's replay.
        batch_size: transitions of a batch.
        keys: of S seeds, like `worlds`.
        worlds: of S seeds, laid out as `prepare` was told.

    Raises:
        ConfigError: a setting is wrong, or the environment is not written in JAX.
    """

    clock = "agent_steps"

    def __init__(self, setting: Setting, *, clip_rewards: bool = True) -> None:
        agent = setting.agent
        scheme = f"{type(agent).__name__}.replay_scheme"
        require_choice(scheme, agent.replay_scheme, DEVICE_SAMPLERS)
        self.gamma, self._seeds, self.clips_rewards = agent.gamma, setting.seeds, clip_rewards
        self.num_gradient_steps = agent.num_gradient_steps
        self.nominal_gradient_steps = agent.nominal_gradient_steps
        games = setting.create_environments(randomness.TRAINING)
        self.play = games.functional()
        games.close()
        self.observation_spec, self.action_spec = self.play.observation_spec, self.play.action_spec
        self.protocol: dict[str, Any] = self.play.protocol
        # Of which only the settings and the empty state are read: its rows take no memory.
        self._empty = ReplayBuffer(
            seeds=setting.seeds,
            observation_spec=self.observation_spec,
            action_spec=self.action_spec,
            update_horizon=agent.update_horizon,
            gamma=agent.gamma,
            create_sampler=SAMPLERS[agent.replay_scheme],
            longest_run=setting.num_steps,
        )
        require_fitting(agent, self._empty, setting.num_steps)
        self.num_rows, self.batch_size = self._empty.num_rows, self._empty.batch_size
        self.sampler = DEVICE_SAMPLERS[agent.replay_scheme](agent.update_horizon)
        self._tracker = EpisodeTracker(len(setting.seeds))
        self.worlds: Any = None
        self.agent_steps = 0

    @property
    def steps(self) -> int:
        """Agent steps."""
        return self.agent_steps

    @property
    def frames(self) -> int:
        """Emulator ticks."""
        return self.agent_steps * self.play.frame_skip

    @property
    def replay(self) -> "DeviceReplay":
        """What measurements and prices ask of the replays."""
        return DeviceReplay(self)

    def prepare(self, program: Program, strategy: str) -> None:
        """Says what begins a world, and how those of all seeds lie; before anything else.

        See `learning.seed_axis`.
        """
        self._begin, self._strategy = jax.jit(program.begin), strategy
        keys = [randomness.device_keys(seed) for seed in self._seeds]
        self.keys = laid_out(keys, 0, strategy)

    def start(self) -> None:
        """See `Source`."""
        self.worlds = laid_out(self._first_worlds(), 0, self._strategy)

    def _first_worlds(self) -> list[World]:
        return [self._begin(keys) for keys in split_seeds(self.keys, 0)]

    def advance(self, count: int, record: Record) -> list[tuple[int, Episode]]:
        """Notes agent steps that were taken; episodes that ended, each with the steps since then.

        Args:
            count: of each seed.
            record: (S, ...), on the host.
        """
        self.agent_steps += count
        ended = self._tracker.add_many(record.rewards[:, :count], record.ends[:, :count])
        return [(count - 1 - index, episode) for index, episode in ended]

    def replay_states(self) -> list[State]:
        """Of each seed's replay, copies in the form of `ReplayBuffer.get_state`."""
        if self.worlds is None:
            return self._empty.get_state()
        return [
            device_ring.to_state(own.ring) | self.sampler.to_state(own.sampler, own.ring)
            for own in split_seeds(self.worlds, 0)
        ]

    def get_state(self) -> list[State]:
        """See `Source`."""
        worlds = Separate(_without_replay(own) for own in split_seeds(self.worlds, 0))
        return per_seed(
            world=to_states(worlds, 0),
            replay=self.replay_states(),
            episode=self._tracker.get_state(),
            agent_steps=[np.array(self.agent_steps, np.int64)] * len(worlds),
        )

    def set_state(self, states: Sequence[State]) -> None:
        """See `Source`.

        Raises:
            ConfigError: it is not the state of such a run.
        """
        self.agent_steps = int(states[0]["agent_steps"])
        self._tracker.set_state(part(states, "episode"))
        first = self._first_worlds()
        like = Separate(_without_replay(own) for own in first)
        worlds = from_states(part(states, "world"), like, 0).trees
        own = zip(worlds, first, part(states, "replay"), strict=True)
        self.worlds = laid_out([self._restored(*each) for each in own], 0, self._strategy)

    def _restored(self, world: World, first: World, replay: State) -> World:
        ring = device_ring.from_state(replay, first.ring)
        return world._replace(ring=ring, sampler=self.sampler.from_state(replay, ring))

    def close(self) -> None:
        """Nothing to release."""


class DeviceReplay:
    """The replays of S seeds on the device; see `sources.source.Replay`, of which it is a part."""

    def __init__(self, source: DeviceSource) -> None:
        self._source = source

    def probe(self, draw: Draw, name: str) -> Probe:
        """Transitions of each seed, drawn uniformly: a function of seed, name and contents."""
        own, number = self._source, zlib.crc32(name.encode())
        answer = jax.jit(partial(_probe, own.sampler.horizon, own.gamma, draw))
        pairs = zip(split_seeds(own.worlds, 0), split_seeds(own.keys, 0), strict=True)
        probes = [
            jax.device_get(answer(world.ring, randomness.probe_key(keys, number)))
            for world, keys in pairs
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *probes)

    def get_state(self) -> list[State]:
        """See `DeviceSource.replay_states`."""
        return self._source.replay_states()


def _probe(
    horizon: int, gamma: float, draw: Draw, ring: device_ring.DeviceRing, key: jax.Array
) -> Probe:
    starts = device_ring.draw_uniformly(ring, key, draw.size, horizon)
    if draw.inputs_only:
        return device_ring.inputs(ring, starts)
    batch: Batch = device_ring.transitions(ring, starts, horizon, gamma)
    return batch


def _without_replay(world: World) -> World:
    return world._replace(ring=None, sampler=None)
