"""A ring in device memory against the host's `ReplayBuffer` and `FrameRing`, fed the same."""

import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from scipy.stats import chisquare

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay import device_ring, transitions
from prune_rl.replay.ring import FrameRing
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Box, Discrete, ObservationSpec

from .states import assert_same, copied

GAMMA = 0.9
END_CHANCES = [(0.0, 0.0), (0.1, 0.1), (0.0, 0.3), (0.5, 0.4), (1.0, 0.0)]
IMAGES, VECTORS = ObservationSpec((2, 3, 1)), ObservationSpec((3,), np.float32)
ACTIONS = {Discrete: Discrete(18), Box: Box((-1.0,) * 2, (1.0,) * 2)}

_start, _append = jax.jit(device_ring.start), jax.jit(device_ring.append)
_candidates = jax.jit(device_ring.candidates, static_argnums=1)
_usable = jax.jit(device_ring.usable)
_transitions = jax.jit(device_ring.transitions, static_argnums=(2, 3))
_inputs = jax.jit(device_ring.inputs)
_draw = jax.jit(device_ring.draw_uniformly, static_argnums=(2, 3))


def specs(stack_size, vectors):
    if vectors:
        return VECTORS, ACTIONS[Box]
    return ObservationSpec((2, 3, 1), stack_size=stack_size), ACTIONS[Discrete]


def frame(image, vectors):
    """An image (2, 3, 1), or (3,) numbers that are as hard to confuse."""
    return np.float32(image.reshape(2, 3).sum(axis=0)) / 7 if vectors else image


def ending(step):
    return np.where(step["terminated"], TERMINATED, np.where(step["truncated"], TRUNCATED, GOES_ON))


class Both:
    """One seed's host ring and device ring, told the same."""

    def __init__(self, history, num_rows, observation_spec, action_spec):
        self.history, self.vectors = history, not observation_spec.is_image
        self.host = FrameRing(1, num_rows, observation_spec, action_spec)
        self.device = device_ring.empty(num_rows, observation_spec, action_spec)

    def start(self):
        first = frame(self.history.first()[0], self.vectors)
        self.host.start(first[None])
        self.device = _start(self.device, first)

    def play(self, steps):
        for _ in range(steps):
            self.step()

    def step(self):
        step = self.history.step()
        action = step["actions"][0]
        if self.vectors:
            action = np.float32([action, -action]) / 18
        end, reward = ending(step).astype(np.uint8), np.float32(step["rewards"])
        next_frame, new = (frame(step[x][0], self.vectors) for x in ("next_frames", "frames"))
        self.host.append(np.array([action]), reward, end, next_frame[None])
        ended = step["terminated"] | step["truncated"]
        if ended.any():
            self.host.restart(ended, new[None])
        self.device = _append(self.device, action, reward[0], end[0], next_frame, new)


def usable_starts(host, horizon):
    """Positions (B,) of all transitions."""
    low, high = host.candidates(horizon)
    positions = np.arange(low[0], high[0])[None]
    return positions[~host.unusable(positions, low)]


def assert_same_bits(one, other):
    assert one._fields == other._fields
    for x, y in zip(one, other, strict=True):
        if x is None:
            assert y is None
            continue
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def one_seed(batch):
    return batch._make(None if x is None else x[0] for x in batch)


def assert_agrees(both, horizon):
    low, high = both.host.candidates(horizon)
    mine = _candidates(both.device, horizon)
    assert all(x.dtype == np.int32 and x.shape == () for x in mine)
    assert [int(x) for x in mine] == [int(low[0]), int(high[0])]
    if high[0] <= low[0]:
        return
    positions = np.resize(np.arange(low[0], high[0]), 64)  # of one shape, compiled once
    bad = both.host.unusable(positions[None], low)[0]
    np.testing.assert_array_equal(_usable(both.device, positions, int(low[0])), ~bad)
    if not bad.all():
        starts = np.resize(positions[~bad], 64)
        expected = transitions.transitions(both.host, starts[None], horizon, GAMMA)
        assert_same_bits(_transitions(both.device, starts, horizon, GAMMA), one_seed(expected))
        expected = transitions.inputs(both.host, starts[None])
        assert_same_bits(_inputs(both.device, starts), one_seed(expected))


