"""A dataset made of real games is what the run's own replay holds; nothing else is ever left."""

import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import gin
import numpy as np
import pytest

import prune_rl.datasets
from prune_rl import __version__
from prune_rl.dataset_tool.making import create_runner, make
from prune_rl.errors import ConfigError
from prune_rl.recording import progress
from prune_rl.signals import Stopped
from prune_rl.specs import FINAL, TERMINATED, TRUNCATED
from prune_rl.trainer import Trainer

from ..interrupted.again import at

_MINATAR = (
    "Runner.num_seeds=2",
    "Runner.seed=3",
    "Runner.max_steps_per_episode=9",
    "DQNAgent.min_replay_history=60",
    "ReplayBuffer.batch_size=4",
)
_STEPS = 150


class _Maker:
    """`make` of a short MinAtar run, or of another; keeps the runner that it was given."""

    def __init__(self, *bindings, files=("experiments/minatar_breakout.gin",), steps=_STEPS):
        self.steps, self.runner = steps, None
        bindings = bindings if len(files) > 1 else (*_MINATAR, *bindings)
        settings = {"gin_files": files, "gin_bindings": bindings, "agent_steps": steps}
        self._create = partial(create_runner, **settings)

    def __call__(self, out, format="dqn_replay", **settings):
        return make(
            out, format=format, agent_steps=self.steps, create_runner=self.create, **settings
        )

    def create(self, base_dir):
        self.runner = self._create(base_dir)
        return self.runner


def _read(folder):
    """Rows of all files by field; plain gzip and NumPy."""
    names = ("$store$_observation", "$store$_action", "$store$_reward", "$store$_terminal")
    rows = {}
    for name in (*names, "truncation"):
        count = len(list(folder.glob(f"{name}_ckpt.*.gz")))
        paths = [folder / f"{name}_ckpt.{i}.gz" for i in range(count)]
        files = [np.load(io.BytesIO(gzip.decompress(path.read_bytes()))) for path in paths]
        rows[name.removeprefix("$store$_")] = np.concatenate(files)
    return SimpleNamespace(**rows)


def _written(rows, padding, shape):
    """(frame, action, reward, end, next frame) of each transition; no next frame of a terminal."""
    found, skip = [], padding
    frames = rows.observation.reshape(-1, *shape)
    for i, kind in enumerate(rows.truncation):
        if skip:
            assert not frames[i].any()
            assert not any([rows.action[i], rows.reward[i], rows.terminal[i], kind])
            skip -= 1
        elif kind != 2 and (rows.terminal[i] or i + 1 < len(frames)):
            end = TRUNCATED if kind else TERMINATED if rows.terminal[i] else 0
            after = None if end == TERMINATED else frames[i + 1].tobytes()
            found.append((frames[i].tobytes(), rows.action[i], rows.reward[i], end, after))
        if kind == 2 or (rows.terminal[i] and not kind):
            skip = padding
    return found


def _replayed(runner, seed_index):
    """The same of a seed's replay, which has overwritten nothing."""
    state = runner.source.replay.get_state()[seed_index]
    assert state["rows"].first == 0
    pieces = [piece for _, piece in state["rows"].pieces(0)]
    rows = {name: np.concatenate([own[name] for own in pieces]) for name in pieces[0]}
    frames = [frame.tobytes() for frame in (*rows["frames"], state["frame"])]
    columns = zip(rows["actions"], rows["rewards"], rows["ends"], strict=True)
    return [
        (frames[i], action, reward, end, None if end == TERMINATED else frames[i + 1])
        for i, (action, reward, end) in enumerate(columns)
        if end != FINAL
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """150 agent steps of seeds 3 and 4, with files of 40 rows."""
    maker, out = _Maker(), tmp_path_factory.mktemp("made") / "breakout"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "_PLAIN_SECONDS", 0.0)
        return SimpleNamespace(out=out, maker=maker, said=maker(out, checkpoint_rows=40))


