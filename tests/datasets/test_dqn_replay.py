"""What is read of DQN-replay directories, against the episodes that they were written from."""

import shutil
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.datasets.dqn_replay import find_runs
from prune_rl.datasets.experience import Share

from . import replay_logs as logs

SHAPE = (2, 3, 1)  # of frames of our own files


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
def test_a_buffer_written_in_the_middle_of_a_cycle(tmp_path, horizon):
    rows = logs.play(3, [30, 25, 20, 40, 13], 4)
    for capacity in (50, 90, 200):
        folder = tmp_path / f"{capacity}/Pong/2/replay_logs"
        added = logs.publish(folder, rows, capacity, final=True)
        (run,) = find_runs(folder)
        expected = logs.lived(rows, logs.stretches_of_published(added, capacity), 4, horizon)
        assert_holds(run, Share(horizon=horizon), expected)


@settings(max_examples=60, deadline=None)
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
