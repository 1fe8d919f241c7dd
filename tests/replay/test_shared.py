"""Fixed rows that several seeds draw from: what a batch holds, and on what it depends."""

import threading
import time

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.replay import shared
from prune_rl.replay.ring import FrameRing
from prune_rl.replay.shared import SharedReplay
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Discrete, Draw, ObservationSpec

SPEC = ObservationSpec((2, 1, 1), stack_size=3)
# Two episodes, the first cut after four transitions, the second over after three: by row.
ENDS = [GOES_ON, GOES_ON, GOES_ON, TRUNCATED, FINAL, GOES_ON, GOES_ON, TERMINATED, FINAL]
AGES = [0, 1, 2, 3, 4, 0, 1, 2, 3]
REWARDS = [1.0, 2.0, 4.0, 8.0, 99.0, 0.5, 0.25, 0.125, 99.0]
STARTS = np.array([0, 1, 2, 3, 5, 6, 7])
DATA = {"path": "data/pong", "sha256": "ab", "fraction": 0.5}


def _frame(row):
    return np.full((2, 1, 1), row + 1, np.uint8)


@pytest.fixture
def make_replay():
    def make(seeds=(3, 4), starts=(STARTS, STARTS), data=DATA, horizon=2, batch_size=5):
        ring = FrameRing(1, len(ENDS), SPEC, Discrete(6))
        fields = ring.fields_of(0)
        fields["frames"][:] = [_frame(row) for row in range(len(ENDS))]
        fields["actions"][:] = np.arange(len(ENDS)) % 6
        fields["rewards"][:], fields["ages"][:], fields["ends"][:] = REWARDS, AGES, ENDS
        return SharedReplay(
            ring,
            starts,
            seeds=seeds,
            identities=[data] * len(seeds),
            horizon=horizon,
            gamma=0.5,
            batch_size=batch_size,
        )

    return make


# By hand: row -> (stack, two-step return at gamma 1/2, discount, stack two steps on).
BY_HAND = {
    0: ([0, 0, 1], 1 + 2 / 2, 0.25, [1, 2, 3]),
    1: ([0, 1, 2], 2 + 4 / 2, 0.25, [2, 3, 4]),
    2: ([1, 2, 3], 4 + 8 / 2, 0.25, [3, 4, 5]),
    3: ([2, 3, 4], 8, 0.5, [3, 4, 5]),
    5: ([0, 0, 6], 0.5 + 0.25 / 2, 0.25, [6, 7, 8]),
    6: ([0, 6, 7], 0.25 + 0.125 / 2, 0.0, None),
    7: ([6, 7, 8], 0.125, 0.0, None),
}


def _rows(batch):
    """Where each transition begins: its newest frame says so."""
    return batch.s_tm1[:, :, -1, 0, 0, 0].astype(int) - 1


def test_transitions_are_those_of_the_rows(make_replay):
    batch = make_replay(batch_size=200).sample()
    rows = _rows(batch)
    assert set(rows.ravel()) == set(STARTS)
    for s, b in np.ndindex(rows.shape):
        stack, returned, discount, later = BY_HAND[rows[s, b]]
        assert batch.s_tm1[s, b, :, 0, 0, 0].tolist() == stack
        assert batch.r_t[s, b] == np.float32(returned)
        assert batch.discount_t[s, b] == np.float32(discount)
        assert batch.a_tm1[s, b] == rows[s, b] % 6
        if later is not None:
            assert batch.s_t[s, b, :, 0, 0, 0].tolist() == later
    assert batch.probabilities is None


def test_all_transitions_are_drawn_equally_often(make_replay):
    rows = _rows(make_replay(batch_size=7000).sample())
    for own in rows:  # each about 1,000 times, give or take 30
        counts = np.bincount(own, minlength=len(ENDS))[STARTS]
        assert np.abs(counts - 1000).max() < 150


def test_a_seed_draws_from_its_own_transitions(make_replay):
    rows = _rows(make_replay(starts=(STARTS[:2], STARTS[4:]), batch_size=50).sample())
    assert [sorted(set(own)) for own in rows] == [[0, 1], [5, 6, 7]]


def test_what_a_seed_draws_depends_on_it_and_on_nothing_beside(make_replay):
    """Over several blocks of batches; seeds differ, and so do batches."""
    both, alone = make_replay(), make_replay(seeds=(4,), starts=(STARTS,))
    rows = []
    for _ in range(600):
        pair, one = _rows(both.sample()), _rows(alone.sample())
        np.testing.assert_array_equal(pair[1], one[0])
        rows.append(pair)
        both.probe(Draw(3), "beside")
        both.sample_uniformly(2)
    rows = np.array(rows)
    assert (rows[:, 0] != rows[:, 1]).any()
    assert len(np.unique(rows[:, 0], axis=0)) > 500


