"""RL Unplugged as tensorflow-datasets' own builder writes it, of real frames, read by ours."""

import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import ale_py
import cv2
import numpy as np
import pytest

from prune_rl.datasets import rlu_records
from prune_rl.datasets.experience import Block, Damaged, Share
from prune_rl.datasets.rlu import find_runs, problems
from prune_rl.errors import ConfigError
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED

_STEPS = ((44, 60, 1, 41), (52, 40, 47), (58, 43, 2, 50))  # of each episode of three splits
_FORMATS = ("tfrecord", "array_record")
_FOLDER = "rlu_atari_checkpoints_ordered/Pong_run_3/1.1.0"


def _pong(number):
    """Frames of random play, (number, 84, 84, 1)."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 1)
    ale.loadROM(ale_py.roms.get_rom_path("pong"))
    rng, actions, frames = np.random.default_rng(0), ale.getMinimalActionSet(), []
    for _ in range(number):
        action = actions[rng.integers(len(actions))]
        for _ in range(4):
            ale.act(action)
        image = cv2.resize(ale.getScreenGrayscale(), (84, 84), interpolation=cv2.INTER_AREA)
        frames.append(image[..., None])
    return np.stack(frames)


def _episode(frames, terminal, rng):
    length = len(frames)
    return SimpleNamespace(
        frames=frames,
        actions=rng.integers(6, size=length),
        rewards=rng.integers(-1, 2, size=length).astype(np.float32),
        first=np.arange(length) == 0,
        last=np.arange(length) == length - 1,
        terminal=(np.arange(length) == length - 1) & terminal,
        checkpoint=None,
        episode_return=None,
    )


@pytest.fixture(scope="module")
def episodes():
    """Of three splits; every other one ends in a terminal state."""
    rng = np.random.default_rng(1)
    frames = iter(_pong(sum(map(sum, _STEPS))))
    return [
        [
            _episode(np.stack([next(frames) for _ in range(steps)]), number % 2 == 0, rng)
            for number, steps in enumerate(split)
        ]
        for split in _STEPS
    ]


def _write(out, splits, file_format="tfrecord", num_shards=2):
    """By the builder that anybody would write; every split in so many files."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.rl_unplugged import atari_utils

    class RluAtariCheckpointsOrdered(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.1.0")
        code_path = None  # it would look for files of its own beside this one
        BUILDER_CONFIGS = (atari_utils.BuilderConfig(name="Pong_run_3", game="Pong", run=3),)

        def _info(self):
            features = atari_utils.features_dict()
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, _):
            return {f"checkpoint_{c:02d}": self._examples(c) for c in range(len(splits))}

        def _examples(self, c):
            for e, episode in enumerate(splits[c]):
                fields = {
                    "observation": [_png(frame) for frame in episode.frames],
                    "action": episode.actions,
                    "reward": episode.rewards,
                    "discount": np.ones(len(episode.first), np.float32),
                    "is_first": episode.first,
                    "is_last": episode.last,
                    "is_terminal": episode.terminal,
                }
                own = episode.rewards[:-1].sum()
                yield (
                    c * 10**10 + e,
                    {
                        "steps": fields,
                        "checkpoint_id": c if episode.checkpoint is None else episode.checkpoint,
                        "episode_id": e,
                        "episode_return": episode.episode_return or own,
                    },
                )

        def _generate_examples(self):
            raise NotImplementedError

    tfds.disable_progress_bar()
    builder = RluAtariCheckpointsOrdered(data_dir=out, config="Pong_run_3", file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=num_shards)
    )
    return out / _FOLDER


def _png(frame):
    return io.BytesIO(cv2.imencode(".png", frame)[1].tobytes())


@pytest.fixture(scope="module", params=_FORMATS)
def written(request, episodes, tmp_path_factory):
    """The three splits on disk, in two files each."""
    out = tmp_path_factory.mktemp(request.param)
    _write(out, episodes, request.param)
    return out


