"""Runs of a scripted game, with spies on what the replay is given and what the learner is asked."""

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gin
import jax
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.experiment import create_runner
from prune_rl.networks.noisy import dense
from prune_rl.plasticity.occasions import Occasions
from prune_rl.replay.buffer import ReplayBuffer

from .scripted_game import (
    LONGEST,
    NUM_SEEDS,
    ScriptedEnvironment,
    Transition,
    transitions,
)

FIRST_SEED = 5


class Event(NamedTuple):
    """Something handed over: `kind` as 'act', 'add', 'sample'; arrays copied to NumPy."""

    kind: str
    given: Any
    returned: Any


@dataclass
class Recorded:
    """A finished run and everything that was seen of it, in order."""

    directory: Path
    environments: list[ScriptedEnvironment] = field(default_factory=list)
    replays: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)  # made and nominal, as told
    said: list[str] = field(default_factory=list)  # lines of progress

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def note(self, kind: str, given: Any, returned: Any) -> None:
        self.events.append(Event(kind, _copied(given), _copied(returned)))

    def played(self, evaluation: int | None = None) -> list[list[Transition]]:
        """Steps of each seed: of training, or of the evaluation after that iteration."""
        first = 0 if evaluation is None else NUM_SEEDS * (evaluation + 1)
        return [transitions(own) for own in self.environments[first : first + NUM_SEEDS]]


def _copied(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.array(leaf) if hasattr(leaf, "shape") else leaf, tree)


def _holes(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return jax.random.bernoulli(key, 0.5, shape).astype(dtype)


class Torso(nn.Module):
    """Four linear features of all pixels, and a layer nobody reads: zeros where a seed has them."""

    noisy: bool = False

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        layer = dense(4, "Dense_0", nn.initializers.lecun_normal(), noisy=self.noisy)
        features = layer(observation.reshape(-1) / 255.0)
        nn.Dense(9, kernel_init=_holes, name="Dense_1")(features)
        return features


class Witness:
    """An intervention that changes nothing and notes what it is shown."""

    statistics_batch_size = 4

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def occasions(self, num_gradient_steps: int, nominal_gradient_steps: int) -> Occasions:
        self._recorded.spans.append((num_gradient_steps, nominal_gradient_steps))
        return Occasions(period=3, start=4, end=num_gradient_steps)

    def check(self, quantities: Any, params: Any) -> None:
        pass

    def apply(self, quantities: Any, network: Any, inputs: Any, key: Any) -> Any:
        jax.debug.callback(
            lambda seen, own: self._recorded.note("intervention", (seen, own), None), inputs, key
        )
        return network


def _spied(kind: str, function: Any, recorded: Recorded) -> Any:
    def spy(*args: Any) -> Any:
        given = _copied(args)  # before: a donated state cannot be read afterwards
        returned = function(*args)
        recorded.events.append(Event(kind, given, _copied(returned)))
        return returned

    return spy


def _with_spies(kind: type, recorded: Recorded, settings: dict[str, Any]) -> Any:
    class Spied(kind):
        def learner(self, *args: Any, **more: Any) -> Any:
            learner = super().learner(*args, **more)
            names = ("init", "act", "act_eval", "update", "sync_target")
            spies = {name: _spied(name, getattr(learner, name), recorded) for name in names}
            return learner._replace(**spies)

    return Spied(torso=Torso(), **settings)


def _spy_on_replay(patch: pytest.MonkeyPatch, recorded: Recorded) -> None:
    create = ReplayBuffer.__init__

    def init(self: ReplayBuffer, **settings: Any) -> None:
        recorded.replays.append(settings)
        create(self, **settings)

    patch.setattr(ReplayBuffer, "__init__", init)
    for name in ("add_first", "add", "sample", "sample_uniformly", "update_priorities"):
        original = getattr(ReplayBuffer, name)

        def method(self: Any, *args: Any, _name: str = name, _own: Any = original, **more: Any):
            returned = _own(self, *args, **more)
            recorded.note(_name, (args, more), returned)
            return returned

        patch.setattr(ReplayBuffer, name, method)


@contextlib.contextmanager
def _quick_compiling() -> Iterator[None]:
    # The fixture of that name is of modules; nearly all of these runs' time is compiling.
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()  # see there


def _run(directory: Path, kind: type, agent: dict[str, Any], runner: dict[str, Any]) -> Recorded:
    recorded = Recorded(directory)

    def create(seed: int) -> ScriptedEnvironment:
        recorded.environments.append(ScriptedEnvironment(len(recorded.environments), seed))
        return recorded.environments[-1]

    gin.clear_config()
    read_clock, stderr = time.monotonic, io.StringIO()

    def clock() -> float:
        return read_clock() + sum(own.seconds for own in recorded.environments)

    quietly = contextlib.redirect_stderr(stderr)
    with pytest.MonkeyPatch.context() as patch, quietly, _quick_compiling():
        _spy_on_replay(patch, recorded)
        patch.setattr(time, "monotonic", clock)
        own = create_runner(
            directory,
            agent=_with_spies(kind, recorded, agent),
            create_environment_fn=create,
            max_steps_per_episode=LONGEST,
            num_seeds=NUM_SEEDS,
            seed=FIRST_SEED,
            **{
                name: value(recorded) if callable(value) else value
                for name, value in runner.items()
            },
        )
        own.run()
        jax.effects_barrier()
    recorded.said = [x for x in stderr.getvalue().splitlines() if x.startswith("iteration ")]
    return recorded


DQN_SETTINGS = {
    "gamma": 0.9,
    "update_horizon": 2,
    "min_replay_history": 8,
    "replay_ratio": 0.5,
    "target_update_period": 6,
    "epsilon_train": 0.1,
    "epsilon_eval": 0.05,
    "epsilon_decay_period": 40,
}
DQN_RUN = {"num_iterations": 2, "training_steps": 30, "evaluation_steps": 5}
RAINBOW_SETTINGS = DQN_SETTINGS | {"replay_ratio": 2, "noisy": True, "num_atoms": 5}
RAINBOW_RUN = {"num_iterations": 2, "training_steps": 14, "num_eval_episodes": 2}


@pytest.fixture(scope="session")
def dqn_run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """DQN with `DQN_SETTINGS` for 2 x 30 agent steps of seeds 5 and 6, measured and watched."""
    diagnostics = Diagnostics(
        quantities=["parameter_norm", "gradient_covariance"], num_gradients=3, period=2
    )
    watched = {"interventions": lambda recorded: [Witness(recorded)], "diagnostics": diagnostics}
    directory = tmp_path_factory.mktemp("wiring") / "dqn"
    return _run(directory, DQNAgent, DQN_SETTINGS, DQN_RUN | watched)


@pytest.fixture(scope="session")
def resumed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorded, Recorded]:
    """Two starts of one run in one directory, 300 agent steps each: it only acts."""
    directory = tmp_path_factory.mktemp("wiring") / "resumed"
    agent = DQN_SETTINGS | {"min_replay_history": 1_000}
    shared = {"training_steps": 300, "diagnostics": Diagnostics(quantities=["parameter_norm"])}
    settings = [shared | {"num_iterations": count} for count in (1, 2)]
    first, second = (_run(directory, DQNAgent, agent, own) for own in settings)
    return first, second


@pytest.fixture(scope="session")
def rainbow_run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Noisy prioritised Rainbow with two updates a step, evaluated on two episodes."""
    directory = tmp_path_factory.mktemp("wiring") / "rainbow"
    settings = RAINBOW_RUN | {"evaluation_steps": 0}
    return _run(directory, RainbowAgent, RAINBOW_SETTINGS, settings)
