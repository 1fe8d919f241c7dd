"""A run of blocks written by hand, read back by tensorflow-datasets alone."""

import resource
from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl.datasets.experience import Block, Share
from prune_rl.datasets.rlu import find_runs, problems
from prune_rl.datasets.rlu_writer import write
from prune_rl.errors import ConfigError
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Discrete, ObservationSpec

_FOLDER = "rlu_atari_checkpoints_ordered/Pong_run_2/1.1.0"
_SPEC = ObservationSpec(frame_shape=(84, 84, 1), stack_size=4)


def _frame(number):
    """Of a number: real enough to be told from any other."""
    return np.random.default_rng(number).integers(256, size=(84, 84, 1), dtype=np.uint8)


def _block(rows):
    """Of rows (number of the frame, age, end, whether a transition begins there).

    A frame's action and reward follow from its number.
    """
    numbers, ages, ends, starts = map(np.array, zip(*rows, strict=True))
    return Block(
        frames=np.stack([_frame(number) for number in numbers]),
        actions=(numbers % 6).astype(np.int32),
        rewards=(numbers % 3 - 1).astype(np.float32),
        ages=ages.astype(np.int32),
        ends=ends.astype(np.uint8),
        starts=starts.astype(bool),
    )


def _scripted(*parts, suite="atari", spec=_SPEC, error=None):
    """A `Run` of parts, each a list of blocks' rows; `error` is raised after the last block."""

    def blocks(part):
        yield from map(_block, part)
        if error is not None:
            raise error

    def ask(share):
        assert (share.fraction, share.unit) == (1, "windows")
        return [SimpleNamespace(blocks=lambda part=part: blocks(part)) for part in parts]

    return SimpleNamespace(
        game="Pong",
        suite=suite,
        number=2,
        observation_spec=spec,
        action_spec=Discrete(6),
        protocol={"format": "scripted"},
        parts=ask,
    )


def _stretch(first, ages, end=GOES_ON, last_starts=True):
    """Rows of one episode with frames from number `first` on; the last row has this `end`."""
    rows = [[first + place, age, GOES_ON, True] for place, age in enumerate(ages)]
    rows[-1][2:] = end, last_starts
    return rows


def _read(folder):
    """Every split by name: of each episode its checkpoint, number, return and steps."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    assert builder.info.full_name == "rlu_atari_checkpoints_ordered/Pong_run_2/1.1.0"
    read = {}
    for split in builder.info.splits:
        episodes = tfds.as_numpy(builder.as_dataset(split=split))
        read[split] = [
            SimpleNamespace(
                checkpoint=int(episode["checkpoint_id"]),
                number=int(episode["episode_id"]),
                told=float(episode["episode_return"]),
                steps=list(episode["steps"]),
            )
            for episode in episodes
        ]
    return read


def _assert_episode(episode, numbers, *, terminal, last):
    """That its steps are of frames with these `numbers`, then the observation `last`."""
    *steps, final = episode.steps
    assert len(steps) == len(numbers)
    for number, step in zip(numbers, steps, strict=True):
        np.testing.assert_array_equal(step["observation"], _frame(number))
        assert (step["action"], step["reward"]) == (number % 6, number % 3 - 1)
    np.testing.assert_array_equal(final["observation"], last)
    assert (final["action"], final["reward"]) == (0, 0)
    flags = [
        [bool(step[name]) for name in ("is_first", "is_last", "is_terminal")]
        for step in episode.steps
    ]
    inner = [[False] * 3] * (len(numbers) - 1)
    assert flags == [[True, False, False], *inner, [False, True, terminal]]
    discounts = [float(step["discount"]) for step in episode.steps]
    assert discounts == [1] * (len(numbers) - 1) + [1 - terminal] * 2
    assert episode.told == sum(number % 3 - 1 for number in numbers)


_ZEROS = np.zeros((84, 84, 1), np.uint8)


def test_episodes_that_end_each_in_its_way(tmp_path):
    terminal = _stretch(10, range(3), TERMINATED)
    padding = [[0, 0, FINAL, False]] * 3
    truncated = [*_stretch(20, range(4), TRUNCATED), [24, 4, FINAL, False]]
    terminal_and_seen = [*_stretch(30, range(2), TERMINATED), [32, 2, FINAL, False]]
    unfinished = [*_stretch(40, range(5)), [45, 5, GOES_ON, False]]
    blocks = [terminal, padding + truncated[:2], truncated[2:], terminal_and_seen + unfinished]
    write(_scripted(blocks), tmp_path / "new" / "out")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    read = _read(tmp_path / "new" / "out" / _FOLDER)
    assert list(read) == ["checkpoint_00"]
    episodes = read["checkpoint_00"]
    assert [(own.checkpoint, own.number) for own in episodes] == [(0, n) for n in range(4)]
    _assert_episode(episodes[0], range(10, 13), terminal=True, last=_ZEROS)
    _assert_episode(episodes[1], range(20, 24), terminal=False, last=_frame(24))
    _assert_episode(episodes[2], range(30, 32), terminal=True, last=_frame(32))
    _assert_episode(episodes[3], range(40, 45), terminal=False, last=_frame(45))


def _context(*numbers):
    """Rows before a part's first transition, for its stack alone; ages count from the first."""
    return [[number, age, GOES_ON, False] for age, number in enumerate(numbers)]


