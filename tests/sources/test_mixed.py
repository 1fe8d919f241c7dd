"""Fixed data beside what is played."""

import gin
import numpy as np
import pytest

from prune_rl.environments.reference_scores import references_of
from prune_rl.errors import ConfigError
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.sources.mixed import MixedSource
from prune_rl.specs import Discrete, Draw, Inputs, ObservationSpec


@pytest.fixture
def make_source(make_setting, played_games):
    """Rewards of the dataset are 7, those of the environment 0 or 1."""

    def make(share, **agent):
        setting = make_setting(**agent)
        create = lambda own: played_games(own, reward=7)  # noqa: E731
        return MixedSource(setting, create_dataset_fn=create, dataset_share=share)

    return make


def _play(source, num_steps=60):
    for _ in range(num_steps):
        source.tick(lambda observations: np.zeros(len(observations), int))


def _fixed(batch):
    """Which transitions (S, B) are the dataset's."""
    return batch.r_t == 7


@pytest.mark.parametrize(("share", "fixed"), [(0.0, 0), (0.05, 2), (0.5, 16), (1.0, 32)])
def test_a_share_of_every_batch_is_the_datasets(make_source, share, fixed):
    source = make_source(share, update_horizon=1)
    source.start()
    _play(source)
    for _ in range(3):
        batch = source.replay.sample()
        assert batch.s_tm1.shape == (2, 32, 1, 10, 10, 4)
        expected = np.arange(32) >= 32 - fixed
        np.testing.assert_array_equal(_fixed(batch), np.tile(expected, (2, 1)))
        assert batch.probabilities is None


def test_other_draws_are_mixed_alike(make_source):
    source = make_source(0.25, update_horizon=1)
    source.start()
    _play(source)
    assert _fixed(source.replay.sample_uniformly(12)).sum(axis=1).tolist() == [3, 3]
    probe = source.replay.probe(Draw(8), "x")
    assert _fixed(probe).sum(axis=1).tolist() == [2, 2]
    inputs = source.replay.probe(Draw(8, inputs_only=True), "x")
    assert isinstance(inputs, Inputs)
    np.testing.assert_array_equal(inputs.observations, probe.s_tm1)
    np.testing.assert_array_equal(inputs.actions, probe.a_tm1)


def test_it_goes_on_from_its_state_to_the_bit(make_source):
    first, second = make_source(0.5), make_source(0.5)
    first.start()
    _play(first)
    first.replay.sample()
    second.set_state(first.get_state())
    for source in (first, second):
        _play(source, 10)
    for a, b in zip(first.replay.sample(), second.replay.sample(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_clock_is_the_environments(make_source):
    source = make_source(0.5, min_replay_history=10)
    source.start()
    _play(source, 15)
    assert (source.clock, source.steps, source.agent_steps) == ("agent_steps", 15, 15)
    assert source.protocol["game"] == "breakout"
    assert source.protocol["dataset"] == {"suite": "minatar", "played_by": "a random policy"}


def test_returns_are_scored_by_the_references_of_the_data(make_setting, played_games):
    def with_references(setting):
        data = played_games(setting)
        data.protocol = {**data.protocol, "reference_scores": [1.0, 9.0]}
        return data

    source = MixedSource(make_setting(), create_dataset_fn=with_references)
    assert references_of(source.protocol) == (1.0, 9.0)


def test_bad_settings_are_one_line(make_source, make_setting, played_games):
    with pytest.raises(ConfigError, match=r"MixedSource.dataset_share=1.5.*\[0, 1\]"):
        make_source(1.5)
    with pytest.raises(ConfigError, match=r"DQNAgent.replay_scheme='prioritized'.*'uniform'"):
        make_source(0.5, replay_scheme="prioritized")
    with pytest.raises(ConfigError, match=r"MixedSource.create_dataset_fn=None.*a function"):
        MixedSource(make_setting())

    def other_actions(setting):
        games = played_games(setting)
        games.action_spec = Discrete(5)
        return games

    with pytest.raises(ConfigError, match=r"fn: .* 5 numb.*expected what the env.* 3 numbered"):
        MixedSource(make_setting(), create_dataset_fn=other_actions)

    def other_observations(setting):
        games = played_games(setting)
        games.observation_spec = ObservationSpec((10, 10, 5))
        return games

    with pytest.raises(ConfigError, match=r"create_dataset_fn: .* 10 x 5 .* 10 x 4 "):
        MixedSource(make_setting(), create_dataset_fn=other_observations)


def test_data_of_another_game_of_the_same_form_are_refused(make_setting, played_games):
    """Freeway and Breakout alike have three actions; here their data say what they are of."""
    create = lambda own: played_games(own, reward=7)  # noqa: E731

    def of_another(setting):
        data = create(setting)
        data.protocol = {"suite": "minatar", "game": "freeway"}
        return data

    with pytest.raises(ConfigError, match=r"='freeway': expected data of breakout"):
        MixedSource(make_setting(), create_dataset_fn=of_another)


def test_data_are_loaded_before_the_replay_asks_for_its_memory(
    make_setting, played_games, monkeypatch
):
    asked = []
    own = ReplayBuffer.__init__

    def spied(self, **settings):
        asked.append(type(self).__name__)
        own(self, **settings)

    monkeypatch.setattr(ReplayBuffer, "__init__", spied)
    MixedSource(make_setting(), create_dataset_fn=played_games)
    assert asked == ["PlayedGames", "ReplayBuffer"]


def test_a_replay_on_the_device_is_refused(make_source):
    gin.bind_parameter("OnlineSource.replay_on_device", True)
    with pytest.raises(ConfigError, match=r"OnlineSource.replay_on_device=True: expected False"):
        make_source(0.5)
