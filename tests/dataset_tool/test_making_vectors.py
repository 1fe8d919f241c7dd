"""Data of a robot that are made here: what the replay saw, or what was played after training."""

import json
import os
import signal
from functools import partial

import gin
import h5py
import jax
import numpy as np
import pytest

from prune_rl import randomness
from prune_rl.acting.policy import Policy
from prune_rl.dataset_tool.making import create_runner, make
from prune_rl.datasets.finding import find_runs
from prune_rl.environments.mujoco import MujocoEnvironment
from prune_rl.errors import ConfigError
from prune_rl.signals import Stopped
from prune_rl.specs import TERMINATED, TRUNCATED
from prune_rl.trainer import Trainer
from tests.datasets.vector_episodes import read

from ..interrupted.again import at

pytestmark = pytest.mark.usefixtures("quick_compiling")
_STEPS = 60
_BINDINGS = (
    'create_mujoco_environment.game_name="Hopper-v5"',
    "Runner.num_seeds=2",
    "Runner.seed=3",
    "Runner.max_steps_per_episode=13",
    "SACAgent.min_replay_history=30",
    "MLPTorso.units=8",
    "ReplayBuffer.batch_size=4",
)


class _Maker:
    """`make` of a short SAC run; keeps the runner that it was given."""

    def __init__(self, *bindings, files=("agents/sac.gin", "suites/mujoco.gin")):
        own = (*_BINDINGS, *bindings) if "agents/sac.gin" in files else bindings
        settings = {"gin_files": files, "gin_bindings": own, "agent_steps": _STEPS}
        self._create = partial(create_runner, **settings)

    def __call__(self, out, format="d4rl", **settings):
        return make(out, format=format, agent_steps=_STEPS, create_runner=self.create, **settings)

    def create(self, base_dir):
        self.runner = self._create(base_dir)
        return self.runner


def _replayed(runner, seed_index):
    """(o, a, r, terminal, o') of every transition of a seed's replay, which has lost none."""
    state = runner.source.replay.get_state()[seed_index]
    pieces = [piece for _, piece in state["rows"].pieces(0)]
    rows = {name: np.concatenate([own[name] for own in pieces]) for name in pieces[0]}
    frames = [*rows["frames"], state["frame"]]
    for i, end in enumerate(rows["ends"]):
        if end in (0, TERMINATED, TRUNCATED):
            yield (
                frames[i],
                rows["actions"][i],
                rows["rewards"][i],
                end == TERMINATED,
                frames[i + 1],
            )


@pytest.mark.parametrize("format", ["d4rl", "minari"])
def test_it_holds_what_the_replay_holds(tmp_path, format):
    maker = _Maker()
    said = maker(tmp_path / "out", format)
    assert (said.runs, said.transitions, said.rows) == (2, 2 * _STEPS, 2 * _STEPS)
    assert maker.runner.trainer.gradient_steps > 0
    runs = find_runs("x", tmp_path)
    assert [(run.game, run.number) for run in runs] == [("Hopper-v5", 1), ("Hopper-v5", 2)]
    ends = set()
    for i, run in enumerate(runs):
        found, expected = read(run, gamma=0.5), list(_replayed(maker.runner, i))
        assert len(found) == len(expected) == _STEPS
        for own, (frame, action, reward, terminal, after) in zip(found, expected, strict=True):
            assert own[0].tobytes() == frame.tobytes()
            assert own[1].tobytes() == action.tobytes()
            assert (own[2], own[3]) == (reward, 0 if terminal else 0.5)
            assert terminal or own[4].tobytes() == after.tobytes()
            ends.add(terminal)
        assert run.protocol["stored_rewards"] == "as they are"
        assert run.protocol["game"] == "Hopper-v5"
    assert ends == {False, True}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_collected_is_played_afterwards_in_games_of_its_own(tmp_path):
    """Nothing is learned from it; actions are samples of the policy that was trained."""
    told, maker = [], _Maker()
    explore = Policy.explore

    def watch(policy, state, observations, steps):
        told.append((jax.tree.map(np.array, state.params), observations.copy(), steps))
        return explore(policy, state, observations, steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Policy, "explore", watch)
        said = maker(tmp_path / "out", collect_steps=40)
    assert said.transitions == 2 * 40
    assert len(told) == _STEPS + 40
    after = told[_STEPS:]
    final = jax.tree.leaves(maker.runner.trainer.agent_state.params)
    for params, _, steps in (after[0], after[-1]):
        assert steps == _STEPS
        for own, other in zip(jax.tree.leaves(params), final, strict=True):
            np.testing.assert_array_equal(own, other)
    for i, run in enumerate(find_runs("x", tmp_path)):
        found = read(run)
        assert len(found) == 40
        for own, (_, observations, _) in zip(found, after, strict=True):
            assert own[0].tobytes() == observations[i].tobytes()
        game = MujocoEnvironment(randomness.environment_seed(3 + i, 7), "Hopper-v5")
        assert found[0][0].tobytes() == game.reset().tobytes()
        frame, reward, _ = game.step(found[0][1])
        assert (found[0][2], found[0][4].tobytes()) == (np.float32(reward), frame.tobytes())
        actions = np.array([own[1] for own in found])
        assert len(np.unique(actions[:, 0])) == 40  # they are drawn


def test_what_was_collected_says_so(tmp_path):
    _Maker()(tmp_path / "out", collect_steps=5)
    with h5py.File(tmp_path / "out/hopper_run_2-v5.hdf5") as file:
        about = json.loads(file["metadata/about"][()])
        assert file["metadata/iteration"][()] == _STEPS
    expected = {"agent": "SACAgent", "seed": 4, "agent_steps": _STEPS, "collect_steps": 5}
    assert {name: about[name] for name in expected} == expected
    assert (about["transitions"], about["run"]) == (5, 2)
    assert gin.operative_config_str() == about["gin"]


def test_clipped_rewards_are_refused_before_anything_is_trained(tmp_path):
    said = "OnlineSource.clip_rewards=True: expected False: data of --format=d4rl hold rewards"
    with (
        at(Trainer, "step", 1, lambda: pytest.fail("it was trained")),
        pytest.raises(ConfigError, match=said),
    ):
        _Maker("OnlineSource.clip_rewards=True")(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_images_are_refused(tmp_path):
    maker = _Maker("OnlineSource.clip_rewards=False", files=("experiments/minatar_breakout.gin",))
    with pytest.raises(ConfigError, match="--format=minari: holds vectors alone; breakout has"):
        maker(tmp_path / "out", "minari")
    assert not list(tmp_path.iterdir())


def test_vectors_have_no_place_among_frames(tmp_path):
    with pytest.raises(ConfigError, match="a dataset of Hopper-v5: expected frames of uint8"):
        _Maker()(tmp_path / "out", "dqn_replay")
    assert not list(tmp_path.iterdir())


def test_asked_to_stop_while_it_collects_it_keeps_nothing(tmp_path):
    asked = at(Policy, "explore", _STEPS + 10, lambda: os.kill(os.getpid(), signal.SIGTERM))
    said = "SIGTERM: stopped while it was collected; nothing of it is kept"
    with asked, pytest.raises(Stopped, match=said):
        _Maker()(tmp_path / "out", collect_steps=1000)
    assert not list(tmp_path.iterdir())