@pytest.fixture
def copied(written, tmp_path):
    """To damage."""
    return shutil.copytree(written, tmp_path / "copied")


def _run(path):
    (run,) = find_runs(path)
    return run


def _files(path, split):
    return sorted(path.glob(f"**/*checkpoint_{split:02d}*"))


def _rows(part):
    return Block(*map(np.concatenate, zip(*part.blocks(), strict=True)))


def _expected(episodes):
    """The rows of whole episodes, by hand."""
    rows = []
    for episode in episodes:
        length = len(episode.frames)
        if length == 1:
            continue  # an observation that nothing follows
        end = TERMINATED if episode.terminal[-1] else TRUNCATED
        rows.append(
            Block(
                episode.frames,
                np.append(episode.actions[:-1], 0),
                np.append(episode.rewards[:-1], 0),
                np.arange(length),
                np.array([GOES_ON] * (length - 2) + [end, FINAL]),
                np.array([True] * (length - 1) + [False]),
            )
        )
    return Block(*map(np.concatenate, zip(*rows, strict=True)))


def _assert_same(rows, expected):
    for name, own, other in zip(Block._fields, rows, expected, strict=True):
        np.testing.assert_array_equal(own, other, err_msg=name)
    kinds = [field.dtype for field in rows]
    assert kinds == [np.uint8, np.int32, np.float32, np.int32, np.uint8, bool]


def test_a_run_is_found_and_read_as_it_was_written(written, episodes):
    run = _run(written)
    assert (run.game, run.number, run.suite, run.num_actions) == ("Pong", 3, "atari", None)
    assert run.observation_spec.shape == (4, 84, 84, 1)
    assert run.missing == ()
    assert json.loads(json.dumps(run.protocol)) == {
        "format": "rl_unplugged",
        "builder": "rlu_atari_checkpoints_ordered",
        "version": "1.1.0",
        "config": "Pong_run_3",
        "path": str(written / _FOLDER),
        "splits": 3,
        "rewards": "clipped to [-1, 1], as the dataset's description says",
    }
    parts = run.parts(Share())
    assert [part.name for part in parts] == [f"Pong/3 checkpoint {number}" for number in range(3)]
    for part, own in zip(parts, episodes, strict=True):
        rows = _rows(part)
        _assert_same(rows, _expected(own))
        assert part.num_rows == len(rows.frames)
        assert part.num_transitions == part.total_transitions == rows.starts.sum()
        assert part.total_transitions == sum(len(episode.frames) - 1 for episode in own)
    assert list(problems(run)) == []


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.75])
def test_windows_are_whole_episodes_that_lie_together(written, episodes, fraction):
    run = _run(written)
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
            _assert_same(_rows(part), _expected(window))


def test_where_windows_begin_depends_on_the_seed_of_the_share(written):
    run = _run(written)
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
    for part, own in zip(_run(written).parts(share), episodes, strict=True):
        everything, rows = _expected(own), _rows(part)
        drawn = max(1, round(fraction * everything.starts.sum()))
        assert part.num_transitions == rows.starts.sum() == drawn
        kept, begins = _kept(everything, rows, horizon)
        assert part.num_rows == len(rows.frames) == len(kept)
        expected = Block(*(field[kept] for field in everything))._replace(starts=begins)
        _assert_same(rows, expected)


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
    episode = _episode(frames, True, np.random.default_rng(0))
    _write(tmp_path, [[episode]], "array_record", num_shards=1)
    (part,) = _run(tmp_path).parts(Share())
    blocks = list(part.blocks())
    assert [len(block.frames) for block in blocks] == [1024, 1024, 152]
    _assert_same(_rows(part), _expected([episode]))


def _flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_a_flipped_byte_is_named_with_its_file_and_place(copied, capfd):
    file = _files(copied, 1)[1]
    _flip(file, 5000)
    run = _run(copied)
    with pytest.raises(Damaged, match=r"damaged at byte \d+") as caught:
        run.parts(Share())
    assert str(caught.value).startswith(str(file))
    assert list(problems(run)) == [str(caught.value)]
    assert capfd.readouterr() == ("", "")


