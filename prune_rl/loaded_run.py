"""One seed of a run that was loaded: its networks, and what can be asked of them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np
import numpy.typing as npt

from prune_rl import gin_state
from prune_rl.environments.base import Environment
from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError, blaming, shown
from prune_rl.learning.actor_critic import ACTOR, CRITIC
from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import Learner
from prune_rl.learning.state import Params
from prune_rl.learning.value_agent import Q
from prune_rl.pruning.sparsity import weight_sparsity
from prune_rl.specs import ActionSpec, Discrete, Inputs, ObservationSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRun:
    """One seed of a run, as it stood at its newest checkpoint.

    Attributes:
        directory: of the run.
        config: its operative configuration, the text of config.gin.
        agent: settings of the algorithm.
        learner: its compiled functions.
        seed: whose weights these are.
        seeds: all of the run.
        agent_steps: that each seed had taken; 0 where it learned from data alone.
        gradient_steps: that it had made.
        diverged_at: the gradient step at which it was found to have diverged; 0 while it has not.
        params: by name of the network, flax variables without a seed axis; members of an ensemble
            have their axis first. Pruned weights are exactly 0, as it acts.
        masks: trees like those of bool arrays (NumPy), set where a weight is kept; None where a
            tensor stays dense.
        observation_spec: of what it acts on.
        action_spec: of what it does.
        scale: of raw observations, on which it learned them; None for as they are.
        protocol: of the game, or of the data, that it learned from; JSON.
        game: its name, as 'Pong'; '' where nothing says so.
        max_steps_per_episode: agent steps after which an evaluation's episode is truncated.
    """

    directory: Path
    config: str = field(repr=False)
    agent: Agent = field(repr=False)
    learner: Learner = field(repr=False)
    seed: int
    seeds: tuple[int, ...]
    agent_steps: int
    gradient_steps: int
    diverged_at: int
    params: Mapping[str, Params] = field(repr=False)
    masks: Mapping[str, Any] = field(repr=False)
    observation_spec: ObservationSpec = field(repr=False)
    action_spec: ActionSpec = field(repr=False)
    scale: Scale | None = field(repr=False)
    protocol: Mapping[str, Any] = field(repr=False)
    game: str
    max_steps_per_episode: int

    def act(self, observations: npt.ArrayLike) -> npt.NDArray[Any]:
        """What it does, without exploration: the best action, or the middle of its distribution.

        Each batch size compiles once.

        Args:
            observations: raw, (*observation) or (B, *observation) of the spec; images of its dtype,
                uint8, vectors of any real numbers.

        Returns:
            () or (B,) int32, or (A,) or (B, A) float32.

        Raises:
            ConfigError: they have another shape or dtype.
        """
        batch, is_one = self._batch(observations)
        actions = np.asarray(self._act(self.params, batch))
        return actions[0] if is_one else actions

    def values(self, observations: npt.ArrayLike) -> npt.NDArray[np.float32] | None:
        """What it expects: of every action, (num_actions,) or (B, num_actions) float32.

        Where actions are vectors: of what it would do itself, the least that any critic gives, ()
        or (B,). None without a critic. Observations are as for `act`, and it raises the same.
        """
        if self._values is None:
            return None
        batch, is_one = self._batch(observations)
        values = np.asarray(self._values(self.params, batch))
        return values[0] if is_one else values

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros among the weights of the network that acts."""
        return self.sparsities[self.acting]

    @cached_property
    def sparsities(self) -> dict[str, float]:
        """The same of every network."""
        return {name: float(weight_sparsity(own)["total"]) for name, own in self.params.items()}

    @property
    def acting(self) -> str:
        """The name of the network that acts."""
        return ACTOR if ACTOR in self.params else next(iter(self.agent.networks))

    def create_games(self, seeds: Sequence[int], game: str | None = None) -> list[Environment]:
        """The games on which the run is evaluated, one for each of `seeds`.

        They show observations as `act` takes them for games without a stack of frames, raw.

        Args:
            seeds: that decide all that is random in them.
            game: another one of the suite.

        Raises:
            ConfigError: there is no such game, or it does not fit the agent.
        """
        name = game or self.game
        with gin_state.configured_by(self.directory / "config.gin") as runner:
            create_one = runner.get("create_environment_fn") or self._creates_games_of_data()
            options = {"game_name": name} if name and _takes_game(create_one) else {}
            if game and not options:
                raise ConfigError(f"game {game!r}: what makes the run's games takes no game_name")
            with blaming("Runner.create_environment_fn", create_one):
                games = [create_one(seed, **options) for seed in seeds]
        for one in games[:1]:
            self._require_fitting(one, name)
        return games

    def _creates_games_of_data(self) -> Callable[..., Environment]:
        suite = self.protocol.get("suite")
        try:
            create_one: Callable[..., Environment] = gin.get_configurable(
                f"create_{suite}_environment"
            )
        except ValueError as error:
            problem = "nothing says which game it plays (Runner.create_environment_fn)"
            raise ConfigError(f"{self.directory}: {problem}") from error
        return create_one

    def _require_fitting(self, game: Environment, name: str) -> None:
        for what in ("observation_spec", "action_spec"):
            own, its = getattr(self, what), getattr(game, what)
            if own != its:
                problem = (
                    f"it has {_difference(its, own)}; the agent expects {_difference(own, its)}"
                )
                raise ConfigError(f"game {name!r}: {problem}")

    def _batch(self, observations: npt.ArrayLike) -> tuple[npt.NDArray[Any], bool]:
        """(B, *observation) on the agent's scale, and whether a single one was given."""
        try:
            array, spec = np.asarray(observations), self.observation_spec
        except ValueError as error:
            raise ConfigError(
                "observations: lists of unequal lengths; expected an array"
            ) from error
        fits = array.shape in (spec.shape, array.shape[:1] + spec.shape)
        casting: Any = "no" if spec.is_image else "same_kind"
        if not (fits and np.can_cast(array.dtype, spec.dtype, casting)):
            shapes = f"{spec.shape} or {('B', *spec.shape)}".replace("'", "")
            expected = f"expected {shapes} {np.dtype(spec.dtype).name}{_advice(array, spec)}"
            raise ConfigError(f"observations: {array.shape} {array.dtype}; {expected}")
        batch = array.astype(spec.dtype, copy=False).reshape(-1, *spec.shape)
        return self.scale(batch) if self.scale else batch, array.shape == spec.shape

    @cached_property
    def _act(self) -> Callable[[Any, Any], jax.Array]:
        no_exploration = [0.0] * len(self.agent.exploration_eval)
        key = np.zeros(2, np.uint32)  # of what is never drawn

        def of_one(params: Any, observation: Any) -> jax.Array:
            with gin_state.kept():  # while it is traced, flax makes modules, which gin would note
                return self.learner.one.act_eval(params, key, observation, *no_exploration)[0]

        return jax.jit(jax.vmap(of_one, (None, 0)))

    @cached_property
    def _values(self) -> Callable[[Any, Any], jax.Array] | None:
        network = Q if Q in self.params else CRITIC
        own = self.learner.quantities.get(network)
        q_values = own.q_values if own else None
        if q_values is None:
            return None

        def of_actions(params: Any, batch: Any) -> jax.Array:
            with gin_state.kept():
                inputs = Inputs(batch, self._act(params, batch))
                if isinstance(self.action_spec, Discrete):
                    return q_values(params[network], inputs)
                of_members = jax.vmap(lambda member: q_values(member, inputs))
                return of_members(params[network]).min(axis=0)[:, 0]

        return jax.jit(of_actions)


def _difference(spec: Any, other: Any) -> str:
    """Of a spec, what the other has otherwise, as '5 actions'."""
    if isinstance(spec, Discrete):
        return f"{spec.num_actions} actions"
    if type(spec) is not type(other):
        return f"actions that are vectors of {spec.shape[0]}"
    names = [x.name for x in fields(spec) if getattr(spec, x.name) != getattr(other, x.name)]
    return ", ".join(f"{name} {shown(getattr(spec, name))}" for name in names)


def _advice(array: npt.NDArray[Any], spec: ObservationSpec) -> str:
    """How images that are often given so become the spec's."""
    lacks_axis = array.shape in (spec.frame_shape, array.shape[:1] + spec.frame_shape)
    if spec.is_image and lacks_axis and array.shape != spec.shape:
        if spec.stack_size == 1:
            return ": add the axis of frames by np.expand_dims(observations, -4)"
        return f": {spec.stack_size} frames, oldest first"
    if spec.is_image and array.dtype == bool:
        return ": the games here show what is set as 255"
    return ""


def _takes_game(create_one: Callable[..., Any]) -> bool:
    return "game_name" in inspect.signature(create_one).parameters
