"""A run directory is made once, taken again with the same settings, and refused with others."""

import errno
import os
import socket
from pathlib import Path

import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording import run_directory

_CONFIG = "# Parameters for DQNAgent:\nDQNAgent.gamma = 0.99\n\nRunner.seed = 3\n"
_LONG = f"Dataset.unit = \\\n    '{'x' * 90}'\n"  # as gin writes it


@pytest.fixture
def base_dir(tmp_path):
    folder = tmp_path / "runs" / "one"
    with run_directory.held(folder):
        run_directory.prepare(folder, _CONFIG)
        yield folder


def test_it_holds_the_settings_and_nothing_else(base_dir):
    assert {path.name for path in base_dir.iterdir()} == {"config.gin", "lock"}
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
        (_CONFIG + _LONG, f"there: not set; now: Dataset.unit = '{'x' * 90}'"),
    ],
)
def test_a_setting_changed_added_or_dropped_is_another_run(base_dir, config, difference):
    with pytest.raises(ConfigError) as refused:
        run_directory.prepare(base_dir, config)
    assert f"--base_dir={base_dir}: holds a run with other settings ({difference});" in str(
        refused.value
    )
    assert (base_dir / "config.gin").read_text() == _CONFIG


def test_when_to_save_is_no_setting_of_what_is_done(base_dir):
    run_directory.prepare(base_dir, _CONFIG + "Runner.checkpoint_minutes = 5\n")


@pytest.mark.parametrize(
    "setting",
    [
        "Dataset.path = 'elsewhere'\n",
        _LONG.replace("unit", "path"),
        "Dataset.chunks = None\n",
        "Dataset.cache_gib = 2\n",
    ],
)
def test_where_data_lie_is_no_setting_of_what_is_learned(base_dir, setting):
    run_directory.prepare(base_dir, _CONFIG + setting)


def test_a_directory_that_is_held_names_who_holds_it(base_dir):
    with pytest.raises(ConfigError) as refused, run_directory.held(base_dir):
        pass
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    assert str(refused.value) == f"--base_dir={base_dir}: {holder} is running it; let it end"


def test_the_lock_ends_with_its_holder(tmp_path):
    for _ in range(2):
        with run_directory.held(tmp_path):
            assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with (
        pytest.raises(ConfigError, match="expected a directory, found a file"),
        run_directory.held(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize("folder", ["/proc/nothing/run", "/dev/null/run"])
def test_a_directory_that_cannot_be_made_is_said(folder):
    with (
        pytest.raises(ConfigError, match=f"--base_dir={folder}: cannot be made or written to: "),
        run_directory.held(Path(folder)),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.gin", b"\xff\xfe\x00", "config.gin is not text"),
        ("provenance.json", b"", "provenance.json is not a list of starts"),
        ("provenance.json", b"{}", "provenance.json is not a list of starts"),
        ("provenance.json", b"\xff", "provenance.json is not a list of starts"),
    ],
)
def test_what_cannot_be_read_is_named_and_left(base_dir, name, content, problem):
    (base_dir / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{problem}.*move the directory away"):
        run_directory.prepare(base_dir, _CONFIG)
    assert (base_dir / name).read_bytes() == content


def test_a_name_that_no_file_system_holds_is_said(tmp_path):
    folder = tmp_path / ("x" * 300)
    for look in (
        lambda: run_directory.check(folder, _CONFIG),
        run_directory.held(folder).__enter__,
    ):
        with pytest.raises(ConfigError, match=r"^--base_dir=.*File name too long"):
            look()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(run_directory.fcntl, "flock", refuse)
    with pytest.raises(ConfigError, match="cannot be locked: No locks available"):
        run_directory.held(tmp_path).__enter__()


def test_looking_at_a_directory_leaves_nothing(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds metrics.jsonl but no config.gin"):
        run_directory.check(tmp_path, _CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
