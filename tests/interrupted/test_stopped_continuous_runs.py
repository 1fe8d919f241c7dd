"""SAC on MuJoCo, two robots side by side, stopped or killed and taken up again."""

import os
import signal
from unittest.mock import patch

import pytest

from prune_rl.acting.evaluation import Evaluation
from prune_rl.environments import mujoco
from prune_rl.trainer import Trainer

from .again import Again, at
from .ends import left, stands

_FILES = ("agents/sac.gin", "suites/mujoco.gin", "pruning/magnitude.gin")
_BINDINGS = (
    'create_mujoco_environment.game_name="Ant-v5"',  # has state beside the integrator's
    "Runner.num_seeds=2",
    "Runner.num_iterations=2",
    "Runner.training_steps=40",
    "Runner.max_steps_per_episode=15",
    "Runner.num_eval_episodes=2",
    "SACAgent.min_replay_history=12",
    "SACAgent.replay_ratio=0.5",
    "MLPTorso.units=8",
    "ReplayBuffer.batch_size=4",
    "ReplayBuffer.max_capacity=60",  # the ring comes round
)


class Gone(BaseException):
    """What kills a process."""


def die():
    raise Gone


def ask():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def again():
    with patch.object(mujoco, "_STEPS_IN_THREADS", ()):  # those of a run that ended are gone
        return Again(_FILES, _BINDINGS)


@pytest.fixture(scope="module")
def whole(again, tmp_path_factory):
    """A run that nothing stopped."""
    base_dir = tmp_path_factory.mktemp("whole") / "run"
    assert again(base_dir) == 0
    return left(base_dir)


def test_a_run_that_is_stopped_again_and_again_goes_on_to_the_bit(tmp_path, again, whole):
    run, stood = tmp_path / "run", []
    for owner, calls in ((Trainer, 9), (Trainer, 14), (Evaluation, 11), (Trainer, 21)):
        with at(owner, "step", calls, ask):
            assert again(run) == 75
        stood.append(stands(run)["steps"])
    assert stood == [9, 23, 40, 61]
    assert again(run) == 0
    assert left(run) == whole


def test_a_run_that_dies_goes_on_from_its_last_checkpoint_to_the_bit(tmp_path, again, whole):
    run = tmp_path / "run"
    for owner, calls in ((Trainer, 20), (Evaluation, 7), (Trainer, 5)):
        with at(owner, "step", calls, die), pytest.raises(Gone):
            again(run, minutes=1e-6)
    assert 0 < stands(run)["steps"] < 80
    assert again(run) == 0
    assert left(run) == whole
