"""Evaluation: which parameters, exploration, keys and games, for how long, and what is logged."""

import csv

import jax
import numpy as np
import pytest


@pytest.fixture(params=["dqn_run", "rainbow_run"])
def run(request):
    return request.getfixturevalue(request.param)


def _evaluations(run):
    """Events of each of the two evaluations, and the agent's state before it."""
    parts, state, own = [], None, []
    for event in run.of("init", "update", "sync_target", "act", "act_eval"):
        if event.kind == "act_eval":
            own.append(event)
            continue
        if own:
            parts.append((state, own))
            own = []
        if event.kind in ("init", "sync_target"):
            state = event.returned
        elif event.kind == "update":
            state = event.returned[0]
    return [*parts, (state, own)]


def _logged(run, phase, iteration):
    """Lengths and returns of the episodes of each seed, as episodes.csv has them."""
    with (run.directory / "episodes.csv").open() as file:
        rows = [
            x for x in csv.DictReader(file) if (x["phase"], x["iteration"]) == (phase, iteration)
        ]
    return {
        seed: [
            (int(x["episode_length"]), float(x["episode_return"]))
            for x in rows
            if x["seed"] == seed
        ]
        for seed in ("5", "6")
    }


def _episodes(own, enough):
    """Lengths and returns until `enough` (steps, episodes) says so at an episode's end."""
    found, length, total = [], 0, 0.0
    for steps, x in enumerate(own, start=1):
        length, total = length + 1, total + x.reward
        if x.over or x.truncated:
            found.append((length, total))
            length, total = 0, 0.0
            if enough(steps, len(found)):
                return found
    raise AssertionError("the evaluation stopped before the seed was done")


def test_it_plays_the_online_network_as_it_is(run):
    evaluations = _evaluations(run)
    assert len(evaluations) == 2
    for state, events in evaluations:
        network = state.networks["q"]
        target = [
            np.array_equal(*x)
            for x in zip(
                *map(jax.tree.leaves, (network.params, network.target_params)), strict=True
            )
        ]
        assert not all(target)  # else the target network could not be told
        for event in events:
            for a, b in zip(
                jax.tree.leaves(event.given[0]), jax.tree.leaves({"q": network.params}), strict=True
            ):
                np.testing.assert_array_equal(a, b)


def test_it_explores_with_its_own_epsilon(run):
    assert {event.given[3] for event in run.of("act_eval")} == {0.05}


def test_its_keys_are_a_stream_of_seed_and_iteration_that_goes_on(run):
    for iteration, (_, events) in enumerate(_evaluations(run)):
        stream = [jax.random.fold_in(jax.random.PRNGKey(seed), 1) for seed in (5, 6)]
        expected = np.stack([jax.random.fold_in(key, iteration) for key in stream])
        for event in events:
            np.testing.assert_array_equal(event.given[1], expected)
            expected = event.returned[1]
    keys = [key.tobytes() for event in run.of("act_eval") for key in event.given[1]]
    assert len(set(keys)) == len(keys)


def test_it_plays_games_of_its_own(run):
    assert len(run.environments) == 2 * (1 + 2)
    seeds = [environment.seed for environment in run.environments]
    assert len(set(seeds)) == len(seeds)
    for iteration, (_, events) in enumerate(_evaluations(run)):
        played = run.played(iteration)
        assert len(events) == len(played[0])
        for event, *own in zip(events, *played, strict=True):
            np.testing.assert_array_equal(event.given[2], [x.observation for x in own])
            assert event.returned[0].tolist() == [x.action for x in own]


def test_it_stores_nothing_and_learns_nothing(run):
    assert len(run.of("add")) == len(run.played()[0])


def test_five_steps_are_five_steps_and_the_rest_of_the_episode(dqn_run):
    """The first seed's game is over after exactly 5 steps, the other's is cut after 7."""
    for iteration in range(2):
        played = dqn_run.played(iteration)
        expected = [_episodes(own, lambda steps, _: steps >= 5) for own in played]
        assert [len(x) for x in expected] == [1, 1]
        assert list(_logged(dqn_run, "eval", str(iteration)).values()) == expected
        assert len(played[0]) == 7  # it ends with the last seed


def test_two_episodes_are_two_of_each_seed(rainbow_run):
    for iteration in range(2):
        played = rainbow_run.played(iteration)
        expected = [_episodes(own, lambda _, episodes: episodes >= 2) for own in played]
        assert list(_logged(rainbow_run, "eval", str(iteration)).values()) == expected
        # The first seed, done after 9 steps, plays on beside the other: that is not logged.
        assert [sum(length for length, _ in own) for own in expected] == [9, 13]
        assert len(played[0]) == 13
