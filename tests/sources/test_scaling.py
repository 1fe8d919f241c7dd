"""Vectors as data: how many of which runs, and what their observations and rewards become."""

import numpy as np
import pytest

from prune_rl.datasets.d4rl import find_runs
from prune_rl.datasets.experience import Share
from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError
from prune_rl.sources import chosen
from prune_rl.sources.scaling import complete_returns
from prune_rl.sources.stored import load_dataset
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Box
from tests.datasets.vector_episodes import play, publish
from tests.sources.vector_run import VectorRun


@pytest.fixture
def loaded(monkeypatch, make_setting):
    """Loads runs by path, `x` where one is given; returns the data."""

    def load(*runs, seeds=(0, 1), paths=None, **settings):
        by_path = paths or {"x": list(runs)}
        monkeypatch.setattr(chosen, "find_runs", lambda binding, path: by_path[path])
        return load_dataset(make_setting(seeds), **({"path": "x"} | settings))

    return load


def drawn(data, size=300):
    """Of each seed, sorted, the first numbers of the observations it draws, without repetition."""
    batch = data.sample_uniformly(size)
    return [sorted(set(own[:, 0].tolist())) for own in batch.s_tm1]


def test_so_many_transitions_of_a_run(loaded):
    run = VectorRun()
    data = loaded(run, num_transitions=4, unit="first")
    assert drawn(data) == 2 * [[0.0, 1.0, 3.0, 5.0]]
    (share,) = run.asked
    assert (share.count, share.unit, share.fraction) == (4, "first", 1.0)
    assert data.protocol["data"][0] == {
        **{"path": "x", "run": 1, "sha256": "run 1 from 0", "fraction": 1.0, "unit": "first"},
        **{"seed": 0, "horizon": 1, "count": 4},
    }
    assert data.action_spec == Box((-1.0,), (1.0,))


def test_a_number_and_a_fraction_are_refused_together(loaded):
    expected = r"Dataset.fraction=0.5: expected 1.0, for Dataset.num_transitions=4 says"
    with pytest.raises(ConfigError, match=expected):
        loaded(VectorRun(), num_transitions=4, fraction=0.5)


def test_a_mixture_has_so_many_of_each(loaded):
    paths = {"a": [VectorRun()], "b": [VectorRun(first=100.0), VectorRun(2, first=200.0)]}
    data = loaded(paths=paths, path=[("a", 2), ("b", 3)])
    assert drawn(data) == [[0.0, 1.0, 100.0, 101.0, 103.0], [0.0, 1.0, 200.0, 201.0, 203.0]]
    own = data.protocol["data"][1]
    assert (own["path"], own["run"], own["count"]) == (["a", "b"], [1, 2], [2, 3])
    assert own["sha256"] == ["run 1 from 0", "run 2 from 200"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_transitions": 4}, r"Dataset.num_transitions=4: expected None, for Dataset.path say"),
        ({"fraction": 0.5}, r"Dataset.fraction=0.5: expected 1.0, for Dataset.path says"),
        ({"path": []}, r"Dataset.path=\[\]: expected a path, or one pair at least"),
        (
            {"path": [("a", 2), ("c", 2)]},
            r"Dataset.path='c': expected data of the same form as in a",
        ),
        ({"path": [("a", 2), ("d", 2)]}, r"Dataset.path='d': the data are of Ant-v5, not of the g"),
        ({"path": [("a", 0)]}, r"Dataset.path=.*: expected a path, or pairs of a path and"),
    ],
)
def test_a_mixture_that_does_not_fit_is_named(loaded, settings, message):
    paths = {"a": [VectorRun()], "b": [VectorRun(first=100.0)]}
    paths |= {"c": [VectorRun(size=3)], "d": [VectorRun(game="Ant-v5")]}
    with pytest.raises(ConfigError, match=message):
        loaded(paths=paths, **({"path": [("a", 2), ("b", 3)]} | settings))