@pytest.mark.parametrize("stops", [GOES_ON, TRUNCATED])
def test_an_episode_across_parts_lies_whole_in_the_split_where_it_begins(tmp_path, stops):
    after = FINAL if stops == TRUNCATED else GOES_ON
    before = _stretch(10, range(2), TERMINATED)
    first = [*_stretch(20, range(4), stops), [24, 4, after, False]]
    second = [*_context(21, 22, 23), *_stretch(24, (3, 4), stops), [26, 5, after, False]]
    third = [*_context(23, 24, 25), *_stretch(26, (3, 4), TERMINATED)]
    blocks = [third, _stretch(30, range(3), TERMINATED)]
    write(_scripted([before, first], [second], blocks), tmp_path)
    read = _read(tmp_path / _FOLDER)
    assert list(read) == ["checkpoint_00", "checkpoint_02"]
    own, long = read["checkpoint_00"]
    _assert_episode(own, (10, 11), terminal=True, last=_ZEROS)
    _assert_episode(long, range(20, 28), terminal=True, last=_ZEROS)
    (last,) = read["checkpoint_02"]
    assert (last.checkpoint, last.number) == (2, 0)
    _assert_episode(last, range(30, 33), terminal=True, last=_ZEROS)


@pytest.mark.parametrize(
    ("context", "frame"), [((60, 61), 50), ((11, 12), 50), ((60, 12), 13), ((), 13)]
)
def test_what_lies_between_parts_cuts_an_episode(tmp_path, context, frame):
    first = [*_stretch(10, range(3), TRUNCATED), [13, 3, FINAL, False]]
    age = len(context)
    other = _context(*context) + _stretch(frame, range(age, age + 3), TERMINATED)
    write(_scripted([first], [other]), tmp_path)
    read = _read(tmp_path / _FOLDER)
    _assert_episode(read["checkpoint_00"][0], range(10, 13), terminal=False, last=_frame(13))
    numbers = range(frame, frame + 3)
    _assert_episode(read["checkpoint_01"][0], numbers, terminal=True, last=_ZEROS)


def test_a_row_that_no_transition_begins_at_cuts_an_episode(tmp_path):
    rows = [*_stretch(10, range(3)), [13, 3, GOES_ON, False], *_stretch(14, (4, 5), TERMINATED)]
    write(_scripted([rows]), tmp_path)
    first, second = _read(tmp_path / _FOLDER)["checkpoint_00"]
    _assert_episode(first, range(10, 13), terminal=False, last=_frame(13))
    _assert_episode(second, (14, 15), terminal=True, last=_ZEROS)


