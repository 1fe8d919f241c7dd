"""What is written is read back with gzip and NumPy alone, and compared with a script."""

import gzip
import hashlib
import json
import subprocess
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

from prune_rl.datasets import gzip_files
from prune_rl.datasets.recorder import Played, Recorder
from prune_rl.errors import ConfigError
from prune_rl.specs import Box, Discrete, ObservationSpec

_SHAPE = (3, 2, 1)
_FIELDS = {
    "$store$_observation": "observation",
    "$store$_action": "action",
    "$store$_reward": "reward",
    "$store$_terminal": "terminal",
    "truncation": "truncation",
}


def _played(shape=_SHAPE, stack_size=3, dtype=np.uint8, actions=None):
    spec = ObservationSpec(shape, dtype, stack_size)
    return Played("atari", "Pong", spec, actions or Discrete(6))


def _frame(number, shape=_SHAPE):
    """An image that tells the frame's number."""
    return np.full(shape, number, np.uint8)


class Told(NamedTuple):
    """One transition of one run, and the frame it was chosen from."""

    frame: int
    action: int
    reward: float
    end: str  # '.' goes on, 'T' terminated, 'X' truncated, 'B' both
    next_frame: int


def _script(ends, start=1):
    """Transitions with these ends; frames count up from `start`, a new episode's first included."""
    found, number = [], start
    for i, end in enumerate(ends):
        reward = (-1.0, 0.0, 0.5, 1.0)[i % 4]
        found.append(Told(number, (3 * i + start) % 6, reward, end, number + 1))
        number += 1 if end == "." else 2
    return found


def _first_of_next(told):
    return told.next_frame if told.end == "." else told.next_frame + 1


def _record(root, scripts, played=None, **settings):
    """Tells a recorder `scripts`, one of each run; returns what about.json is to say."""
    with Recorder(root, played or _played(), len(scripts), **settings) as recorder:
        recorder.add_first(np.stack([_frame(own[0].frame) for own in scripts]))
        for told in zip(*scripts, strict=True):
            recorder.add(
                actions=np.array([x.action for x in told]),
                rewards=np.array([x.reward for x in told], np.float32),
                terminated=np.array([x.end in "TB" for x in told]),
                truncated=np.array([x.end in "XB" for x in told]),
                next_frames=np.stack([_frame(x.next_frame) for x in told]),
                frames=np.stack([_frame(_first_of_next(x)) for x in told]),
            )
        return recorder.finish([{"seed": 7 + i} for i in range(len(scripts))])


def _load(path):
    with gzip.open(path) as file:
        array = np.load(file, allow_pickle=False)
        assert file.read() == b""
    return array


def _read(folder):
    """All rows by field, files one after another, and how long each file is."""
    count = len(list(folder.glob("add_count_ckpt.*.gz")))
    files = [
        {name: _load(folder / f"{file}_ckpt.{i}.gz") for file, name in _FIELDS.items()}
        for i in range(count)
    ]
    lengths = [{len(array) for array in own.values()} for own in files]
    assert all(len(x) == 1 for x in lengths)
    rows = {name: np.concatenate([own[name] for own in files]) for name in _FIELDS.values()}
    return rows, [x.pop() for x in lengths]


def _logs(root, run=1):
    return root / "Pong" / str(run) / "replay_logs"


def test_rows_of_a_terminal_a_truncation_and_an_episode_that_goes_on(tmp_path):
    """Written out by hand: a stack of three takes two rows of padding."""
    _record(tmp_path, [_script(".TX.")])
    rows, lengths = _read(_logs(tmp_path))
    assert lengths == [12]
    assert rows["observation"].shape == (12, 3, 2)
    assert rows["observation"][:, 2, 1].tolist() == [0, 0, 1, 2, 0, 0, 4, 5, 0, 0, 6, 7]
    assert rows["action"].tolist() == [0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 4, 0]
    assert rows["reward"].tolist() == [0, 0, -1.0, 0.0, 0, 0, 0.5, 0, 0, 0, 1.0, 0]
    assert rows["terminal"].tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0]
    assert rows["truncation"].tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]
    kinds = {name: array.dtype for name, array in rows.items()}
    assert kinds == {
        "observation": np.uint8,
        "action": np.int32,
        "reward": np.float32,
        "terminal": np.uint8,
        "truncation": np.uint8,
    }


def test_nothing_follows_a_last_transition_that_ended_its_episode(tmp_path):
    for name, ends, last in (("T", "..T", 3), ("X", "..X", 4)):
        _record(tmp_path / name, [_script(ends)])
        rows, _ = _read(_logs(tmp_path / name))
        assert rows["observation"][:, 0, 0].tolist() == [0, 0, *range(1, last + 1)]


