"""RL Unplugged as tensorflow-datasets' own builder writes it, of real frames, read by ours."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from prune_rl.datasets import rlu_records
from prune_rl.datasets.experience import Block, Share
from prune_rl.datasets.rlu import find_runs, problems
from prune_rl.errors import ConfigError
from tests.datasets.rl_unplugged import (
    FOLDER,
    assert_same,
    expected_of,
    files_of,
    make_episode,
    png,
    records_of,
    rewrite,
    rows_of,
    the_run,
    write_splits,
)


def test_a_run_is_found_and_read_as_it_was_written(written, episodes):
    run = the_run(written)
    assert (run.game, run.number, run.suite, run.action_spec) == ("Pong", 3, "atari", None)
    assert run.observation_spec.shape == (4, 84, 84, 1)
    assert run.gaps == []
    assert json.loads(json.dumps(run.protocol)) == {
        "format": "rl_unplugged",
        "builder": "rlu_atari_checkpoints_ordered",
        "version": "1.1.0",
        "config": "Pong_run_3",
        "path": str(written / FOLDER),
        "splits": 3,
        "rewards": "clipped to [-1, 1], as the dataset's description says",
    }
    parts = run.parts(Share())
    assert [part.name for part in parts] == [f"Pong/3 checkpoint {number}" for number in range(3)]
    for part, own in zip(parts, episodes, strict=True):
        rows = rows_of(part)
        assert_same(rows, expected_of(own))
        assert part.num_rows == len(rows.frames)
        assert part.num_transitions == part.total_transitions == rows.starts.sum()
        assert part.total_transitions == sum(len(episode.frames) - 1 for episode in own)
    assert list(problems(run)) == []


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.75])
def test_windows_are_whole_episodes_that_lie_together(written, episodes, fraction):
    run = the_run(written)
    for number, (part, own) in enumerate(
        zip(run.parts(Share(fraction, seed=5)), episodes, strict=True)
    ):
        taken = max(1, round(fraction * len(own)))
        rng = np.random.Generator(np.random.PCG64([5, 3, number]))
        first = rng.integers(len(own) - taken + 1)
        window = own[first : first + taken]
        total = sum(len(episode.frames) - 1 for episode in own)
        assert part.total_transitions == total
        assert part.num_transitions == sum(len(episode.frames) - 1 for episode in window)
        if part.num_transitions:
            assert_same(rows_of(part), expected_of(window))


def test_where_windows_begin_depends_on_the_seed_of_the_share(written):
    run = the_run(written)
    first = [
        tuple(part.first for part in run.parts(Share(0.3, seed=seed))) for seed in (0, 0, *range(9))
    ]
    assert first[0] == first[1]
    assert len(set(first)) > 3


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("fraction", [0.05, 0.5, 1.0])
def test_drawn_transitions_bring_their_stacks_and_what_follows(
    written, episodes, fraction, horizon
):
    share = Share(fraction, "transitions", seed=2, horizon=horizon)
    for part, own in zip(the_run(written).parts(share), episodes, strict=True):
        everything, rows = expected_of(own), rows_of(part)
        drawn = max(1, round(fraction * everything.starts.sum()))
        assert part.num_transitions == rows.starts.sum() == drawn
        kept, begins = _kept(everything, rows, horizon)
        assert part.num_rows == len(rows.frames) == len(kept)
        expected = Block(*(field[kept] for field in everything))._replace(starts=begins)
        assert_same(rows, expected)


def _kept(everything, rows, horizon):
    """Which rows of all are to be there for the starts in `rows`, and which of them are starts."""
    episode = np.cumsum(everything.ages == 0)
    known = {
        frame.tobytes() + bytes([age]): i for i, (frame, age) in enumerate(_framed(everything))
    }
    starts = {
        known[frame.tobytes() + bytes([age])]
        for (frame, age), begins in zip(_framed(rows), rows.starts, strict=True)
        if begins
    }
    kept = sorted(
        {
            row
            for start in starts
            for row in range(start - 3, start + horizon + 1)
            if 0 <= row < len(episode) and episode[row] == episode[start]
        }
    )
    return kept, np.array([row in starts for row in kept])


def _framed(rows):
    return list(zip(rows.frames, rows.ages, strict=True))


def test_a_long_episode_comes_in_blocks_of_a_few_megabytes(tmp_path, episodes):
    frames = np.concatenate([episodes[0][0].frames] * 50)
    episode = make_episode(frames, True, np.random.default_rng(0))
    write_splits(tmp_path, [[episode]], "array_record", num_shards=1)
    (part,) = the_run(tmp_path).parts(Share())
    blocks = list(part.blocks())
    assert [len(block.frames) for block in blocks] == [1024, 1024, 152]
    assert_same(rows_of(part), expected_of([episode]))


def test_the_identity_is_that_of_the_files_and_not_of_their_place(written, copied):
    run = the_run(written)
    first = run.identity()
    assert len(first) == 64
    assert the_run(copied).identity() == first
    run.parts(Share())
    assert run.identity() == first
    info = copied / FOLDER / "dataset_info.json"
    info.write_text(info.read_text() + " ")
    assert the_run(copied).identity() != first


def test_frames_that_were_exchanged_within_a_file_are_other_data(copied, episodes):
    """With every length, size and checksum as it should be, far from the ends of the file."""
    file = files_of(copied, 1)[0]
    records = records_of(file)
    rewrite(file, records)
    first, size = the_run(copied).identity(), file.stat().st_size
    rewrite(file, [_exchanged(records[0], episodes[1][0].frames), *records[1:]])
    assert file.stat().st_size == size
    run = the_run(copied)
    assert list(problems(run)) == []
    assert run.identity() != first


def _exchanged(record, frames):
    """Two PNGs of one length, more than 4 KiB from the ends, take each other's place."""
    pngs = [png(frame).getvalue() for frame in frames]
    inner = [x for x in pngs if 4096 < record.index(x) < len(record) - 4096 - len(x)]
    one, other = next((x, y) for x in inner for y in inner if len(x) == len(y) and x != y)
    exchanged = record.replace(one, b"?" * len(one)).replace(other, one)
    return exchanged.replace(b"?" * len(one), other)


