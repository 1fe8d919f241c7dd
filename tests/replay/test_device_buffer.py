"""A replay in device memory stands where one on the host does, and draws by the same laws."""

from types import SimpleNamespace

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay import ram
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_buffer import DeviceReplayBuffer
from prune_rl.replay.device_samplers import Prioritized
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.specs import Box, Discrete, Draw, ObservationSpec

from .states import assert_same, copied
from .test_buffer import END_CHANCES, GAMMA, drawn, numbers, play, valid_transitions

SEEDS = [4, 8]


def sample(buffer):
    """A batch of all seeds, whose batches a replay on the device keeps apart."""
    own = buffer.sample()
    return jax.tree.map(lambda *x: jnp.stack(x), *own) if isinstance(own, list) else own


def make_buffer(create=DeviceReplayBuffer, scheme="uniform", stack_size=4, **changes):
    defaults = {"seeds": SEEDS, "gamma": GAMMA, "update_horizon": 3, "batch_size": 7}
    return create(
        observation_spec=ObservationSpec((2, 3, 1), stack_size=stack_size),
        create_sampler=SAMPLERS[scheme],
        **{"action_spec": Discrete(18), "max_capacity": 40, **defaults, **changes},
    )


def played(history, steps, scheme="uniform", **settings):
    """With batches drawn on the way, and given priorities."""
    buffer = make_buffer(scheme=scheme, **settings)
    buffer.add_first(history.first())
    continued(buffer, history, steps)
    return buffer


def continued(buffer, history, steps):
    """Batches that are drawn meanwhile."""
    batches = []
    for _ in range(steps):
        buffer.add(**history.step())
        if buffer.add_count > 5:
            batches.append(sample(buffer))
            if batches[-1].probabilities is not None:
                buffer.update_priorities(abs(batches[-1].r_t) + 0.1)
    return batches


def assert_same_batches(batches, others):
    for one, other in zip(batches, others, strict=True):
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("scheme", SAMPLERS)
@pytest.mark.parametrize("ends", END_CHANCES)
def test_samples_exactly_the_valid_transitions(make_history, ends, scheme):
    buffer, history = make_buffer(scheme=scheme, batch_size=600), make_history(SEEDS, ends)
    play(buffer, history, 70)
    batch = sample(buffer)
    for s, own in enumerate(history.per_seed):
        valid = valid_transitions(own, 40, 4, 3)
        seen = {sample[0][-1]: sample for sample in drawn(jax.device_get(batch), s)}
        assert seen.keys() == valid.keys()
        assert all(seen[name] == valid[name] for name in valid)


@pytest.mark.parametrize("scheme", SAMPLERS)
def test_a_batch_has_the_hosts_form_and_lies_on_the_device(make_history, scheme):
    for create in (DeviceReplayBuffer, ReplayBuffer):
        buffer = make_buffer(create, scheme)
        play(buffer, make_history(SEEDS), 30)
        mine, uniform = sample(buffer), buffer.sample_uniformly(5)
        forms = [[(x.shape, x.dtype) for x in jax.tree.leaves(own)] for own in (mine, uniform)]
        if create is DeviceReplayBuffer:
            assert all(isinstance(x, jax.Array) for x in jax.tree.leaves((mine, uniform)))
            expected = forms
    assert forms == expected


def test_nothing_is_fetched_to_store_or_to_draw(make_history):
    buffer, history = make_buffer(scheme="prioritized"), make_history(SEEDS)
    play(buffer, history, 20)
    with jax.transfer_guard_device_to_host("disallow_explicit"):
        continued(buffer, history, 5)


def test_a_batch_of_each_seed_is_its_own(make_history):
    buffer = make_buffer()
    play(buffer, make_history(SEEDS), 30)
    assert [own.s_t.shape for own in buffer.sample()] == [(7, 4, 2, 3, 1)] * 2


def test_batches_are_not_overwritten(make_history):
    buffer, history = make_buffer(), make_history(SEEDS)
    play(buffer, history, 40)
    batch = sample(buffer)
    before = jax.tree.map(lambda x: np.array(x), batch)
    continued(buffer, history, 60)
    assert_same_batches([batch], [before])