@pytest.mark.parametrize(
    ("game", "both", "told"),
    [
        ("Hopper-v5", [(1.0, 9.0), (1.0, 9.0)], [1.0, 9.0]),
        ("Hopper-v5", [(1.0, 9.0), (1.0, 8.0)], [-20.272305, 3234.3]),
        ("Hopper-v5", [(-20.272305, 3234.3), (1.0, 9.0)], [-20.272305, 3234.3]),
        ("Humanoid-v5", [(1.0, 9.0), (1.0, 9.0)], [1.0, 9.0]),
        ("Humanoid-v5", [(1.0, 9.0), None], None),
        ("Humanoid-v5", [None, None], None),
    ],
)
def test_a_mixtures_references_are_those_of_all_parts_or_d4rls(loaded, game, both, told):
    """In mixtures, and where seeds learn from different runs."""
    facts = [{"reference_scores": own and [*own]} for own in both]
    paths = {x: [VectorRun(game=game, facts=own)] for x, own in zip("ab", facts, strict=True)}
    mixed = loaded(paths=paths, path=[("a", 2), ("b", 3)])
    turns = loaded(*(VectorRun(i + 1, game=game, facts=own) for i, own in enumerate(facts)))
    assert [x.protocol["reference_scores"] for x in (mixed, turns)] == [told, told]


def test_data_whose_format_has_no_references_say_nothing_of_them(loaded):
    assert "reference_scores" not in loaded(VectorRun()).protocol


def test_observations_are_normalised_by_those_that_transitions_start_from(loaded):
    """By hand: they start from 0, 1, 3 and 5; what follows has the same scale, so 6 too."""
    data = loaded(VectorRun(), num_transitions=4, normalize_observations=True)
    mean, deviation = 9 / 4, np.sqrt((0 + 1 + 9 + 25) / 4 - (9 / 4) ** 2)
    expected = (np.array([0, 1, 3, 5]) - mean) / (deviation + 1e-3)
    np.testing.assert_allclose(drawn(data)[0], expected, rtol=1e-6)
    batch = data.sample_uniformly(200)
    last = batch.s_tm1[0, :, 0] == batch.s_tm1[0, :, 0].max()
    np.testing.assert_allclose(batch.s_t[0, last, 0], (6 - mean) / (deviation + 1e-3), rtol=1e-6)
    np.testing.assert_allclose(
        batch.s_t[0, last, 1], (60 - 10 * mean) / (10 * deviation + 1e-3), rtol=1e-6
    )
    scale = data.scales[1]
    np.testing.assert_allclose(scale.mean, [mean, 10 * mean])
    np.testing.assert_allclose(scale.scale, [deviation + 1e-3, 10 * deviation + 1e-3])
    assert scale.mean.dtype == scale.scale.dtype == np.float64
    assert data.protocol["data"][0]["observations"] == "normalized, eps 0.001"
    told = data.protocol["observation_scales"]
    assert told == [{"mean": scale.mean.tolist(), "scale": scale.scale.tolist()}]
    state = data.get_state()[1]["observations"]
    assert Scale(**state) == scale


def test_every_run_is_normalised_by_itself(loaded):
    data = loaded(VectorRun(), VectorRun(2, first=500.0), normalize_observations=True)
    means = [scale.mean[0] - 500 * seed for seed, scale in enumerate(data.scales)]
    np.testing.assert_allclose(means, 22 / 6)
    np.testing.assert_allclose(*drawn(data), rtol=1e-4)


def test_observations_are_as_stored_unless_asked_for(loaded):
    data = loaded(VectorRun())
    assert data.scales is None
    assert "observations" not in data.get_state()[0]
    assert "observation_scales" not in data.protocol
    assert drawn(data)[0] == [0.0, 1.0, 3.0, 5.0, 6.0, 7.0]


def rewards(data):
    return sorted(set(data.sample_uniformly(300).r_t[0].tolist()))


def test_rewards_are_divided_by_the_range_of_complete_returns(loaded):
    """Of returns 3, -1 and 8."""
    data = loaded(VectorRun(), normalize_rewards=True)
    np.testing.assert_allclose(rewards(data), np.array([-1, 1, 2, 3, 4]) * 1000 / 9, rtol=1e-6)
    assert data.protocol["returns"] == [{"lowest_return": -1.0, "highest_return": 8.0}]
    assert data.protocol["data"][0]["rewards"] == "normalized x 1 + 0"


def test_rewards_are_scaled_and_then_moved(loaded):
    data = loaded(VectorRun(), reward_scale=2.0, reward_shift=-1.0)
    assert rewards(data) == [-3.0, 1.0, 3.0, 5.0, 7.0]
    assert data.protocol["data"][0]["rewards"] == "x 2 + -1"
    both = loaded(VectorRun(), normalize_rewards=True, reward_shift=-1.0)
    np.testing.assert_allclose(rewards(both)[0], -1000 / 9 - 1, rtol=1e-6)


