"""The transitions that all learn from, as arrays and as the file that ours reads."""

import numpy as np

from benchmarks import transitions
from prune_rl.datasets import d4rl
from prune_rl.datasets.experience import Share


def test_they_are_always_the_same_and_lead_to_the_next():
    one, other = transitions.draw(50), transitions.draw(50)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.float32
    assert one.observations.shape == one.next_observations.shape == (50, 17)
    assert one.actions.shape == (50, 6)
    assert np.abs(one.actions).max() < 1
    np.testing.assert_array_equal(one.next_observations[:-1], one.observations[1:])
    assert not one.terminals.any()


def test_the_file_holds_as_many_for_ours(tmp_path):
    (run,) = d4rl.find_runs(transitions.write(tmp_path, 2_500))
    assert (run.game, run.observation_spec.shape) == ("HalfCheetah-v4", (17,))
    (part,) = run.parts(Share())
    assert part.num_transitions == 2_500
    blocks = list(part.blocks())
    rows = np.concatenate([own.frames for own in blocks])
    kept = np.delete(rows, [1_000, 2_001, 2_502], axis=0)  # what follows an episode's last
    np.testing.assert_array_equal(kept, transitions.draw(2_500).observations)
