"""Environments that are pure functions, written in JAX, for a run that is one compiled program.

The counterpart of `base` and `batch` for one seed: no class here holds what changes, so that a
loop on the device, or `jax.vmap` over seeds, may carry it.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from prune_rl.specs import ActionSpec, ObservationSpec

GameVariables = Any  # a pytree of arrays: all that decides the future but for the keys to come


class FunctionalEnvironment(Protocol):
    """One game of one seed; shapes and dtypes never change from step to step.

    Attributes: as those of `prune_rl.environments.base.Environment`.
    """

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    frame_skip: int
    protocol: dict[str, Any]

    def init(self, key: jax.Array) -> tuple[GameVariables, jax.Array]:
        """Starts the first episode: (variables, frame of the spec's frame_shape and dtype)."""

    def reset(self, game: GameVariables, key: jax.Array) -> tuple[GameVariables, jax.Array]:
        """Starts the next episode after `game`, of which it keeps what outlives an episode."""

    def step(
        self, game: GameVariables, action: jax.Array, key: jax.Array
    ) -> tuple[GameVariables, jax.Array, jax.Array, jax.Array]:
        """Plays one agent step of an episode that goes on.

        Returns: (variables, frame, unclipped reward () float32, whether it terminated () bool).
        """


class GameState(NamedTuple):
    """Of one seed.

    Attributes:
      game: the environment's variables.
      length: () int32, agent steps played of this episode.
    """

    game: GameVariables
    length: jax.Array


class FunctionalStep(NamedTuple):
    """One agent step of one seed.

    Attributes:
      next_frame: (*frame_shape) of the spec's dtype, what followed the action, also at an
        episode's end.
      frame: like `next_frame`, what to act on now: the first frame of the new episode where one
        ended, else `next_frame`.
      reward: () float32, unclipped.
      terminated: () bool, the game is over.
      truncated: () bool, the episode was cut at its longest length; never with `terminated`.
    """

    next_frame: jax.Array
    frame: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Play:
    """Steps one environment and starts a new episode where one has ended.

    What `prune_rl.environments.batch.EnvironmentBatch` does on the host, of one seed.

    Args:
      environment: what to play.
      max_steps_per_episode: agent steps after which an episode is truncated.

    Attributes: `observation_spec`, `action_spec` and `frame_skip` of the environment; `protocol`.
    """

    def __init__(self, environment: FunctionalEnvironment, max_steps_per_episode: int) -> None:
        self._environment, self._max_steps = environment, max_steps_per_episode
        self.observation_spec = environment.observation_spec
        self.action_spec = environment.action_spec
        self.frame_skip = environment.frame_skip
        self.protocol = environment.protocol | {"max_steps_per_episode": max_steps_per_episode}

    def reset(self, key: jax.Array) -> tuple[GameState, jax.Array]:
        """Starts the first episode; returns (state, frame)."""
        game, frame = self._environment.init(key)
        return GameState(game, jnp.int32(0)), frame

    def step(
        self, state: GameState, action: jax.Array, key: jax.Array
    ) -> tuple[GameState, FunctionalStep]:
        """Plays `action` of the action spec, one agent step."""
        play_key, reset_key = jax.random.split(key)
        game, next_frame, reward, terminated = self._environment.step(state.game, action, play_key)
        length = state.length + 1
        truncated = (length >= self._max_steps) & ~terminated
        ended = terminated | truncated
        # A branch on its own, which only the end of an episode takes; under `vmap` a choice.
        game, frame = jax.lax.cond(
            ended,
            lambda: self._environment.reset(game, reset_key),
            lambda: (game, next_frame),
        )
        step = FunctionalStep(next_frame, frame, reward, terminated, truncated)
        return GameState(game, jnp.where(ended, 0, length)), step
