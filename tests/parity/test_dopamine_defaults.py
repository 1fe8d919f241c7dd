"""Our defaults under Dopamine's names are Dopamine's defaults."""

import inspect
import json

import pytest

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.environments.atari import create_atari_environment
from prune_rl.experiment import create_runner
from prune_rl.learning.optimizers import create_optimizer

from . import dopamine_cases as cases

_DQN = ["gamma", "update_horizon", "min_replay_history", "target_update_period"]
_DQN += ["epsilon_train", "epsilon_eval", "epsilon_decay_period", "loss_type"]
# Its n of 3 is in rainbow.gin, as the other agents' settings: see tests/agents/test_agent_files.py.
_RAINBOW = [x for x in _DQN if x not in ("update_horizon", "loss_type")]
_RAINBOW += ["num_atoms", "vmax", "replay_scheme"]
_RUNNER = ["num_iterations", "training_steps", "max_steps_per_episode"]


@pytest.mark.parametrize(
    ("ours", "theirs", "arguments"),
    [
        (DQNAgent, "JaxDQNAgent", _DQN),
        (create_optimizer, "create_optimizer", ["name", "learning_rate", "beta1", "beta2", "eps"]),
        (create_runner, "Runner", _RUNNER),
        (RainbowAgent, "JaxRainbowAgent", _RAINBOW),
        (create_atari_environment, "create_atari_environment", ["sticky_actions"]),
    ],
)
def test_defaults(ours, theirs, arguments):
    expected = json.loads(str(cases.recorded()["defaults"]))[theirs]
    parameters = inspect.signature(ours).parameters
    assert {x: parameters[x].default for x in arguments} == {x: expected[x] for x in arguments}


def test_evaluation_must_be_asked_for():
    """Dopamine has 125,000 there, which its default schedule, continuous_train, does not read."""
    assert inspect.signature(create_runner).parameters["evaluation_steps"].default == 0
