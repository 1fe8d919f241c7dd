"""Runs of every kind as a process leaves them that is killed once they have begun.

What they have is a first checkpoint, of networks that are sparse from the start; their data are
gone. So each costs what making it costs, and nothing learns.
"""

import shutil
from unittest.mock import patch

import gin
import pytest

from prune_rl.composition import compose
from prune_rl.session import Session
from tests.datasets.vector_episodes import play, publish

_SPARSE = "pruning/static_sparse.gin"
_MINATAR = ("Runner.training_steps=100", "ReplayBuffer.max_capacity=50_000")
_ATARI = (
    "create_atari_environment.game_name='Pong'",
    "Runner.training_steps=100",
    "ReplayBuffer.max_capacity=20_000",
)
# 15: masks of so many weights do not fill their last byte.
_ROBOT = ("MLPTorso.units=15", "Runner.num_eval_episodes=0", "Runner.training_steps=100")
# What is left of a run on data alone says neither which game it is nor what it looks like.
_DATA = (*_ROBOT, "Runner.create_environment_fn=None", "Runner.num_iterations=1")


def _minatar(agent, *bindings):
    return (f"experiments/minatar_breakout{agent}.gin", _SPARSE), (*_MINATAR, *bindings)


def _data(agent, *bindings):
    return (f"agents/{agent}.gin", "suites/mujoco.gin", _SPARSE), (*_DATA, *bindings)


# (gin files, bindings); what learns from data is given their path.
KINDS = {
    "dqn": _minatar("", "Runner.num_seeds=2", "Runner.seed=4"),
    "device": _minatar("", "Runner.create_source_fn=@DeviceSource"),
    "der": _minatar("_der"),  # noisy, dueling, distributional, learns from shifted images
    "nature": (("agents/c51.gin", _SPARSE), _ATARI),
    "impala": (("agents/dqn.gin", "networks/impala.gin", _SPARSE), _ATARI),
    "cql_c51": (
        ("agents/cql_c51.gin", "networks/minatar.gin", "suites/minatar.gin", _SPARSE),
        ("Runner.training_steps=100", "Runner.evaluation_steps=0"),
    ),
    "sac": (
        ("agents/sac.gin", "suites/mujoco.gin", _SPARSE),
        (*_ROBOT, "create_mujoco_environment.game_name='HalfCheetah-v5'", "Runner.num_seeds=2"),
    ),
    "bc": _data("bc"),
    "td3_bc": _data("td3_bc", "Dataset.normalize_observations=True", "Runner.num_seeds=2"),
    "awac": _data("awac"),
    "iql": _data("iql", "IQLAgent.num_critics=3"),
}
OF_ROBOTS_DATA, OF_GAMES_DATA = ("bc", "td3_bc", "awac", "iql"), ("cql_c51",)


class _Killed(BaseException):
    pass


def begin(kind, folder, games=None):
    """The directory of such a run below `folder`; `games` is a folder of data of MinAtar."""
    files, bindings = KINDS[kind]
    base_dir, data = folder / "run", folder / "data"
    if kind in OF_GAMES_DATA:
        shutil.copytree(games, data)
        bindings = (*bindings, f"Dataset.path={str(data)!r}")
    if kind in OF_ROBOTS_DATA:
        path = publish(data / "halfcheetah_medium-v2.hdf5", play([9, 12, 8], "too"))
        bindings = (*bindings, f"Dataset.path={str(path)!r}")
    runner = compose(base_dir, files, bindings, bindings)
    with patch.object(Session, "go_on", side_effect=_Killed), pytest.raises(_Killed):
        runner.run()
    gin.clear_config()
    shutil.rmtree(data, ignore_errors=True)
    return base_dir