def test_a_last_row_without_a_successor_gives_its_observation_alone(tmp_path):
    write(_scripted([_stretch(10, range(3))], [_stretch(50, range(1))]), tmp_path)
    read = _read(tmp_path / _FOLDER)
    assert list(read) == ["checkpoint_00"]
    _assert_episode(read["checkpoint_00"][0], range(10, 12), terminal=False, last=_frame(12))


def test_tensorflow_datasets_loads_by_name_and_our_reader_agrees(tmp_path, capfd):
    import tensorflow_datasets as tfds

    rows = [*_stretch(10, range(4), TRUNCATED), [14, 4, FINAL, False]]
    write(_scripted([rows]), tmp_path)
    assert capfd.readouterr() == ("", "")
    name = "rlu_atari_checkpoints_ordered/Pong_run_2"
    loaded = tfds.load(name, data_dir=tmp_path, split="checkpoint_00", download=False)
    assert sum(1 for _ in loaded) == 1
    (run,) = find_runs(tmp_path)
    assert list(problems(run)) == []
    (part,) = run.parts(Share())
    (block,) = part.blocks()
    for own, expected in zip(block, _block(rows), strict=True):
        np.testing.assert_array_equal(own[:-1], expected[:-1])
    np.testing.assert_array_equal(block.frames[-1], _frame(14))
    assert (block.ages[-1], block.ends[-1], block.starts[-1]) == (4, FINAL, False)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ({"stored_rewards": "as they are", "rewards": "clipped"}, "as they are"),
        ({"rewards": "clipped"}, "clipped"),
        ({}, "clipped to [-1, 1], as the dataset's description says"),
    ],
)
def test_what_the_run_says_of_its_rewards_is_read_again(tmp_path, protocol, expected):
    run = _scripted([_stretch(10, range(3), TERMINATED)])
    run.protocol |= protocol
    write(run, tmp_path / "first")
    (written,) = find_runs(tmp_path / "first")
    assert written.protocol["rewards"] == expected
    write(written, tmp_path / "second")
    (again,) = find_runs(tmp_path / "second")
    assert again.protocol["rewards"] == expected


def test_minatar_and_other_frames_are_refused(tmp_path):
    minatar = ObservationSpec(frame_shape=(10, 10, 4), stack_size=1)
    with pytest.raises(ConfigError, match=r"--format=rlu holds Atari frames .*--format=dqn_replay"):
        write(_scripted([], suite="minatar", spec=minatar), tmp_path / "out")
    wide = ObservationSpec(frame_shape=(84, 96, 1), stack_size=4)
    with pytest.raises(ConfigError, match=r"frames \(84, 96, 1\)"):
        write(_scripted([], spec=wide), tmp_path / "out")
    with pytest.raises(ConfigError, match="Pong/2: no transition to write"):
        write(_scripted([]), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_there_is_not_written_over(tmp_path):
    run = _scripted([_stretch(10, range(3), TERMINATED)])
    write(run, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ConfigError, match="there already"):
        write(run, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("error", [RuntimeError("no more"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_run_that_could_not_be_read_to_its_end(tmp_path, error):
    run = _scripted([_stretch(10, range(3), TERMINATED)] * 2, error=error)
    with pytest.raises(type(error)):
        write(run, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("short", [1, 60_000])
def test_a_full_disk_leaves_nothing_but_what_was_there(tmp_path, short):
    """By the limit of a file's size: `short` of what the data takes, when flushed or closed."""
    rows = [_stretch(10 * number, range(4), TERMINATED) for number in range(5)]
    write(_scripted(rows), tmp_path / "whole")
    size = max(path.stat().st_size for path in tmp_path.rglob("*.tfrecord*"))
    (tmp_path / "out" / "rlu_atari_checkpoints_ordered").mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - short, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(_scripted(rows), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*")]
    assert left == ["out/rlu_atari_checkpoints_ordered"]
    assert find_runs(tmp_path / "out") == []
