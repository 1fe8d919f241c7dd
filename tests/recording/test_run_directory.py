"""A run directory is made once, taken again with the same settings, and refused with others."""

import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording import run_directory

_CONFIG = "# Parameters for DQNAgent:\nDQNAgent.gamma = 0.99\n\nRunner.seed = 3\n"


@pytest.fixture
def base_dir(tmp_path):
    run_directory.prepare(tmp_path / "runs" / "one", _CONFIG)
    return tmp_path / "runs" / "one"


def test_it_holds_the_settings_and_nothing_else(base_dir):
    assert [path.name for path in base_dir.iterdir()] == ["config.gin"]
    assert (base_dir / "config.gin").read_text() == _CONFIG


@pytest.mark.parametrize(
    "config",
    [
        _CONFIG,
        _CONFIG.replace("# Parameters for DQNAgent:", "# Settings of the agent:"),
        _CONFIG.replace("\n\n", "\n\n# Parameters for Runner:\n\n"),
        _CONFIG.replace("\n\n", "\n"),
    ],
)
def test_comments_and_empty_lines_are_no_settings(base_dir, config):
    run_directory.prepare(base_dir, config)
    assert (base_dir / "config.gin").read_text() == _CONFIG  # as the first start had them


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        (
            _CONFIG.replace("0.99", "0.9"),
            "there: DQNAgent.gamma = 0.99; now: DQNAgent.gamma = 0.9",
        ),
        (_CONFIG + "Runner.num_seeds = 2\n", "there: not set; now: Runner.num_seeds = 2"),
        (
            _CONFIG.replace("Runner.seed = 3\n", ""),
            "there: Runner.seed = 3; now: not set",
        ),
    ],
)
def test_a_setting_changed_added_or_dropped_is_another_run(base_dir, config, difference):
    with pytest.raises(ConfigError) as refused:
        run_directory.prepare(base_dir, config)
    assert f"--base_dir={base_dir}: holds a run with other settings ({difference});" in str(
        refused.value
    )
    assert (base_dir / "config.gin").read_text() == _CONFIG