@pytest.mark.parametrize("drawn", [0, 1, 255, 256, 257, 511])
def test_it_goes_on_to_the_bit_after_any_number_of_batches(make_replay, drawn):
    first, second = make_replay(), make_replay()
    for _ in range(drawn):
        first.sample()
    first.sample_uniformly(3)
    second.sample()  # and some ahead, that are forgotten
    second.set_state(first.get_state())
    for _ in range(3):
        for a, b in zip(first.sample()[:5], second.sample()[:5], strict=True):
            np.testing.assert_array_equal(a, b)
        a, b = first.sample_uniformly(4), second.sample_uniformly(4)
        np.testing.assert_array_equal(_rows(a), _rows(b))


def test_batches_are_drawn_before_they_are_asked_for(make_replay, monkeypatch):
    """By threads; in the order that they would have alone, whichever is done first."""
    replay, own = make_replay(), shared.transitions
    gathered, threads = threading.Semaphore(0), []

    def spied(ring, *args):
        if ring is replay._ring:  # others, of tests before, may still draw
            threads.append(threading.current_thread().name)
            if len(threads) == 1:
                time.sleep(0.05)  # the first is done last
            gathered.release()
        return own(ring, *args)

    monkeypatch.setattr(shared, "transitions", spied)
    first = _rows(replay.sample())
    for _ in range(1 + shared.AHEAD):
        assert gathered.acquire(timeout=30)
    assert not gathered.acquire(timeout=0.05)
    assert {name.partition("_")[0] for name in threads} == {"batches"}
    monkeypatch.undo()
    np.testing.assert_array_equal(first, _rows(make_replay().sample()))


def test_what_goes_wrong_ahead_is_told_where_the_batch_is_asked_for(make_replay, monkeypatch):
    replay = make_replay()
    own = replay._batch

    def failing(number):
        if number >= 3:
            raise ConfigError("Dataset.chunks='x': damaged")
        return own(number)

    monkeypatch.setattr(replay, "_batch", failing)
    for _ in range(3):
        replay.sample()
    with pytest.raises(ConfigError, match="damaged"):
        replay.sample()


def test_probes_of_a_name_are_alike_and_move_nothing(make_replay):
    replay = make_replay()
    one = replay.probe(Draw(40), "srank 3")
    np.testing.assert_array_equal(_rows(one), _rows(replay.probe(Draw(40), "srank 3")))
    assert (_rows(one) != _rows(replay.probe(Draw(40), "srank 4"))).any()
    inputs = replay.probe(Draw(40, inputs_only=True), "srank 3")
    np.testing.assert_array_equal(inputs.observations, one.s_tm1)
    np.testing.assert_array_equal(inputs.actions, one.a_tm1)
    np.testing.assert_array_equal(_rows(replay.sample()), _rows(make_replay().sample()))


def test_uniform_samples_differ_from_each_other_and_from_batches(make_replay):
    replay = make_replay(batch_size=40)
    one, two = _rows(replay.sample_uniformly(40)), _rows(replay.sample_uniformly(40))
    assert (one != two).any()
    assert (one != _rows(replay.sample())).any()


def test_a_state_holds_no_rows_and_says_which_data_they_were(make_replay):
    state = make_replay().get_state()[0]
    assert sum(array.nbytes for array in state.values()) < 200
    moved = make_replay(data=DATA | {"path": "elsewhere/pong"})
    moved.set_state([state, state | {"seed": np.int64(4)}])


@pytest.mark.parametrize("other", [{"sha256": "cd"}, {"fraction": 0.6}])
def test_other_data_are_refused(make_replay, other):
    states = make_replay().get_state()
    with pytest.raises(ConfigError) as refused:
        make_replay(data=DATA | other).set_state(states)
    was = {name: DATA[name] for name in other}  # what differs, and nothing else
    expected = f"expected the data that the run began with, {was}"
    assert str(refused.value) == f"Dataset.path={other}: {expected}"


def test_other_seeds_are_refused(make_replay):
    with pytest.raises(ConfigError, match=r"seeds=\[3, 4\]: expected \[3, 5\]"):
        make_replay(seeds=(3, 5)).set_state(make_replay().get_state())
