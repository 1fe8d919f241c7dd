"""A restored buffer goes on as if nothing had happened."""

import os
import shutil
import time

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording import tensor_files
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.ring import bytes_per_row
from prune_rl.specs import Box, Discrete, ObservationSpec

from .states import assert_same, copied, in_slots, rows_of

SEEDS = [4, 8]
CAPACITY = 40


def make_buffer(**settings):
    defaults = {
        "seeds": SEEDS,
        "observation_spec": ObservationSpec((2, 3, 1), stack_size=4),
        "action_spec": Discrete(18),
        "update_horizon": 3,
        "max_capacity": CAPACITY,
        "batch_size": 7,  # odd, so that a generator holds half a draw
    }
    return ReplayBuffer(**{**defaults, **settings})


def played(history, steps, **settings):
    buffer = make_buffer(**settings)
    buffer.add_first(history.first())
    for _ in range(steps):
        buffer.add(**history.step())
        if buffer.add_count > 5:
            buffer.sample()
    return buffer


def assert_same_future(history, buffer, restored, steps=100):
    for _ in range(steps):
        for x, y in zip(buffer.sample(), restored.sample(), strict=True):
            np.testing.assert_array_equal(x, y)
        step = history.step()
        buffer.add(**step)
        restored.add(**step)
    assert buffer.add_count == restored.add_count


@pytest.mark.parametrize("steps", [6, 20, 33, 90, 133])
@pytest.mark.parametrize("used", [False, True])
def test_goes_on_bit_for_bit(make_history, steps, used):
    history = make_history(SEEDS, (0.1, 0.1))
    buffer = played(history, steps)
    restored = played(make_history([1, 2]), 70) if used else make_buffer()
    restored.set_state(copied(buffer.get_state()))
    assert_same_future(history, buffer, restored)
    assert_same(buffer.get_state(), restored.get_state())


def test_a_seed_holds_only_what_is_filled(make_history):
    for state in played(make_history(SEEDS, (0.0, 0.0)), 12).get_state():
        assert state["rows"][:3] == (0, 12, CAPACITY)  # without the newest, which is not complete
        shapes = {name: x.shape for name, x in rows_of(state).items()}
        assert shapes == {
            "frames": (12, 2, 3, 1),
            **dict.fromkeys(("actions", "rewards", "ages", "ends"), (12,)),
        }
        assert state["frame"].shape == (2, 3, 1)
        assert (state["cursor"], state["age"], state["add_count"]) == (12, 12, 12)


def test_seeds_are_saved_each_by_itself(make_history):
    """Their episodes end at other times, so that their cursors differ."""
    history = make_history(SEEDS, (0.2, 0.2))
    states = played(history, 60).get_state()
    for own, state in zip(history.per_seed, states, strict=True):
        seen = [frame for episode in own.episodes for frame in episode.frames]
        assert state["cursor"] == len(seen) - 1
        assert state["rows"][:3] == (len(seen) - CAPACITY, len(seen) - 1, CAPACITY)
        newest = np.argsort(np.arange(len(seen) - CAPACITY, len(seen)) % CAPACITY)
        expected = np.array(seen[-CAPACITY:])[newest]
        found = [int.from_bytes(frame.tobytes(), "little") for frame in in_slots(state)]
        assert found == expected.tolist()
    assert states[0]["cursor"] != states[1]["cursor"]


@pytest.mark.parametrize("steps", [6, 38, 39, 40, 90, 133])
def test_what_a_state_holds_stays_until_it_is_overwritten(make_history, steps):
    """Arrays for ever; a row until the one that lies `capacity` later is written."""
    history = make_history(SEEDS)
    buffer = played(history, steps)
    states = buffer.get_state()
    before = copied(states)
    for _ in range(CAPACITY):
        buffer.add(**history.step())
        buffer.sample()
        now = [int(own["cursor"]) for own in buffer.get_state()]
        for own, state, cursor in zip(before, states, now, strict=True):
            for name in own.keys() - {"rows"}:
                np.testing.assert_array_equal(own[name], state[name])
            oldest = min(max(own["rows"].first, cursor + 1 - CAPACITY), own["rows"].last)
            lost = oldest - own["rows"].first
            for name, values in rows_of(own).items():
                np.testing.assert_array_equal(values[lost:], rows_of(state)[name][lost:])


def test_rows_are_given_from_any_position_on(make_history):
    for state in played(make_history(SEEDS), 90).get_state():
        rows, whole = state["rows"], rows_of(state)
        for start in range(rows.first, rows.last + 1):
            pieces = list(rows.pieces(start))
            given = [x for first, own in pieces for x in range(first, first + len(own["ends"]))]
            assert given == list(range(start, rows.last))
            for name in whole if pieces else ():
                part = np.concatenate([own[name] for _, own in pieces])
                np.testing.assert_array_equal(part, whole[name][start - rows.first :])


