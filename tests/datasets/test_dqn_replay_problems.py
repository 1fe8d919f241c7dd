"""What is said of directories that are damaged, incomplete, or none."""

import gzip
import json

import numpy as np
import pytest

from prune_rl.datasets.dqn_replay import find_runs, problems
from prune_rl.datasets.experience import Damaged, Share
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete

from . import replay_logs as logs

SHAPE = (2, 3, 1)
ROWS = logs.play(0, [20, 30, 40], 4, truncated=0.5)
SIZES = [40, 40, len(ROWS) - 80]


def name(field, number=1):
    prefix = "$store$_" if field in ("observation", "action", "reward", "terminal") else ""
    return f"{prefix}{field}_ckpt.{number}.gz"


@pytest.fixture
def folder(tmp_path):
    """Of a run of ours, three checkpoints."""
    folder = tmp_path / "Pong/1/replay_logs"
    logs.write_ours(folder, ROWS, SIZES, SHAPE, 4)
    return folder


def rewrite(folder, field, change, number=1):
    """Saves a changed array, and lists it as if it had been so."""
    path = folder / name(field, number)
    with gzip.open(path) as file:
        array = np.load(file)
    logs.save(folder, path.name, change(array))
    logs.write_about(folder, SHAPE, 4)


def changed(**rows):
    """Sets rows of an array: `changed(r7=3)`."""

    def change(array):
        array = array.copy()
        for row, value in rows.items():
            array[int(row[1:])] = value
        return array

    return change


def read_all(run):
    for part in run.parts(Share()):
        for _ in part.blocks():
            pass


def test_nothing_is_said_of_a_clean_run(folder):
    (run,) = find_runs(folder)
    assert list(problems(run)) == []
    assert run.missing == []


CASES = {
    "action": (changed(r7=6, r9=-1), "row 7: action 6, expected 0 to 5 (1 more such rows)"),
    "reward": (changed(r39=np.nan), "row 39: reward nan, expected a finite number"),
    "terminal": (changed(r3=2), "row 3: terminal 2, expected 0 or 1"),
    "truncation": (changed(r3=3), "row 3: truncation 3, expected 0, 1 or 2"),
    "add_count": (lambda array: array - 70, "row 0: add_count 10, expected at least 40"),
}


@pytest.mark.parametrize("field", CASES)
def test_impossible_values_are_named_with_their_row(folder, field):
    change, message = CASES[field]
    rewrite(folder, field, change)
    (run,) = find_runs(folder)
    found = list(problems(run))
    assert f"{folder / name(field)}: {message}" in found
    assert all("\n" not in line for line in found)
    with pytest.raises(Damaged, match=f"{field}_ckpt.1.gz: row"):
        run.parts(Share())


def test_a_truncation_must_come_with_a_terminal_and_its_last_observation(folder):
    def truncate(kinds, terminals):
        rewrite(folder, "truncation", lambda _: np.array(kinds + [0] * 36, np.uint8))
        rewrite(folder, "terminal", lambda _: np.array(terminals + [0] * 36, np.uint8))
        (run,) = find_runs(folder)
        return [line.split("gz: row ")[1] for line in problems(run)]

    assert truncate([0, 1, 2, 0], [0, 1, 1, 0]) == []
    assert truncate([2, 0, 0, 0], [1, 0, 0, 0]) == []  # the 1 is in the file before
    assert truncate([0, 2, 0, 0], [0, 1, 0, 0]) == [
        "1: truncation 2, expected a 1 in the row before"
    ]
    assert truncate([0, 1, 0, 0], [0, 1, 1, 0]) == [
        "2: truncation 0, expected 2 in the row after a 1"
    ]
    assert truncate([0, 1, 2, 0], [0, 1, 0, 0]) == [
        "2: truncation 2, expected 0 where terminal is 0"
    ]


