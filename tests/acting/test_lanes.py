"""Episodes of a loaded agent, against the loop that evaluates runs and against each other."""

from dataclasses import replace

import numpy as np
import pytest

from prune_rl import randomness
from prune_rl.acting.evaluation import Evaluation
from prune_rl.acting.lanes import LANES, Lanes, acting
from prune_rl.acting.policy import Policy
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import RunEnded
from prune_rl.learning.seed_axis import Separate
from prune_rl.loading import load_seeds

pytestmark = pytest.mark.usefixtures("quick_compiling")
EPSILON = 0.6  # so that what is drawn matters


@pytest.fixture(scope="module")
def runs(trained_minatar, quick_compiling):
    return load_seeds(trained_minatar(files=("pruning/magnitude.gin",)))


@pytest.fixture(scope="module")
def act(runs):
    return acting(runs[0].learner)


@pytest.fixture
def make(runs, act):
    def lanes(num_episodes, number=3, seed=1, epsilon=EPSILON, **options):
        return Lanes(
            runs[seed], num_episodes, act=act, number=number, exploration=[epsilon], **options
        )

    return lanes


@pytest.fixture(scope="module")
def ten(runs, act):
    lanes = Lanes(runs[1], 10, act=act, number=3, exploration=[EPSILON])
    return lanes.play(10)


def test_episodes_are_those_of_an_evaluation_with_the_same_streams(runs, ten):
    """Lane by lane, one seed at a time; that Evaluation plays what runs do is tested elsewhere."""
    run = runs[1]
    agent = replace(run.agent, epsilon_eval=EPSILON)
    for lane in range(LANES):
        word = np.random.SeedSequence([run.seed, 8, 3, lane]).generate_state(1)[0] % 2**31
        evaluation = Evaluation(
            Policy(agent, run.learner),
            EnvironmentBatch(run.create_games([int(word)]), run.max_steps_per_episode),
            params=Separate([run.params]),
            keys=randomness.lane_key(run.seed, 3, lane)[None],
            num_episodes=2,
        )
        evaluation.start()
        found = []
        while not evaluation.done:
            found += evaluation.step()
        for number, episode in zip((lane, lane + LANES), found, strict=True):
            if number < 10:
                assert ten[number] == (number, *episode[1:])
    assert len({own.length for own in ten}) > 1


def test_an_episode_depends_on_nothing_beside_it(make, ten):
    assert [own.number for own in ten] == list(range(10))
    assert make(3).play(3) == ten[:3]
    lanes = make(10)
    halves = [lanes.play(4), lanes.play(6)]
    assert halves[0] + halves[1] == ten
    looks = []
    watched = make(10).play(9, watch=lambda look: looks.append((look.length, look.episode_return)))
    assert watched == ten[:9]
    assert [length for length, _ in looks] == [x for own in ten[:9] for x in range(own.length)]


def test_another_number_or_seed_is_another_evaluation(make, ten):
    lengths = [own.length for own in ten]
    assert [own.length for own in make(10, number=4).play(10)] != lengths
    assert [own.length for own in make(10, seed=0).play(10)] != lengths
    keys = {tuple(randomness.lane_key(*x).tolist()) for x in [(0, 0, 0), (1, 0, 0), (0, 1, 0)]}
    seeds = {randomness.lane_seed(*x) for x in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert (len(keys), len(seeds)) == (3, 4)


def test_a_watcher_sees_the_game_before_each_step(make, runs):
    looks = []

    def watch(look):
        looks.append(look._replace(observation=look.observation.copy()))
        shown = look.game._observe()  # what the game shows now
        np.testing.assert_array_equal(look.observation[-1], shown)

    lanes = make(2, epsilon=0.0)
    (episode,) = lanes.play(1, watch=watch)
    seen = np.stack([look.observation for look in looks])
    np.testing.assert_array_equal(runs[1].act(seen), [look.action for look in looks])
    assert len(looks) == episode.length
    assert looks[-1].game is lanes.games[0]


def test_episodes_that_end_are_told_as_they_do(make):
    told = []
    make(5).play(5, tell=told.append)
    assert sum(told) == 5
    assert told[0] == 0


def test_every_lane_stops_when_its_episodes_are_played(make):
    steps = {}
    lanes = make(9)
    for number, game in enumerate(lanes.games):

        def step(action, own=game.step, number=number):
            steps[number] = steps.get(number, 0) + 1
            return own(action)

        game.step = step
    played = lanes.play(9)
    for lane in range(LANES):
        assert steps[lane] == sum(own.length for own in played if own.number % LANES == lane)


def test_a_game_that_fails_ends_it_in_one_line(make):
    lanes = make(2)

    def fail(action):
        raise ValueError("unplugged\nby hand")

    lanes.games[1].step = fail
    with pytest.raises(RunEnded, match=r"^a game of the evaluation failed: .*unplugged$"):
        lanes.play(2)


def test_a_protocol_has_the_longest_episode(make, runs):
    protocol = make(1).protocol
    assert protocol["max_steps_per_episode"] == runs[0].max_steps_per_episode == 27_000
    assert protocol["sticky_action_probability"] == 0.1
