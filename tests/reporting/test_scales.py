"""Robots are scored as D4RL scores them, and by no hint of Atari."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
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
    assert expert_normalized(game, 12135.0) == pytest.approx(100)
    assert expert_normalized(game, -280.178953) == pytest.approx(0)
    half = (12135.0 - 280.178953) / 2
    np.testing.assert_allclose(expert_normalized(game, np.array([half, np.nan])), [50, np.nan])


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