@pytest.mark.parametrize("seed_index", [0, 1])
def test_it_holds_what_the_replay_holds(made, seed_index):
    folder = made.out / "breakout" / str(seed_index + 1) / "replay_logs"
    written = _written(_read(folder), padding=0, shape=(10, 10, 4))
    assert len(written) == _STEPS
    assert written == _replayed(made.maker.runner, seed_index)
    assert {own[3] for own in written} == {0, TERMINATED, TRUNCATED}


def test_it_is_nothing_but_its_files(made):
    logs = [made.out / "breakout" / str(i) / "replay_logs" for i in (1, 2)]
    files = [path for path in made.out.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == set(logs)
    for folder in logs:
        about = json.loads((folder / "about.json").read_text())
        assert {path.name for path in folder.iterdir()} == {"about.json", *about["files"]}
        assert len(about["files"]) == 7 * -(-about["rows"] // 40)


def test_about_says_who_played_and_how(made):
    for i in range(2):
        about = json.loads((made.out / f"breakout/{i + 1}/replay_logs/about.json").read_text())
        config = about.pop("gin")
        assert "Runner.training_steps = 150\n" in config
        assert "Runner.num_iterations = 1\n" in config
        assert "Runner.evaluation_steps = 0\n" in config
        assert about["protocol"]["sticky_action_probability"] == 0.1
        assert about["protocol"]["stored_rewards"] == "clipped to [-1, 1]"
        assert about["protocol"]["max_steps_per_episode"] == 9
        expected = {
            "agent": "DQNAgent",
            "prune_rl": __version__,
            "agent_steps": _STEPS,
            "transitions": _STEPS,
            "seed": 3 + i,
            "num_actions": 3,
            "gradient_steps": made.maker.runner.trainer.gradient_steps,
        }
        assert {name: about[name] for name in expected} == expected
        assert made.maker.runner.trainer.gradient_steps > 0


def test_the_summary_counts_what_is_there(made):
    said, rows, ended = made.said, [], []
    for i in range(2):
        own = _replayed(made.maker.runner, i)
        ended += [x for x in own if x[3]]
        rows.append(len(_read(made.out / f"breakout/{i + 1}/replay_logs").action))
        about = json.loads((made.out / f"breakout/{i + 1}/replay_logs/about.json").read_text())
        assert about["episodes"] == sum(x[3] != 0 for x in own)
        last = max(j for j, x in enumerate(own) if x[3])
        total = sum(float(x[2]) for x in own[: last + 1])  # Breakout's rewards are 0 and 1
        assert about["mean_return"] == pytest.approx(total / about["episodes"])
    files = [path for path in made.out.rglob("*") if path.is_file()]
    assert (said.transitions, said.runs, said.rows) == (2 * _STEPS, 2, sum(rows))
    assert (said.episodes, said.files) == (len(ended), len(files))
    assert said.bytes == sum(path.stat().st_size for path in files)
    start = f"{made.out}: 300 transitions of 2 runs in {sum(rows):,} rows, {len(ended)} episodes"
    assert str(said).startswith(start)


def test_frames_of_atari_with_lives_and_truncations(tmp_path, quick_compiling):
    """Pixels stacked by four: three rows of padding before every episode, a lost life's too."""
    bindings = (
        'create_atari_environment.game_name="Breakout"',
        "create_atari_environment.terminal_on_life_loss=True",
        "Runner.max_steps_per_episode=70",
    )
    maker = _Maker(*bindings, files=("agents/dqn.gin", "networks/nature.gin"), steps=160)
    maker(tmp_path / "out", checkpoint_rows=50)
    rows = _read(tmp_path / "out" / "Breakout" / "1" / "replay_logs")
    assert rows.observation.shape[1:] == (84, 84)
    written = _written(rows, padding=3, shape=(84, 84))
    assert len(written) == 160
    assert written == _replayed(maker.runner, 0)
    assert {own[3] for own in written} == {0, TERMINATED, TRUNCATED}


def test_it_says_how_it_goes_and_that_nothing_is_learned(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    _Maker("DQNAgent.min_replay_history=500", steps=30)(tmp_path / "out")
    first, *lines = capsys.readouterr().err.splitlines()
    reason = "DQNAgent.min_replay_history is not below the run's 30 steps"
    assert first == f"note: no gradient step is due: {reason}"
    assert lines[0].startswith("iteration 1/1 train  ")
    assert "ETA" in lines[0]
    assert "100%" in lines[-1]


def _nothing_is_left(folder):
    return not list(folder.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format": "rlus"}, r"--format='rlus': no such choice; did you mean 'rlu'\?"),
        (
            {"format": "rlu"},
            "--format=rlu: MinAtar is written in the DQN-replay layout only: --format=dqn_replay",
        ),
    ],
)
def test_a_format_that_it_does_not_write(tmp_path, settings, said):
    def trained():
        pytest.fail("it was trained")

    with at(Trainer, "step", 1, trained), pytest.raises(ConfigError, match=f"^{said}$"):
        _Maker()(tmp_path / "out", **settings)
    assert _nothing_is_left(tmp_path)


@pytest.mark.parametrize("steps", [0, -3])
def test_so_many_steps_make_no_dataset(tmp_path, steps):
    with pytest.raises(ConfigError, match=f"--agent_steps={steps}: expected an integer >= 1"):
        _Maker(steps=steps)(tmp_path / "out")
    assert _nothing_is_left(tmp_path)


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    maker = _Maker()
    with pytest.raises(ConfigError, match=f"--out={tmp_path}: not empty"):
        maker(tmp_path)
    assert maker.runner is None  # said at once
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_fixed_data_are_not_made_a_dataset_of(tmp_path):
    def create(base_dir):
        return SimpleNamespace(source=SimpleNamespace(close=lambda: None))

    said = "Runner.create_source_fn=@SimpleNamespace: expected @OnlineSource"
    with pytest.raises(ConfigError, match=said):
        make(tmp_path / "out", format="dqn_replay", agent_steps=5, create_runner=create)
    assert _nothing_is_left(tmp_path)


def test_a_game_without_a_name_is_refused(tmp_path):
    maker = _Maker()

    def create(base_dir):
        runner = maker.create(base_dir)
        runner.source.protocol = {"suite": "mine"}
        return runner

    with pytest.raises(ConfigError, match=r"create_environment_fn: .* names its suite and game"):
        make(tmp_path / "out", format="dqn_replay", agent_steps=_STEPS, create_runner=create)
    assert _nothing_is_left(tmp_path)


def test_a_grid_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^--gin_files: a grid of .* a dataset is made by one"):
        _Maker(files=("experiments/figure_1.gin",))(tmp_path / "out")
    assert _nothing_is_left(tmp_path)


def test_a_binding_that_reaches_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--gin_bindings='RainbowAgent.gamma=0.5'"):
        _Maker("RainbowAgent.gamma=0.5")(tmp_path / "out")
    assert _nothing_is_left(tmp_path)


def test_the_command_line_says_how_long_whatever_the_bindings_say():
    bindings = ("Runner.num_iterations=7", "Runner.training_steps=9", "Runner.num_eval_episodes=2")
    runner = _Maker(*bindings, "Runner.evaluation_steps=0").create("unused")
    assert (runner.num_iterations, runner.training_steps) == (1, _STEPS)
    assert not any(runner.evaluation.values())
    assert gin.query_parameter("Runner.training_steps") == _STEPS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_asked_to_stop_it_keeps_nothing(tmp_path, number, code):
    asked = at(Trainer, "step", 100, lambda: os.kill(os.getpid(), number))
    with asked, pytest.raises(Stopped) as stopped:
        _Maker()(tmp_path / "out", checkpoint_rows=20)
    said = f"{number.name}: stopped after 100 agent steps; nothing of it is kept"
    assert (str(stopped.value), stopped.value.exit_code) == (said, code)
    assert _nothing_is_left(tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on file size stands in for it: the write itself fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))

    try:
        with at(Trainer, "step", 100, fill), pytest.raises(OSError, match="--out=") as failed:
            _Maker(steps=2_000)(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = f"--out={tmp_path / 'out'}: File too large; nothing of it is kept"
    assert str(failed.value) == said
    assert _nothing_is_left(tmp_path)


_MAKES = """
import sys
from functools import partial
from pathlib import Path
from prune_rl.dataset_tool.making import create_runner, make

files, bindings = ["experiments/minatar_breakout.gin"], sys.argv[2:]
settings = {"gin_files": files, "gin_bindings": bindings, "agent_steps": 1_000_000}
create = partial(create_runner, **settings)
make(Path(sys.argv[1]), format="dqn_replay", agent_steps=1_000_000, create_runner=create,
     checkpoint_rows=40)
"""


def test_killed_it_leaves_nothing_that_counts_and_the_next_one_succeeds(tmp_path, capsys):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", _MAKES, out, *_MINATAR])
    deadline = time.monotonic() + 120
    while not list(out.glob(".partial/breakout/2/*/add_count_ckpt.1.gz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert [path.name for path in out.iterdir()] == [".partial"]
    assert not list(out.rglob("about.json"))
    _Maker()(out)
    assert "removed .partial" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["breakout"]
    assert len(list(out.rglob("about.json"))) == 2


@pytest.fixture
def converted(monkeypatch):
    """Makes in the other format by stand-ins, of which `write` is given; what they found."""

    def convert(out, write, tensorflow=lambda: None):
        found, maker = [], _Maker()

        def find_runs(path):
            found.extend(sorted(path.glob("*/*/replay_logs/about.json")))
            return found

        _stand_in("dqn_replay", find_runs=find_runs)
        _stand_in("rlu_writer", write=write)
        _stand_in("rlu_records", tensorflow=tensorflow)

        def create(base_dir):
            runner = maker.create(base_dir)
            runner.source.protocol = runner.source.protocol | {"suite": "atari"}
            return runner

        return make(out, format="rlu", agent_steps=_STEPS, create_runner=create), found

    def _stand_in(name, **functions):
        fake = SimpleNamespace(**functions)
        monkeypatch.setitem(sys.modules, f"prune_rl.datasets.{name}", fake)
        monkeypatch.setattr(prune_rl.datasets, name, fake, raising=False)

    return convert


def test_rlu_is_written_run_by_run_from_the_other_layout(tmp_path, converted):
    """Nothing of the other layout is left."""

    def write(run, out):
        assert run.exists()
        (out / f"rlu_{run.parts[-3]}").mkdir()
        (out / f"rlu_{run.parts[-3]}" / "data").write_text("x" * 10)

    said, found = converted(tmp_path / "out", write)
    assert len(found) == 2
    names = ["data", "data", "rlu_1", "rlu_2"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == names
    assert (said.files, said.bytes, said.transitions) == (2, 20, 2 * _STEPS)


def test_tensorflow_is_missed_before_anything_is_trained(tmp_path, converted):
    def missing():
        raise ConfigError("tensorflow is missing")

    with (
        at(Trainer, "step", 1, lambda: pytest.fail("it was trained")),
        pytest.raises(ConfigError, match="tensorflow is missing"),
    ):
        converted(tmp_path / "out", None, missing)
    assert _nothing_is_left(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_it_stops_while_it_converts(tmp_path, converted, number, code):
    def write(run, out):
        (out / "half").write_text("x")
        os.kill(os.getpid(), number)
        time.sleep(10)

    with pytest.raises(Stopped, match="while it was converted; nothing of it is kept") as stopped:
        converted(tmp_path / "out", write)
    assert stopped.value.exit_code == code
    assert _nothing_is_left(tmp_path)


def test_a_seed_that_diverges_is_named(tmp_path, capsys):
    _Maker("create_optimizer.learning_rate=1e38")(tmp_path / "out")
    err = capsys.readouterr().err
    assert "seed 3 diverged" in err
    assert "seed 4 diverged" in err