def test_a_terminal_wins_over_a_truncation(tmp_path):
    _record(tmp_path / "both", [_script(".B..")])
    _record(tmp_path / "one", [_script(".T..")])
    own, other = (_read(_logs(tmp_path / name))[0] for name in ("both", "one"))
    for name, rows in own.items():
        np.testing.assert_array_equal(rows, other[name])


def _random_ends(seed, count=150):
    return "".join(np.random.default_rng(seed).choice([*"......TX"], count))


@pytest.mark.parametrize("checkpoint_rows", [1, 2, 5, 16])
def test_files_hold_so_many_rows_whatever_stands_at_their_seams(tmp_path, checkpoint_rows):
    script = _script(_random_ends(0, 40))
    _record(tmp_path / "whole", [script])
    _record(tmp_path / "cut", [script], checkpoint_rows=checkpoint_rows)
    whole, (total,) = _read(_logs(tmp_path / "whole"))
    cut, lengths = _read(_logs(tmp_path / "cut"))
    assert set(lengths[:-1]) == {checkpoint_rows}
    assert 1 <= lengths[-1] <= checkpoint_rows
    for name, rows in whole.items():
        np.testing.assert_array_equal(cut[name], rows)
    for i, added in enumerate(np.cumsum(lengths)):
        assert _load(_logs(tmp_path / "cut") / f"add_count_ckpt.{i}.gz") == added
        assert _load(_logs(tmp_path / "cut") / f"invalid_range_ckpt.{i}.gz").size == 0
    assert sum(lengths) == total


def _transitions(rows):
    """Read by the rules alone: padding follows an end; a 2 is an end's last frame."""
    found, padding, frames = [], 2, rows["observation"][:, 0, 0].tolist()
    columns = zip(*(rows[name].tolist() for name in _FIELDS.values()), strict=True)
    for i, (_, action, reward, terminal, kind) in enumerate(columns):
        if kind == 2 or (i + 1 == len(frames) and not terminal):
            continue
        if padding:
            assert rows["observation"][i].max() == action == reward == terminal == kind == 0
            padding -= 1
            continue
        end = "X" if kind else "T" if terminal else "."
        found.append((frames[i], action, reward, end, None if end == "T" else frames[i + 1]))
        padding = 0 if end == "." else 2
    return found


def test_every_transition_of_every_run_is_there_once(tmp_path):
    scripts = [_script(_random_ends(seed, 70), start=1 + 50 * seed) for seed in range(3)]
    _record(tmp_path, scripts, checkpoint_rows=20)
    for run, script in enumerate(scripts, 1):
        expected = [(*x[:4], None if x.end == "T" else x.next_frame) for x in script]
        assert _transitions(_read(_logs(tmp_path, run))[0]) == expected


def test_a_run_does_not_depend_on_the_runs_beside_it(tmp_path):
    scripts = [_script(_random_ends(seed)) for seed in range(2)]
    _record(tmp_path / "together", scripts)
    for run, script in enumerate(scripts, 1):
        _record(tmp_path / str(run), [script])
        for path in sorted(_logs(tmp_path / str(run)).glob("*.gz")):
            beside = _logs(tmp_path / "together", run) / path.name
            assert beside.read_bytes() == path.read_bytes()


def test_no_stack_that_dopamine_samples_holds_another_episode(tmp_path):
    """By its rule, as `is_valid_transition` has it: stacks of 3, one-step returns.

    An index may be drawn if it is two before the cursor at most, has a whole stack behind it, and
    no row of the stack but the last is terminal.
    """
    script = _script(_random_ends(3))
    _record(tmp_path, [script])
    rows, (size,) = _read(_logs(tmp_path))
    pixels, terminal = rows["observation"][:, 0, 0].tolist(), rows["terminal"]
    drawn = [i for i in range(2, size - 1) if not terminal[i - 2 : i].any()]
    # Frames of an episode, as numbers; zeros before its first.
    expected, episode = [], []
    for told in script:
        episode.append(told.frame)
        stack = [0, 0, *episode][-3:]
        over = told.end != "."
        after = None if over else [*stack[1:], told.next_frame]
        expected.append((stack, told.action, told.reward, over, after))
        episode = [] if over else episode
    got = [
        (
            pixels[i - 2 : i + 1],
            int(rows["action"][i]),
            float(rows["reward"][i]),
            bool(terminal[i]),
            None if terminal[i] else pixels[i - 1 : i + 2],
        )
        for i in drawn
    ]
    assert got == expected