def test_what_is_stored_is_what_was_given_even_if_it_is_written_over_at_once(make_history):
    """As an environment does that has arrays of its own."""
    buffer, other, history = make_buffer(), make_buffer(), make_history(SEEDS)
    first = history.first()
    for own in (buffer, other):
        own.add_first(first)
    first[:] = 0
    for _ in range(30):
        step = history.step()
        other.add(**{name: x.copy() for name, x in step.items()})
        buffer.add(**step)
        for x in step.values():
            x[:] = 0
    assert_same(buffer.get_state(), other.get_state())


@pytest.mark.parametrize("scheme", SAMPLERS)
@pytest.mark.parametrize("others", [[], [3], [3, 90]])
def test_what_a_seed_draws_depends_on_it_alone(make_history, others, scheme):
    def batches(seeds):
        buffer, history = make_buffer(seeds=seeds, scheme=scheme), make_history(seeds, (0.3, 0.2))
        play(buffer, history, 45)
        own = [*continued(buffer, history, 4), buffer.probe(Draw(5), "one")]
        return [jax.tree.map(lambda x: x[-1], batch) for batch in own]

    assert_same_batches(batches([7]), batches([*others, 7]))


def test_seeds_and_batches_are_drawn_differently(make_history):
    buffer = make_buffer(seeds=[1, 2], batch_size=30)
    play(buffer, make_history([9, 9], (0.0, 0.0)), 100)  # the same history twice
    first, second = sample(buffer), sample(buffer)
    assert (first.s_tm1[0] != first.s_tm1[1]).any()
    assert (first.s_tm1 != second.s_tm1).any()
    assert (second.s_tm1 != buffer.sample_uniformly(30).s_tm1).any()


def test_every_valid_transition_is_equally_likely(make_history):
    buffer, history = make_buffer(batch_size=2000), make_history(SEEDS, (0.1, 0.1))
    play(buffer, history, 70)
    batches = [jax.device_get(sample(buffer)) for _ in range(5)]
    for s, own in enumerate(history.per_seed):
        newest = [numbers(stack)[-1] for batch in batches for stack in batch.s_tm1[s]]
        counts = [newest.count(number) for number in valid_transitions(own, 40, 4, 3)]
        assert chisquare(counts).pvalue > 1e-3


def test_a_probe_is_a_function_of_seed_name_and_contents_and_disturbs_no_sample(make_history):
    buffer, other = (played(make_history(SEEDS), 60) for _ in range(2))
    first = buffer.probe(Draw(40), "one")
    assert_same_batches([sample(buffer)], [sample(other)])
    sample(other)
    for same in (buffer.probe(Draw(40), "one"), other.probe(Draw(40), "one")):
        assert_same_batches([first], [same])
    assert (first.s_tm1 != buffer.probe(Draw(40), "two").s_tm1).any()
    assert (first.s_tm1 != buffer.sample_uniformly(40).s_tm1).any()
    inputs = buffer.probe(Draw(40, inputs_only=True), "one")
    assert_same_batches([inputs], [first.inputs])


@pytest.mark.parametrize("scheme", SAMPLERS)
@pytest.mark.parametrize("steps", [6, 33, 90])
def test_a_checkpoint_on_disk_goes_on_bit_for_bit(make_history, tmp_path, scheme, steps):
    history = make_history(SEEDS)
    buffer, restored = played(history, steps, scheme), make_buffer(scheme=scheme)
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(Checkpoint(dict(zip(SEEDS, buffer.get_state(), strict=True)), {}))
    more = make_history([1, 2])
    before = continued(buffer, more, 20)  # while it is written
    checkpointer.wait()
    assert checkpointer.restore(lambda own: restored.set_state(list(own.seeds.values())))
    checkpointer.close()
    assert_same_batches(before, continued(restored, make_history([1, 2]), 20))
    assert_same(buffer.get_state(), restored.get_state())


def test_a_state_stays_as_it_was(make_history):
    history = make_history(SEEDS)
    buffer = played(history, 60, "prioritized")
    states = buffer.get_state()
    before = copied(states)
    continued(buffer, history, 50)
    assert_same(states, before)


def test_its_rows_are_the_hosts(make_history):
    buffers = [make_buffer(create) for create in (DeviceReplayBuffer, ReplayBuffer)]
    for buffer in buffers:
        play(buffer, make_history(SEEDS, (0.2, 0.2)), 60)
    (mine, theirs) = (buffer.get_state() for buffer in buffers)
    for own, other in zip(mine, theirs, strict=True):
        del own["draws"], other["random_words"]
    assert_same(mine, theirs)


