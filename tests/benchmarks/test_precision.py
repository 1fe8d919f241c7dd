"""What the benchmark of precisions says of action values and times, by hand."""

import numpy as np
import pytest

from benchmarks import precision


def test_deviations_are_over_the_largest_value():
    exact = np.array([[1.0, -4.0], [2.0, 0.0]], np.float32)
    found = precision.deviation(exact + np.float32([[0.0, 1.0], [-3.0, 0.0]]), exact)
    assert (found.largest, found.mean, found.same_actions) == (0.75, 0.25, 0.5)
    assert precision.deviation(exact, exact) == (0.0, 0.0, 1.0)


def test_functions_take_turns_and_the_least_time_counts(monkeypatch):
    now, turns = [0.0], []
    monkeypatch.setattr(precision.time, "process_time", lambda: now[0])
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])

    def taking(name, *seconds):
        left = list(seconds)

        def run():
            turns.append(name)
            now[0] += left.pop(0)

        return run

    functions = {"a": taking("a", 5.0, 2.0, 3.0), "b": taking("b", 1.0, 4.0, 7.0)}
    assert precision.least_milliseconds(functions, 1.0) == {"a": 2000.0, "b": 1000.0}
    assert turns == ["a", "b"] * 3


@pytest.mark.parametrize("updates", [0, 3])
def test_last_bits_show_less_at_first_than_bfloat16(updates):
    from prune_rl.networks.torsos.minatar import MinAtarTorso
    from prune_rl.specs import ObservationSpec

    spec = ObservationSpec((10, 10, 2))
    data, torso = precision.batches(spec), MinAtarTorso()
    exact, rounded = (precision.learner_of(torso, name, spec) for name in ("fp32", "bf16"))
    values = [
        precision.action_values(exact, precision.trained(exact, data, updates, scale=x), data[0])
        for x in (1.0, 1 + 2.0**-23)
    ]
    assert values[0].shape == (32, 6)
    assert 0 < precision.deviation(values[1], values[0]).largest < 1e-3
    other = precision.action_values(rounded, precision.trained(rounded, data, updates), data[0])
    assert 1e-4 < precision.deviation(other, values[0]).largest < 0.1
