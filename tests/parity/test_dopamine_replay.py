"""What Dopamine 4.1.2 does at episode ends and in its sum tree, so that differences are known.

Its replay takes the end of an episode for one step earlier than it is (its issue #228); that ours
is right is held by the quantity 'n-step transitions at ends, by hand'.
"""

import numpy as np
import pytest

from . import dopamine_cases as cases
from .dopamine_replay import episodes, hand_made, our_transitions, recorded_transitions

_TERMINATED = [episode for episode in episodes() if episode[-1][3]]


@pytest.mark.parametrize("n", cases.N_STEPS)
def test_dopamine_never_stores_the_last_transition_of_an_episode(n):
    ours, theirs = our_transitions(n), recorded_transitions(n)
    last = {episode[-1][0] for episode in episodes()}
    assert not last & theirs.keys()
    assert last <= ours.keys()
    assert len(ours) == len(cases.stream())


def test_with_one_step_it_loses_the_last_reward_and_ends_one_step_early():
    ours, theirs = our_transitions(1), recorded_transitions(1)
    for episode in (episode for episode in _TERMINATED if len(episode) > 1):
        early, last = episode[-2][0], episode[-1][0]
        assert {transition.terminal for transition in theirs[early]} == {True}
        assert not ours[early].terminal
        assert ours[last].terminal
        assert ours[last].reward == episode[-1][2]


def test_with_one_step_it_stores_the_end_up_to_four_times_with_frames_blanked():
    ours, theirs = our_transitions(1), recorded_transitions(1)
    for episode in (episode for episode in _TERMINATED if len(episode) > 1):
        early = episode[-2][0]
        copies = [transition.state for transition in theirs[early]]
        assert len(copies) == min(4, len(episode) - 1)
        assert copies[0] == ours[early].state
        for i, state in enumerate(copies):
            blank = max(i, copies[0].count(0))
            assert state == (0,) * blank + copies[0][blank:]


@pytest.mark.parametrize("n", [3, 10])
def test_with_more_steps_it_takes_a_state_that_goes_on_for_terminal(n):
    ours, theirs, wrong = our_transitions(n), recorded_transitions(n), 0
    for episode in (episode for episode in _TERMINATED if len(episode) > n):
        start = episode[-1 - n][0]  # its n steps end in the last state acted in
        assert {transition.terminal for transition in theirs[start]} == {True}
        assert theirs[start][0].reward == pytest.approx(ours[start].reward, abs=1e-6)
        assert not ours[start].terminal
        wrong += 1
    assert wrong > 1


def test_a_truncated_episode_loses_its_last_n_starts():
    for n in cases.N_STEPS:
        theirs, expected = recorded_transitions(n), hand_made(n)
        for episode in (episode for episode in episodes() if not episode[-1][3]):
            stored = [step[0] for step in episode if step[0] in theirs]
            assert stored == [step[0] for step in episode[:-n]]
            assert not any(expected[start].terminal for start in stored)


def test_new_items_get_the_largest_priority_ever_even_after_all_are_cleared():
    """After: nothing, add 0.5, add 2, update to (7, 0.1), to (0.2, 0.1), remove, clear."""
    np.testing.assert_array_equal(
        cases.recorded()["sum_tree/max_priorities"], [1, 1, 2, 7, 7, 7, 7]
    )


def test_its_prioritised_buffer_breaks_once_full_if_the_capacity_is_a_power_of_two():
    assert cases.recorded()["sum_tree/power_of_two_fails"]


@pytest.mark.parametrize("agent", ["rainbow", "full", "atari_100k"])
def test_its_agents_asked_for_prioritised_replay_are_left_with_uniform_replay(agent):
    assert cases.recorded()[f"prioritized/{agent}/scheme"] == "uniform"
