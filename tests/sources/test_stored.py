"""Which runs, and which share of them, a training on data learns from."""

import numpy as np
import pytest

from prune_rl.datasets.experience import Damaged, Share
from prune_rl.errors import ConfigError
from prune_rl.sources import chosen
from prune_rl.sources.stored import load_dataset
from tests.sources.scripted_run import ScriptedRun


@pytest.fixture
def loaded(monkeypatch, make_setting):
    """Loads scripted runs; returns the data."""

    def load(*runs, seeds=(3, 4), game=None, agent=None, **settings):
        monkeypatch.setattr(chosen, "find_runs", lambda binding, path: list(runs))
        setting = make_setting(seeds, **(agent or {}))._replace(game=game)
        return load_dataset(setting, **({"path": "data/x"} | settings))

    return load


def _rewards(data, size=400):
    """Of each seed, the one-step rewards that it draws: they say run, part and row."""
    return [sorted(set(own.tolist())) for own in data.sample_uniformly(size).r_t]


def test_every_transition_of_every_part_is_learned_from(loaded):
    data = loaded(ScriptedRun(1))
    numbers = [*range(10, 15), *range(16, 24)]  # the last row of a part starts none
    assert _rewards(data) == [numbers, numbers]
    assert data.observation_spec.shape == (1, 10, 10, 4)
    assert data.action_spec.num_actions == 3


def test_frames_and_actions_lie_beside_their_rewards(loaded):
    batch = loaded(ScriptedRun(1)).sample_uniformly(300)
    np.testing.assert_array_equal(batch.s_tm1[..., 0, 0, 0, 0], batch.r_t)
    np.testing.assert_array_equal(batch.s_t[..., 0, 0, 0, 0], batch.r_t + 1)
    np.testing.assert_array_equal(batch.a_tm1, batch.r_t.astype(int) % 3)


def test_a_seed_learns_from_the_run_at_its_place(loaded):
    """Counted round, by number: figure 6 gives seed k the run k mod 5 + 1."""
    runs = [ScriptedRun(number) for number in range(1, 6)]
    data = loaded(*runs, seeds=(0, 1, 4, 5, 7))
    assert [own[0] // 10 for own in _rewards(data)] == [1, 2, 5, 1, 3]
    assert [bool(run.asked) for run in runs] == [True, True, True, False, True]


def test_one_run_may_be_chosen_for_all_seeds(loaded):
    runs = [ScriptedRun(number) for number in (1, 2, 3)]
    assert [own[0] // 10 for own in _rewards(loaded(*runs, run=2))] == [2, 2]
    with pytest.raises(ConfigError, match=r"Dataset.run=4: no such run; expected one of 1, 2, 3"):
        loaded(*runs, run=4)


def test_the_share_is_that_of_the_settings_and_the_horizon_the_agents(loaded):
    run = ScriptedRun(1)
    agent = {"update_horizon": 3}
    loaded(run, agent=agent, fraction=0.25, unit="transitions", seed=9)
    assert run.asked == [Share(fraction=0.25, unit="transitions", seed=9, horizon=3)]


def test_the_game_is_the_only_one_or_the_one_that_is_asked_for(loaded):
    runs = [ScriptedRun(1), ScriptedRun(2, game="freeway")]
    assert loaded(*runs, game="freeway").protocol["game"] == "freeway"
    with pytest.raises(ConfigError, match=r"Dataset.path='data/x': expected data of one game, or"):
        loaded(*runs)
    with pytest.raises(ConfigError, match=r"are of breakout, not of the game asked for, Pong"):
        loaded(ScriptedRun(1), game="Pong")


def test_what_is_read_is_said_before_and_what_is_missing(loaded, capsys):
    loaded(ScriptedRun(1, gaps=("no files of checkpoint 7",)), path="data/x")
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "data/x: breakout, run 1: 13 of at most 30 transitions (43.3%), with 15 frames (50.0%); "
        "0.00 GiB in memory"
    )
    assert second == "      run 1: no files of checkpoint 7"


def test_provenance_says_which_data(loaded):
    protocol = loaded(ScriptedRun(1), fraction=0.5).protocol
    assert protocol["format"] == "scripted"
    assert (protocol["suite"], protocol["game"]) == ("minatar", "breakout")
    own = {"path": "data/x", "run": 1, "sha256": "ab", "fraction": 0.5, "unit": "windows"}
    assert protocol["data"] == [own | {"seed": 0, "horizon": 1}]
    assert (protocol["transitions"], protocol["frames"]) == (13, 15)


def test_more_than_memory_holds_is_refused_before_it_is_read(loaded, monkeypatch):
    monkeypatch.setattr(chosen, "available_bytes", lambda: 3000)
    run = ScriptedRun(1, error=AssertionError("it was read"))
    expected = r"Dataset.fraction=0.5: needs .*largest that fits is 0.24, or keep frames on disk"
    with pytest.raises(ConfigError, match=expected):
        loaded(run, fraction=0.5)


def test_a_cache_that_memory_does_not_hold_is_refused(loaded, monkeypatch, tmp_path):
    monkeypatch.setattr(chosen, "available_bytes", lambda: 3000)
    run = ScriptedRun(1, error=AssertionError("it was read"))
    expected = r"Dataset.cache_gib=1.0: 0.00 GiB with all that is not frames; expected less than"
    with pytest.raises(ConfigError, match=expected):
        loaded(run, chunks=str(tmp_path / "chunks"))


def test_a_damaged_part_is_named(loaded):
    run = ScriptedRun(1, error=Damaged("observation_ckpt.1.gz: truncated at byte 77"))
    with pytest.raises(ConfigError, match="truncated at byte 77"):
        loaded(run)


def test_actions_that_the_game_has_not_are_refused(loaded):
    with pytest.raises(ConfigError, match=r"has actions 0 to 2, but that game has 0 to 1"):
        loaded(ScriptedRun(1, num_actions=2))


def test_a_run_without_a_transition_is_refused(loaded):
    with pytest.raises(ConfigError, match="run 1 of breakout has no complete transition"):
        loaded(ScriptedRun(1, rows=(1, 1)))


def test_a_part_of_more_rows_than_it_said_does_not_write_over_the_next(loaded):
    with pytest.raises(RuntimeError, match="more rows than the 5"):
        loaded(ScriptedRun(1, said_rows=5))


def test_fewer_rows_than_said_leave_a_gap_that_is_not_learned_from(loaded):
    assert _rewards(loaded(ScriptedRun(1, said_rows=40))) == 2 * [[*range(10, 15), *range(16, 24)]]


def test_no_path_is_one_line(loaded):
    with pytest.raises(ConfigError, match=r"Dataset.path: not set"):
        loaded(ScriptedRun(1), path=None)
