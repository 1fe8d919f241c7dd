"""Runs with vectors and box actions on real MuJoCo, against gymnasium played by hand.

The agent is a script: what it does is a rule of what it sees, exact in float32, and what it learns
changes nothing. So every number that a run writes and stores can be had without it.
"""

import csv
import itertools
import json
from dataclasses import dataclass

import gin
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl import configuration, randomness
from prune_rl.experiment import create_runner
from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import build_learner
from prune_rl.learning.quantities import Quantities
from prune_rl.settings import checked
from prune_rl.specs import Inputs

SEEDS, LONGEST, STEPS, EPISODES = (3, 4), 18, 80, 2
FRAME_SKIP = {"HalfCheetah-v5": 5, "Hopper-v5": 4, "Ant-v5": 5}


def explores(agent_steps):
    """-0.5, 0 or 0.5, for twenty steps each; so that Hopper falls now and then."""
    return (agent_steps // 20 % 3 - 1) / 2


def rule(observation, epsilon, xp=np):
    """As many numbers as A = 3 or 6 or 8, beyond the box where it explores."""
    size = {11: 3, 17: 6, 105: 8}[observation.shape[-1]]
    return xp.where(observation[:size] > 0, 0.75, -0.25) + xp.float32(epsilon)


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class ScriptedAgent(Agent):
    """Plays `rule`."""

    @property
    def networks(self):
        return {"policy": None}

    def exploration(self, agent_steps):
        return {"epsilon": explores(agent_steps)}

    @property
    def exploration_eval(self):
        return {"epsilon": 0.0}

    def is_target_update_step(self, step):
        return False

    def learner(self, observation_spec, action_spec, optimizers):
        empty = Inputs(*(jnp.zeros(own.shape) for own in (observation_spec, action_spec)))
        first = {"params": {"kernel": jnp.ones((2, 2))}}

        def act(params, key, observation, epsilon):
            return rule(observation, epsilon, jnp).astype(jnp.float32), key

        def update(state, batch):
            metrics = {"loss": batch.r_t.mean(), "q_mean": batch.discount_t.mean()}
            return state, metrics, jnp.zeros_like(batch.r_t)

        return build_learner(
            {"policy": Quantities(lambda key: first, empty)},
            optimizers,
            targets=[],
            update=update,
            act=act,
            act_eval=act,
            strategy=lambda num_seeds, *, compiled_loop=False: "vmap",
        )


class Told:
    """Keeps a copy of what a replay is told."""

    def __init__(self):
        self.first, self.steps = None, []

    def add_first(self, frames):
        self.first = frames.copy()

    def add(self, **given):
        self.steps.append({name: array.copy() for name, array in given.items()})


def by_hand(game, word, epsilon_at):
    """Yields (seen, played, reward, next_seen, now_seen, ended, return, length) for ever."""
    environment = gymnasium.make(game).unwrapped
    low, high = environment.action_space.low, environment.action_space.high
    seen = environment.reset(seed=word)[0].astype(np.float32)
    total, length = 0.0, 0
    for number in itertools.count():
        action = rule(seen, epsilon_at(number)).astype(np.float32)
        following, reward, terminated, _, _ = environment.step(np.clip(action, low, high))
        following = now = following.astype(np.float32)
        total, length = total + float(np.float32(reward)), length + 1
        ended = "terminated" if terminated else "truncated" if length == LONGEST else ""
        if ended:
            now = environment.reset()[0].astype(np.float32)
        yield seen, action, reward, following, now, ended, total, length
        if ended:
            total, length = 0.0, 0
        seen = now


@pytest.fixture(
    scope="module",
    params=[
        ("HalfCheetah-v5", False),
        ("Hopper-v5", False),
        ("Hopper-v5", True),
        ("Ant-v5", False),
    ],
    ids=lambda own: f"{own[0]}{'_on_device' * own[1]}",
)
def played(request, tmp_path_factory):
    """(game, runner when it is done, what its replay was told)."""
    game, on_device = request.param
    settings = (
        "Runner.agent=@ScriptedAgent()",
        f'create_mujoco_environment.game_name="{game}"',
        f"Runner.seed={SEEDS[0]}",
        f"Runner.num_seeds={len(SEEDS)}",
        "Runner.num_iterations=2",
        f"Runner.training_steps={STEPS}",
        f"Runner.max_steps_per_episode={LONGEST}",
        f"Runner.num_eval_episodes={EPISODES}",
        "ScriptedAgent.min_replay_history=20",
        "ScriptedAgent.gamma=0.5",
        "ReplayBuffer.batch_size=400",
        f"OnlineSource.replay_on_device={on_device}",
    )
    configuration.load(["suites/mujoco.gin"], settings)
    runner = create_runner(tmp_path_factory.mktemp("continuous") / "run")
    told = Told()
    runner.source.watch(told)
    runner.run()
    gin.clear_config()
    return game, runner, told


def expected_training(game):
    """Steps by seed, in order."""
    words = [randomness.environment_seed(seed, randomness.TRAINING) for seed in SEEDS]
    plays = [by_hand(game, word, explores) for word in words]
    return [[next(play) for _ in range(2 * STEPS)] for play in plays]


def test_the_replay_is_told_what_gymnasium_shows(played):
    """Raw rewards, what the agent chose, and the true last observation of a cut episode."""
    game, _, told = played
    expected = expected_training(game)
    np.testing.assert_array_equal(told.first, [own[0][0] for own in expected])
    assert len(told.steps) == 2 * STEPS
    ends = set()
    for place, own in enumerate(expected):
        for given, by_us in zip(told.steps, own, strict=True):
            _, action, reward, following, now, ended, _, _ = by_us
            names = ("actions", "next_frames", "frames")
            for name, array in zip(names, (action, following, now), strict=True):
                assert given[name].dtype == np.float32
                np.testing.assert_array_equal(given[name][place], array)
            assert given["rewards"][place] == np.float32(reward)
            assert given["terminated"][place] == (ended == "terminated")
            assert given["truncated"][place] == (ended == "truncated")
            ends.add(ended)
    assert "truncated" in ends
    assert ("terminated" in ends) == (game == "Hopper-v5")
    assert max(abs(given["rewards"]).max() for given in told.steps) > 1


def test_what_is_learned_from_bootstraps_where_an_episode_was_cut_and_only_there(played):
    game, runner, _ = played
    batch, cut, over = runner.source.replay.sample(), 0, 0
    if isinstance(batch, list):  # on the device: one of each seed
        batch = jax.tree.map(lambda *own: np.stack(own), *batch)
    for place, own in enumerate(expected_training(game)):
        by_sight = {step[0].tobytes(): step for step in own}
        assert len(by_sight) == len(own)
        for sight, action, reward, discount, next_sight in zip(
            *(np.asarray(x[place]) for x in batch[:5]), strict=True
        ):
            _, by_us, raw, following, _, ended, _, _ = by_sight[sight.tobytes()]
            np.testing.assert_array_equal(action, by_us)
            np.testing.assert_array_equal(next_sight, following)
            assert reward == np.float32(raw)
            assert discount == (0.0 if ended == "terminated" else 0.5)
            cut, over = cut + (ended == "truncated"), over + (ended == "terminated")
    assert cut
    assert (over > 0) == (game == "Hopper-v5")


def _episodes_by_hand(game, *stream, epsilon_at, steps=None):
    """(seed, return, length, ended) of each; those of so many steps, or the first `EPISODES`."""
    found = []
    for seed in SEEDS:
        play = by_hand(game, randomness.environment_seed(seed, *stream), epsilon_at)
        own = []
        for number, step in enumerate(play, 1):
            if step[5]:
                own.append((seed, step[6], step[7], step[5]))
            if number == steps or (steps is None and len(own) == EPISODES):
                break
        found += own
    return found


def test_episodes_are_those_of_gymnasium_in_training_and_evaluation(played):
    game, runner, _ = played
    with (runner.base_dir / "episodes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def logged(phase, iterations):
        return sorted(
            (int(x["seed"]), float(x["episode_return"]), int(x["episode_length"]), x["ended"])
            for x in rows
            if x["phase"] == phase and int(x["iteration"]) in iterations
        )

    trained = _episodes_by_hand(game, randomness.TRAINING, epsilon_at=explores, steps=2 * STEPS)
    assert logged("train", (0, 1)) == sorted(trained)
    for iteration in (0, 1):
        evaluated = _episodes_by_hand(
            game, randomness.EVALUATION, iteration, epsilon_at=lambda t: 0.0
        )
        assert len(evaluated) == len(SEEDS) * EPISODES
        assert logged("eval", (iteration,)) == sorted(evaluated)


def test_frames_are_steps_of_the_simulator(played):
    game, runner, _ = played
    rows = [json.loads(x) for x in (runner.base_dir / "metrics.jsonl").read_text().splitlines()]
    assert {x["frames"] for x in rows} == {STEPS * n * FRAME_SKIP[game] for n in (1, 2)}
    (start,) = json.loads((runner.base_dir / "provenance.json").read_text())
    stamped = {"suite": "mujoco", "game": game, "max_steps_per_episode": LONGEST}
    assert stamped.items() <= start["protocol"].items()
