"""The host's side of fixed data on the device: chunks, metrics, states, and what is drawn."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.learning.saved import to_states
from prune_rl.learning.seed_axis import Separate
from prune_rl.sources import dataset_on_device
from prune_rl.sources.dataset import DatasetSource
from prune_rl.sources.dataset_on_device import DeviceDatasetSource
from prune_rl.specs import Draw
from prune_rl.state import flatten

from .vector_data import PointAgent, Pull, VectorData, rows, runner_of

_END = 120  # gradient steps
_PRUNED = """
create_updater_from_config.pruner_type = 'magnitude'
create_updater_from_config.sparsity = 0.5
create_updater_from_config.update_start_step = 4
create_updater_from_config.update_end_step = 60
create_updater_from_config.update_freq = 3
"""


_BOTH = ("params", "target_params")


class Run:
    """A run that begins again and again, compiled once."""

    def __init__(self, folder, strategy, seeds=(3, 4)):
        self.runner = runner_of(
            folder,
            DeviceDatasetSource,
            _PRUNED,
            shared=False,
            agent=PointAgent(seed_strategy=strategy),
            seed=seeds[0],
            num_seeds=len(seeds),
            interventions=[Pull()],
        )
        self.loop, self.source = self.runner.trainer, self.runner.source
        self.first = self.loop.get_state()

    def begin(self):
        self.loop.set_state(self.first)
        return self

    def on(self, chunks):
        for count in chunks:
            self.loop._steps = count
            assert self.loop.step(_END) == []

    def left(self):
        """All that a checkpoint holds of each seed, as arrays by name."""
        return [flatten(state) for state in self.loop.get_state()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By strategy, of two seeds, and what such a run leaves, made in one chunk."""
    made = {}
    for strategy in ("unroll", "vmap"):
        run = Run(tmp_path_factory.mktemp(strategy), strategy)
        run.on([_END])
        made[strategy] = run, run.left()
    return made


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_where_chunks_end_changes_nothing(runs, strategy):
    run, left = runs[strategy]
    cuts = np.sort(np.random.default_rng(0).choice(np.arange(4, _END), 9, replace=False))
    chunks = [1, 1, 1, *np.diff([3, *cuts, _END]).tolist()]
    assert sum(chunks) == _END
    run.begin().on(chunks)
    assert_equal(run.left(), left)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_a_state_goes_on_to_the_bit(runs, strategy):
    run, left = runs[strategy]
    run.begin().on([41])
    states = run.loop.get_state()
    run.on([33])  # donates what the states were taken from
    run.loop.set_state(states)
    assert (run.source.steps, run.loop.gradient_steps) == (41, 41)
    run.on([_END - 41])
    assert_equal(run.left(), left)


def test_a_chunk_does_not_pass_the_end_that_it_is_told(runs):
    run = runs["unroll"][0].begin()
    run.loop._steps = 50
    run.loop.step(7)
    assert (run.source.steps, run.source.agent_steps, run.source.frames) == (7, 0, 0)
    run.loop._steps = 30
    run.loop.step()
    assert run.source.steps == run.loop.gradient_steps == 37


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_metrics_are_kept_of_one_gradient_step_in_ten_over_all_chunks(runs, strategy):
    run = runs[strategy][0].begin()
    kept = []
    for _ in range(_END // 8):
        run.on([8])
        kept += run.loop._metrics
        assert len(kept) == -(-run.loop.gradient_steps // 10)
        run.loop._metrics = []
    run.begin().on([_END])
    assert len(run.loop._metrics) == len(kept) == 12
    for one, other in zip(run.loop._metrics, kept, strict=True):
        assert_equal([one], [other])
        assert {x.shape for x in one.values()} == {(2,)}


def test_targets_are_copied_at_multiples_of_their_period_whatever_chunks(runs):
    run = runs["unroll"][0].begin()
    for end in range(1, 23):
        run.on([1])
        for state in to_states(run.loop.agent_state, run.runner.policy.learner.state_axes):
            critic = state["networks"]["critic"]
            online, target = (flatten(critic[x]) for x in ("params", "target_params"))
            same = all(np.array_equal(online[x], target[x]) for x in online)
            assert same == (end % 7 == 0), end


def test_what_a_seed_learns_depends_on_it_alone(runs, tmp_path):
    _, left = runs["unroll"]
    alone = Run(tmp_path, "unroll", seeds=(4,))
    alone.on([_END])
    (own,) = alone.left()
    for name in own:
        if not name.startswith("metrics"):
            np.testing.assert_array_equal(own[name], left[1][name], err_msg=name)
    differ = [name for name in left[0] if not np.array_equal(left[0][name], left[1][name])]
    assert any("actor/params" in name for name in differ)


def test_one_program_serves_every_chunk(runs):
    for strategy, place in (("unroll", 0), ("vmap", 1)):
        run = runs[strategy][0]
        run.begin().on([3, 5, 11])
        assert run.loop._run.programs[place]._cache_size() == 1
        assert run.loop._run.programs[1 - place]._cache_size() == 0
        assert isinstance(run.loop.agent_state, Separate) == (strategy == "unroll")


def test_rows_lie_on_the_device_once_and_seeds_draw_from_their_own(runs):
    fields, starts = rows()
    for run, _ in runs.values():
        data = run.source.data
        for name, own in fields.items():
            on_device = np.asarray(getattr(data.ring, name))
            np.testing.assert_array_equal(on_device[: len(own)], own)
        np.testing.assert_array_equal(data.starts, [*starts[10:], *starts[:10]])
        assert np.asarray(run.source.draws.first).tolist() == [0, len(starts) - 10]
        assert np.asarray(run.source.draws.count).tolist() == [len(starts) - 10, 10]


def test_probes_are_those_of_the_host(runs, tmp_path):
    host = runner_of(tmp_path, DatasetSource, shared=False)
    draws = {"some": Draw(9), "inputs": Draw(5, inputs_only=True)}
    own = runs["unroll"][0].loop.probe(draws, 2, fixed=False)
    other = host.trainer.probe(draws, 2, fixed=False)
    for name in draws:
        for a, b in zip(own[name], other[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_burst_learns_without_a_clock(runs):
    run = runs["unroll"][0].begin()
    run.loop.burst(0, 1)
    assert (run.loop.gradient_steps, run.source.steps) == (0, 16)
    run.loop.burst(1, 1)
    assert (run.loop.gradient_steps, run.source.steps) == (16, 32)
    for state in to_states(run.loop.agent_state, run.runner.policy.learner.state_axes):
        critic = state["networks"]["critic"]
        assert not np.array_equal(*(next(iter(flatten(critic[x]).values())) for x in _BOTH))


def test_a_state_of_other_data_is_refused(runs, monkeypatch):
    run = runs["unroll"][0]
    states = run.begin().loop.get_state()
    monkeypatch.setattr(run.source.replay, "_identities", [{"sha256": "cd"}] * 2)
    with pytest.raises(ConfigError, match=r"the data that the run began with, \{'sha256': 'ab'\}"):
        run.loop.set_state(states)


def test_data_that_the_device_has_no_room_for_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_on_device, "available_on_device", lambda: 100)
    with pytest.raises(ConfigError, match=r"@DeviceDatasetSource: the data need 0.00 GiB of its"):
        runner_of(tmp_path, DeviceDatasetSource)


def test_data_whose_rows_are_not_in_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(VectorData, "is_in_memory", False)
    with pytest.raises(
        ConfigError, match=r"DeviceDatasetSource.create_dataset_fn=.*: expected data"
    ):
        runner_of(tmp_path, DeviceDatasetSource)
