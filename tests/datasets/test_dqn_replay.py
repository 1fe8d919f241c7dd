"""What is read of DQN-replay directories, against the episodes that they were written from."""

import shutil
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.datasets.dqn_replay import find_runs
from prune_rl.datasets.experience import Share

from . import replay_logs as logs

SHAPE = (2, 3, 1)  # of frames of our own files


@pytest.fixture(autouse=True, scope="module", params=[1, 7 * 84 * 84])
def block_bytes(request):
    """Blocks of one row, or seven Atari frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prune_rl.datasets.dqn_replay_part._BLOCK_BYTES", request.param)
        yield


def read(run, share):
    """(part, its transitions) of every part."""
    stack_size = run.observation_spec.stack_size
    found = []
    for part in run.parts(share):
        blocks = list(part.blocks())
        assert sum(len(block.starts) for block in blocks) <= part.num_rows
        transitions = logs.implied(blocks, stack_size, share.horizon)
        assert len(transitions) <= part.num_transitions <= part.total_transitions
        found.append((part, transitions))
    return found


def assert_holds(run, share, expected):
    """Each of `expected` once and no other, or at a lower share that many of each part."""
    found = Counter(chain.from_iterable(x for _, x in read(run, share)))
    if share.fraction == 1:
        assert found == Counter(expected)
    assert not found - Counter(expected)


def remove(folder, number):
    for path in folder.glob(f"*_ckpt.{number}.gz"):
        path.unlink()


@pytest.fixture(scope="module", params=[0, 5], ids=["frames", "black frames"])
def published(request, tmp_path_factory):
    """Root, rows and logs of 11 cycles of a buffer of 40 rows."""
    root = tmp_path_factory.mktemp("published")
    lengths = np.random.default_rng(1).integers(1, 45, 22)
    rows = logs.play(0, lengths, 4, black=request.param)
    found = logs.publish(root / "Pong/1/replay_logs", rows, 40)
    assert len(found) > 5
    return root, rows, found


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("missing", [(), (2, 3)], ids=["whole", "lacking"])
@pytest.mark.parametrize("unit", ["windows", "transitions"])
@pytest.mark.parametrize("fraction", [1.0, 0.3])
def test_a_circular_buffer_gives_every_transition_it_proves_once(
    published, tmp_path, horizon, missing, unit, fraction
):
    root, rows, added = published
    if missing:
        root = shutil.copytree(root, tmp_path / "copy")
        for number in missing:
            remove(root / "Pong/1/replay_logs", number)
    (run,) = find_runs(root)
    expected = logs.lived(rows, logs.stretches_of_published(added, 40, missing), 4, horizon)
    assert_holds(run, Share(fraction, unit, horizon=horizon), expected)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("capacity", [50, 60, 90, 125, 200])
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "lacking"])
def test_a_buffer_written_in_the_middle_of_a_cycle(tmp_path, capacity, horizon, missing):
    rows = logs.play(3, [30, 25, 20, 40, 13], 4)
    folder = tmp_path / "Pong/2/replay_logs"
    added = logs.publish(folder, rows, capacity, final=True)
    absent = (len(added) - 2,) if missing and len(added) > 1 else ()
    for number in absent:
        remove(folder, number)
    (run,) = find_runs(folder)
    stretches = logs.stretches_of_published(added, capacity, absent)
    assert_holds(run, Share(horizon=horizon), logs.lived(rows, stretches, 4, horizon))


@pytest.mark.parametrize("number", [1, 2])
def test_a_checkpoint_that_does_not_say_where_its_buffer_stood_is_taken_for_a_published_one(
    published, tmp_path, number
):
    root, rows, added = published
    root = shutil.copytree(root, tmp_path / "copy")
    (root / f"Pong/1/replay_logs/add_count_ckpt.{number}.gz").unlink()
    (run,) = find_runs(root)
    expected = logs.lived(rows, logs.stretches_of_published(added, 40), 4, 1)
    assert_holds(run, Share(), expected)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_our_files_lose_nothing_at_their_seams(tmp_path_factory, data):
    stack_size, horizon = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, 25), min_size=1, max_size=6))
    black = data.draw(st.sampled_from([0, 5]))
    rows = logs.play(0, lengths, stack_size, black=black, truncated=0.4)
    cuts = data.draw(st.sets(st.integers(1, len(rows)), max_size=6)) | {len(rows)}
    sizes = np.diff([0, *sorted(cuts)]).tolist()
    folder = tmp_path_factory.mktemp("ours") / "Pong/1/replay_logs"
    logs.write_ours(folder, rows, sizes, SHAPE, stack_size)
    missing = data.draw(st.sets(st.integers(0, len(sizes) - 1), max_size=len(sizes) - 1))
    for number in missing:
        remove(folder, number)
    stretches = logs.stretches_of_ours(sizes, missing)
    expected = logs.lived(rows, stretches, stack_size, horizon)
    fraction = data.draw(st.sampled_from([1.0, 1.0, 0.3]))
    unit = data.draw(st.sampled_from(["windows", "transitions"]))
    (run,) = find_runs(folder)
    if expected:
        assert_holds(run, Share(fraction, unit, horizon=horizon), expected)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    stack_size=st.integers(1, 4),
    horizon=st.integers(1, 4),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_a_window_is_a_share_of_transitions_that_lie_together(
    tmp_path_factory, lengths, stack_size, horizon, fraction, seed
):
    rows = logs.play(0, lengths, stack_size, truncated=0.3)
    folder = tmp_path_factory.mktemp("windows") / "Pong/1/replay_logs"
    logs.write_ours(folder, rows, [len(rows)], SHAPE, stack_size)
    (run,) = find_runs(folder)
    every = [x.stack[-1] for x in logs.lived(rows, [(0, len(rows))], stack_size, horizon)]
    if not every:
        return
    ((part, found),) = read(run, Share(fraction, seed=seed, horizon=horizon))
    chosen = [x.stack[-1] for x in found]
    first = every.index(chosen[0])
    assert chosen == every[first : first + len(chosen)]
    assert len(chosen) == max(round(fraction * len(every)), 1)
    padding = sum(row.episode is None for row in rows)
    truncated = sum(row.truncation == 2 for row in rows)
    assert len(chosen) <= part.num_transitions <= len(chosen) + padding
    # Only the window, its stacks and its last returns are held.
    assert part.num_rows <= len(chosen) + 2 * (stack_size - 1) + horizon + padding + truncated
    again = read(run, Share(fraction, seed=seed, horizon=horizon))
    assert again[0][1] == found


def test_windows_begin_anywhere_and_differ_between_checkpoints_runs_and_seeds(tmp_path):
    rows = logs.play(0, [400], 1)
    for number in (1, 2):
        folder = tmp_path / f"Pong/{number}/replay_logs"
        logs.write_ours(folder, rows, [100, 100, 100, 100], SHAPE, 1, run=number)
    begins = set()
    for run in find_runs(tmp_path):
        for seed in range(20):
            found = read(run, Share(0.1, seed=seed))
            begins |= {(x[0].stack[-1] - 1) % 100 for _, x in found}
            assert len({(x[0].stack[-1] - 1) % 100 for _, x in found}) > 1
    assert min(begins) < 10
    assert max(begins) > 80
    assert len(begins) > 40


def test_single_transitions_are_drawn_without_repeating_and_touch_more_frames(tmp_path):
    rows = logs.play(0, [500], 4)
    folder = tmp_path / "Pong/1/replay_logs"
    logs.write_ours(folder, rows, [len(rows)], SHAPE, 4)
    (run,) = find_runs(folder)
    ((part, found),) = read(run, Share(0.05, "transitions", horizon=3))
    first = {x.stack[-1] for x in found}
    assert len(found) == len(first) == part.num_transitions == round(0.05 * 499)
    needed = {i + k for i in first for k in range(-3, 4)}
    assert part.num_rows - 3 <= len([i for i in needed if 1 <= i <= 500]) <= part.num_rows
    ((window, _),) = read(run, Share(0.05, "windows", horizon=3))
    assert part.num_rows > 4 * window.num_rows


def test_rows_that_are_no_padding_survive(tmp_path):
    """Episodes without padding, of an agent that begins by doing nothing."""
    frames = [*range(1, 11), 0, *range(12, 31)]  # the second episode's first is black
    rows = [logs.Row(frame=i, terminal=int(i in (10, 20, 30))) for i in frames]
    folder = tmp_path / "Pong/1/replay_logs"
    folder.mkdir(parents=True)
    logs.write_checkpoint(folder, 0, rows, (84, 84), 30, np.arange(5))
    (run,) = find_runs(folder)
    ((_, found),) = read(run, Share())
    assert [x.stack[-1] for x in found] == frames
    assert found[11].stack == (0, 0, 0, 12)
    assert found[13].stack == (0, 12, 13, 14)


def test_a_run_is_that_which_its_path_names_wherever_links_lead_to(tmp_path, monkeypatch):
    rows = logs.play(0, [30, 25], 4)
    logs.publish(tmp_path / "store/Breakout/3/replay_logs", rows, 40, final=True)
    (tmp_path / "data/Pong").mkdir(parents=True)
    (tmp_path / "data/Pong/1").symlink_to(tmp_path / "store/Breakout/3")
    monkeypatch.chdir(tmp_path / "data")
    for path in ("", "Pong", "Pong/1", "Pong/1/replay_logs"):
        for named in (Path(path), tmp_path / "data" / path):
            (run,) = find_runs(named)
            assert (run.game, run.number) == ("Pong", 1)
