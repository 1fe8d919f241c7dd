"""Robots are scored as D4RL scores them, and by no hint of Atari."""

import json

import numpy as np
import pytest

from prune_rl.environments.reference_scores import References
from prune_rl.errors import ConfigError
from prune_rl.grid import Cell
from prune_rl.reporting.answers import read_cells
from prune_rl.reporting.normalized import expert_normalized, normalize
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from . import control_trees, trees


def _study(root):
    return Study(find_trainings([root]), None, 0, unfinished=False)


@pytest.mark.parametrize("game", ["HalfCheetah-v5", "HalfCheetah-v4"])
def test_an_expert_has_100_and_a_random_player_0(game):
    """D4RL's numbers, typed in from d4rl/infos.py."""
    assert expert_normalized(game, 12135.0, None) == pytest.approx(100)
    assert expert_normalized(game, -280.178953, None) == pytest.approx(0)
    half = np.array([(12135.0 - 280.178953) / 2, np.nan])
    np.testing.assert_allclose(expert_normalized(game, half, None), [50, np.nan])
    assert expert_normalized(game, 3.0, References(1.0, 9.0)) == pytest.approx(25)


@pytest.fixture
def robots(tmp_path):
    for game in ("HalfCheetah-v5", "Walker2d-v5"):
        control_trees.write_run(tmp_path / game, game=game, level=2000.0)
    return tmp_path


@pytest.mark.parametrize("asked", [None, "d4rl"])
def test_robots_are_on_the_scale_of_d4rl(robots, asked):
    study = _study(robots)
    study.scale = choose_scale(study, asked)
    assert study.scale.note == "score: 0 random, 100 expert (D4RL)"
    assert (study.phase, study.clock, study.adds_up) == ("eval", "gradient_steps", True)
    final = study.final(study.arms[0])
    expected = {x: 100 * (2000 + 10 * x + 280.178953) / (12135.0 + 280.178953) for x in range(3)}
    assert final["HalfCheetah-v5"] == pytest.approx(expected)
    assert final["Walker2d-v5"][0] == pytest.approx(100 * 1998.370992 / 4590.670992)
    gaps = {x.statistic: x.value for x in study.estimates()}
    assert gaps["optimality_gap"] == pytest.approx(100 - gaps["mean"])


def test_a_robot_without_references_is_left_out_and_named(robots):
    control_trees.write_run(robots / "humanoid", game="Humanoid-v5")
    study = _study(robots)
    study.scale = choose_scale(study, None)
    assert study.scale.note.endswith("(D4RL), without Humanoid-v5: no reference is known")
    assert list(study.final(study.arms[0])) == ["HalfCheetah-v5", "Walker2d-v5"]


def _say_references(directory, references, game="Humanoid-v5"):
    protocol = {"game": game, "reference_scores": references}
    (directory / "provenance.json").write_text(json.dumps([{"protocol": protocol}]))


def test_a_robot_is_scored_by_the_references_of_its_data(robots):
    """Also one that D4RL has none of; by hand: (1000 - 200) / (2200 - 200) is 40 %."""
    directory = control_trees.write_run(robots / "humanoid", game="Humanoid-v5")
    _say_references(directory, [200.0, 2200.0])
    study = _study(robots)
    study.scale = choose_scale(study, None)
    whose = "(D4RL; of Humanoid-v5 the data's own)"
    assert study.scale.note == f"score: 0 random, 100 expert {whose}"
    assert study.final(study.arms[0])["Humanoid-v5"] == pytest.approx({0: 40, 1: 40.5, 2: 41})
    assert study.final(study.arms[0])["Walker2d-v5"][0] == pytest.approx(43.531, abs=1e-3)


def test_runs_of_a_game_whose_references_differ_are_on_d4rls_scale(robots):
    """Else arms would be compared on scales of their own; without D4RL's there is none."""
    for agent, references in (("iql", [200.0, 2200.0]), ("bc", [0.0, 2200.0])):
        for game in ("Humanoid-v5", "Hopper-v5"):
            place = robots / agent / game
            _say_references(control_trees.write_run(place, game=game, agent=agent), references)
    study = _study(robots)
    study.scale = choose_scale(study, None)
    assert study.scale.note.endswith("(D4RL), without Humanoid-v5: no reference is known")
    for arm in study.arms:
        expected = 100 * (1000.0 + 20.272305) / (3234.3 + 20.272305)
        assert study.final(arm)["Hopper-v5"][0] == pytest.approx(expected)


def test_answers_are_scored_by_the_references_of_the_data(tmp_path):
    directory = control_trees.write_run(tmp_path / "bc/humanoid/0-2", game="Humanoid-v5")
    _say_references(directory, [200.0, 2200.0])
    scores, _ = read_cells([tmp_path], [Cell("bc/humanoid/0-2", (), ())])
    assert scores["bc", "humanoid"] == pytest.approx({0: 40, 1: 40.5, 2: 41})


def test_scales_that_robots_or_games_do_not_have_are_one_line(robots, tmp_path):
    with pytest.raises(ConfigError) as caught:
        choose_scale(_study(robots), "human")
    message = str(caught.value)
    assert message.endswith("D4RL's expert is its scale: --normalize=d4rl")
    assert "MinAtar" not in message
    atari = trees.write_tree(tmp_path / "atari", {"dense": {}}, games=["Pong"], seeds=[0])
    with pytest.raises(ConfigError, match="Pong: no reference scores"):
        choose_scale(_study(atari), "d4rl")
    with pytest.raises(ConfigError, match=r"--normalize=d4r: no such arm; did you mean 'd4rl'"):
        choose_scale(_study(robots), "d4r")
    with pytest.raises(
        ConfigError, match="Humanoid-v5: has no human score; normalise it by an arm"
    ):
        normalize("Humanoid-v5", 1.0)
