"""`prune_rl.train` on data that are wrong, lost, damaged, too large: one line, nothing left."""

import gzip
import io
import os
import resource
import signal
import time

import numpy as np
import pytest

from prune_rl import train
from prune_rl.datasets.dqn_replay_part import CheckpointPart
from prune_rl.sources import chosen
from tests.interrupted.ends import left, snapshot

_FRAMES = "$store$_observation_ckpt.1.gz"


@pytest.fixture
def refused(tmp_path, data_flags, capsys):
    """Trains where that must be refused; returns what is said, one line, without the program."""

    def run(path, *bindings):
        capsys.readouterr()
        assert train.main([f"--base_dir={tmp_path / 'run'}", *data_flags(path, *bindings)]) == 2
        lines = capsys.readouterr().err.splitlines()
        (line,) = [x for x in lines if not x.startswith((f"{path}: breakout", "      run "))]
        assert not (tmp_path / "run").exists()
        return line.removeprefix("prune_rl.train: ")

    return run


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            "create_minatar_environment.game_name='freeway'",
            "the data are of breakout, not of the game asked for, freeway; ",
        ),
        (
            "create_minatar_environment.game_name='Breakout'",
            "not of the game asked for, Breakout; did you mean 'breakout'?",
        ),
        (
            "Runner.create_environment_fn=@create_atari_environment",
            "expected @create_minatar_environment, for the data are of breakout",
        ),
        ("Runner.create_environment_fn=None", "Runner.create_environment_fn: not set"),
        ("Dataset.fraction=0", "Dataset.fraction=0: expected a number in (0, 1]"),
        ("Dataset.fraction=1.5", "Dataset.fraction=1.5: expected a number in (0, 1]"),
        ("Dataset.unit='windowz'", "Dataset.unit='windowz': no such choice; did you mean 'windows"),
        ("Dataset.run=3", "Dataset.run=3: no such run; expected one of 1, 2"),
        ("Dataset.batch_size=0", "Dataset.batch_size=0: expected an integer >= 1"),
        ("Dataset.batch_size=4000000000", "Dataset.batch_size=4000000000: needs "),
        ("Dataset.cache_gib=0", "Dataset.cache_gib=0: expected a number > 0"),
        ("Dataset.frac=0.5", "Dataset.frac"),
    ],
)
def test_a_wrong_setting_is_named(made_data, refused, binding, message):
    assert message in refused(made_data, binding)


def test_an_atari_game_is_not_in_these_data(made_data, refused):
    bindings = ["create_atari_environment.game_name='Pong'"]
    bindings += ["Runner.create_environment_fn=@create_atari_environment"]
    assert "are of breakout, not of the game asked for, Pong" in refused(made_data, *bindings)


def test_no_path_or_nothing_there_is_named(made_data, refused, tmp_path):
    assert refused(None).startswith("Dataset.path: not set; name a dataset")
    missing = tmp_path / "nowhere"
    assert refused(missing) == f"Dataset.path='{missing}': no such directory or file"
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty")
    assert said.startswith(f"Dataset.path='{tmp_path / 'empty'}': no dataset there; expected GAME")


def _store(path, array):
    with gzip.open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _read(path):
    return np.load(io.BytesIO(gzip.decompress(path.read_bytes())))


def _flip(folder):
    """A bit of the checksum: every frame can be read."""
    path = folder / _FRAMES
    data = bytearray(path.read_bytes())
    data[-6] ^= 4
    path.write_bytes(data)


def _flip_within(folder):
    path = folder / _FRAMES
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def _cut(folder):
    path = folder / _FRAMES
    path.write_bytes(path.read_bytes()[:-100])


def _floats(folder):
    path = folder / "$store$_action_ckpt.1.gz"
    _store(path, _read(path).astype(np.float32))


def _shorter(folder):
    path = folder / "$store$_reward_ckpt.1.gz"
    _store(path, _read(path)[:-1])


def _other_frames(folder):
    _store(folder / _FRAMES, np.zeros((100, 84, 84), np.uint8))


def _other_actions(folder):
    path = folder / "$store$_action_ckpt.1.gz"
    _store(path, np.full_like(_read(path), 6))


@pytest.mark.parametrize(
    ("damage", "name", "problem"),
    [
        (_flip, _FRAMES, "decompressed bytes"),
        (_flip_within, _FRAMES, ""),
        (_cut, _FRAMES, "truncated"),
        (_floats, "$store$_action_ckpt.1.gz", "float32 (100,), expected int32 (n,)"),
        (_shorter, "checkpoint 1", "unequal lengths: action 100, reward 99"),
        (_other_frames, _FRAMES, "uint8 (100, 84, 84), expected uint8 (n, 10, 10, 4)"),
        (_other_actions, "$store$_action_ckpt.1.gz", "row 0: action 6, expected 0 to 2"),
    ],
)
def test_damage_is_one_line_that_names_the_file(own_data, refused, damage, name, problem):
    data, folder = own_data
    damage(folder)
    line = refused(data)
    assert str(folder) in line
    assert name in line
    assert problem in line


