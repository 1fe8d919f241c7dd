"""A trained agent, from its run directory: `load_run("runs/x").act(observations)`.

Nothing is written, no lock is taken, and gin is afterwards what it was before.
"""

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from prune_rl import gin_state
from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError, path_of, require
from prune_rl.experiment import create_optimizers
from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import Learner
from prune_rl.learning.saved import from_states
from prune_rl.learning.state import AgentState
from prune_rl.loaded_run import LoadedRun
from prune_rl.recording.saved_run import SavedRun, read_run
from prune_rl.specs import ActionSpec, ObservationSpec, action_spec_of, observation_spec_of
from prune_rl.state import State

_NEEDED = ("agent", "num_iterations", "training_steps", "max_steps_per_episode")
_SCALE = "observations"  # of a fixed replay's state, see `sources.stored.StoredData`


def load_run(directory: str | Path, *, seed: int | None = None) -> LoadedRun:
    """The agent that a run has trained, at its newest checkpoint.

    The run may be of any kind, finished or under way; of its data and games nothing is needed.

    Args:
        directory: what `--base_dir` was.
        seed: one of the run's; None for its first.

    Raises:
        ConfigError: there is no run, no checkpoint, no such seed, or what is there is damaged.
    """
    saved = read_run(path_of("directory", directory))
    return _load(saved, [min(saved.checkpoint.seeds) if seed is None else seed])[0]


def load_seeds(
    directory: str | Path, seeds: Collection[int] | None = None, *, named: str = "seed"
) -> list[LoadedRun]:
    """Some seeds of a run, or all, in their order and of one checkpoint; see `load_run`.

    named: what a seed that there is not is called when it is refused, as '--seed'.
    """
    saved = read_run(path_of("directory", directory))
    return _load(saved, sorted(saved.checkpoint.seeds if seeds is None else set(seeds)), named)


def _load(saved: SavedRun, seeds: Sequence[int], named: str = "seed") -> list[LoadedRun]:
    run, protocol = saved.checkpoint.run, saved.start["protocol"]
    there = sorted(saved.checkpoint.seeds)
    for seed in seeds:
        known = f"one of the run's: {', '.join(map(str, there))}"
        is_number = isinstance(seed, Integral) and not isinstance(seed, bool)
        require(is_number and seed in there, f"{saved.directory}: {named}", seed, known)
    config = saved.directory / "config.gin"
    with gin_state.configured_by(config) as runner:
        for name in _NEEDED:
            if name not in runner:
                raise ConfigError(f"{config}: says nothing of Runner.{name}; put back a copy")
        agent: Agent = runner["agent"]
        observation_spec, action_spec = _specs(saved, runner)
        learner = _learner(agent, runner, run["clock"], observation_spec, action_spec)
        like = jax.eval_shape(lambda: learner.init([0], "unroll"))
    parts = {
        "directory": saved.directory,
        "config": saved.config,
        "agent": agent,
        "learner": learner,
        "seeds": tuple(there),
        "agent_steps": run["steps"] if run["clock"] == "agent_steps" else 0,
        "observation_spec": observation_spec,
        "action_spec": action_spec,
        "protocol": protocol,
        "game": protocol.get("game", ""),
        "max_steps_per_episode": runner["max_steps_per_episode"],
    }
    return [_of_seed(seed, saved.checkpoint.seeds[seed], like, parts) for seed in seeds]


def _of_seed(seed: int, state: State, like: Any, parts: dict[str, Any]) -> LoadedRun:
    axes = parts["learner"].state_axes
    own: AgentState = from_states([state["agent"]], like, axes).trees[0]
    scale = state["source"]["replay"].get(_SCALE)
    return LoadedRun(
        seed=int(seed),
        gradient_steps=int(own.step),
        diverged_at=int(own.diverged_at),
        params=own.params,
        masks={
            name: jax.tree.map(_mask, x.params, x.opt_state.masks)
            for name, x in own.networks.items()
        },
        scale=Scale(**scale) if scale else None,
        **parts,
    )


def _mask(param: jax.Array, packed: jax.Array | None) -> npt.NDArray[np.bool_] | None:
    """A mask unpacked to the shape of its tensor, members (their bits in a row each) and all."""
    if packed is None:
        return None
    bits = np.unpackbits(np.asarray(packed), axis=-1)
    size = param.size * packed.shape[-1] // packed.size
    return bits[..., :size].astype(bool).reshape(param.shape)


def _learner(
    agent: Agent,
    runner: Mapping[str, Any],
    clock: str,
    observation_spec: ObservationSpec,
    action_spec: ActionSpec,
) -> Learner:
    steps = runner["num_iterations"] * runner["training_steps"]
    made, nominal = (
        (steps, steps)
        if clock == "gradient_steps"
        else (agent.num_gradient_steps(steps), agent.nominal_gradient_steps(steps))
    )
    optimizers = create_optimizers(agent.networks, made, nominal, agent.periods)
    return agent.learner(observation_spec, action_spec, optimizers)


def _specs(saved: SavedRun, runner: Mapping[str, Any]) -> tuple[ObservationSpec, ActionSpec]:
    """Of what the run learns from; asked of its game where it began before they were recorded."""
    start = saved.start
    if "observation_spec" in start:
        return observation_spec_of(start["observation_spec"]), action_spec_of(start["action_spec"])
    create_one = runner.get("create_environment_fn")
    if create_one is None:
        problem = "begun by a version that did not record what its data look like"
        advice = "its next start does, so let the same command go on with it"
        raise ConfigError(f"{saved.directory}: {problem}; {advice}")
    game = create_one(0)
    game.close()
    return game.observation_spec, game.action_spec
