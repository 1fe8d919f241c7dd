"""When a run asks for actions, updates and copies of the target, and with what."""

import jax
import numpy as np
import pytest

_LOOP = ("sample", "update", "update_priorities", "sync_target", "act", "add")


@pytest.fixture(params=["dqn_run", "rainbow_run"])
def run(request):
    return request.getfixturevalue(request.param)


def _equal(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


def _steps(run):
    """The kinds of events of each agent step, which ends with its transition being stored."""
    steps, kinds = [], []
    for event in run.of(*_LOOP):
        kinds.append(event.kind)
        if event.kind == "add":
            steps.append(kinds)
            kinds = []
    assert not kinds
    return steps


def test_dqn_learns_after_the_warm_up_every_second_step_and_syncs_every_sixth(dqn_run):
    """min_replay_history 8, replay_ratio 0.5, target_update_period 6, all in agent steps."""
    for t, kinds in enumerate(_steps(dqn_run)):
        expected = ["sample", "update"] * (t > 8 and t % 2 == 0)
        expected += ["sync_target"] * (t > 8 and t % 6 == 0)
        assert kinds == [*expected, "act", "add"], t
    assert len(_steps(dqn_run)) == 60


def test_rainbow_learns_twice_a_step_and_hands_its_priorities_on_before_storing(rainbow_run):
    for t, kinds in enumerate(_steps(rainbow_run)):
        expected = ["sample", "update"] * 2 * (t > 8) + ["sync_target"] * (t in (12, 18, 24))
        own = [kind for kind in kinds if kind != "update_priorities"]
        assert own == [*expected, "act", "add"], t
        # Both batches have theirs when a new transition takes the largest.
        assert kinds.count("update_priorities") == 2 * (t > 8)
        assert kinds[-1] == "add"


def test_an_update_learns_from_the_batch_just_drawn(run):
    events = run.of("sample", "update")
    draws, updates = events[::2], events[1::2]
    assert {event.kind for event in updates} == {"update"}
    for draw, update in zip(draws, updates, strict=True):
        assert _equal(update.given[1], draw.returned)
    seen = [draw.returned.s_tm1.tobytes() for draw in draws]
    assert len(set(seen)) == len(seen)


def test_priorities_go_back_as_the_updates_gave_them_in_order(rainbow_run):
    given = [event.given[0][0] for event in rainbow_run.of("update_priorities")]
    returned = [event.returned[2] for event in rainbow_run.of("update")]
    assert len(given) == 2 * 19
    for a, b in zip(given, returned, strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(np.unique(a)) > 1


def test_dqn_has_no_priorities_to_give(dqn_run):
    assert not dqn_run.of("update_priorities")


def test_each_call_works_on_what_the_one_before_left(run):
    """The state goes from call to call: parameters, target, optimizer, keys, nothing dropped."""
    init = run.of("init")
    assert len(init) == 1
    assert list(init[0].given[0]) == [5, 6]
    state = init[0].returned
    differing = 0
    for event in run.of("update", "sync_target", "act"):
        if event.kind == "act":
            params, keys, _, _ = event.given
            network = state.networks["q"]
            assert _equal(params, {"q": network.params})
            assert _equal(keys, state.keys)
            differing += not _equal(network.params, network.target_params)
            state = state.replace(keys=event.returned[1])
            continue
        assert _equal(event.given[0], state)
        before, state = state, event.returned[0] if event.kind == "update" else event.returned
        if event.kind == "sync_target":
            online, synced = before.networks["q"].params, state.networks["q"]
            assert _equal(synced.target_params, online)
            assert _equal(synced.params, online)
    assert differing > 3  # else acting with the target network could not be told


def test_an_action_is_never_drawn_twice_from_one_key(run):
    keys = [key.tobytes() for event in run.of("act") for key in event.given[1]]
    assert len(set(keys)) == len(keys)


def test_observations_acted_on_are_the_episodes_last_frames(run):
    played = run.played()
    assert len(run.of("act")) == len(played[0])
    for event, *own in zip(run.of("act"), *played, strict=True):
        np.testing.assert_array_equal(event.given[2], [x.observation for x in own])


def test_epsilon_is_that_of_the_step(dqn_run):
    for t, event in enumerate(dqn_run.of("act")):
        # 1 for the 8 steps of the warm-up, then 0.9 less over 40 steps.
        expected = 1.0 if t < 8 else max(0.1, 1.0 - 0.9 * (t - 8) / 40)
        assert event.given[3] == pytest.approx(expected), t


def test_noisy_nets_explore_by_noise_alone(rainbow_run):
    assert {event.given[3] for event in rainbow_run.of("act")} == {0.0}


def test_schedules_are_told_the_gradient_steps_of_the_whole_run(dqn_run):
    assert dqn_run.spans == [(25, 30)]  # 60 agent steps at ratio 0.5, warm-up included
    assert len(dqn_run.of("update")) == 25


def test_interventions_come_after_their_gradient_steps_with_states_from_the_replay(dqn_run):
    """Occasions are 6, 9, ..., 24 gradient steps; four observations of each seed."""
    drawn = dqn_run.of("sample_uniformly")
    # `sample` of a uniform replay draws through `sample_uniformly` too: 32 transitions.
    own = [event for event in drawn if event.given[0] == (4,)]
    assert len(own) == 7
    counts, updates = [], 0
    for event in dqn_run.of("update", "sample_uniformly"):
        updates += event.kind == "update"
        if event.kind == "sample_uniformly" and event.given[0] == (4,):
            counts.append(updates)
    assert counts == [6, 9, 12, 15, 18, 21, 24]
    shown = dqn_run.of("intervention")
    assert len(shown) == 7 * 2
    seen = {tuple(x.tobytes() for x in event.given[0]) for event in shown}
    drawn = [zip(event.returned.s_tm1, event.returned.a_tm1, strict=True) for event in own]
    assert seen == {tuple(x.tobytes() for x in inputs) for seeds in drawn for inputs in seeds}


def test_the_clock_of_the_state_is_the_number_of_updates(run):
    """Its own, and the pruner's: two counts that a whole run holds equal."""
    for count, event in enumerate(run.of("update"), start=1):
        state = event.returned[0]
        assert state.step == state.networks["q"].opt_state.count == count
        assert np.shape(state.step) == ()