@pytest.mark.parametrize("creates", [(DeviceReplayBuffer, ReplayBuffer)[::x] for x in (1, -1)])
def test_a_state_from_elsewhere_is_refused(make_history, creates):
    buffer, other = (make_buffer(create) for create in creates)
    play(buffer, make_history(SEEDS), 30)
    message = (
        rf"OnlineSource\.replay_on_device={other.ON_DEVICE}: expected {buffer.ON_DEVICE}, with"
    )
    with pytest.raises(ConfigError, match=message):
        other.set_state(buffer.get_state())


def test_the_device_must_have_the_memory(monkeypatch):
    monkeypatch.setattr(ram, "available_on_device", lambda: 8192)
    row = 6 + 4 + 4 + 4 + 1
    most = 8192 // (2 * row)
    make_buffer(max_capacity=most)
    with pytest.raises(ConfigError, match=rf"max_capacity.*are free on the device.* is {most}\b"):
        make_buffer(max_capacity=most + 1)
    fewer = 8192 // (2 * (row + Prioritized.BYTES_PER_ROW))
    with pytest.raises(ConfigError, match=rf" is {fewer}\b"):
        make_buffer(max_capacity=most, scheme="prioritized")


def test_a_run_longer_than_positions_count_is_refused():
    make_buffer(longest_run=2**30 - 2)
    with pytest.raises(ConfigError, match=r"training_steps: .* 1,073,741,823 .* 1,073,741,822,"):
        make_buffer(longest_run=2**30 - 1)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [(None, 77), ({}, 77), ({"bytes_limit": 50}, 50), ({"bytes_limit": 50, "bytes_in_use": 8}, 42)],
)
def test_a_device_says_what_it_has_left_and_of_a_cpu_the_machine(monkeypatch, stats, expected):
    with monkeypatch.context() as patched:
        patched.setattr(ram, "available_bytes", lambda: 77)
        patched.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: stats)])
        assert ram.available_on_device() == expected


def test_priorities_are_held_as_they_take_memory():
    buffer = make_buffer(max_capacity=1025, scheme="prioritized")
    assert buffer._held[0][1].nodes.nbytes <= 1025 * Prioritized.BYTES_PER_ROW


def test_errors_are_the_hosts(make_history):
    history = make_history(SEEDS)
    buffer = make_buffer(scheme="prioritized")
    with pytest.raises(RuntimeError, match="add_first"):
        buffer.add(**history.step())
    buffer.add_first(history.first())
    with pytest.raises(RuntimeError, match="already"):
        buffer.add_first(history.first())
    with pytest.raises(ConfigError, match="min_replay_history >= 3"):
        sample(buffer)
    for _ in range(5):
        buffer.add(**history.step())
    with pytest.raises(RuntimeError, match="every batch"):
        buffer.update_priorities(np.ones((2, 7)))
    sample(buffer)
    with pytest.raises(RuntimeError, match="awaits"):
        buffer.get_state()
    with pytest.raises(ValueError, match=r"not \(2, 7\)"):
        buffer.update_priorities(np.ones((2, 6)))
    buffer.update_priorities([np.ones(7), np.ones(7)])
    uniform = make_buffer()
    play(uniform, history, 5)
    with pytest.raises(RuntimeError, match="'uniform'"):
        uniform.update_priorities(np.ones((2, 7)))
    step = history.step()
    with pytest.raises(ValueError, match="actions"):
        uniform.add(**{**step, "actions": np.zeros((2, 3))})
    other = make_buffer(action_spec=Box((-1.0,), (1.0,)))
    with pytest.raises(ConfigError, match="replay state: rows"):
        other.set_state(uniform.get_state())


def test_its_settings_are_the_hosts():
    gin.parse_config(["ReplayBuffer.max_capacity = 20", "ReplayBuffer.batch_size = 6"])
    specs = {"observation_spec": ObservationSpec((2, 3, 1)), "action_spec": Discrete(4)}
    buffer = DeviceReplayBuffer(seeds=[0], **specs)
    assert (buffer.max_capacity, buffer.batch_size) == (20, 6)
    assert buffer.get_state()[0]["rows"].capacity == 20
    with pytest.raises(ConfigError, match=r"ReplayBuffer\.max_capacity=2"):
        DeviceReplayBuffer(seeds=[0], max_capacity=2, **specs)
