"""Vectors and box actions, of arbitrary bits, against the reference that keeps whole episodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.specs import Box, Draw, ObservationSpec

GAMMA = 0.9
SPECS = {
    "observation_spec": ObservationSpec((3,), np.float32),
    "action_spec": Box((-1.0, -2.0), (1.0, 2.0)),
}
BITS = np.random.default_rng(0).integers(0, 2**32, (1000, 3), np.uint32)
VECTORS = BITS.view(np.float32)  # by frame number; infinities and NaN are among them
ACTIONS = BITS[::-1, :2].copy().view(np.float32)  # by action number
END_CHANCES = [(0.0, 0.0), (0.1, 0.1), (0.0, 0.3), (0.5, 0.4), (1.0, 0.0)]
NUMBERS = {vector.tobytes(): number for number, vector in enumerate(VECTORS)}
ACTION_NUMBERS = {action.tobytes(): number for number, action in enumerate(ACTIONS)}


def make_buffer(seeds=(0,), scheme="uniform", **changes):
    defaults = {"gamma": GAMMA, "max_capacity": 50, "batch_size": 8}
    return ReplayBuffer(
        seeds=seeds, create_sampler=SAMPLERS[scheme], **{**SPECS, **defaults, **changes}
    )


def vectors(images):
    """(S, 3) float32 in the place of numbered images."""
    return np.stack([VECTORS[int.from_bytes(image.tobytes(), "little")] for image in images])


def play(buffer, history, steps):
    if not buffer.add_count:
        buffer.add_first(vectors(history.first()))
    for _ in range(steps):
        step = history.step()
        images = {name: vectors(step[name]) for name in ("next_frames", "frames")}
        buffer.add(**{**step, **images, "actions": ACTIONS[step["actions"]]})


def transition(episode, t, horizon):
    """Numbers of s_tm1, a_tm1 and s_t, the return and the discount."""
    rewards = episode.rewards[t : t + horizon]
    span = len(rewards)
    terminal = t + span == len(episode.actions) and episode.end == "terminated"
    numbers = (episode.frames[t], episode.actions[t], episode.frames[t + span])
    total = sum(GAMMA**k * reward for k, reward in enumerate(rewards))
    return numbers, pytest.approx((total, 0.0 if terminal else GAMMA**span), abs=1e-5)


def drawn(batch, s):
    """Transitions of seed `s` in the reference's form."""
    found = []
    for s_tm1, a_tm1, r_t, discount_t, s_t in zip(*(x[s] for x in batch[:5]), strict=True):
        before, after = NUMBERS[s_tm1.tobytes()], NUMBERS[s_t.tobytes()]
        numbers = (before, ACTION_NUMBERS[a_tm1.tobytes()], after)
        found.append((numbers, (float(r_t), float(discount_t))))
    return found


@settings(max_examples=60, deadline=None)
@given(
    num_seeds=st.sampled_from([1, 3]),
    horizon=st.sampled_from([1, 3, 5]),
    scheme=st.sampled_from(list(SAMPLERS)),
    ends=st.sampled_from(END_CHANCES),
    extra=st.integers(0, 30),
    steps=st.integers(0, 120),
    seed=st.integers(0, 1000),
)
def test_samples_exactly_the_valid_transitions(
    make_history, num_seeds, horizon, scheme, ends, extra, steps, seed
):
    capacity = horizon + 2 + extra
    limits = {"update_horizon": horizon, "max_capacity": capacity, "batch_size": 1500}
    buffer = make_buffer(range(num_seeds), scheme, **limits)
    history = make_history([seed + s for s in range(num_seeds)], ends)
    play(buffer, history, steps)
    startable = [own.startable(capacity, 1, horizon) for own in history.per_seed]
    if not all(startable):
        with pytest.raises(ConfigError, match="min_replay_history"):
            buffer.sample()
        return
    batch = buffer.sample()
    for s, candidates in enumerate(startable):
        valid = {episode.frames[t]: transition(episode, t, horizon) for episode, t in candidates}
        found = drawn(batch, s)
        assert all(own == valid[own[0][0]] for own in found)
        assert {own[0][0] for own in found} == valid.keys()


