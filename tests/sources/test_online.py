"""An environment and its replay as a source; the wiring of whole runs is in tests/wiring."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.sources.online import OnlineSource


def _play(source, num_steps, action=1):
    source.start()
    for _ in range(num_steps):
        source.tick(lambda observations: np.full(len(observations), action))


class _Doubled:
    """An environment whose rewards are all 2.5."""

    def __init__(self, own):
        self._own = own

    def __getattr__(self, name):
        return getattr(self._own, name)

    def step(self, actions):
        step = self._own.step(actions)
        return step._replace(rewards=np.full_like(step.rewards, 2.5))


@pytest.mark.parametrize(("clips", "stored"), [(True, 1.0), (False, 2.5)])
def test_clipping_is_the_sources(make_setting, clips, stored):
    setting = make_setting(update_horizon=1)
    create = setting.create_environments
    setting = setting._replace(create_environments=lambda *stream: _Doubled(create(*stream)))
    source = OnlineSource(setting, clip_rewards=clips)
    _play(source, 40)
    assert (source.replay.sample().r_t == stored).all()


def test_returns_are_never_clipped(make_setting):
    setting = make_setting()
    create = setting.create_environments
    source = OnlineSource(
        setting._replace(create_environments=lambda *stream: _Doubled(create(*stream)))
    )
    source.start()
    ended = [x for _ in range(60) for x in source.tick(lambda seen: np.ones(len(seen), int))]
    assert ended
    assert all(x.episode_return == 2.5 * x.length for x in ended)


def test_its_clock_is_the_agent_step(make_setting):
    source = OnlineSource(make_setting(min_replay_history=10, replay_ratio=0.5))
    assert source.clock == "agent_steps"
    due = []
    source.start()
    for _ in range(20):
        due.append(source.updates_due())
        source.tick(lambda observations: np.zeros(len(observations), int))
    assert (source.steps, source.agent_steps, source.frames) == (20, 20, 20)
    assert due == [int(t > 10 and t % 2 == 0) for t in range(20)]
    assert source.num_gradient_steps(20) == sum(due)
    assert source.nominal_gradient_steps(20) == 10


def test_an_unknown_scheme_of_sampling_names_the_agents_setting(make_setting):
    with pytest.raises(ConfigError, match=r"DQNAgent.replay_scheme='prioritised'.*'prioritized'"):
        OnlineSource(make_setting(replay_scheme="prioritised"))


def test_clip_rewards_is_a_boolean(make_setting):
    with pytest.raises(ConfigError, match=r"OnlineSource.clip_rewards='no'.*True or False"):
        OnlineSource(make_setting(), clip_rewards="no")


def test_it_goes_on_from_its_state_to_the_bit(make_setting):
    first = OnlineSource(make_setting())
    _play(first, 50)
    second = OnlineSource(make_setting())
    second.set_state(first.get_state())
    for source in (first, second):
        for _ in range(30):
            source.tick(lambda observations: observations.sum(axis=(1, 2, 3, 4)) % 3)
    assert second.agent_steps == 80
    for a, b in zip(first.replay.sample(), second.replay.sample(), strict=True):
        np.testing.assert_array_equal(a, b)
