"""A run directory is made once, taken again with the same settings, and refused with others."""

import errno
import os
import socket
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["thesis.tex"], "thesis.tex"),
        (["tensorboard/seed_0/events.out.tfevents.1"], "tensorboard/seed_0/events.out.tfevents.1"),
        (["other/config.gin", "other/metrics.jsonl"], "other/config.gin"),  # a folder of runs
        (["sweep.json", "width/Pong/0.log"], "sweep.json"),
        (["b.log", "zzz", "aaa/bbb", "aaa/aaa.log"], "aaa/bbb"),
        (["config.gin.part", "results.csv"], "results.csv"),
    ],
)
def test_a_new_run_begins_beside_nobodys_files(tmp_path, names, first):
    folder = tmp_path / "run"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")
    for look in (run_directory.check, run_directory.prepare):
        with pytest.raises(ConfigError) as refused:
            look(folder, _CONFIG)
        expected = (
            f"--base_dir={folder}: holds {first}, which is not of this run; name another directory"
        )
        assert str(refused.value) == expected
    found = {x.relative_to(folder).as_posix() for x in folder.rglob("*") if x.is_file()}
    assert found == set(names)


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", ".nfs000001", ".snapshot/old/thesis.tex", "lost+found/#123"),
        *("lock", "config.gin.part"),  # of a start that was killed
        *("slurm-17.out", "17_0_log.err", "train.log", "log.txt", "stdout", "stderr.txt"),
        *("logs/slurm-17.out", "tensorboard/", "diagnostics/deep/", "checkpoint.log/"),
    ],
)
def test_what_systems_and_schedulers_put_there_is_not_counted(tmp_path, name):
    folder = tmp_path / "run"
    if name.endswith("/"):
        (folder / name).mkdir(parents=True)
    else:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("x")
    run_directory.prepare(folder, _CONFIG)
    assert (folder / "config.gin").read_text() == _CONFIG


def test_what_the_process_itself_prints_into_is_not_counted(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom prune_rl.recording import run_directory\n"
        "print('begun', flush=True)\nrun_directory.check(Path(sys.argv[1]), 'x = 1')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    for stream in ("stdout", "stderr"):
        with (tmp_path / "printed.txt").open("w") as file:
            subprocess.run(command, check=True, **{stream: file})
    with (tmp_path / "elsewhere").open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True)
    assert "holds printed.txt, which is not of this run" in done.stderr


def test_beside_a_run_that_is_there_lies_what_its_user_likes(base_dir):
    (base_dir / "notes").mkdir()
    (base_dir / "notes" / "thesis.tex").write_text("precious")
    run_directory.prepare(base_dir, _CONFIG)