@settings(max_examples=25, deadline=None)
@given(
    stack_size=st.sampled_from([1, 4]),
    vectors=st.booleans(),
    horizon=st.sampled_from([1, 3]),
    ends=st.sampled_from(END_CHANCES),
    extra=st.sampled_from([0, 17]),
    steps=st.integers(0, 60),
    seed=st.integers(0, 1000),
)
def test_every_transition_is_the_hosts(
    make_history, stack_size, vectors, horizon, ends, extra, steps, seed
):
    num_rows = stack_size + horizon + 1 + extra
    history = make_history([seed], ends)
    both = Both(history, num_rows, *specs(stack_size, vectors))
    both.start()
    both.play(steps)
    assert_agrees(both, horizon)
    assert_same([device_ring.to_state(both.device)], both.host.get_state())


@pytest.mark.parametrize(("stack_size", "horizon", "vectors"), [(4, 3, False), (1, 5, True)])
def test_at_every_step_of_a_long_history(make_history, stack_size, horizon, vectors):
    both = Both(make_history([3], (0.1, 0.1)), 20, *specs(stack_size, vectors))
    both.start()
    for _ in range(80):
        both.step()
        assert_agrees(both, horizon)
    assert not both.device.frames[-1].any()


def test_by_hand():
    """Frames 10, 11, 12, cut there; then a new episode from 50 on, which goes on."""

    def seen(number):
        return np.full((2, 2, 1), number, np.uint8)

    ring = device_ring.empty(9, ObservationSpec((2, 2, 1), stack_size=2), Discrete(4))
    assert (ring.frames.shape, ring.frames.dtype) == ((10, 2, 2, 1), np.uint8)
    ring = _start(ring, seen(10))
    for action, (end, following, now) in enumerate(
        [(GOES_ON, 11, 11), (TRUNCATED, 12, 50), (GOES_ON, 51, 51)]
    ):
        ring = _append(ring, action, 2.0**action, np.uint8(end), seen(following), seen(now))
    assert ring.frames[:, 0, 0, 0].tolist() == [10, 11, 12, 50, 51, 0, 0, 0, 0, 0]
    assert ring.ends.tolist() == [GOES_ON, TRUNCATED, FINAL, GOES_ON, 0, 0, 0, 0, 0]
    assert ring.ages.tolist()[:5] == [0, 1, 2, 0, 1]
    assert int(ring.cursor) == 4
    batch = _transitions(ring, np.array([0, 1]), 3, 0.5)
    assert batch.s_tm1[:, :, 0, 0, 0].tolist() == [[0, 10], [10, 11]]
    assert batch.s_t[:, :, 0, 0, 0].tolist() == [[11, 12], [11, 12]]
    assert batch.a_tm1.tolist() == [0, 1]
    assert batch.r_t.tolist() == [1 + 0.5 * 2, 2]
    assert batch.discount_t.tolist() == [0.25, 0.5]  # a truncated episode bootstraps


@pytest.mark.parametrize(("ends", "stack_size", "horizon"), [((0.3, 0.2), 4, 3), ((0.1, 0), 1, 1)])
def test_uniform_draws_are_all_usable_transitions_equally_often(
    make_history, ends, stack_size, horizon
):
    both = Both(make_history([5], ends), 30, *specs(stack_size, False))
    both.start()
    both.play(70)
    starts = usable_starts(both.host, horizon)
    drawn = np.asarray(_draw(both.device, jax.random.PRNGKey(3), 20_000, horizon))
    assert (drawn.dtype, drawn.shape) == (np.int32, (20_000,))
    counts = [np.count_nonzero(drawn == x) for x in starts]
    assert sum(counts) == 20_000
    assert chisquare(counts).pvalue > 1e-3


def test_draws_without_a_candidate_end():
    ring = _start(device_ring.empty(9, IMAGES, Discrete(4)), np.ones((2, 3, 1), np.uint8))
    assert _draw(ring, jax.random.PRNGKey(0), 4, 1).shape == (4,)


