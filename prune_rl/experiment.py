"""From settings to the parts of a run: the one place where gin's names become objects."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import gin

from prune_rl import randomness
from prune_rl.acting.policy import Policy
from prune_rl.data_loop import DataLoop
from prune_rl.device_loop import DeviceLoop
from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.environments.base import Environment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.games import MUJOCO, OLDER
from prune_rl.environments.scaled import Scale, scaled
from prune_rl.errors import ConfigError, blaming, nearest, require
from prune_rl.learning.agent import Agent
from prune_rl.learning.memory import require_memory
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.plasticity.intervention import Intervention, bind
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.sparse_optimizer import SparseOptimizer
from prune_rl.runner import Runner
from prune_rl.settings import Count, CountOrZero, NumSeeds, Positive, checked_as
from prune_rl.sources.dataset_on_device import DeviceDatasetSource
from prune_rl.sources.on_device import DeviceSource
from prune_rl.sources.online import OnlineSource
from prune_rl.sources.source import Setting, Source, require_same_specs
from prune_rl.trainer import Trainer
from prune_rl.training import Training

CreateEnvironment = Annotated[  # called with a seed
    Callable[[int], Environment] | None, "a function, as @create_atari_environment"
]


_ALONE = "to learn from them alone set Runner.num_eval_episodes=0 (and evaluation_steps=0)"
_FEW = "fewer than 2**61 steps in all iterations"


@gin.configurable("Runner")
@checked_as("Runner")
def create_runner(
    base_dir: str | Path,
    *,
    agent: Annotated[Agent | None, "an agent, as @DQNAgent()"] = None,
    create_environment_fn: CreateEnvironment = None,
    create_source_fn: Annotated[
        Callable[[Setting], Source], "a function, as @OnlineSource"
    ] = OnlineSource,
    num_iterations: Count = 200,
    training_steps: Count = 250_000,
    evaluation_steps: CountOrZero = 0,
    num_eval_episodes: CountOrZero = 0,
    max_steps_per_episode: Count = 27_000,
    num_seeds: NumSeeds = 1,
    seed: CountOrZero = 0,
    checkpoint_minutes: Positive = 30.0,
    interventions: Annotated[Sequence[Intervention], "a list, as [@ReDo()]"] = (),
    diagnostics: Annotated[Diagnostics | None, "@Diagnostics() or None"] = None,
) -> Runner:
    """Makes what trains and evaluates `num_seeds` seeds, as `python -m prune_rl.train` does.

    Gin names and defaults are Dopamine's, except that it does not evaluate unless asked to, as in
    Dopamine's schedule continuous_train. A seed's randomness does not depend on `num_seeds`.

    Args:
      base_dir: the run directory; a run that it holds is resumed.
      agent: the hyper-parameters and algorithm.
      create_environment_fn: called with a seed, returns one environment; None where the data are
        fixed and nothing is evaluated.
      create_source_fn: called with a `Setting`, returns what is learned from; its clock counts.
      num_iterations: how many times to train, then to evaluate if asked to.
      training_steps: of the source's clock per iteration: agent steps of each seed, or gradient
        steps where the data are fixed.
      evaluation_steps: agent steps of each seed per evaluation, the last episode is finished;
        0 for none.
      num_eval_episodes: episodes of each seed per evaluation, instead of evaluation_steps; 0 for
        none.
      max_steps_per_episode: agent steps after which an episode is truncated.
      num_seeds: length of the seed axis.
      seed: the first seed; the others follow it.
      checkpoint_minutes: how long it may run without saving; every iteration is saved anyway.
      interventions: plasticity baselines that change the weights now and then, in this order.
      diagnostics: what to measure beside returns and losses.

    Raises:
      ConfigError: a setting is wrong; nothing has been written.
    """
    if agent is None:
        raise ConfigError("Runner.agent: not set; add --gin_files=agents/dqn.gin")
    one_measure = not (evaluation_steps and num_eval_episodes)
    expected = f"0, or Runner.evaluation_steps=0 (it is {evaluation_steps})"
    require(one_measure, "Runner.num_eval_episodes", num_eval_episodes, expected)
    require(num_iterations * training_steps < 2**61, "Runner.training_steps", training_steps, _FEW)
    require(seed + num_seeds <= 2**31, "Runner.seed", seed, "one below 2**31 - num_seeds")

    seeds, num_steps = range(seed, seed + num_seeds), num_iterations * training_steps
    create = partial(_create_environments, create_environment_fn, max_steps_per_episode, seeds)
    game = _bound_game(create_environment_fn)
    with blaming("Runner.create_source_fn", create_source_fn):
        source = create_source_fn(Setting(agent, seeds, create, num_steps, game))
    if source.clock == "gradient_steps" and (evaluation_steps or num_eval_episodes):
        if game is None:
            create_one = _create_game_of(source.protocol, create_environment_fn)
            create = partial(_create_environments, create_one, max_steps_per_episode, seeds)
        create = partial(create, scales=getattr(source, "scales", None))
        _check_evaluation(source, create(randomness.EVALUATION, 0))
    made, nominal = source.num_gradient_steps(num_steps), source.nominal_gradient_steps(num_steps)
    expected = f"a run of fewer than 2**31 gradient steps; it has {made:,}"
    require(made < 2**31, "Runner.num_iterations", num_iterations, expected)
    optimizers = create_optimizers(agent.networks, made, nominal, agent.periods)
    learner = agent.learner(source.observation_spec, source.action_spec, optimizers)
    require_memory(learner, optimizers, num_seeds)
    bound = bind(interventions, learner, made, nominal)
    policy, held_out = Policy(agent, learner), getattr(source.replay, "has_held_out", False)
    return Runner(
        base_dir=Path(base_dir),
        source=source,
        policy=policy,
        trainer=_trainer_of(source)(policy, source, seeds=seeds, interventions=bound),
        seeds=seeds,
        num_iterations=num_iterations,
        training_steps=training_steps,
        evaluation={"num_steps": evaluation_steps, "num_episodes": num_eval_episodes},
        checkpoint_minutes=checkpoint_minutes,
        create_environments=create,
        diagnostics=diagnostics.bind(learner, has_held_out=held_out) if diagnostics else None,
    )


def _trainer_of(source: Source) -> Callable[..., Training]:
    """What drives a source: step by step, or in compiled chunks."""
    if isinstance(source, DeviceDatasetSource):
        return DataLoop
    return DeviceLoop if isinstance(source, DeviceSource) else Trainer


def create_optimizers(
    networks: Mapping[str, int | None],
    num_gradient_steps: int,
    nominal_gradient_steps: int,
    periods: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, SparseOptimizer]:
    """A pruned optimizer of each network, from gin's bindings in the scope of its name.

    So `create_optimizer.learning_rate = 1e-3` is for all, `actor/create_optimizer.learning_rate`
    for one.

    Args:
      networks: see `Agent.networks`.
      num_gradient_steps: those that the run makes.
      nominal_gradient_steps: what fractions of the run are fractions of.
      periods: see `Agent.periods`.

    Raises:
      ConfigError: a setting is wrong, or in the scope of a network that there is not.
    """
    scoped = r"^(\w+)/(create_optimizer|create_updater_from_config)\."
    for scope, bound in re.findall(scoped, gin.config_str(), re.MULTILINE):
        if scope not in networks:
            advice = nearest(scope, networks)
            raise ConfigError(f"{scope}/{bound}: the agent has no such network; {advice}")
    optimizers = {}
    for name, members in networks.items():
        with gin.config_scope(name):
            pruner = create_updater_from_config(
                num_gradient_steps, nominal_gradient_steps=nominal_gradient_steps
            )
            period = periods.get(name, 1)
            optimizer = create_optimizer(num_gradient_steps=-(-num_gradient_steps // period))
            optimizers[name] = replace(pruner, period=period).wrap(optimizer, members)
    return optimizers


def _create_environments(
    create_one: CreateEnvironment,
    longest: int,
    seeds: Sequence[int],
    *stream: int,
    scales: Sequence[Scale] | None = None,
) -> EnvironmentBatch:
    """One game per seed, seeded from a stream of that seed's randomness, shown on its scale."""
    if create_one is None:
        advice = "not set; add --gin_files=suites/minatar.gin, or suites/mujoco.gin"
        raise ConfigError(f"Runner.create_environment_fn: {advice}")
    with blaming("Runner.create_environment_fn", create_one):
        games = [create_one(randomness.environment_seed(seed, *stream)) for seed in seeds]
        return EnvironmentBatch(scaled(games, scales), longest)