def test_damage_that_comes_after_counting_is_named_too(copied):
    parts = _run(copied).parts(Share())
    _flip(_files(copied, 0)[0], 5000)
    with pytest.raises(Damaged, match=r"checkpoint_00.*damaged at byte"):
        list(parts[0].blocks())
    list(parts[1].blocks())


def test_a_file_that_ends_early_is_named(copied):
    file = _files(copied, 2)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Damaged, match=r"checkpoint_02.*00000-of-00002: damaged at"):
        _run(copied).parts(Share())


def test_a_file_with_fewer_episodes_than_it_should_have_is_named(copied):
    info = copied / _FOLDER / "dataset_info.json"
    content = json.loads(info.read_text())
    content["splits"][0]["shardLengths"] = ["2", "3"]
    info.write_text(json.dumps(content))
    with pytest.raises(Damaged, match=r"00001-of-00002: .* expected 3 episodes"):
        _run(copied).parts(Share())


def test_splits_that_lack_a_file_are_left_out_and_reported(copied, episodes):
    before = _run(copied).identity()
    lost = _files(copied, 1)[0]
    lost.unlink()
    run = _run(copied)
    assert run.missing == ("checkpoint_01",)
    assert run.protocol["splits"] == 2
    assert run.identity() != before
    parts = run.parts(Share())
    assert [part.name for part in parts] == ["Pong/3 checkpoint 0", "Pong/3 checkpoint 2"]
    _assert_same(_rows(parts[1]), _expected(episodes[2]))
    assert list(problems(run)) == [f"{lost}: missing, though dataset_info.json names it"]


def test_a_run_without_any_whole_split_is_refused(copied):
    for split in range(3):
        _files(copied, split)[0].unlink()
    with pytest.raises(ConfigError, match="every split lacks files; see checkpoint_00"):
        _run(copied).parts(Share())


def test_the_identity_is_that_of_the_files_and_not_of_their_place(written, copied):
    first = _run(written).identity()
    assert len(first) == 64
    assert _run(copied).identity() == first
    file = _files(copied, 0)[0]
    _flip(file, 20)
    second = _run(copied).identity()
    _flip(file, 20)
    _flip(file, file.stat().st_size - 20)
    third = _run(copied).identity()
    assert len({first, second, third}) == 3


_WRONG = {
    "is_first at steps [0, 7], expected at step 0 alone": ("first", 7, True),
    "is_first at steps [], expected at step 0 alone": ("first", 0, False),
    "is_last at steps [9, 39], expected at step 39 alone": ("last", 9, True),
    "is_terminal before the last step, at steps [3]": ("terminal", 3, True),
}


def _changed(episode, field, step, value):
    changed = SimpleNamespace(**vars(episode))
    setattr(changed, field, getattr(episode, field).copy())
    getattr(changed, field)[step] = value
    return changed


@pytest.mark.parametrize("message", _WRONG)
def test_an_episode_that_is_not_one_is_damaged(tmp_path, episodes, message):
    own = episodes[1]
    _write(tmp_path, [[own[0], _changed(own[1], *_WRONG[message]), own[2]]], num_shards=1)
    run = _run(tmp_path)
    with pytest.raises(Damaged) as caught:
        run.parts(Share())
    (file,) = _files(tmp_path, 0)
    assert str(caught.value) == f"{file}: episode 1: {message}"
    assert list(problems(run)) == [str(caught.value)]


