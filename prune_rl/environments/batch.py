"""S environments that step together, one per seed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.environments.base import Environment, Frame
from prune_rl.environments.functional import Play
from prune_rl.errors import ConfigError, RunEnded, first_line
from prune_rl.specs import Discrete
from prune_rl.state import State, part, per_seed


class Step(NamedTuple):
    """One agent step of S seeds.

    Attributes:
      next_frames: (S, *frame_shape) of the spec's dtype, what followed the action, also at an
        episode's end.
      frames: like `next_frames`, what to act on now: the first frame of the new episode where one
        ended, else `next_frames`.
      rewards: (S,) float32, unclipped.
      terminated: (S,) bool, the game is over.
      truncated: (S,) bool, the episode was cut at its longest length; never with `terminated`.
      life_lost: (S,) bool, for learning the step is terminal and `frames` start anew, but the
        episode goes on; never with `terminated`.
    """

    next_frames: Frame
    frames: Frame
    rewards: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    life_lost: npt.NDArray[np.bool_]


class EnvironmentFailed(RunEnded):
    """A game raised; the message names the seed's index on the seed axis and what it said."""

    def __init__(self, seed_index: int, error: Exception) -> None:
        said = (str(error).splitlines() or [""])[0]
        name = type(error).__name__
        super().__init__(f"the game of seed axis index {seed_index} raised {name}: {said}")


class _Played(NamedTuple):
    """What one seed has played of a step; `first` starts the next episode where one ended."""

    frame: Frame
    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool
    first: Frame | None = None

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated

    def to_arrays(self) -> State:
        return {name: np.array(x) for name, x in self._asdict().items() if x is not None}

    @classmethod
    def from_arrays(cls, state: State) -> "_Played":
        values: dict[str, Any] = {
            name: np.array(x) if name in ("frame", "first") else x.item()
            for name, x in state.items()
        }
        return cls(**values)


class EnvironmentBatch:
    """Steps S environments in lock-step and starts a new episode where one has ended.

    A seed's stream depends on its own environment alone, neither on S nor on threads.

    Args:
      environments: one per seed, all of one game.
      max_steps_per_episode: agent steps after which an episode is truncated.

    Attributes: `observation_spec`, `action_spec` and `frame_skip` of one environment; `protocol`.
    """

    def __init__(self, environments: Sequence[Environment], max_steps_per_episode: int) -> None:
        self._environments = list(environments)
        self._max_steps = max_steps_per_episode
        self._lengths = np.zeros(len(environments), np.int64)
        self._played: list[_Played | None] = [None] * len(environments)  # of a step that failed
        first = environments[0]
        self.observation_spec, self.action_spec = first.observation_spec, first.action_spec
        self.frame_skip = first.frame_skip
        self.protocol = first.protocol | {"max_steps_per_episode": max_steps_per_episode}
        threaded = first.steps_off_gil and len(environments) > 1
        self._pool = ThreadPoolExecutor(len(environments)) if threaded else None
        self._map = self._pool.map if self._pool else map

    def functional(self) -> Play:
        """The game as pure functions of one seed.

        Raises:
          ConfigError: it is not written in JAX.
        """
        game = self._environments[0]
        make = getattr(game, "functional", None)
        if make is None:
            raise ConfigError(
                f"@DeviceSource: {type(game).__name__} is not written in JAX; expected a game of "
                "suites/minatar.gin, or Runner.create_source_fn=@OnlineSource"
            )
        return Play(make(), self._max_steps)

    def reset(self) -> Frame:
        """Starts an episode of every seed; returns the first frames (S, *frame_shape).

        Raises:
          EnvironmentFailed: a game raised.
        """
        self._lengths[:] = 0
        self._played = [None] * len(self._played)
        return self._stacked([self._reset(i) for i in range(len(self._environments))])

    def _reset(self, i: int) -> Frame:
        try:
            return self._environments[i].reset()
        except Exception as error:
            raise EnvironmentFailed(i, error) from error

    def step(self, actions: npt.NDArray[Any]) -> Step:
        """Plays `actions` (S, *shape) of the action spec, one agent step of every seed.

        Raises:
          EnvironmentFailed: a game raised; all others have played. The next call, in this process
            or from the state, wants the same actions, and plays only what has not been played.
        """
        own = actions.tolist() if isinstance(self.action_spec, Discrete) else actions
        errors = list(self._map(self._try_to_play, range(len(self._played)), own))
        for i, error in enumerate(errors):
            if error is not None:
                raise EnvironmentFailed(i, error) from error
        step = self._joined([played for played in self._played if played is not None])
        self._played = [None] * len(self._played)
        return step

    def _try_to_play(self, i: int, action: Any) -> Exception | None:
        """Plays what seed `i` has not yet played of this step; the error that stopped it."""
        try:
            played = self._played[i] or self._play(i, action)
            self._played[i] = played  # before a reset, which may fail as well
            if played.ended and played.first is None:
                first = np.array(self._environments[i].reset())
                self._played[i] = played._replace(first=first)
                self._lengths[i] = 0
        except Exception as error:
            return error
        return None

    def _play(self, i: int, action: Any) -> _Played:
        environment = self._environments[i]
        frame, reward, terminated = environment.step(action)
        self._lengths[i] += 1
        truncated = bool(self._lengths[i] >= self._max_steps) and not terminated
        # A copy: a game may draw its next frame into the same array.
        return _Played(np.array(frame), reward, terminated, truncated, environment.life_lost)

    def _joined(self, played: Sequence[_Played]) -> Step:
        next_frames, rewards, *ends, firsts = zip(*played, strict=True)
        stacked = self._stacked(next_frames)
        frames = stacked
        for i, first in enumerate(firsts):
            if first is not None:
                frames = stacked.copy() if frames is stacked else frames
                frames[i] = first
        return Step(stacked, frames, np.array(rewards, np.float32), *map(np.array, ends))

    def _stacked(self, frames: Sequence[Frame]) -> Frame:
        """(S, *frame_shape); float64 of a simulator becomes the spec's float32."""
        dtype = self.observation_spec.dtype
        return np.array(frames).astype(dtype, casting="same_kind", copy=False)

    def get_state(self) -> list[State]:
        """Of each seed: its environment, and the length of its episode in agent steps.

        After a step that failed, also what was "played" of it. Raises `EnvironmentFailed`.
        """
        games = [self._state_of(i) for i in range(len(self._environments))]
        states = per_seed(environment=games, length=list(self._lengths))
        for state, played in zip(states, self._played, strict=True):
            if played is not None:
                state["played"] = played.to_arrays()
        return states

    def _state_of(self, i: int) -> State:
        try:
            return self._environments[i].get_state()
        except Exception as error:
            raise EnvironmentFailed(i, error) from error

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned.

        Raises:
          ConfigError: a game cannot go on from it.
        """
        for i, (environment, state) in enumerate(zip(self._environments, states, strict=True)):
            try:
                environment.set_state(state["environment"])
            except Exception as error:
                problem = f"the game of seed axis index {i} cannot go on from its checkpoint"
                raise ConfigError(f"{problem}: {first_line(error)}") from error
        self._lengths[:] = part(states, "length")
        self._played = [
            _Played.from_arrays(state["played"]) if "played" in state else None for state in states
        ]

    def close(self) -> None:
        """Releases threads and emulators."""
        if self._pool:
            self._pool.shutdown()
        for environment in self._environments:
            environment.close()