@pytest.mark.parametrize("rows_per_piece", [1, 3, 1000])
def test_pieces_are_short_and_do_not_wrap_around(make_history, monkeypatch, rows_per_piece):
    own = bytes_per_row(ObservationSpec((2, 3, 1), stack_size=4), Discrete(18))
    monkeypatch.setattr("prune_rl.replay.ring._PIECE_BYTES", rows_per_piece * own)
    buffer = played(make_history(SEEDS), 90)
    restored = make_buffer()
    for state in buffer.get_state():
        pieces = [
            (first, len(own["ends"])) for first, own in state["rows"].pieces(state["rows"].first)
        ]
        assert max(length for _, length in pieces) <= rows_per_piece
        wrapped = [first % CAPACITY + length > CAPACITY for first, length in pieces]
        assert not any(wrapped)
        if rows_per_piece == 1000:
            assert len(pieces) == 2
    restored.set_state(buffer.get_state())
    assert_same(buffer.get_state(), restored.get_state())


def test_an_empty_buffer_can_be_saved(make_history):
    history = make_history(SEEDS)
    restored = make_buffer()
    restored.set_state(copied(make_buffer().get_state()))
    restored.add_first(history.first())


def test_a_buffer_with_its_first_frames_alone_can_be_saved(make_history):
    history = make_history(SEEDS)
    buffer, restored = make_buffer(), make_buffer()
    buffer.add_first(history.first())
    restored.set_state(copied(buffer.get_state()))
    step = history.step()
    for own in (buffer, restored):
        own.add(**step)
    assert_same(buffer.get_state(), restored.get_state())


def test_a_run_that_is_given_more_steps_keeps_its_replay(make_history):
    history = make_history(SEEDS)
    short, long = played(history, 15), make_buffer(max_capacity=500)
    long.set_state(short.get_state())
    assert_same_future(history, short, long, steps=5)  # until the short one overwrites


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": [4, 9]}, r"seeds=\[4, 8\]"),
        ({"seeds": [4]}, r"seeds=\[4, 8\]"),
        (
            {"observation_spec": ObservationSpec((3, 2, 1))},
            r"frames.*\(2, 3, 1\).*expected.*\(3, 2, 1\)",
        ),
        (
            {"observation_spec": ObservationSpec((2, 3, 1), np.float32)},
            r"rows=.*frames.*uint8.*expected.*frames.*float32",
        ),
        (
            {"action_spec": Box((-1.0,), (1.0,))},
            r"rows=.*'actions': \(\(\),.*expected.*'actions': \(\(1,\)",
        ),
        ({"max_capacity": 50}, "capacity in frames=40"),
        ({"max_capacity": 30}, "capacity in frames=40"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(make_history, settings, message):
    states = played(make_history(SEEDS), 90).get_state()
    with pytest.raises(ConfigError, match=message):
        make_buffer(**settings).set_state(states)


@pytest.mark.parametrize("spec", [((3, 2, 1), np.uint8), ((2, 3, 1), np.float32)])
def test_a_first_frame_that_does_not_fit_is_refused(make_history, spec):
    """Without any row: NumPy would make float32 of what was uint8."""
    buffer = make_buffer()
    buffer.add_first(make_history(SEEDS).first())
    with pytest.raises(ConfigError, match="frames"):
        make_buffer(observation_spec=ObservationSpec(*spec)).set_state(buffer.get_state())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "name", ["rows", "frame", "age", "random_words", "cursor", "seed", "add_count"]
)
def test_a_state_with_an_array_missing_is_refused(make_history, name, seed):
    states = played(make_history(SEEDS), 10).get_state()
    del states[seed][name]
    with pytest.raises(ConfigError, match=f"missing arrays.*'{name}'"):
        make_buffer().set_state(states)


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.3, 0.3), (1.0, 0.0)])
def test_what_is_saved_beside_training_is_of_its_moment(make_history, tmp_path, monkeypatch, ends):
    """Whether a step writes one row or two, and however slow the disk is."""
    write = tensor_files.write

    def slowly(*args):
        time.sleep(0.002)
        return write(*args)

    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(tensor_files, "write", slowly)
    history, buffer, saved = make_history(SEEDS, ends), make_buffer(), []
    checkpointer = Checkpointer(tmp_path)
    buffer.add_first(history.first())
    for step in range(400):
        if step % 17 == 0:
            states = buffer.get_state()
            saved.append(copied(states))
            checkpointer.save(Checkpoint(dict(zip(SEEDS, states, strict=True)), {}))
        checkpointer.before_step()
        buffer.add(**history.step())
    checkpointer.wait()
    for expected in (saved[-1], saved[-2]):
        restored = make_buffer()
        assert checkpointer.restore(lambda x, own=restored: own.set_state(list(x.seeds.values())))
        assert_same(restored.get_state(), expected)
        shutil.rmtree(max(tmp_path.glob("[0-9]*"), key=lambda path: int(path.name)))
    checkpointer.close()
