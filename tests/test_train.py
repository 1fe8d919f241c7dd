"""The command line: what it teaches, what it refuses, and what it leaves behind."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import gin
import pytest

from prune_rl import configuration, train

_DQN = "--gin_files=agents/dqn.gin"
_PONG = "--gin_bindings=create_atari_environment.game_name='Pong'"
_PATTERN = "--gin_bindings=create_updater_from_config.sparsity_type="
_DENSE = "--gin_bindings=create_updater_from_config.dense_layers="
_REDO = "--gin_files=plasticity/redo.gin"
_RESET = "--gin_files=plasticity/reset.gin"
_MEASURE = "--gin_files=diagnostics/all.gin"
_SMALL = "--gin_bindings=ReplayBuffer.max_capacity=20000"


def test_help_teaches_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from prune_rl import train\n"
        "try:\n    train.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "assert not {'jax', 'flax', 'numpy', 'gin', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("--gin_files", "examples:", "ImpalaTorso.width", "Runner.num_iterations=40"):
        assert word in done.stdout


def test_help_lists_every_shipped_file_below_its_folder():
    lines = train.parser().epilog.splitlines()
    assert max(map(len, lines)) <= 100
    listed, folder = set(), None
    for line in lines[1 : next(i for i, x in enumerate(lines) if x.startswith("Files are"))]:
        heading = re.match(r"  (\w+/) +\w", line)  # followed by what is in it
        folder = heading[1] if heading else folder
        listed |= set() if heading else {folder + name for name in line.split()}
    root = Path(__file__).parents[1] / "gin_configs"
    assert listed == {path.relative_to(root).as_posix() for path in root.rglob("*.gin")}


def test_until_its_first_update_a_training_imports_nothing_that_draws_or_logs(
    minatar_flags, tmp_path
):
    """matplotlib would be a quarter of the start-up; only the end of a run needs it."""
    argv = minatar_flags(tmp_path / "run", files=["diagnostics/all.gin"])
    code = (
        "import sys\n"
        "from prune_rl import train, trainer\n"
        "def learn(own):\n"
        "    heavy = {'matplotlib', 'PIL', 'tensorboardX', 'scipy', 'pandas', 'torch', 'orbax'}\n"
        "    print('learns', sorted(heavy & set(sys.modules)), 'jax' in sys.modules)\n"
        "    sys.exit()\n"
        "trainer.Trainer.learn = learn\n"
        f"train.main({argv!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "learns [] True\n", done.stderr


def test_the_papers_setting_in_help_is_40_million_frames_of_a_wide_resnet():
    text = train.parser().epilog.split("# the paper's setting")[1].split("\n\n")[0]
    command = text.split("\n", 1)[1].replace("\\\n", " ")
    flags = train.parser().parse_args(shlex.split(command)[3:])
    configuration.load(flags.gin_files, flags.gin_bindings)
    steps = [gin.query_parameter(f"Runner.{x}") for x in ("num_iterations", "training_steps")]
    assert 4 * steps[0] * steps[1] == 40_000_000
    assert gin.query_parameter("ImpalaTorso.width") == 3
    assert gin.query_parameter("create_updater_from_config.sparsity") == 0.95


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--gin_files: none given"),
        (["--gin_files=agents/dqm.gin"], "did you mean 'agents/dqn.gin'?"),
        ([_DQN, "--gin_bindings=DQNAgent.gama=0.9"], "did you mean 'gamma'?"),
        (
            [_DQN, "--gin_bindings=DQNAgent.update_period=4"],
            "DQNAgent.replay_ratio, 0.25",
        ),
        ([_DQN, "--gin_bindings=DQNAgent.replay_ratio=0.4"], "the nearest is 0.5"),
        (
            [_DQN, _PONG, _SMALL, "--gin_bindings=PrioritizedSampler.priority_exponent=0.5"],
            "nothing in this",
        ),
        (
            ["--gin_files=agents/rainbow.gin", "--gin_bindings=RainbowAgent.replay_scheme='prio'"],
            "did you mean 'prioritized'?",
        ),
        ([_DQN, "--gin_bindings=DQNAgnt.gamma=0.9"], "did you mean 'DQNAgent'?"),
        ([_DQN, "--gin_bindings=Runner.agent=@DQNAgnt()"], "did you mean 'DQNAgent'?"),
        ([_DQN, "--gin_bindings=DQNAgent.gamma=1.5"], "DQNAgent.gamma=1.5"),
        ([_DQN, "--gin_bindings=DQNAgent.gamma 0.9"], "--gin_bindings="),
        ([_DQN, "--gin_bindings=Runner.num_seeds='two'"], "Runner.num_seeds='two'"),
        ([_DQN, "--gin_bindings=Runner.seed=4294967296"], "Runner.seed=4294967296"),
        (  # the second seed would be 2**31
            [_DQN, "--gin_bindings=Runner.num_seeds=2", "--gin_bindings=Runner.seed=2147483647"],
            "Runner.seed=2147483647: expected one below 2**31 - num_seeds",
        ),
        ([_DQN, "--gin_bindings=Runner.agent=3"], "Runner.agent=3"),
        ([_DQN, "--gin_bindings=Runner.create_environment_fn='Pong'"], "create_environment_fn"),
        ([_DQN, "--gin_bindings=DQNAgent.torso=@ImpalaTorso"], "DQNAgent.torso"),
        ([_DQN, "--gin_bindings=create_atari_environment.game_name='Pongg'"], "'Pong'"),
        ([_DQN, _PONG.replace("Pong", "ALE/Pong-v5")], "did you mean 'Pong'?"),
        ([_DQN], "create_atari_environment.game_name"),
        (
            [_DQN, _PONG, _SMALL, "--gin_files=pruning/magnitude.gin", _PATTERN + "'nm_2,5'"],
            "does not divide torso/",
        ),
        (
            [_DQN, _PONG, _SMALL, "--gin_files=pruning/rigl.gin", _PATTERN + "'nm_2,4'"],
            "which ranks single weights",
        ),
        (
            [_DQN, _PONG, _SMALL, "--gin_files=pruning/block.gin", _DENSE + "['torso/Conv_7']"],
            "did you mean 'torso/Conv_",
        ),
        (
            [_DQN, _PONG, _SMALL, "--gin_bindings=Runner.interventions=@ReDo()"],
            "a list, as [@ReDo()]",
        ),
        ([_DQN, "--gin_bindings=Runner.diagnostics='all'"], "@Diagnostics() or None"),
        (
            [_DQN, _PONG, _SMALL, _REDO, "--gin_bindings=ReDo.layers=['torso/Conv_3']"],
            "did you mean 'torso/Conv_2'?",
        ),
        (
            [_DQN, _PONG, _SMALL, _REDO, "--gin_bindings=ReDo.reset_period=0"],
            "ReDo.reset_period=0",
        ),
        (
            [_DQN, _PONG, _SMALL, _RESET, "--gin_bindings=Reset.reset_layers='haed'"],
            "did you mean 'head'?",
        ),
        (
            [_DQN, _MEASURE, "--gin_bindings=Diagnostics.quantities=['srnk']"],
            "did you mean 'srank'?",
        ),
        ([_DQN, _PONG, "--gin_bindings=create_optimizer.name='adamx'"], "did you mean 'adam"),
        ([_DQN, _PONG, "--gin_bindings=ImpalaTorso.width=3"], "nothing in this configuration"),
        (
            [_DQN, _PONG, "--gin_bindings=create_updater_from_config.sparsity=0.9"],
            "pruning/magnitude.gin",
        ),
        (
            [
                _DQN,
                _PONG,
                "--gin_files=pruning/magnitude.gin",
                "--gin_bindings=create_updater_from_config.sparsity=1.0",
            ],
            "create_updater_from_config.sparsity=1.0",
        ),
        (
            [
                _DQN,
                _PONG,
                "--gin_files=pruning/magnitude.gin",
                "--gin_bindings=create_updater_from_config.update_end_step=999999999",
            ],
            "create_updater_from_config.update_end_step=999999999",
        ),
        (
            [
                _DQN,
                _PONG,
                "--gin_files=pruning/magnitude.gin",
                "--gin_bindings=create_updater_from_config.update_start_step=0.9",
            ],
            "create_updater_from_config.update_start_step=0.9",
        ),
        (
            [_DQN, "--gin_files=suites/atari_15.gin", _PONG.replace("Pong", "Alien")],
            "atari_15",
        ),
        (
            [_DQN, _PONG, "--gin_bindings=ReplayBuffer.max_capacity=9000000000"],
            "ReplayBuffer.max_capacity",
        ),
    ],
)
def test_bad_input_is_one_line_and_code_2_and_writes_nothing(tmp_path, capsys, arguments, expected):
    base_dir = tmp_path / "run"
    assert train.main([f"--base_dir={base_dir}", *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("prune_rl.train: ")
    assert error.count("\n") == 1
    assert not base_dir.exists()


def test_base_dir_is_asked_for(capsys):
    assert train.main([_DQN]) == 2
    assert "--base_dir" in capsys.readouterr().err


def test_base_dir_that_is_a_file_is_refused_and_kept(tmp_path, capsys, train_minatar):
    path = tmp_path / "file"
    path.write_text("precious")
    assert train_minatar(path) == 2
    assert "expected a directory" in capsys.readouterr().err
    assert path.read_text() == "precious"


def test_foreign_metrics_are_never_overwritten(tmp_path, capsys, train_minatar):
    (tmp_path / "metrics.jsonl").write_text("precious")
    assert train_minatar(tmp_path) == 2
    assert "config.gin" in capsys.readouterr().err
    assert (tmp_path / "metrics.jsonl").read_text() == "precious"


def test_foreign_files_are_left_alone_and_nothing_is_put_beside_them(
    tmp_path, capsys, train_minatar
):
    (tmp_path / "thesis.tex").write_text("precious")
    assert train_minatar(tmp_path) == 2
    error = capsys.readouterr().err
    assert error.endswith("holds thesis.tex, which is not of this run; name another directory\n")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("count", [2, 4, 15, 26, 60])
def test_list_prints_the_games_of_a_suite(capsys, count):
    assert train.main([f"--gin_files=suites/atari_{count}.gin", "--list"]) == 0
    games = capsys.readouterr().out.split()
    assert len(set(games)) == count
    assert "Breakout" in games


def test_list_without_a_suite_is_refused(capsys):
    assert train.main([_DQN, "--list"]) == 2
    assert "suites/atari_15.gin" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_request(
    tmp_path, capsys, minatar_flags, monkeypatch
):
    def fail(self, stop, announce, track):
        raise KeyError("of ours\nin two lines")

    monkeypatch.setattr("prune_rl.experiment.Runner.run", fail)
    assert train.main(minatar_flags(tmp_path / "run")) == 1
    error = capsys.readouterr().err
    assert error.startswith("prune_rl.train: unexpected KeyError: 'of ours")
    assert "--traceback shows where; please report it" in error
    assert error.count("\n") == 1
    assert train.main([*minatar_flags(tmp_path / "run"), "--traceback"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert "in fail" in error
    assert error.splitlines()[-1].startswith("prune_rl.train: unexpected KeyError")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        RuntimeError("RESOURCE_EXHAUSTED: 40 GiB"),
        RuntimeError("INTERNAL: Out of memory allocating 40 bytes."),
    ],
)
@pytest.mark.parametrize(("where", "code"), [("experiment.Trainer", 2), ("runner.Runner.run", 1)])
def test_a_lack_of_memory_says_what_to_make_smaller(
    tmp_path, capsys, minatar_flags, monkeypatch, where, code, error
):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(f"prune_rl.{where}", fail)
    assert train.main(minatar_flags(tmp_path / "run")) == code
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert str(error) in line
    for setting in ("ReplayBuffer.batch_size", "Runner.num_seeds", "width"):
        assert setting in line


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("MinAtarTorso.width = 1000000000000", "a network of 131,664,000,000,000,515 parameters"),
        ("MinAtarTorso.width = 4000000000000000000", "Runner.agent: "),
        ("ReplayBuffer.batch_size = 20000", "ReplayBuffer.batch_size=20000"),
        ("ReplayBuffer.max_capacity = 59", "at least DQNAgent.min_replay_history=60"),
        ("DQNAgent.update_horizon = 65", "DQNAgent.update_horizon=65: expected at most 64"),
        ("DQNAgent.gamma = False", "DQNAgent.gamma=False: expected a number in [0, 1]"),
        ("QNetwork.normalize_representation = 'abc'", "expected True or False"),
        ("create_optimizer.learning_rate = 'erk'", "'erk': expected a number > 0"),
        ("create_optimizer.eps = 1e999", "create_optimizer.eps=inf: expected a number > 0"),
        ("torso = %torso", "torso: its value %torso needs itself"),
        ("Runner.num_seeds = [1", "a bracket or a quote is opened and never closed"),
        ("create_minatar_environment.game_name = breakout", '"breakout"'),
        ("DQNAgent.torso = %shape", "%shape has no value; give it one, as shape = 1"),
        ("MinAtarTorso.name = 'mine'", "DQNAgent.torso="),
        ("MinAtarTorso.noisy = True", "DQNAgent.torso="),
        ("QNetwork.num_atoms = 3", "QNetwork.num_atoms is given by the code"),
        ("unused = 3", "nothing in this configuration uses it"),
        ("Runner.create_source_fn = @create_optimizer", "create_optimizer.name="),
        ("Runner.create_source_fn = @Diagnostics", "Runner.create_source_fn=@Diagnostics: it"),
        ("Runner.create_environment_fn = @Reset", "Runner.create_environment_fn=@Reset: it raised"),
        ("Diagnostics.num_gradients = 10000000", "Diagnostics.num_gradients=10000000: needs"),
        ("Runner.training_steps = 9000000000", "fewer than 2**31 gradient steps"),
    ],
)
def test_a_setting_that_no_run_can_have_is_one_line(
    tmp_path, capsys, train_minatar, binding, expected
):
    bindings = ["ReplayBuffer.max_capacity = 10000", binding]
    if "max_capacity" in binding:
        bindings = [binding]
    files = ["diagnostics/all.gin"] if "Diagnostics." in binding else []
    assert train_minatar(tmp_path / "run", *bindings, files=files) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert ("it raised" in error) == error.endswith(" (--traceback shows where)\n")
    assert error.startswith("prune_rl.train: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
