"""Transitions that are held out of vectors as data: which, on which scale, and that none is learned
from; against the arrays of files as D4RL's, by hand.
"""

import json

import h5py
import numpy as np
import pytest

from prune_rl.datasets.experience import Share
from prune_rl.datasets.finding import find_runs
from prune_rl.errors import ConfigError
from prune_rl.sources import chosen
from prune_rl.sources.mixed import MixedReplay
from prune_rl.sources.stored import load_dataset
from prune_rl.specs import Draw
from tests.datasets.vector_episodes import play, publish, read

# Three episodes of 9, 4 and 12 transitions: the second terminates, the others time out.
ARRAYS = play([9, 4, 12], "oto")
STATES, REWARDS = ARRAYS["observations"], ARRAYS["rewards"]
TERMINALS = ARRAYS["terminals"]
COUNT = len(REWARDS)


@pytest.fixture
def path(tmp_path):
    return publish(tmp_path / "halfcheetah_medium-v2.hdf5", ARRAYS)


@pytest.fixture
def loaded(path, make_setting):
    def load(seeds=(0, 1), **settings):
        agent = {"gamma": 0.5}
        return load_dataset(make_setting(seeds, **agent), **({"path": str(path)} | settings))

    return load


def places(observations, states=STATES):
    """Of observations (n, D), their rows among `states`, in rising order, without repetition."""
    equal = (observations[:, None] == states[None]).all(axis=2)
    assert equal.any(axis=1).all()
    return sorted(set(equal.argmax(axis=1).tolist()))


def learned(data, size=400):
    return [places(own) for own in data.sample_uniformly(size).s_tm1]


def held_out(data, size=400):
    return [places(own) for own in data.probe(Draw(size, held_out=True), "validation 0").s_tm1]


@pytest.mark.parametrize("unit", ["first", "windows", "transitions"])
@pytest.mark.parametrize("share", [{"num_transitions": 6}, {"fraction": 0.4}, {}])
def test_the_last_are_held_out_and_a_share_is_one_of_the_others(loaded, unit, share):
    kept = 18
    expected = share.get("num_transitions", round(share.get("fraction", 1) * kept))
    for seed in range(3):
        data = loaded(unit=unit, seed=seed, held_out=7, **share)
        (own, other), count = learned(data), len(learned(data)[0])
        assert own == other
        assert max(own) < kept
        assert count == expected
        if unit == "first":
            assert own == list(range(count))
        assert held_out(data) == 2 * [list(range(kept, COUNT))]


def test_without_any_nothing_is_said_of_it(loaded):
    """So that checkpoints from before are those of the same data."""
    own = loaded(num_transitions=6, unit="transitions", seed=3)
    assert not own.has_held_out
    assert "held_out" not in own.protocol["data"][0]


def test_they_are_whole_transitions_as_those_that_are_learned_from(loaded):
    batch = loaded(num_transitions=6, unit="first", held_out=14).probe(
        Draw(300, held_out=True), "validation 4"
    )
    assert batch.s_tm1.shape == (2, 300, 17)
    for seed in range(2):
        rows = (batch.s_tm1[seed][:, None] == STATES[None]).all(axis=2).argmax(axis=1)
        assert set(rows.tolist()) == set(range(11, COUNT))
        np.testing.assert_array_equal(batch.a_tm1[seed], ARRAYS["actions"][rows])
        np.testing.assert_array_equal(batch.r_t[seed], REWARDS[rows])
        np.testing.assert_array_equal(batch.discount_t[seed], np.where(TERMINALS[rows], 0, 0.5))
        goes_on = ~TERMINALS[rows]
        np.testing.assert_array_equal(
            batch.s_t[seed][goes_on], ARRAYS["next_observations"][rows[goes_on]]
        )


def test_probes_of_them_are_a_function_of_seed_and_name(loaded):
    data, again = (loaded(num_transitions=6, unit="first", held_out=14) for _ in range(2))
    draw = Draw(30, held_out=True)
    first = data.probe(draw, "validation 0")
    data.sample()
    np.testing.assert_array_equal(again.probe(draw, "validation 0").s_tm1, first.s_tm1)
    assert (data.probe(draw, "validation 1").s_tm1 != first.s_tm1).any()
    assert (first.s_tm1[0] != first.s_tm1[1]).any()


def test_they_are_on_the_scale_of_what_is_learned_from(loaded):
    """By hand: means and deviations over the first 10 alone, returns of the first episode alone."""
    data = loaded(
        num_transitions=14,
        unit="first",
        held_out=5,
        normalize_observations=True,
        normalize_rewards=True,
        reward_scale=0.5,
        reward_shift=-1.0,
    )
    own = STATES[:14].astype(np.float64)
    mean, deviation = own.mean(axis=0), own.std(axis=0) + 1e-3
    expected = ((STATES - mean) / deviation).astype(np.float32)
    assert [places(x, expected) for x in data.sample_uniformly(300).s_tm1] == 2 * [list(range(14))]
    batch = data.probe(Draw(200, held_out=True), "validation 0")
    assert [places(x, expected) for x in batch.s_tm1] == 2 * [list(range(20, COUNT))]
    # Of the first 14 the first two episodes are complete: 9 and 4 transitions.
    returns = REWARDS[:9].sum(dtype=np.float64), REWARDS[9:13].sum(dtype=np.float64)
    factor = 0.5 * 1000 / abs(returns[0] - returns[1])
    rows = (batch.s_tm1[0][:, None] == expected[None]).all(axis=2).argmax(axis=1)
    np.testing.assert_allclose(batch.r_t[0], REWARDS[rows] * factor - 1, rtol=1e-5)