@pytest.mark.parametrize("field", ["observation", "action", "reward", "terminal", "truncation"])
def test_another_dtype_shape_or_length(folder, field):
    path, number = folder / name(field), {"action": "int32", "reward": "float32"}
    dtype = number.get(field, "uint8")
    rewrite(folder, field, lambda array: array.astype(np.float64))
    (run,) = find_runs(folder)
    (found,) = problems(run)
    assert found.startswith(f"{path}: float64 (40,")
    assert f"expected {dtype} (n" in found
    with pytest.raises(Damaged, match="float64"):
        run.parts(Share())
    rewrite(folder, field, lambda array: array.astype(dtype)[:, None])
    (found,) = problems(find_runs(folder)[0])
    assert found.startswith(f"{path}: {dtype} (40, 1")
    rewrite(folder, field, lambda array: array[:39, 0])
    (found,) = problems(find_runs(folder)[0])
    assert found.startswith(f"{folder}: checkpoint 1: files of unequal lengths: ")
    assert f"{field} 39" in found


@pytest.mark.parametrize("field", ["observation", "action", "add_count"])
def test_a_file_that_is_cut(folder, field):
    path = folder / name(field)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    (run,) = find_runs(folder)
    (found,) = problems(run)
    assert found.startswith(f"{path}: truncated: the file ends at byte {len(whole) - 5:,}, after ")
    with pytest.raises(Damaged, match="truncated"):
        read_all(run)


@pytest.mark.parametrize("field", ["observation", "reward"])
def test_a_byte_that_is_flipped(folder, field):
    path = folder / name(field)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    (run,) = find_runs(folder)
    (found,) = problems(run)
    assert found.startswith(f"{path}: ")
    with pytest.raises(Damaged, match=field):
        read_all(run)


@pytest.mark.parametrize("share", [Share(0.05), Share(0.05, "transitions")])
def test_a_wrong_checksum_is_found_whatever_the_share(tmp_path, share):
    folder = tmp_path / "Pong/1/replay_logs"
    folder.mkdir(parents=True)
    logs.write_checkpoint(folder, 0, ROWS[:60], (84, 84), 59, np.arange(5))
    frames = np.random.default_rng(0).integers(0, 256, (60, 84, 84), np.uint8)
    logs.save(folder, name("observation", 0), frames)
    path = folder / name("observation", 0)
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 1
    path.write_bytes(whole)
    (part,) = find_runs(folder)[0].parts(share)
    with pytest.raises(Damaged, match="CRC"):
        list(part.blocks())


def test_a_digest_that_differs(folder):
    path = folder / name("reward")
    rows = np.zeros(40, np.float32)
    logs.save(folder, path.name, rows)
    (run,) = find_runs(folder)
    (found,) = problems(run)
    assert found.startswith(f"{path}: bytes {path.stat().st_size}, but about.json says ")


def test_a_file_that_is_longer_than_its_array(folder):
    path = folder / name("terminal")
    path.write_bytes(path.read_bytes() + gzip.compress(b"more"))
    with pytest.raises(Damaged, match=r"4 bytes more than the array \(40,\) takes"):
        find_runs(folder)[0].parts(Share())


def test_a_header_that_promises_more_than_a_file_can_hold(folder):
    path = folder / name("reward")
    with gzip.open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
        )
    with pytest.raises(Damaged, match="cannot be read"):
        find_runs(folder)[0].parts(Share())


def test_what_is_no_array_at_all(folder):
    path = folder / name("action")
    path.write_bytes(gzip.compress(b"hello, this is no array"))
    with pytest.raises(Damaged, match=r"not an array of numbers as np\.save writes it"):
        find_runs(folder)[0].parts(Share())


def test_a_checkpoint_that_lacks_a_file_is_left_out_and_reported(folder):
    (folder / name("reward")).unlink()
    (run,) = find_runs(folder)
    assert run.missing == [name("reward")]
    assert [part.name for part in run.parts(Share())] == [
        "Pong/1 checkpoint 0",
        "Pong/1 checkpoint 2",
    ]
    assert list(problems(run)) == [f"{folder}: no {name('reward')}"]


def test_truncations_that_got_lost_are_not_taken_for_terminals(folder):
    (folder / name("truncation")).unlink()
    (run,) = find_runs(folder)
    assert run.missing == [name("truncation")]
    assert len(run.parts(Share())) == 2


