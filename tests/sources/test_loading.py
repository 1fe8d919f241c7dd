"""What is read of scripted parts, and where it comes to lie: in memory or in chunks on disk."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import ConfigError
from prune_rl.replay.ring import ROW_FIELDS
from prune_rl.signals import Stopped, StopSignals
from prune_rl.sources import loading
from prune_rl.sources.loading import OnDisk, load, load_on_disk
from prune_rl.specs import FINAL, GOES_ON, Discrete
from tests.sources.scripted_run import SPEC, ScriptedPart

ACTIONS = Discrete(3)


def _part(first, num_rows, **more):
    return ScriptedPart(f"part {first}", first, num_rows, 2 * num_rows, **more)


def _groups(*rows):
    """Groups of parts of so many rows; frames of part j of group i show from 100 i + 10 j on."""
    return [
        [_part(100 * i + 20 * j, own) for j, own in enumerate(group)]
        for i, group in enumerate(rows, start=1)
    ]


def _on_disk(folder, identity="ab"):
    return OnDisk(folder / "chunks", 1 << 20, identity)


@pytest.fixture(params=["memory", "disk"])
def loaded(request, tmp_path):
    """Loads groups of parts, to memory or to disk."""

    def read(groups):
        if request.param == "memory":
            return load(groups, SPEC, ACTIONS)
        return load_on_disk(groups, SPEC, ACTIONS, _on_disk(tmp_path))

    return read


def _shown(ring, positions):
    """What the frames at positions show."""
    return ring.observations(positions, np.zeros(positions.shape, int))[..., 0, 0, 0, 0].tolist()


def test_parts_lie_behind_each_other_in_the_order_they_are_given(loaded):
    ring, starts = loaded(_groups([6, 9], [5]))
    assert ring.num_rows == 20
    assert _shown(ring, np.arange(20)) == [*range(100, 106), *range(120, 129), *range(200, 205)]
    numbers = np.array([*range(100, 106), *range(120, 129), *range(200, 205)])
    np.testing.assert_array_equal(ring.rewards, numbers)
    np.testing.assert_array_equal(ring.actions, numbers % 3)
    np.testing.assert_array_equal(ring.ages, [*range(6), *range(9), *range(5)])
    ends = np.full(20, GOES_ON)
    ends[[5, 14, 19]] = FINAL
    np.testing.assert_array_equal(ring.ends, ends)
    assert [own.tolist() for own in starts] == [[*range(5), *range(6, 14)], [*range(15, 19)]]
    assert {own.dtype for own in starts} == {np.dtype(np.int64)}
    for name in ROW_FIELDS[1:]:
        assert getattr(ring, name).dtype == ring.dtypes[name]


def test_what_is_less_than_was_said_leaves_rows_that_are_zero(loaded):
    (group,) = _groups([6, 5])
    group[0].num_rows = 8
    ring, (starts,) = loaded([group])
    assert _shown(ring, np.arange(13)) == [*range(100, 106), 0, 0, *range(120, 125)]
    assert ring.ages.tolist() == [*range(6), 0, 0, *range(5)]
    assert starts.tolist() == [*range(5), *range(8, 12)]


def test_a_part_of_no_start_is_no_matter(loaded):
    _, (starts,) = loaded(_groups([1, 4]))
    assert starts.tolist() == [1, 2, 3]


def test_memory_and_disk_hold_the_same(tmp_path):
    groups = _groups([30, 7, 40], [25, 60])
    kept, one = load(groups, SPEC, ACTIONS)
    on_disk, other = load_on_disk(groups, SPEC, ACTIONS, _on_disk(tmp_path))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    indices = np.random.default_rng(0).integers(0, kept.num_rows, (2, 5, 8))
    indices[0, 0, 0] = kept.num_rows  # the row that pads young stacks
    frames = [ring._frames.take(indices, axis=0) for ring in (kept, on_disk)]
    assert not frames[0][0, 0, 0].any()
    np.testing.assert_array_equal(*frames)
    assert {own.dtype for own in frames} == {np.dtype(np.uint8)}
    for name in ROW_FIELDS[1:]:
        np.testing.assert_array_equal(getattr(kept, name), getattr(on_disk, name))


def test_what_lies_on_disk_is_not_read_again(tmp_path):
    groups = _groups([6, 9], [5])
    first = load_on_disk(groups, SPEC, ACTIONS, _on_disk(tmp_path))
    for part in (part for group in groups for part in group):
        part.error = AssertionError("it was read")
    second = load_on_disk(groups, SPEC, ACTIONS, _on_disk(tmp_path))
    assert [own.tolist() for own in first.starts] == [own.tolist() for own in second.starts]
    assert _shown(second.ring, np.arange(20)) == _shown(first.ring, np.arange(20))
    with pytest.raises(ConfigError, match=r"Dataset.chunks=.*another dataset, share or seed"):
        load_on_disk(groups, SPEC, ACTIONS, _on_disk(tmp_path, "cd"))


class _Slow(ScriptedPart):
    """Waits until the others of its kind are being read, or says that they are not."""

    def __init__(self, first, barrier):
        super().__init__(f"part {first}", first, 6, 12)
        self.barrier, self.thread = barrier, None

    def blocks(self):
        self.thread = threading.get_ident()
        self.barrier.wait(30)
        yield from super().blocks()


def test_parts_of_all_groups_are_read_side_by_side(loaded, monkeypatch):
    monkeypatch.setattr(loading.os, "cpu_count", lambda: 3)
    barrier = threading.Barrier(3)
    parts = [_Slow(first, barrier) for first in (10, 20, 30)]
    ring, _ = loaded([parts[:2], parts[2:]])
    assert len({part.thread for part in parts}) == 3
    assert ring.rewards.tolist() == [*range(10, 16), *range(20, 26), *range(30, 36)]


def test_the_first_damage_in_their_order_is_named_and_the_rest_left(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr(loading.os, "cpu_count", lambda: 2)
    (group,) = _groups([6] * 30)
    begun = []

    class Late(ScriptedPart):
        def blocks(self):
            time.sleep(0.2)
            raise Damaged("the second part")

    class Counted(ScriptedPart):
        def blocks(self):
            begun.append(self.name)
            time.sleep(0.05)
            yield from super().blocks()

    group[1] = Late("second", 20, 6, 12)
    group[2] = _part(40, 6, error=Damaged("the third part"))
    group[3:] = [Counted(own.name, own.first, 6, 12) for own in group[3:]]
    with pytest.raises(Damaged, match="the second part"):
        loaded([group])
    assert len(begun) < 20
    assert not list(tmp_path.glob("chunks*"))


def test_more_rows_than_were_said_are_not_written_over_the_next(loaded):
    (group,) = _groups([6, 9])
    group[0].num_rows = 5
    with pytest.raises(RuntimeError, match="part 100: more rows than the 5 it said"):
        loaded([group])


def test_a_signal_does_not_wait_for_what_is_being_read(monkeypatch):
    """Once the one who asked is gone, a part stops at its next block."""
    under_way, read = threading.Event(), []

    class Endless(ScriptedPart):
        def blocks(self):
            for _ in range(1000):
                under_way.set()
                time.sleep(0.01)
                read.append(self.name)
                yield from ScriptedPart("", 0, 4, 8).blocks()

    own = loading.Bar.__enter__

    def interrupted(bar):
        def interrupt():
            under_way.wait(30)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=interrupt).start()
        return own(bar)

    monkeypatch.setattr(loading.Bar, "__enter__", interrupted)
    groups = [[Endless(f"part {i}", 0, 4000, 8000) for i in range(4)]]
    expected = pytest.raises(Stopped, match="SIGTERM: nothing was begun")
    with StopSignals() as stop, expected, stop.raising("nothing was begun"):
        load(groups, SPEC, ACTIONS)
    assert len(read) < 100
