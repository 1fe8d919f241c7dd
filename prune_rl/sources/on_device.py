"""Environments written in JAX with their replays, all in device memory."""

import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import gin
import jax
import numpy as np

from prune_rl import randomness
from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.device_program import Program, Record, World
from prune_rl.errors import require_choice
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.seed_axis import Separate, laid_out, map_seeds, on_host, seed_of
from prune_rl.replay import device_ring
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_buffer import require_fitting as require_fitting_device
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
        ConfigError: a setting is wrong, the environment is not written in JAX, or the device
            lacks the memory.
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
        # Of the host, which only checkpoints are copied to, the empty buffer has asked it.
        require_fitting_device(
            self.num_rows,
            len(setting.seeds),
            self.observation_spec,
            self.action_spec,
            self.sampler,
            setting.num_steps,
        )
        self._tracker = EpisodeTracker(len(setting.seeds))
        self.worlds: Any = None
        self.agent_steps = 0

    @property
    def steps(self) -> int:
        """Agent steps."""
        return self.agent_steps

    @property
    def frames(self) -> int:
        """See `Source`."""
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
        first = [self._begin(self._keys_of(seed)) for seed in range(len(self._seeds))]
        self.worlds = laid_out(first, 0, self._strategy)

    def _keys_of(self, seed: int) -> randomness.DeviceKeys:
        keys: randomness.DeviceKeys = seed_of(self.keys, 0, seed)
        return keys

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
        ring, sampler = self.worlds.ring, self.worlds.sampler
        # One after another: at most one seed's rows are on the device twice.
        return [
            self._replay_state(seed_of(ring, 0, seed), seed_of(sampler, 0, seed))
            for seed in range(len(self._seeds))
        ]

    def _replay_state(self, ring: device_ring.DeviceRing, sampler: Any) -> State:
        return device_ring.to_state(ring) | self.sampler.to_state(sampler, ring)

    def get_state(self) -> list[State]:
        """See `Source`."""
        return per_seed(
            world=to_states(_without_replay(self.worlds), 0),
            replay=self.replay_states(),
            episode=self._tracker.get_state(),
            agent_steps=[np.array(self.agent_steps, np.int64)] * len(self._seeds),
        )

    def set_state(self, states: Sequence[State]) -> None:
        """See `Source`.

        Raises:
            ConfigError: it is not the state of such a run.
        """
        self.agent_steps = int(states[0]["agent_steps"])
        self._tracker.set_state(part(states, "episode"))
        self.worlds = None  # what it takes on the device is needed anew
        like = jax.eval_shape(self._begin, self._keys_of(0))
        worlds = from_states(part(states, "world"), Separate([_without_replay(like)]), 0).trees
        own = zip(worlds, part(states, "replay"), strict=True)
        restored = [self._restored(world, like.ring, replay) for world, replay in own]
        self.worlds = laid_out(restored, 0, self._strategy)

    def _restored(self, world: World, like: device_ring.DeviceRing, replay: State) -> World:
        ring = device_ring.from_state(replay, like)
        return world._replace(ring=ring, sampler=self.sampler.from_state(replay, ring))

    def close(self) -> None:
        """Nothing to release."""


class DeviceReplay:
    """The replays of S seeds on the device; see `sources.source.Replay`, of which it is a part."""

    def __init__(self, source: DeviceSource) -> None:
        self._source = source

    def probe(self, draw: Draw, name: str) -> Probe:
        """Transitions of each seed, drawn uniformly: a function of seed, name and contents."""
        own, number = self._source, np.uint32(zlib.crc32(name.encode()))
        answer = _probes(own.sampler.horizon, own.gamma, draw)
        probe: Probe = on_host(answer(own.worlds.ring, own.keys, number))
        return probe

    def get_state(self) -> list[State]:
        """See `DeviceSource.replay_states`."""
        return self._source.replay_states()


@cache
def _probes(horizon: int, gamma: float, draw: Draw) -> Callable[..., Any]:
    """`_probe` of S seeds, compiled once."""
    return map_seeds(partial(_probe, horizon, gamma, draw), (0, 0, None), 0)


def _probe(
    horizon: int,
    gamma: float,
    draw: Draw,
    ring: device_ring.DeviceRing,
    keys: randomness.DeviceKeys,
    number: jax.Array,
) -> Probe:
    key = randomness.probe_key(keys, number)
    starts = device_ring.draw_uniformly(ring, key, draw.size, horizon)
    if draw.inputs_only:
        return device_ring.inputs(ring, starts)
    batch: Batch = device_ring.transitions(ring, starts, horizon, gamma)
    return batch


def _without_replay(worlds: Any) -> Any:
    """One world, or those of S seeds however they lie."""

    def of_one(world: World) -> World:
        return world._replace(ring=None, sampler=None)

    return jax.tree.map(of_one, worlds, is_leaf=lambda own: isinstance(own, World))
