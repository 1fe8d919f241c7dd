"""Training goes on while a checkpoint is written, and waits where it would spoil it."""

import contextlib
import errno
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.recording import tensor_files
from prune_rl.recording.checkpoints import Checkpointer

from . import growing
from .growing import Game


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Gate:
    """While shut, nothing is written; whoever waits at it for too long is an error."""

    def __init__(self):
        self._open, self.waited_too_long = threading.Event(), False
        self._open.set()
        self._write = tensor_files.write

    def write(self, *args):
        self.waited_too_long |= not self._open.wait(3)
        return self._write(*args)

    def shut(self):
        self._open.clear()

    def open(self):
        self._open.set()

    @property
    def is_open(self):
        return self._open.is_set()


@pytest.fixture
def gate(monkeypatch):
    own = Gate()
    monkeypatch.setattr(tensor_files, "write", own.write)
    yield own
    own.open()


def _assert_waits(checkpointer, gate):
    """`before_step` returns only after the gate was opened."""
    threading.Timer(0.05, gate.open).start()
    checkpointer.before_step()
    assert gate.is_open


@settings(max_examples=40, deadline=None)
@given(
    capacities=st.tuples(st.integers(2, 24), st.integers(2, 24)),
    piece=st.integers(1, 9),
    saved=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=3),
    new=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_a_step_waits_exactly_if_its_rows_could_overwrite_what_is_to_be_written(
    tmp_path_factory, capacities, piece, saved, new
):
    """A step adds two rows of each seed, the most there are."""
    root, gate, game = tmp_path_factory.mktemp("some"), Gate(), Game(capacities, piece)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_files, "write", gate.write)
        checkpointer = Checkpointer(root)
        on_disk = [0, 0]  # one past the newest row
        for counts in saved:
            game.play(*counts)
            checkpointer.save(game.checkpoint())
            checkpointer.wait()
            on_disk = [max(ring.cursor, 0) for ring in game.rings]
        game.play(*new)
        expected = game.held()
        oldest = [
            max(own, ring.cursor - ring.capacity + 1)
            for own, ring in zip(on_disk, game.rings, strict=True)
        ]
        gate.shut()
        checkpointer.save(game.checkpoint())
        waited = False
        for _ in range(30):
            overwritten = [x.cursor + 2 - x.capacity for x in game.rings]
            if not waited and any(x >= y for x, y in zip(overwritten, oldest, strict=True)):
                _assert_waits(checkpointer, gate)
                waited = True
            else:
                checkpointer.before_step()
            game.play(2, 2)
        gate.open()
        checkpointer.close()
    assert not gate.waited_too_long
    assert growing.restored(Checkpointer(root), Game(capacities)).held() == expected


@settings(max_examples=25, deadline=None)
@given(
    capacities=st.tuples(st.integers(2, 24), st.integers(2, 24)),
    piece=st.integers(1, 9),
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=120),
    period=st.integers(1, 30),
)
def test_what_is_saved_is_of_its_moment_however_slowly_it_is_written(
    tmp_path_factory, capacities, piece, steps, period
):
    root, game = tmp_path_factory.mktemp("some"), Game(capacities, piece)
    write = tensor_files.write

    def slowly(*args):
        time.sleep(0.0005)
        return write(*args)

    held = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_files, "write", slowly)
        checkpointer = Checkpointer(root)
        for step, counts in enumerate(steps):
            if step % period == 0:
                checkpointer.save(game.checkpoint())
                held.append(game.held())
            checkpointer.before_step()
            game.play(*counts)
        checkpointer.save(game.checkpoint())
        held.append(game.held())
        checkpointer.wait()
        checkpointer.close()
    for number in growing.numbers(root):
        for ring, expected in zip(game.rings, held[number], strict=True):
            assert growing.stored_rows(root, number, ring.seed) == expected
    assert growing.restored(Checkpointer(root), game).held() == held[-1]