def test_identity_reads_nothing_again_after_parts(copied):
    run = the_run(copied)
    run.parts(Share())
    files_of(copied, 1)[0].write_bytes(b"")
    assert run.identity()


def test_only_finished_runs_of_the_newest_version_are_found(written, tmp_path):
    config = tmp_path / "rlu_atari_checkpoints_ordered" / "Pong_run_3"
    source = written / FOLDER
    for name in ("1.1.0", "1.0.0", "incomplete.X_1.2.0", ".1.3.0.77"):
        shutil.copytree(source, config / name)
        info = json.loads((source / "dataset_info.json").read_text()) | {"version": name[:5]}
        (config / name / "dataset_info.json").write_text(json.dumps(info))
    (run,) = find_runs(tmp_path)
    assert run.path == config / "1.1.0"
    assert [own.path for own in find_runs(config / "1.0.0")] == [config / "1.0.0"]
    other = tmp_path / "mnist" / "3.0.1"
    shutil.copytree(source, other)
    (other / "dataset_info.json").write_text('{"name": "mnist", "splits": []}')
    assert len(find_runs(tmp_path)) == 1
    assert find_runs(tmp_path / "mnist") == find_runs(tmp_path / "nowhere") == []


def test_without_tensorflow_datasets_one_line_says_what_to_install(written, monkeypatch):
    run = the_run(written)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    rlu_records.tensorflow.cache_clear()
    with pytest.raises(ConfigError, match=r"needs TensorFlow Datasets: pip install 'prune_rl\[rlu"):
        run.parts(Share())
    monkeypatch.undo()
    rlu_records.tensorflow.cache_clear()
    assert run.parts(Share())


def test_finding_runs_takes_no_tensorflow(tmp_path, episodes):
    write_splits(tmp_path, episodes)
    program = (
        "import pathlib, sys, prune_rl.train, prune_rl.datasets.rlu_writer, prune_rl.datasets.rlu;"
        f"assert prune_rl.datasets.rlu.find_runs(pathlib.Path({str(tmp_path)!r}));"
        "sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
