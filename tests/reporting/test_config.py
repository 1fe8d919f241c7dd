"""config.gin as text, against what gin itself says of it."""

import gin
import pytest

from prune_rl import configuration
from prune_rl.errors import ConfigError
from prune_rl.reporting.config import class_name, number, read_config, setting


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


def _written(directory, text):
    (directory / "config.gin").write_text(text)
    return read_config(directory)


def test_every_statement_that_gin_writes_is_read(tmp_path):
    long = [f"a_long_name_of_a_layer_{i}" for i in range(12)]
    bindings = (f"create_updater_from_config.dense_layers = {long!r}", "Runner.seed = 1_000")
    configuration.load(["agents/der.gin", "pruning/magnitude.gin"], bindings)
    config = _written(tmp_path, gin.config_str())
    assert setting(config, "create_updater_from_config.dense_layers") == long
    for name in ("Runner.seed", "RainbowAgent.noisy", "create_optimizer.eps", "Runner.agent"):
        value = gin.query_parameter(name)
        expected = "@RainbowAgent()" if name == "Runner.agent" else value
        assert setting(config, name) == expected
    assert config["torso"] == "@NatureTorso()"


def test_a_setting_is_found_in_its_scope_and_by_its_whole_name(tmp_path):
    config = _written(
        tmp_path,
        "AnotherRunner.seed = 9\nactor/Runner.seed = 1\ncritic/Runner.seed = 2\n"
        "# Runner.width = 8\nequation = 'a = b'\n",
    )
    assert setting(config, "Runner.seed") == 1
    assert setting(config, "seed") is None
    assert setting(config, "Runner.width", 3) == 3
    assert setting(config, "equation") == "a = b"


def test_a_macro_is_what_it_stands_for(tmp_path):
    config = _written(tmp_path, "first = 5\nRunner.seed = %first\nRunner.other = %nowhere\n")
    assert setting(config, "Runner.seed") == 5
    assert setting(config, "Runner.other") == "%nowhere"


def test_what_is_no_number_names_the_binding(tmp_path):
    config = _written(tmp_path, "Runner.seed = 'x'\nRunner.num_iterations = 2.5\n")
    assert number(config, "Runner.num_iterations", 1) == 2.5
    assert number(config, "Runner.none", 4) == 4
    with pytest.raises(ConfigError, match=r"Runner\.seed=x: expected a number"):
        number(config, "Runner.seed", 0)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("@DQNAgent()", "DQNAgent"),
        ("@prune_rl.agents.DQNAgent()", "DQNAgent"),
        ("@actor/module.MLPTorso()", "MLPTorso"),
        ("@create_minatar_environment", "create_minatar_environment"),
        (None, ""),
        (3, ""),
    ],
)
def test_classes_of_references(reference, name):
    assert class_name(reference) == name


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_no_config_is_one_line_with_the_directory(tmp_path, content):
    if content is not None:
        (tmp_path / "config.gin").write_bytes(content)
    with pytest.raises(ConfigError, match="expected a run directory") as caught:
        read_config(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
