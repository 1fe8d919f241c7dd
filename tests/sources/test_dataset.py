"""A run on fixed data: nothing is played but evaluations, and the clock is the gradient step."""

import csv
import json
import os
import signal
import sys
import threading
from types import ModuleType

import jax
import numpy as np
import pytest

from prune_rl import train
from prune_rl.acting.evaluation import Evaluation
from prune_rl.command_line import parser
from prune_rl.errors import ConfigError
from prune_rl.parts import Parts
from prune_rl.reporting import runs
from prune_rl.reporting.curves import draw
from prune_rl.session import Session
from prune_rl.sources.dataset import DatasetSource
from prune_rl.trainer import Trainer

# What a user would write to learn from data of their own.
_MODULE = """
import gin
from tests_games import PlayedGames


@gin.configurable
def played_games(setting, game=None):
    return PlayedGames(setting, game=game)
"""
_FILE = """
import my_games
include 'experiments/minatar_breakout.gin'
include 'pruning/magnitude.gin'

Runner.create_source_fn = @DatasetSource
DatasetSource.create_dataset_fn = @played_games
DQNAgent.target_update_period = 7
Runner.num_iterations = 3
Runner.training_steps = 40
Runner.evaluation_steps = 60
Runner.num_seeds = 2
create_updater_from_config.update_freq = 5
"""


@pytest.fixture
def offline(tmp_path, monkeypatch, played_games):
    """Flags of an offline run, but for its directory."""
    module = ModuleType("tests_games")
    module.PlayedGames = played_games
    monkeypatch.setitem(sys.modules, "tests_games", module)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_games.py").write_text(_MODULE)
    (tmp_path / "offline.gin").write_text(_FILE)
    return [f"--gin_files={tmp_path / 'offline.gin'}"]


def test_a_run_without_an_environment_is_priced_by_its_gradient_steps(offline, capsys):
    assert train.main(["--dry_run", *offline]) == 0
    _, time, note = capsys.readouterr().out.splitlines()
    assert " for 120 gradient steps of 2 seeds, " in time
    assert note.strip().startswith("evaluations are counted as if they came after training")


def test_the_weights_that_are_evaluated_beside_training_count_for_the_disk(tmp_path, offline):
    none = "--gin_bindings=Runner.evaluation_steps=0"
    sizes = []
    for more in ([], [none]):
        flags = parser().parse_args(["--base_dir=unused", *offline, *more])
        runner = train.create_runner(flags, tmp_path / "run")
        sizes.append(runner.size.disk_bytes)
        params = runner.trainer.agent_state.params
    own = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert sizes[0] - sizes[1] == 3 * own  # of two checkpoints, and of one being written


def test_a_run_without_an_environment(tmp_path, offline):
    """Every iteration is as many gradient steps; three evaluations are three points."""
    assert train.main([f"--base_dir={tmp_path / 'run'}", *offline]) == 0
    rows = runs.read_metrics(tmp_path / "run")
    for phase, per_step in (("train", True), ("eval", False)):
        own = [row for row in rows if row["phase"] == phase]
        assert [row["gradient_steps"] for row in own[::2]] == [40, 80, 120]
        assert {row["agent_steps"] for row in own} == {row["frames"] for row in own} == {0}
        assert {row["clock"] for row in own} == {"gradient_steps"}
        assert {"epsilon" in row for row in own} == {False}
        assert {"gradient_steps_per_second" in row for row in own} == {per_step}
    returns = runs.curve(rows, "eval", "episode_return_mean")
    assert returns.steps.tolist() == [40, 80, 120]
    assert np.isfinite(returns.values).all()
    (axes, *_) = draw([runs.Run(tmp_path / "run")]).axes
    assert [len(line.get_xdata()) for line in axes.lines if len(line.get_xdata())] == [3] * 3
    with (tmp_path / "run" / "episodes.csv").open() as file:
        episodes = list(csv.DictReader(file))
    assert {row["phase"] for row in episodes} == {"eval"}
    assert {row["gradient_steps"] for row in episodes} == {"40", "80", "120"}
    assert rows[-1]["sparsity"] == pytest.approx(0.95, abs=2e-3)
    protocol = json.loads((tmp_path / "run" / "provenance.json").read_text())[0]["protocol"]
    assert protocol["played_by"] == "a random policy"
    assert protocol["evaluation"]["sticky_action_probability"] == 0.1


def test_the_target_follows_the_gradient_steps(tmp_path, offline, monkeypatch):
    """Every seventh, once the update is made; the warm-up of a replay is none of theirs."""
    synced, made = [], []
    step = Trainer.step

    def spied(self, *end):
        if not made:
            sync = self._learner.sync_target
            counted = lambda state: synced.append(int(state.step)) or sync(state)  # noqa: E731
            self._learner = self._learner._replace(sync_target=counted)
        made.append(step(self, *end))
        return made[-1]

    monkeypatch.setattr(Trainer, "step", spied)
    more = ["--gin_bindings=Runner.num_iterations=1", "--gin_bindings=Runner.evaluation_steps=0"]
    assert train.main([f"--base_dir={tmp_path / 'run'}", *offline, *more]) == 0
    assert synced == [7, 14, 21, 28, 35]


