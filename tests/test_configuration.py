"""gin files are found by name and by path, from anywhere, and compose."""

import gin
import pytest

from prune_rl import configuration
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError
from prune_rl.gin_files import find_gin_file, shipped_gin_files


def test_shipped_files_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_gin_file("agents/dqn.gin").is_file()


def test_a_path_goes_before_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "agents" / "dqn.gin"
    own.parent.mkdir()
    own.write_text("DQNAgent.gamma = 0.5")
    assert find_gin_file("agents/dqn.gin").resolve() == own


@pytest.mark.parametrize("name", sorted(shipped_gin_files()))
def test_every_shipped_file_parses(name):
    configuration.load([name], [])


def test_later_files_and_bindings_win(tmp_path):
    own = tmp_path / "own.gin"
    own.write_text("include 'agents/dqn.gin'\nDQNAgent.gamma = 0.5\nDQNAgent.replay_ratio = 0.5\n")
    bindings = ["DQNAgent.gamma = 0.75", "Runner.seed = 3", "DQNAgent.gamma = 0.25"]
    configuration.load(["agents/dqn.gin", str(own)], bindings)
    assert gin.query_parameter("DQNAgent.gamma") == 0.25
    assert gin.query_parameter("Runner.seed") == 3
    assert gin.query_parameter("DQNAgent.replay_ratio") == 0.5
    assert gin.query_parameter("DQNAgent.min_replay_history") == 20_000


def test_a_binding_is_used_in_its_scope_or_refused():
    binding = "evaluation/Suite.name = 'minatar'"
    configuration.load([], [binding])
    with pytest.raises(ConfigError, match="nothing in this configuration uses it"):
        configuration.check_bindings_are_used([binding])
    with gin.config_scope("evaluation"):
        assert Suite().name == "minatar"
    configuration.check_bindings_are_used([binding])


def test_nothing_is_left_of_an_earlier_configuration():
    configuration.load(["agents/dqn.gin"], ["DQNAgent.gamma = 0.25"])
    configuration.load(["agents/dqn.gin"], [])
    assert gin.query_parameter("DQNAgent.gamma") == 0.99


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include 'agents/dqm.gin'", "did you mean 'agents/dqn.gin'?"),
        ("\nDQNAgent.gama = 0.5", "line 2"),
        ("DQNAgent.gamma = ", "own.gin"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(tmp_path, text, expected):
    own = tmp_path / "own.gin"
    own.write_text(text)
    with pytest.raises(ConfigError) as caught:
        configuration.load([str(own)], [])
    message = str(caught.value)
    assert "own.gin" in message
    assert expected in message
    assert "\n" not in message