def test_gaps_of_a_published_run(tmp_path):
    folder = tmp_path / "Seaquest/3/replay_logs"
    folder.mkdir(parents=True)
    for number in (0, 1, 4):
        logs.write_checkpoint(folder, number, ROWS[:20], (84, 84), 19, np.arange(5))
    (folder / name("action", 4)).unlink()
    (run,) = find_runs(folder)
    assert (run.suite, run.game, run.number, run.action_spec) == ("atari", "Seaquest", 3, None)
    assert len(run.missing) == 4 * 47 + 1
    assert run.gaps == ["no files of checkpoints 2-3, 5-49", f"no {name('action', 4)}"]
    assert list(problems(run)) == [f"{folder}: no {name('action', 4)}"]
    assert [part.name for part in run.parts(Share())] == [
        "Seaquest/3 checkpoint 0",
        "Seaquest/3 checkpoint 1",
    ]
    for number in (0, 1):
        (folder / name("reward", number)).unlink()
    with pytest.raises(ConfigError, match="no transition to learn from; no files of checkpoints"):
        find_runs(folder)[0].parts(Share())


def test_a_run_of_ours_without_its_last_word_is_not_complete(folder):
    (folder / "about.json").unlink()
    for number, size in enumerate(SIZES):
        frames = np.zeros((size, 84, 84), np.uint8)
        logs.save(folder, name("observation", number), frames)
    (run,) = find_runs(folder)
    with pytest.raises(Damaged, match=r"about\.json is missing"):
        run.parts(Share())
    assert list(problems(run))[-1].startswith(f"{folder}: about.json is missing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, 'expected {"format": 1'),
        ({"run": "one"}, "run='one', expected int"),
        ({"suite": "atary"}, "suite='atary', expected one of atari, minatar"),
        ({"frame_shape": [84, 84]}, "frame_shape: "),
    ],
)
def test_an_about_that_makes_no_sense(folder, change, message):
    path = folder / "about.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Damaged) as caught:
        find_runs(folder)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_runs_are_found_at_and_below_a_path(tmp_path):
    for game, number in (("Pong", 10), ("Pong", 2), ("Nonesuch", 1)):
        folder = tmp_path / game / str(number) / "replay_logs"
        folder.mkdir(parents=True)
        logs.write_checkpoint(folder, 0, ROWS[:20], (84, 84), 19, np.arange(5))

    def found(path):
        return [(run.game, run.number) for run in find_runs(path)]

    assert found(tmp_path) == [("Nonesuch", 1), ("Pong", 2), ("Pong", 10)]
    assert found(tmp_path / "Pong") == [("Pong", 2), ("Pong", 10)]
    assert found(tmp_path / "Pong/10") == found(tmp_path / "Pong/10/replay_logs") == [("Pong", 10)]
    assert found(tmp_path / "Breakout") == found(tmp_path.parent / "none") == []
    (tmp_path / "Pong/2").rename(tmp_path / "Pong/second")
    with pytest.raises(ConfigError, match="expected GAME/RUN/replay_logs, RUN a number"):
        find_runs(tmp_path)


def test_the_identity_changes_with_what_the_files_hold_and_not_with_where_they_are(
    folder, tmp_path
):
    def identity(path):
        return find_runs(path)[0].identity()

    before = identity(folder)
    assert len(before) == 64
    assert int(before, 16)
    moved = folder.parent.rename(tmp_path / "7") / "replay_logs"
    assert identity(moved) == before
    rewrite(moved, "reward", changed(r4=0.25))
    assert identity(moved) != before
    rewrite(moved, "reward", lambda array: np.float32(ROWS[44].reward) + 0 * array)
    (moved / name("reward")).unlink()
    assert identity(moved) != before


def test_facts_of_a_run_of_ours(tmp_path):
    folder = tmp_path / "breakout/1/replay_logs"
    logs.write_ours(folder, ROWS, SIZES, (10, 10, 4), 1, suite="minatar", game="breakout")
    (run,) = find_runs(tmp_path)
    assert (run.suite, run.game, run.action_spec) == ("minatar", "breakout", Discrete(6))
    assert run.observation_spec.frame_shape == (10, 10, 4)
    assert run.observation_spec.stack_size == 1
    assert run.protocol == {"format": "dqn_replay", "path": str(folder), "agent": "dqn"}
