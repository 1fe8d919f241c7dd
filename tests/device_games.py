"""Runs of games in JAX: on the device, and on the host with the very draws of the device."""

import functools
from typing import Any, ClassVar

import gin
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from prune_rl import randomness
from prune_rl.acting.episodes import Episode
from prune_rl.environments.minatar import create_minatar_environment
from prune_rl.experiment import create_runner
from prune_rl.networks.torsos.torso import FEATURES, Torso, merge_stack
from prune_rl.replay.samplers import UniformSampler
from prune_rl.runner import Runner
from prune_rl.sources.on_device import DeviceSource
from prune_rl.sources.online import OnlineSource
from prune_rl.specs import Discrete, ObservationSpec

LONGEST = 9  # agent steps of an episode


@gin.configurable
class SmallTorso(Torso):
    """A dense layer on all pixels."""

    wiring: ClassVar = {"Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        return self._hidden(12, merge_stack(observation).reshape(-1))


class Dice:
    """A game of chance: rewards from -4 to 4, an end at one step in twelve, pixels of noise.

    What it shows depends on the action and on what it keeps across episodes.
    """

    observation_spec = ObservationSpec((3, 2, 1), stack_size=3)
    action_spec, frame_skip = Discrete(3), 4
    protocol: ClassVar = {"suite": "dice", "game": "dice"}

    def init(self, key: jax.Array) -> Any:
        return self.reset({"sum": jnp.int32(7)}, key)

    def reset(self, game: Any, key: jax.Array) -> Any:
        return game, self._frame(game, key)

    def step(self, game: Any, action: jax.Array, key: jax.Array) -> Any:
        game = {"sum": (3 * game["sum"] + action) % 101}
        numbers = jax.random.uniform(key, (2,))
        reward = 8 * numbers[0] - 4 + action / 8
        return game, self._frame(game, key), reward, numbers[1] < 1 / 12

    def _frame(self, game: Any, key: jax.Array) -> jax.Array:
        noise = jax.random.randint(key, self.observation_spec.frame_shape, 0, 256)
        return ((noise + game["sum"]) % 256).astype(jnp.uint8)


@functools.cache
def game_of(name: str) -> Any:
    """A game by name, and its functions, compiled."""
    breakout = create_minatar_environment(0, "breakout") if name == "breakout" else None
    game = breakout.functional() if breakout else Dice()
    return game, *(jax.jit(x) for x in (game.init, game.reset, game.step))


class Hosted:
    """A game of JAX behind the interface of games on the host, with a seed's draws."""

    steps_off_gil = life_lost = False

    def __init__(self, name: str, seed: int) -> None:
        self._own, self._init, self._reset, self._step = game_of(name)
        self.observation_spec = self._own.observation_spec
        self.action_spec, self.frame_skip = self._own.action_spec, self._own.frame_skip
        self.protocol = self._own.protocol
        self._key, self._steps = randomness.device_keys(seed).games, 0
        self.variables: Any = None
        self._reset_key: Any = None

    def functional(self) -> Any:
        return self._own

    def reset(self) -> np.ndarray:
        if self.variables is None:
            self.variables, frame = self._init(jax.random.fold_in(self._key, 0))
        else:
            self.variables, frame = self._reset(self.variables, self._reset_key)
        return np.asarray(frame)

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        self._steps += 1
        play_key, self._reset_key = _split(_fold_in(self._key, self._steps))
        own = self._step(self.variables, jnp.int32(action), play_key)
        self.variables, frame, reward, terminated = own
        return np.asarray(frame), float(reward), bool(terminated)

    def close(self) -> None:
        pass


class Stream:
    """What a seed's replay draws on the device, behind what samplers ask of a NumPy generator.

    `place` is that of the intervention that looks at inputs.
    """

    def __init__(self, seed: int, place: int) -> None:
        keys = randomness.device_keys(seed)
        self._key, self._inputs_key, self._place = keys.replay, keys.interventions, place
        self._made = 0

    def batch_key(self) -> jax.Array:
        self._made += 1
        return _fold_in(self._key, self._made - 1)

    def inputs_key(self) -> jax.Array:
        return _fold_in(_fold_in(self._inputs_key, self._made - 1), self._place)

    def random(self, out: np.ndarray) -> None:
        out[:] = jax.random.uniform(self.batch_key(), out.shape)


_fold_in, _split = jax.jit(jax.random.fold_in), jax.jit(jax.random.split)


@functools.partial(jax.jit, static_argnums=2)
def _drawn(key: jax.Array, number: int, size: int, low: int, high: int) -> jax.Array:
    return jax.random.randint(jax.random.fold_in(key, number), (size,), low, high)


class DrawsLikeTheDevice(UniformSampler):
    """Rejects as `device_ring.draw_uniformly` says it does; `of` names the key of a `Stream`."""

    of = "batch_key"

    def draw(self, streams: Any, size: int, low: np.ndarray, high: np.ndarray) -> Any:
        rows = [
            self._row(s, getattr(own, self.of)(), size, low, high) for s, own in enumerate(streams)
        ]
        return np.stack(rows), None

    def _row(self, s: int, key: jax.Array, size: int, low: np.ndarray, high: np.ndarray) -> Any:
        row, number = np.repeat(low[:, None], size, axis=1), 0
        bad = np.ones(size, bool)
        while bad.any():
            drawn = np.asarray(_drawn(key, number, size, int(low[s]), int(high[s])))
            row[s] = np.where(bad, drawn, row[s])  # other seeds' are looked at for nothing
            bad, number = self._ring.unusable(row, low)[s], number + 1
        return row[s]


class DrawsInputs(DrawsLikeTheDevice):
    of = "inputs_key"


def seed_of(environment_seed: int) -> int:
    """Of training, from what its game is made with; of an evaluation it may be anything."""
    known = {randomness.environment_seed(x, randomness.TRAINING): x for x in range(20)}
    return known.get(environment_seed, environment_seed)


def runner_of(
    base_dir: Any, source: Any, bindings: str, *, game: str = "dice", **own: Any
) -> Runner:
    """A run of `source`, of ordinary parts; `bindings` are gin's."""
    gin.clear_config()
    gin.parse_config("ReplayBuffer.max_capacity = 40\nReplayBuffer.batch_size = 4\n" + bindings)
    settings = {"num_iterations": 1, "max_steps_per_episode": LONGEST, "seed": 3} | own
    return create_runner(
        base_dir,
        create_environment_fn=lambda seed: Hosted(game, seed_of(seed)),
        create_source_fn=source,
        **settings,
    )


def on_device(base_dir: Any, bindings: str, **own: Any) -> Runner:
    """A run on the device that has begun."""
    runner = runner_of(base_dir, DeviceSource, bindings, **own)
    runner.source.start()
    return runner


def on_host(base_dir: Any, bindings: str, *, place: int = 0, **own: Any) -> Runner:
    """A run on the host, with the draws of the device, that has begun."""
    runner = runner_of(base_dir, OnlineSource, bindings, **own)
    buffer = runner.source._buffer
    horizon = runner.policy.agent.update_horizon
    buffer._streams = [Stream(seed, place) for seed in runner.seeds]
    buffer._uniform = DrawsInputs(buffer._ring, horizon)
    if runner.policy.agent.replay_scheme == "uniform":
        buffer._sampler = DrawsLikeTheDevice(buffer._ring, horizon)
    runner.source.start()
    return runner


def advanced(runner: Runner, end: int) -> list[tuple[int, Episode]]:
    """Episodes that ended until then, each with the agent step that ended it."""
    trainer, source, ended = runner.trainer, runner.source, []
    while source.steps < end:
        for since, episode in trainer.step(end):
            ended.append((source.steps - since, episode))
    return ended
