"""What --reference names, and the curves that are drawn of it."""

import json

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import overview
from prune_rl.reporting.against import in_words, read_reference
from prune_rl.reporting.references import Claim
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .trees import DENSE, write_tree


@pytest.fixture
def folder(tmp_path):
    """Two of Dopamine's runs of a DQN on Pong, three iterations."""
    out = tmp_path / "data"
    out.mkdir()
    rows = [
        {"Iteration": i, "Value": -20.0 + 10 * i + run, "Agent": "DQN"}
        for run in (0, 1)
        for i in range(3)
    ]
    (out / "pong_Impala.json").write_text(json.dumps(rows))
    return out


def test_nothing_is_drawn_against_unless_asked_for():
    assert read_reference(None) == (False, None)
    assert read_reference("paper") == (True, None)


@pytest.mark.parametrize(
    ("asked", "message"), [("dopamine", "name their folder"), ("x", "found no")]
)
def test_what_is_no_reference_is_one_line(asked, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_reference(asked)
    assert "--reference=" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dopamines_curve_is_beside_the_network_of_width_1_as_far_as_ones_own_runs(
    tmp_path, folder, line_called
):
    shared = {"torso": "impala", "bindings": {"Runner.training_steps": 250_000}}
    cells = {f"x{w}": {**DENSE, **shared, "width": w, "scale": 250} for w in (1, 3)}
    root = write_tree(tmp_path / "runs", cells, games=["Pong"], seeds=[0], iterations=2)
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    study.reference, study.scale = read_reference(str(folder)), choose_scale(study, None)
    picture = overview.draw_returns(study, study.arms, "Pong")
    one, three = picture.figure.axes
    line = line_called(one, "Dopamine's DQN, Impala (mean of 2)")
    np.testing.assert_array_equal(line.get_xdata(), [250_000, 500_000])
    np.testing.assert_array_equal(line.get_ydata(), [-19.5, -9.5])
    assert line.get_linestyle() == "--"
    assert len(three.lines) == 1
    known = [row for row in picture.numbers if row[0].startswith("Dopamine's")]
    assert [row[2:4] for row in known] == [(250_000, -19.5), (500_000, -9.5)]


def test_no_curve_of_agent_steps_is_beside_runs_by_gradient_steps(tmp_path, folder):
    own = {"x": {"agent": "cql", "torso": "impala", "scale": 250}}
    root = write_tree(tmp_path / "runs", own, games=["Pong"], seeds=[0], iterations=2)
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    agent = study.arms[0].settings.__class__(**{**vars(study.arms[0].settings), "agent": "dqn"})
    study.reference = read_reference(str(folder))
    arm = study.arms[0]._replace(trainings=(agent,))
    picture = overview.draw_returns(study, [arm], "Pong")
    assert not [row for row in picture.numbers if row[0].startswith("Dopamine's")]


def test_claims_are_told_with_whose_they_are():
    claim = Claim("1", "dqn", "impala", "", "0", "change with width", "falls", "")
    other = Claim("1", "dqn", "impala", "3", "0.95", "gain over dense", "0.33", "")
    assert in_words([claim, other, other]) == (
        "; the paper says: dqn dense, change with width falls; dqn x3 95 %, gain over dense 0.33"
    )
    assert in_words([]) == ""
