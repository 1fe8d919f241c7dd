"""How calls are timed, and what is dense."""

import numpy as np

from prune_rl.exporting import latency
from prune_rl.exporting.layers import Layer


def test_sides_take_turns_and_each_gets_its_own_median(monkeypatch):
    clock, order = [0.0], []

    def takes(name, seconds):
        def call(observation):
            order.append(name)
            clock[0] += seconds

        return call

    monkeypatch.setattr(latency.time, "process_time", lambda: clock[0])
    measured = latency.interleaved([takes("a", 0.002), takes("b", 0.01)], np.zeros((7, 1)))
    np.testing.assert_allclose(measured, [2000, 10000])
    turns = [x for x, before in zip(order, ["", *order], strict=False) if x != before]
    assert turns[-6:] == ["a", "b"] * 3
    assert order[8:].count("a") == 15 * 25  # after the first calls, 0.05 s a trial
    assert order[8:].count("b") == 15 * 5


def test_a_filled_network_has_no_zero_weight():
    kernel, support = np.array([[0, 2]], np.float32), np.zeros(3, np.float32)
    layers = [
        Layer("dense", (0,), {"kernel": kernel, "bias": np.zeros(1, np.float32)}),
        Layer("expectation", (1,), {"support": support}),
    ]
    first, last = latency.filled(layers)
    assert np.count_nonzero(first.arrays["kernel"]) == 2
    assert first.arrays["kernel"][0, 1] == 2
    assert last.arrays["support"] is support