def test_the_end_of_a_cut_episode_bootstraps_from_what_was_seen_there():
    """By hand: vectors (1, 1, 1) to (4, 4, 4), cut at the last; then a new episode from 50 on."""
    buffer = make_buffer(update_horizon=2, gamma=0.5, batch_size=200)

    def seen(number):
        return np.full((1, 3), number, np.float32)

    buffer.add_first(seen(1))
    for t, (following, now) in enumerate([(2, 2), (3, 3), (4, 50)]):
        buffer.add(
            actions=np.float32([[t, -t]]),
            rewards=np.float32([2**t]),
            terminated=np.array([False]),
            truncated=np.array([t == 2]),
            next_frames=seen(following),
            frames=seen(now),
        )
    batch = buffer.sample()
    assert batch.s_tm1.dtype == batch.s_t.dtype == batch.a_tm1.dtype == np.float32
    rows = np.concatenate([x.reshape(200, -1) for x in batch[:5]], axis=1)
    assert np.unique(rows, axis=0).tolist() == [
        [1, 1, 1, 0, 0, 1 + 0.5 * 2, 0.25, 3, 3, 3],
        [2, 2, 2, 1, -1, 2 + 0.5 * 4, 0.25, 4, 4, 4],
        [3, 3, 3, 2, -2, 4, 0.5, 4, 4, 4],
    ]


def test_a_probe_of_inputs_only_is_where_the_transitions_begin(make_history):
    buffer = make_buffer((0, 1))
    play(buffer, make_history([0, 1]), 80)
    observations, actions = buffer.probe(Draw(40, inputs_only=True), "one")
    assert observations.shape == (2, 40, 3)
    whole = buffer.probe(Draw(40), "one")
    assert whole.a_tm1.shape == (2, 40, 2)
    assert observations.tobytes() == whole.s_tm1.tobytes()
    assert actions.tobytes() == whole.a_tm1.tobytes()


@pytest.mark.parametrize("scheme", SAMPLERS)
@pytest.mark.parametrize("steps", [12, 130])
def test_a_checkpoint_on_disk_goes_on_bit_for_bit(make_history, tmp_path, scheme, steps):
    def make():
        return make_buffer((4, 8), scheme, update_horizon=3)

    buffer, restored, history = make(), make(), make_history([4, 8])
    play(buffer, history, steps)
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(Checkpoint(dict(zip((4, 8), buffer.get_state(), strict=True)), {}))
    checkpointer.wait()
    assert checkpointer.restore(lambda own: restored.set_state([own.seeds[4], own.seeds[8]]))
    checkpointer.close()
    same = make_history([1, 2]), make_history([1, 2])
    for _ in range(60):
        for own, episodes in zip((buffer, restored), same, strict=True):
            play(own, episodes, 1)
        first, second = buffer.sample(), restored.sample()
        for x, y in zip(first[:5], second[:5], strict=True):
            assert x.tobytes() == y.tobytes()
        if scheme == "prioritized":
            for own in (buffer, restored):
                own.update_priorities(np.abs(first.r_t) + 0.1)


def test_actions_of_another_shape_are_refused(make_history):
    """Three numbers for two seeds; and two, which NumPy would spread over the box of two."""
    buffer, history = make_buffer((0, 1)), make_history([0, 1])
    play(buffer, history, 1)
    step = history.step()
    frames = vectors(step["frames"])
    for actions in (np.zeros((2, 3), np.float32), np.zeros(2, np.float32)):
        with pytest.raises(ValueError, match=r"actions .*, not \(2, 2\)"):
            buffer.add(**{**step, "actions": actions, "frames": frames, "next_frames": frames})


@pytest.mark.parametrize("frames", [np.zeros((1, 3)), np.zeros((1, 2), np.float32)])
def test_first_frames_of_another_form_are_refused(frames):
    with pytest.raises(ValueError, match=r"not \(1, 3\) float32"):
        make_buffer().add_first(frames)