def test_save_returns_before_anything_is_written_and_waits_for_the_one_before(tmp_path, gate):
    checkpointer, game = Checkpointer(tmp_path), Game()
    game.play(5, 5)
    gate.shut()
    checkpointer.save(game.checkpoint())
    assert growing.files(tmp_path) == set()
    threading.Timer(0.05, gate.open).start()
    checkpointer.save(game.checkpoint())
    assert gate.is_open
    assert (tmp_path / "0" / "manifest.json").exists()
    checkpointer.wait()
    assert growing.numbers(tmp_path) == [0, 1]
    checkpointer.close()


def test_closing_waits_for_what_is_being_written(tmp_path, gate):
    checkpointer, game = Checkpointer(tmp_path), Game()
    gate.shut()
    checkpointer.save(game.checkpoint())
    threading.Timer(0.05, gate.open).start()
    checkpointer.close()
    assert growing.restored(Checkpointer(tmp_path), game)


def test_without_rows_no_step_waits(tmp_path, gate):
    checkpointer, game = Checkpointer(tmp_path), Game()
    own = game.checkpoint()
    gate.shut()
    checkpointer.save(own._replace(seeds={4: {"agent": own.seeds[4]["agent"]}}))
    for _ in range(1000):
        checkpointer.before_step()
    assert not gate.is_open
    gate.open()
    checkpointer.close()


def _full_after(count):
    """A disk that takes so many more files."""
    left = [count]

    def fsync(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fsync


def test_a_full_disk_leaves_the_checkpoints_before_and_no_litter(tmp_path, monkeypatch):
    checkpointer, game, held = Checkpointer(tmp_path), Game(), []
    for counts in ((7, 3), (9, 14), (2, 2)):
        game.play(*counts)
        checkpointer.save(game.checkpoint())
        checkpointer.wait()
        held.append(game.held())
    before, failed = growing.files(tmp_path), 0
    game.play(6, 6)
    for count in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _full_after(count))
            checkpointer.save(game.checkpoint())
            with contextlib.suppress(OSError):
                checkpointer.wait()
                break
        failed += 1
        assert growing.files(tmp_path) == before
        assert growing.restored(Checkpointer(tmp_path), game).held() == held[2]
        aside = (tmp_path / "2").rename(tmp_path / "aside")
        assert growing.restored(Checkpointer(tmp_path), game).held() == held[1]
        aside.rename(tmp_path / "2")
    assert failed >= 10
    assert growing.restored(Checkpointer(tmp_path), game).held() == game.held()
    assert growing.numbers(tmp_path) == [2, 3]
    checkpointer.close()


@pytest.mark.parametrize("told", ["wait", "save", "before_step"])
def test_a_full_disk_is_told_by_whoever_comes_next_and_once(tmp_path, monkeypatch, told):
    checkpointer, game = Checkpointer(tmp_path), Game((1000, 1000))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full_after(2))
        checkpointer.save(game.checkpoint())
        checkpointer._writer.submit(lambda: None).result()  # all is tried that will be
        with pytest.raises(
            OSError,
            match=f"^checkpoint {tmp_path}/0: No space left on device; none was made before$",
        ):
            checkpointer.save(game.checkpoint()) if told == "save" else getattr(
                checkpointer, told
            )()
    checkpointer.wait()
    checkpointer.before_step()
    checkpointer.save(game.checkpoint())
    checkpointer.close()
    assert growing.numbers(tmp_path) == [0]


def test_an_error_of_ours_in_the_thread_is_told_too_and_leaves_no_litter(tmp_path):
    """Safetensors knows no objects."""
    checkpointer, game = Checkpointer(tmp_path), Game()
    game.play(3, 3)
    checkpointer.save(game.checkpoint())
    checkpointer.wait()
    before = growing.files(tmp_path)
    own = game.checkpoint()
    own.seeds[5]["agent"]["w"] = [None]
    checkpointer.save(own)
    with pytest.raises(Exception, match="object"):
        checkpointer.wait()
    assert growing.files(tmp_path) == before
    checkpointer.close()