def test_of_a_mixture_as_many_of_each_as_fit_its_share(tmp_path, make_setting):
    """Of 8 transitions 6 and 2 are of each: of 10 that are held out 8 and 2, rounded."""
    other = play([30], "o", seed=1)
    paths = [
        str(publish(tmp_path / name / "halfcheetah_medium-v2.hdf5", own))
        for name, own in (("a", ARRAYS), ("b", other))
    ]
    both = np.concatenate([STATES, other["observations"]])
    data = load_dataset(
        make_setting((0,)),
        path=[(paths[0], 6), (paths[1], 2)],
        unit="first",
        held_out=10,
    )
    assert [places(x, both) for x in data.sample_uniformly(300).s_tm1] == [
        [*range(6), COUNT, COUNT + 1]
    ]
    probe = data.probe(Draw(300, held_out=True), "validation 0")
    last = len(both)
    assert places(probe.s_tm1[0], both) == [*range(COUNT - 8, COUNT), last - 2, last - 1]
    assert data.protocol["data"][0]["held_out"] == [8, 2]


def test_every_seed_is_asked_of_what_is_held_out_of_its_own_run(tmp_path, make_setting):
    runs = [play([12], "o", seed=seed) for seed in range(2)]
    for number, own in enumerate(runs):
        file = publish(tmp_path / f"halfcheetah_run_{number}-v5.hdf5", own)
        _say(file, {"game": "HalfCheetah-v5", "run": number + 1})
    data = load_dataset(
        make_setting((0, 1, 2)), path=str(tmp_path), held_out=3, normalize_observations=True
    )
    probe = data.probe(Draw(100, held_out=True), "validation 0")
    for seed, run in enumerate((0, 1, 0)):
        states = runs[run]["observations"]
        own = states[:9].astype(np.float64)
        scaled = ((states - own.mean(axis=0)) / (own.std(axis=0) + 1e-3)).astype(np.float32)
        assert places(probe.s_tm1[seed], scaled) == [9, 10, 11]


def _say(path, about):
    with h5py.File(path, "a") as file:
        file["metadata/about"] = json.dumps(about)


def test_how_many_are_held_out_is_said_and_part_of_which_data_they_are(loaded, capsys):
    data = loaded(num_transitions=6, unit="first", held_out=7)
    (line,) = capsys.readouterr().err.splitlines()
    assert "6 of at most 25 transitions (24.0%)" in line
    assert ", 7 held out; " in line
    assert data.protocol["data"][0]["held_out"] == 7
    assert data.protocol["transitions"] == 6
    other = loaded(num_transitions=6, unit="first", held_out=8)
    with pytest.raises(ConfigError, match=r"Dataset.path=.*'held_out': 8.*'held_out': 7"):
        other.set_state(data.get_state())


def test_they_lie_in_chunks_too(loaded, tmp_path):
    settings = {"num_transitions": 6, "unit": "first", "held_out": 7}
    for _ in range(2):  # written, then found
        data = loaded(chunks=str(tmp_path / "chunks"), **settings)
        assert held_out(data) == 2 * [list(range(18, COUNT))]
        assert learned(data) == 2 * [list(range(6))]


def test_memory_is_asked_for_what_is_held_out_too(loaded, monkeypatch):
    monkeypatch.setattr(chosen, "available_bytes", lambda: 2000)
    loaded(num_transitions=6, unit="first")
    with pytest.raises(ConfigError, match=r"Dataset.num_transitions=6: needs 0.00 GiB"):
        loaded(num_transitions=6, unit="first", held_out=18)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"held_out": 25},
            r"Dataset.held_out=25: expected fewer than the 25 transitions that there are",
        ),
        (
            {"held_out": 20, "num_transitions": 6},
            r"Dataset.num_transitions=6: expected at most the 5 that are not held out",
        ),
        ({"held_out": 0}, r"Dataset.held_out=0: expected an integer >= 1"),
    ],
)
def test_too_many_are_one_line(loaded, settings, message):
    with pytest.raises(ConfigError, match=message):
        loaded(**settings)


def test_none_are_held_out_of_images(make_setting, made_data):
    with pytest.raises(ConfigError, match=r"Dataset.held_out=5 of .*: expected None: some are"):
        load_dataset(make_setting(), path=str(made_data), held_out=5)


def test_nothing_is_held_out_of_what_is_played(loaded):
    """Of a mixture with it only the data are asked; as many of them as were asked for."""

    class Online:
        batch_size = 4

    data = loaded(num_transitions=6, unit="first", held_out=7)
    mixed = MixedReplay(Online(), data, 0.5)
    assert mixed.has_held_out
    draw = Draw(11, held_out=True)
    np.testing.assert_array_equal(
        mixed.probe(draw, "validation 2").s_tm1, data.probe(draw, "validation 2").s_tm1
    )
    assert not MixedReplay(Online(), loaded(), 0.5).has_held_out


@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_of_a_reader_are_whole(path, horizon):
    """What is read of a file: the last of the share and those held out have their windows."""
    (run,) = find_runs("Dataset.path", path)
    every = read(run, Share(horizon=horizon))
    for share, expected in (
        (Share(horizon=horizon, held_out=7), every[:18]),
        (Share(horizon=horizon, unit="last", count=7), every[18:]),
    ):
        assert list(map(str, read(run, share))) == list(map(str, expected))