def stacked(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def own(tree, s):
    return jax.tree.map(lambda x: x[s], tree)


def test_mapped_over_seeds_each_is_what_it_is_alone(make_history):
    """Their cursors and the rounds of their rejections differ."""
    both = [Both(make_history([s], (0.1 * s, 0.1)), 20, *specs(4, False)) for s in range(3)]
    for each in both:
        each.start()
        each.play(60)
    together = stacked([x.device for x in both])
    keys = jax.random.split(jax.random.PRNGKey(1), 3)
    starts = jax.vmap(_draw, (0, 0, None, None))(together, keys, 32, 3)
    batch = jax.vmap(_transitions, (0, 0, None, None))(together, starts, 3, GAMMA)
    for s, each in enumerate(both):
        alone = _draw(each.device, keys[s], 32, 3)
        np.testing.assert_array_equal(starts[s], alone)
        assert_same_bits(own(batch, s), _transitions(each.device, alone, 3, GAMMA))


def numbered(position, shape):
    return jnp.full(shape, position % 251 + 1, jnp.uint8)


def learn(ring, steps, shape=(10, 10, 4), size=32):
    """Appends and samples `steps` times inside one program; the ring, and a sum over all seen."""

    def step(i, carry):
        ring, total = carry
        end = jnp.where(i % 7 == 6, TERMINATED, GOES_ON).astype(jnp.uint8)
        new = numbered(ring.cursor + 1, shape)
        ring = device_ring.append(ring, i % 3, jnp.float32(i), end, new, numbered(i, shape))
        key = jax.random.fold_in(jax.random.PRNGKey(0), i)
        starts = device_ring.draw_uniformly(ring, key, size, 3)
        batch = device_ring.transitions(ring, starts, 3, GAMMA)
        return ring, total + sum(x.astype(jnp.float32).sum() for x in batch[:5])

    return lax.fori_loop(0, steps, step, (ring, jnp.float32(0)))


def program(num_rows, num_seeds):
    """Compiled, and its ring: of one seed, or of several under `vmap`."""
    ring = device_ring.empty(num_rows, ObservationSpec((10, 10, 4)), Discrete(6))
    ring, function = device_ring.start(ring, numbered(0, (10, 10, 4))), learn
    if num_seeds > 1:
        ring, function = stacked([ring] * num_seeds), jax.vmap(learn, (0, None))
    return jax.jit(function, donate_argnums=0).lower(ring, 4).compile(), ring


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_loop_that_stores_and_samples_never_copies_its_rows(num_seeds):
    """All that makes rows anew in the compiled program writes some of them where they lie."""
    num_rows = 100_000
    compiled, _ = program(num_rows, num_seeds)
    rows = rf"%(\S+) = \w+\[(?:{num_seeds},)?10000[01][,\]]\S* ([a-z-]+)\("
    made = re.findall(rows, compiled.as_text())
    operations = {name if operation == "fusion" else operation for name, operation in made}
    operations -= {"parameter", "get-tuple-element", "bitcast"}
    assert operations
    assert [x for x in operations if not re.search("dynamic-update-slice|scatter", x)] == []
    one_byte_a_row = num_seeds * num_rows
    assert compiled.memory_analysis().temp_size_in_bytes < one_byte_a_row


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_what_a_step_costs_does_not_depend_on_how_many_rows_there_are(num_seeds):
    """A copy of 40 MB would take a hundred times as long as a step."""
    fastest = {}
    for num_rows in (2_000, 100_000):
        compiled, ring = program(num_rows, num_seeds)
        times = []
        for _ in range(5):
            begin = time.process_time()
            ring, total = compiled(ring, 200)
            jax.block_until_ready(total)
            times.append(time.process_time() - begin)
        fastest[num_rows] = min(times)
    assert fastest[100_000] < 5 * fastest[2_000]


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("steps", [None, 0, 12, 90])
def test_a_state_on_disk_goes_on_bit_for_bit(make_history, tmp_path, steps, vectors):
    both = Both(make_history([4], (0.1, 0.1)), 20, *specs(4, vectors))
    if steps is not None:
        both.start()
        both.play(steps)
    states, restored = [device_ring.to_state(both.device)], []
    assert_same(states, both.host.get_state())
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(Checkpoint({4: states[0]}, {}))
    checkpointer.wait()
    like = device_ring.empty(20, *specs(4, vectors))
    assert checkpointer.restore(lambda x: restored.append(device_ring.from_state(x.seeds[4], like)))
    checkpointer.close()
    both.device = restored[0]
    assert_same([device_ring.to_state(both.device)], states)
    if steps is None:
        both.start()
    for _ in range(40):
        both.step()
        assert_agrees(both, 3)


def test_a_state_lives_on_when_the_ring_is_donated(make_history):
    both = Both(make_history([4], (0.1, 0.1)), 20, *specs(4, False))
    both.start()
    both.play(50)
    state = device_ring.to_state(both.device)
    expected = copied([state])
    donating = jax.jit(device_ring.append, donate_argnums=0)
    ring = both.device
    for _ in range(40):
        ring = donating(ring, 0, 0.0, np.uint8(0), *np.full((2, 2, 3, 1), 255, np.uint8))
    assert_same([state], expected)


def test_a_state_of_another_form_is_refused(make_history):
    both = Both(make_history([4]), 20, *specs(4, False))
    both.start()
    both.play(30)
    state = device_ring.to_state(both.device)
    for other in (VECTORS, ObservationSpec((3, 2, 1))):
        with pytest.raises(ConfigError, match="replay state: rows"):
            device_ring.from_state(state, device_ring.empty(20, other, Discrete(18)))