@pytest.mark.parametrize("asked", [True, False])
def test_it_resumes_to_the_bit(tmp_path, offline, monkeypatch, read_metrics, agent_leaves, asked):
    """After a signal, within an iteration; and from the iteration before, if it was not asked."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train.main([f"--base_dir={whole}", *offline]) == 0
    step, count = Trainer.step, iter(range(200))

    def failing(self, *end):
        if next(count) == 95:
            if not asked:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *end)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", failing)
        assert train.main([f"--base_dir={stopped}", *offline]) == (75 if asked else 130)
    assert train.main([f"--base_dir={stopped}", *offline]) == 0
    assert read_metrics(whole) == read_metrics(stopped)
    assert (whole / "episodes.csv").read_bytes() == (stopped / "episodes.csv").read_bytes()
    for a, b in zip(agent_leaves(whole), agent_leaves(stopped), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("iteration", [0, 2])
def test_it_resumes_to_the_bit_where_an_evaluation_was_under_way(
    tmp_path, offline, monkeypatch, read_metrics, iteration
):
    """Beside the training of the next iteration, and after the last one."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train.main([f"--base_dir={whole}", *offline]) == 0
    new, step, asked = Parts.new_evaluation, Evaluation.step, threading.Event()

    def tagged(self, own, params):
        evaluation = new(self, own, params)
        evaluation.iteration = own
        return evaluation

    def asking(self):
        if self.iteration == iteration and self._steps_taken == 20:
            os.kill(os.getpid(), signal.SIGTERM)
            asked.wait(60)  # so that it cannot end before the run has seen the signal
        return step(self)

    saved = Session._saved
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "new_evaluation", tagged)
        patch.setattr(Evaluation, "step", asking)
        patch.setattr(Session, "_saved", lambda self: asked.set() or saved(self))
        assert train.main([f"--base_dir={stopped}", *offline]) == 75
    assert [row["iteration"] for row in read_metrics(stopped) if row["phase"] == "eval"] == [
        i for i in range(iteration) for _ in range(2)
    ]
    assert train.main([f"--base_dir={stopped}", *offline]) == 0
    assert read_metrics(whole) == read_metrics(stopped)
    assert (whole / "episodes.csv").read_bytes() == (stopped / "episodes.csv").read_bytes()


def test_an_evaluation_is_of_the_weights_after_its_iteration(tmp_path, offline, read_metrics):
    """However far training has come while it was played: a shorter run evaluates the same."""
    whole, short = tmp_path / "whole", tmp_path / "short"
    dense = ["--gin_files=pruning/none.gin"]
    one = [*dense, "--gin_bindings=Runner.num_iterations=1"]
    assert train.main([f"--base_dir={whole}", *offline, *dense]) == 0
    assert train.main([f"--base_dir={short}", *offline, *one]) == 0
    own = [row for row in read_metrics(short) if row["phase"] == "eval"]
    assert own == [row for row in read_metrics(whole) if row["phase"] == "eval"][:2]
    assert own[0]["gradient_steps"] == 40


def test_rows_come_in_an_order_that_is_always_the_same(tmp_path, offline, read_metrics):
    """An evaluation's after those of the training beside which it was played."""
    assert train.main([f"--base_dir={tmp_path / 'run'}", *offline]) == 0
    phases = [(x["phase"], x["iteration"]) for x in read_metrics(tmp_path / "run") if not x["seed"]]
    trained, evaluated = [("train", i) for i in range(3)], [("eval", i) for i in range(3)]
    assert phases == [trained[0], trained[1], evaluated[0], trained[2], *evaluated[1:]]


def test_data_must_be_given(make_setting):
    with pytest.raises(ConfigError, match=r"DatasetSource.create_dataset_fn=None.*a function"):
        DatasetSource(make_setting())


@pytest.mark.parametrize("scheme", ["prioritized", "unifrom"])
def test_fixed_data_are_drawn_uniformly_and_nothing_else_can_be_asked(
    make_setting, played_games, scheme
):
    with pytest.raises(ConfigError, match=rf"DQNAgent.replay_scheme='{scheme}'.*'uniform'"):
        DatasetSource(make_setting(replay_scheme=scheme), create_dataset_fn=played_games)


def test_a_source_of_data_hands_on_its_specs_and_one_update_a_step(make_setting, played_games):
    source = DatasetSource(make_setting(), create_dataset_fn=played_games)
    assert source.observation_spec.shape == (1, 10, 10, 4)
    assert source.action_spec.num_actions == 3
    assert source.num_gradient_steps(50) == source.nominal_gradient_steps(50) == 50
    source.start()
    for _ in range(4):
        assert source.updates_due() == 1
        assert source.tick(None) == []
    assert (source.steps, source.agent_steps, source.frames) == (4, 0, 0)
    restored = DatasetSource(make_setting(), create_dataset_fn=played_games)
    source.replay.sample()
    restored.set_state(source.get_state())
    assert restored.steps == 4
    np.testing.assert_array_equal(restored.replay.sample().s_t, source.replay.sample().s_t)


def test_data_alone_need_no_environment(tmp_path, offline):
    more = ["Runner.evaluation_steps=0", "Runner.num_iterations=1"]
    flags = [f"--gin_bindings={x}" for x in more]
    data = "--gin_bindings=played_games.game='breakout'"
    none = "--gin_bindings=Runner.create_environment_fn=None"
    assert train.main([f"--base_dir={tmp_path / 'run'}", *offline, *flags, data, none]) == 0
    assert runs.read_metrics(tmp_path / "run")[-1]["gradient_steps"] == 40


def test_games_that_evaluate_must_look_like_the_data(tmp_path, offline, capsys):
    other = "--gin_bindings=played_games.game='seaquest'"
    assert train.main([f"--base_dir={tmp_path / 'other'}", *offline, other]) == 2
    told = capsys.readouterr().err
    assert told.startswith("prune_rl.train: Runner.create_environment_fn: observations of 1 x 10 ")
    assert "Runner.num_eval_episodes=0" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "other").exists()