def test_of_a_damaged_run_that_no_seed_learns_from_nothing_is_said(own_data, data_flags):
    data, folder = own_data
    _cut(folder)
    assert train.main(["--dry_run", *data_flags(data, "Dataset.run=2")]) == 0


def test_a_missing_file_is_said_and_its_checkpoint_left_out(
    own_data, data_flags, tmp_path, capsys, read_metrics
):
    data, folder = own_data
    (folder / _FRAMES).unlink()
    capsys.readouterr()
    assert train.main([f"--base_dir={tmp_path / 'run'}", *data_flags(data)]) == 0
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert " of at most 499 transitions " in first  # the one before it lacks the end of its last
    assert second == f"      run 1: no {_FRAMES}"
    assert read_metrics(tmp_path / "run")[-1]["gradient_steps"] == 30


def test_more_than_memory_holds_is_refused_before_a_frame_is_read(made_data, refused, monkeypatch):
    monkeypatch.setattr(chosen, "available_bytes", lambda: 30_000)
    monkeypatch.setattr(CheckpointPart, "blocks", None)
    line = refused(made_data)
    assert line.startswith("Dataset.fraction=0.5: needs 0.00 GiB, 0.00 GiB are available; the la")
    assert line.endswith("or keep frames on disk: Dataset.chunks='FOLDER'")


def _chunks(tmp_path):
    return f"Dataset.chunks={str(tmp_path / 'chunks')!r}"


def test_chunks_train_the_same_and_are_read_instead_of_the_data(
    trained_on_data, made_data, data_flags, tmp_path, monkeypatch
):
    """The second run finds them there: it opens no file of frames."""
    flags = data_flags(made_data, _chunks(tmp_path))
    assert train.main([f"--base_dir={tmp_path / 'one'}", *flags]) == 0
    assert left(tmp_path / "one") == left(trained_on_data())
    monkeypatch.setattr(CheckpointPart, "blocks", None)
    assert train.main([f"--base_dir={tmp_path / 'two'}", *flags]) == 0
    assert left(tmp_path / "two") == left(trained_on_data())


@pytest.mark.parametrize("other", ["Dataset.fraction=0.6", "Dataset.seed=1", "Runner.num_seeds=1"])
def test_chunks_of_another_share_are_refused_and_stay(
    made_data, data_flags, refused, tmp_path, other
):
    chunks = _chunks(tmp_path)
    assert train.main(["--dry_run", *data_flags(made_data, chunks)]) == 0
    before = snapshot(tmp_path / "chunks")
    line = refused(made_data, chunks, other)
    assert line.startswith(f"Dataset.chunks='{tmp_path / 'chunks'}': holds the frames of another")
    assert snapshot(tmp_path / "chunks") == before


def test_chunks_of_all_are_those_of_all_however_it_is_written(made_data, data_flags, tmp_path):
    for fraction in ("1", "1.0"):
        flags = data_flags(made_data, _chunks(tmp_path), f"Dataset.fraction={fraction}")
        assert train.main(["--dry_run", *flags]) == 0


def test_a_cache_larger_than_any_memory_is_one_of_all_frames(made_data, data_flags, tmp_path):
    flags = data_flags(made_data, _chunks(tmp_path), "Dataset.cache_gib=1e30")
    assert train.main(["--dry_run", *flags]) == 0


def test_chunks_of_damaged_data_are_not_kept(own_data, refused, tmp_path):
    data, folder = own_data
    _flip(folder)
    assert _FRAMES in refused(data, _chunks(tmp_path))
    assert not list(tmp_path.glob("chunks*"))


def test_chunks_on_a_full_disk_are_one_line_and_leave_nothing(made_data, refused, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        line = refused(made_data, _chunks(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert line == f"Dataset.chunks='{tmp_path / 'chunks'}': cannot be written: File too large"
    assert not list(tmp_path.glob("chunks*"))


def test_where_other_files_are_no_chunks_are_made(made_data, refused, tmp_path):
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / "thesis.tex").write_text("words")
    assert "no folder of chunks" in refused(made_data, _chunks(tmp_path))
    assert snapshot(tmp_path / "chunks") == {"thesis.tex": b"words"}


def test_a_signal_while_data_are_read_ends_it_at_once(
    made_data, data_flags, monkeypatch, tmp_path, capsys
):
    """With the code that asks for another try, and nothing begun."""
    own = CheckpointPart.blocks

    def slow(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for block in own(self):
            time.sleep(0.05)
            yield block

    monkeypatch.setattr(CheckpointPart, "blocks", slow)
    run = tmp_path / "run"
    assert train.main([f"--base_dir={run}", *data_flags(made_data)]) == 75
    assert capsys.readouterr().err.splitlines()[-1].endswith("SIGTERM: nothing was begun")
    assert not run.exists()