def test_returns_without_a_range_are_refused(loaded):
    one = VectorRun(episodes=[([1.0, 2.0], TERMINATED)])
    expected = r"normalize_rewards=True: expected complete .*; of the 1 of 'x': run 1 of Hopper-v5"
    with pytest.raises(ConfigError, match=expected):
        loaded(one, normalize_rewards=True)


def test_complete_returns_by_hand():
    """The first has lost its beginning, the third a row within, the last its end."""
    fields = {
        "ages": np.array([3, 4, 0, 1, 2, 0, 2, 0, 0, 1]),
        "ends": np.array(
            [
                *(TERMINATED, FINAL, GOES_ON, TRUNCATED, FINAL, GOES_ON, TERMINATED),
                *(TERMINATED, GOES_ON, GOES_ON),
            ]
        ),
        "rewards": np.array([9, 9, 1, 2, 9, 3, 4, 5, 6, 7], np.float32),
    }
    assert complete_returns(fields).tolist() == [3.0, 5.0]
    assert complete_returns({name: own[:0] for name, own in fields.items()}).tolist() == []


@pytest.mark.parametrize(("has_next", "lasts"), [(True, (5, 9, 12)), (False, (5, 8, 11))])
def test_an_episode_that_the_end_of_a_file_cuts_off_counts(tmp_path, has_next, lasts):
    """As in IQL's own code; a row that starts no transition has no reward there either."""
    arrays = play([5, 4, 3], "to-")
    but = [] if has_next else ["next_observations"]
    (run,) = find_runs(publish(tmp_path / "halfcheetah_medium-v2.hdf5", arrays, but))
    (part,) = run.parts(Share())
    (block,) = part.blocks()
    rewards = arrays["rewards"].astype(np.float64)
    expected = [rewards[first:last].sum() for first, last in zip((0, 5, 9), lasts, strict=True)]
    np.testing.assert_allclose(complete_returns(block._asdict()), expected, rtol=1e-6)


def test_actions_out_of_the_box_are_refused(loaded):
    run = VectorRun(action_spec=Box((-0.25,), (0.25,)))
    expected = r"Dataset.path='x': run 1 of Hopper-v5 has actions 0.5 to 0.5, but .* -0.25 to 0.25"
    with pytest.raises(ConfigError, match=expected):
        loaded(run)
    loaded(VectorRun(action_spec=Box((-0.5,), (0.499995,))))


@pytest.mark.parametrize(("bytes_free", "message"), [(200, r"Dataset.num_transitions=4: needs")])
def test_more_than_memory_holds_is_refused(loaded, monkeypatch, bytes_free, message):
    monkeypatch.setattr(chosen, "available_bytes", lambda: bytes_free)
    monkeypatch.setattr(chosen, "require_room", lambda *_: None)
    with pytest.raises(ConfigError, match=message):
        loaded(VectorRun(), num_transitions=4)


def test_frames_on_disk_are_not_normalised(loaded, tmp_path):
    expected = r"Dataset.normalize_observations=True: expected False with Dataset.chunks"
    with pytest.raises(ConfigError, match=expected):
        loaded(VectorRun(), normalize_observations=True, chunks=str(tmp_path / "chunks"))


@pytest.mark.parametrize(
    ("settings", "discount"), [({}, 0.99), ({"timeouts": "terminal"}, 0.0)], ids=["ours", "theirs"]
)
def test_what_timed_out_bootstraps_unless_it_is_asked_to_end(loaded, settings, discount):
    """Row 3 of the second episode was cut; rows 1 and 7 are terminal."""
    data = loaded(VectorRun(), **settings)
    batch = data.sample_uniformly(300)
    of_row = dict(zip(batch.s_tm1[0, :, 0].tolist(), batch.discount_t[0].tolist(), strict=True))
    assert of_row == pytest.approx(
        {0.0: 0.99, 1.0: 0.0, 3.0: discount, 5.0: 0.99, 6.0: 0.99, 7.0: 0.0}
    )
    assert data.protocol["data"][0].get("timeouts") == settings.get("timeouts")


def test_what_a_timeout_may_be_is_said(loaded):
    with pytest.raises(ConfigError, match=r"^Dataset.timeouts='terminals': .*'terminal'"):
        loaded(VectorRun(), timeouts="terminals")