def test_about_says_what_the_run_is_and_names_every_file(tmp_path):
    abouts = _record(tmp_path, [_script("..X."), _script("....")], checkpoint_rows=5)
    for run, returned in enumerate(abouts, 1):
        about = json.loads((_logs(tmp_path, run) / "about.json").read_text())
        assert about == json.loads(json.dumps(returned))
        files = about.pop("files")
        assert about == {
            "format": 1,
            "suite": "atari",
            "game": "Pong",
            "run": run,
            "seed": 6 + run,
            "num_actions": 6,
            "frame_shape": [3, 2, 1],
            "stack_size": 3,
            "rows": 10 if run == 1 else 7,
            "transitions": 4,
        }
        there = {path.name: path.read_bytes() for path in _logs(tmp_path, run).glob("*.gz")}
        assert len(there) == 14
        assert files == {
            name: {"bytes": len(x), "sha256": hashlib.sha256(x).hexdigest()}
            for name, x in there.items()
        }


def test_without_being_finished_there_is_no_about(tmp_path):
    with Recorder(tmp_path, _played(), 1) as recorder:
        recorder.add_first(_frame(1)[None])
    assert not list(tmp_path.rglob("about.json"))


def test_frames_of_several_channels_keep_their_axis(tmp_path):
    shape = (2, 2, 4)
    with Recorder(tmp_path, _played(shape, stack_size=1), 1) as recorder:
        recorder.add_first(_frame(1, shape)[None])
        ends = {"terminated": np.array([True]), "truncated": np.array([False])}
        frames = {"next_frames": _frame(2, shape)[None], "frames": _frame(3, shape)[None]}
        recorder.add(actions=np.array([2]), rewards=np.array([1.0]), **ends, **frames)
        recorder.finish([{}])
    rows, _ = _read(_logs(tmp_path))
    np.testing.assert_array_equal(rows["observation"], _frame(1, (1, *shape)))  # no padding


@pytest.mark.parametrize(
    "played",
    [
        _played((3,), stack_size=1),
        _played(dtype=np.float32),
        _played(actions=Box((0.0,), (1.0,))),
    ],
)
def test_what_has_no_place_in_the_layout_is_refused(tmp_path, played):
    with pytest.raises(ConfigError, match="a dataset of Pong: expected frames of uint8 images"):
        Recorder(tmp_path, played, 1)


@pytest.mark.parametrize("missing", [(), ("zlib_ng",), ("zlib_ng", "isal")])
def test_any_compressor_writes_what_gzip_reads(tmp_path, monkeypatch, missing):
    find = gzip_files.importlib.import_module

    def without(name):
        if name.split(".")[0] in missing:
            raise ImportError(name)
        return find(name)

    monkeypatch.setattr(gzip_files.importlib, "import_module", without)
    _record(tmp_path, [_script(_random_ends(1))], checkpoint_rows=50)
    for path in _logs(tmp_path).glob("*.gz"):
        plain = subprocess.run(["gzip", "-dc", path], capture_output=True, check=True).stdout
        array = _load(path)
        assert len(plain) == 128 + array.nbytes  # np.save pads its header to that
    monkeypatch.undo()
    _record(tmp_path / "again", [_script(_random_ends(1))], checkpoint_rows=50)
    own, other = (_read(_logs(root))[0] for root in (tmp_path, tmp_path / "again"))
    for name, rows in own.items():
        np.testing.assert_array_equal(rows, other[name])


def test_memory_does_not_grow_with_what_is_written(tmp_path):
    """14 MB of frames that no compressor makes smaller."""
    spec = ObservationSpec((84, 84, 1), stack_size=4)
    frames = np.random.default_rng(0).integers(0, 256, (10, 1, 84, 84, 1), np.uint8)
    no = np.array([False])
    with Recorder(tmp_path, Played("atari", "Pong", spec, Discrete(6)), 1) as recorder:
        recorder.add_first(frames[0])
        tracemalloc.start()
        for i in range(2_000):
            now = {"next_frames": frames[i % 10], "frames": frames[i % 10]}
            recorder.add(actions=no, rewards=no, terminated=no, truncated=no, **now)
        recorder.finish([{}])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (_logs(tmp_path) / "$store$_observation_ckpt.0.gz").stat().st_size > 13e6
    assert peak < 4e6


def test_what_it_was_given_may_change_afterwards(tmp_path):
    frames, no = np.zeros((1, *_SHAPE), np.uint8), np.array([False])
    with Recorder(tmp_path, _played(), 1) as recorder:
        frames[:] = 1
        recorder.add_first(frames)
        for number in (2, 3):
            frames[:] = number
            now = {"next_frames": frames, "frames": frames}
            recorder.add(actions=no, rewards=no, terminated=no, truncated=no, **now)
        frames[:] = 9
        recorder.finish([{}])
    rows, _ = _read(_logs(tmp_path))
    assert rows["observation"][:, 0, 0].tolist() == [0, 0, 1, 2, 3]