def _bound_game(create_one: CreateEnvironment) -> str | None:
    """What gin says of the `game_name` of a function; None if nothing."""
    try:
        game = gin.get_bindings(getattr(create_one, "__name__", "")).get("game_name")
    except ValueError:  # none of gin's functions
        return None
    return game if isinstance(game, str) else None


def _create_game_of(
    protocol: Mapping[str, Any], create_one: CreateEnvironment
) -> CreateEnvironment:
    """Makes the game that data are of, where they say so and the function is of their suite."""
    if create_one is None or "game" not in protocol:
        return create_one
    fits, game = f"create_{protocol['suite']}_environment", protocol["game"]
    if protocol["suite"] == "mujoco" and game not in (*MUJOCO, *OLDER):
        of = f"the data are of {game}, which is not played here"
        raise ConfigError(f"Runner.create_environment_fn: {of}; {_ALONE}")
    expected = f"@{fits}, for the data are of {game}"
    matches = getattr(create_one, "__name__", None) == fits
    require(matches, "Runner.create_environment_fn", create_one, expected)
    named: Callable[..., Environment] = create_one
    return partial(named, game_name=game)


def _check_evaluation(source: Source, games: EnvironmentBatch) -> None:
    """Fixed data must look like the games that evaluate them; their protocol is stamped too."""
    binding = "Runner.create_environment_fn"
    require_same_specs(binding, games, source, "what the data have", f"; {_ALONE}")
    source.protocol = source.protocol | {"evaluation": games.protocol}
    games.close()