def test_an_empty_episode_is_damaged(tmp_path, episodes):
    empty = SimpleNamespace(**vars(episodes[0][0]))
    for name in ("frames", "actions", "rewards", "first", "last", "terminal"):
        setattr(empty, name, getattr(empty, name)[:0])
    _write(tmp_path, [[episodes[0][0], empty]], num_shards=1)
    with pytest.raises(Damaged, match=r"checkpoint_00.*: episode 1: the episode is empty"):
        _run(tmp_path).parts(Share())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("actions", -1, "step 4: action -1"),
        ("actions", 18, "step 4: action 18"),
        ("rewards", np.nan, "step 4: reward nan"),
    ],
)
def test_impossible_values_are_named_and_not_read(tmp_path, episodes, field, value, message):
    own = episodes[1]
    _write(tmp_path, [[own[0], _changed(own[1], field, 4, value)]], num_shards=1)
    run = _run(tmp_path)
    (part,) = run.parts(Share())
    with pytest.raises(Damaged, match=rf"checkpoint_00.*: episode 1: {message}"):
        list(part.blocks())
    assert message in next(problems(run))


def test_what_the_last_step_says_beside_its_observation_means_nothing(tmp_path, episodes):
    episode = episodes[1][1]
    odd = _changed(_changed(episode, "actions", -1, -5), "rewards", -1, np.nan)
    odd.episode_return = episode.rewards[:-1].sum()
    _write(tmp_path, [[odd]], num_shards=1)
    run = _run(tmp_path)
    _assert_same(_rows(run.parts(Share())[0]), _expected([episode]))
    assert list(problems(run)) == []


def test_returns_and_checkpoints_that_do_not_fit_are_problems(tmp_path, episodes):
    first, second = (SimpleNamespace(**vars(episode)) for episode in episodes[1][:2])
    first.episode_return, second.checkpoint = 77.0, 4
    _write(tmp_path, [[first, second]], num_shards=1)
    told = first.rewards[:-1].sum()
    of_return, of_checkpoint = problems(_run(tmp_path))
    assert of_return.endswith(f": episode 0: episode_return 77, but the rewards sum to {told:g}")
    assert of_checkpoint.endswith(": episodes of checkpoints [0, 4], expected one")


def test_only_finished_runs_of_the_newest_version_are_found(written, tmp_path):
    config = tmp_path / "rlu_atari_checkpoints_ordered" / "Pong_run_3"
    source = written / _FOLDER
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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dataset_info.json", '{"name": ', "dataset_info.json: no JSON"),
        ("dataset_info.json", "[]", "dataset_info.json: expected an object"),
        ("features.json", "{}", "features.json: no steps with images"),
    ],
)
def test_what_describes_a_run_is_checked(copied, name, content, message):
    (copied / _FOLDER / name).write_text(content)
    with pytest.raises(Damaged, match=message):
        find_runs(copied)


def test_frames_of_another_size_and_lacking_features_are_refused(copied):
    file = copied / _FOLDER / "features.json"
    whole = file.read_text()
    file.write_text(whole.replace('"84"', '"64"'))
    with pytest.raises(Damaged, match=r"frames \['64', '64', '1'\], expected"):
        find_runs(copied)
    file.write_text(whole.replace('"is_last"', '"is_least"'))
    with pytest.raises(Damaged, match=r"features\.json: no is_last, expected"):
        find_runs(copied)


def test_without_tensorflow_datasets_one_line_says_what_to_install(written, monkeypatch):
    run = _run(written)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    rlu_records.tensorflow.cache_clear()
    with pytest.raises(ConfigError, match=r"needs TensorFlow Datasets: pip install 'prune_rl\[rlu"):
        run.parts(Share())
    monkeypatch.undo()
    rlu_records.tensorflow.cache_clear()
    assert run.parts(Share())


def test_finding_runs_takes_no_tensorflow(tmp_path, episodes):
    _write(tmp_path, episodes)
    program = (
        "import pathlib, sys, prune_rl.train, prune_rl.datasets.rlu_writer, prune_rl.datasets.rlu;"
        f"assert prune_rl.datasets.rlu.find_runs(pathlib.Path({str(tmp_path)!r}))[0].identity();"
        "sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
