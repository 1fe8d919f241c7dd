"""An environment and its replay as a source; the wiring of whole runs is in tests/wiring."""

import jax
import numpy as np
import pytest

from prune_rl.environments.batch import EnvironmentFailed
from prune_rl.errors import ConfigError
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_buffer import DeviceReplayBuffer
from prune_rl.sources.online import OnlineSource
from prune_rl.state import flatten


def _play(source, num_steps, action=1):
    source.start()
    for _ in range(num_steps):
        _tick(source, action)


def _tick(source, action=1):
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


@pytest.mark.parametrize("scheme", ["uniform", "prioritized"])
def test_a_replay_on_the_device_is_asked_for_by_one_setting(make_setting, scheme):
    """It is the same in size and settings; priorities reach it without a look at them."""
    setting = make_setting(replay_scheme=scheme, min_replay_history=10)
    sources = [OnlineSource(setting, replay_on_device=on_device) for on_device in (False, True)]
    assert [type(x.replay) for x in sources] == [ReplayBuffer, DeviceReplayBuffer]
    rows = []
    for source in sources:
        _play(source, 30)
        batch, shape = source.replay.sample(), (2, source.replay.batch_size)
        if source is sources[1]:  # a batch of each seed
            assert all(isinstance(own.s_t, jax.Array) for own in batch)
            assert (len(batch), *batch[0].r_t.shape) == shape
        else:
            assert isinstance(batch.s_t, np.ndarray)
            assert batch.r_t.shape == shape
        if scheme == "prioritized":
            with jax.transfer_guard_device_to_host("disallow_explicit"):
                source.update_priorities(jax.numpy.ones(shape))
        _tick(source)
        rows.append([own["replay"]["rows"][:3] for own in source.get_state()])
    assert rows[0] == rows[1]


def test_replay_on_device_is_a_boolean(make_setting):
    with pytest.raises(ConfigError, match=r"OnlineSource.replay_on_device=1.*True or False"):
        OnlineSource(make_setting(), replay_on_device=1)


class _Written:
    """A replay that keeps what it is given; of seed i its state is that and i."""

    def __init__(self):
        self.given, self.restored = [], None

    def add_first(self, frames):
        self.given.append(("first", frames.tobytes()))

    def add(self, **arrays):
        self.given.append(tuple(x.tobytes() for x in arrays.values()))

    def update_priorities(self, priorities):
        self.given.append(("priorities", priorities.tolist()))

    def get_state(self):
        return [{"given": np.int64(len(self.given)), "place": np.int64(i)} for i in range(2)]

    def set_state(self, states):
        self.restored = states


def _watched(setting):
    source = OnlineSource(setting)
    source.replay = source._buffer = _Written()
    return source


def _act(observations):
    return observations.sum(axis=(1, 2, 3, 4)) % 3


def test_its_state_is_one_of_each_seed_with_a_part_for_all_that_it_holds(make_setting):
    first, second = (_watched(make_setting()) for _ in range(2))
    _play(first, 50)
    states = first.get_state()
    assert len(states) == 2
    for i, state in enumerate(states):
        assert set(state) == {"environment", "replay", "stack", "episode", "agent_steps"}
        assert state["replay"] == {"given": 51, "place": i}
        assert state["agent_steps"] == 50
        assert all(array.dtype.kind in "uifb" for array in flatten(state).values())
    second.set_state(states)
    assert second.replay.restored == [state["replay"] for state in states]
    rows = [[source.tick(_act) for _ in range(40)] for source in (first, second)]
    assert rows[0] == rows[1]
    assert any(rows[0])
    assert second.replay.given == first.replay.given[51:]
    assert second.agent_steps == 90


def _unplugged(setting, fails_at):
    """The setting, with games of which the second raises once, at its step `fails_at`."""
    steps = []

    def create(*stream):
        games = setting.create_environments(*stream)
        game = games._environments[1]
        step = game.step

        def failing(action):
            steps.append(action)
            if len(steps) == fails_at:
                raise OSError("unplugged")
            return step(action)

        game.step = failing
        return games

    return setting._replace(create_environments=create)


@pytest.mark.parametrize("through_a_state", [False, True])
def test_a_tick_whose_game_raises_is_finished_by_the_next(make_setting, through_a_state):
    whole, flaky = _watched(make_setting()), _watched(_unplugged(make_setting(), 21))
    for source in (whole, flaky):
        _play(source, 20)
        source.update_priorities(np.array([3.0, 4.0]))
    with pytest.raises(EnvironmentFailed, match="index 1 raised OSError: unplugged"):
        flaky.tick(_act)
    assert flaky.agent_steps == 20
    if through_a_state:
        states, given = flaky.get_state(), flaky.replay.given
        assert given[-1] == ("priorities", [3.0, 4.0])
        assert [int(state["replay"]["given"]) for state in states] == [22, 22]
        flaky = _watched(make_setting())
        flaky.set_state(states)
        flaky.replay.given = given
    rows = [[source.tick(_act) for _ in range(40)] for source in (whole, flaky)]
    assert rows[0] == rows[1]
    assert whole.replay.given == flaky.replay.given


def test_who_watches_is_told_what_the_replay_is_told(make_setting):
    """All of it, in order, priorities apart: every step of a run that is watched from its start."""
    source, spies = _watched(make_setting()), [_Written(), _Written()]
    for spy in spies:
        source.watch(spy)
    _play(source, 50)
    assert len(source.replay.given) == 51
    assert [spy.given for spy in spies] == [source.replay.given] * 2
