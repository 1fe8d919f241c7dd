"""The registry against lists by hand: what a row may hold, and what each reader takes of it."""

import pytest

from prune_rl.recording import metrics
from prune_rl.recording.metrics import METRICS, describe

_MAPPINGS = {
    "sparsity_by_layer",
    "parameter_norm_by_tensor",
    "dormant_by_layer",
    "dead_units_by_layer",
}
_PLAYED = {
    "episode_return_mean",
    "episode_length_mean",
    "num_episodes",
    "normalized_score",
    "epsilon",
    "agent_steps_per_second",
    "gradient_steps_per_second",
    "loss",
    "grad_norm",
    "q_mean",
    "entropy",
    "alpha",
}
_MEASURED = {
    "q_variance",
    "q_target_variance",
    "q_norm",
    "parameter_norm",
    "srank",
    "dormant",
    "dead_units",
    "gradient_correlation",
    "mask_churn",
    "value_churn",
    "policy_churn",
    "probe_loss",
    "validation_loss",
    "probe_grad_norm",
}


def test_every_name_is_there_and_sorted_by_the_rows_that_hold_it():
    assert METRICS.keys() == _MAPPINGS | _PLAYED | _MEASURED | {"sparsity"}
    assert set(metrics.PLAYED) == _PLAYED | {"sparsity"}
    assert set(metrics.MEASURED) == _MEASURED | {"sparsity"}
    assert not METRICS.keys() & metrics.IDENTIFYING.keys()
    assert metrics.CLOCKS.keys() < metrics.IDENTIFYING.keys()


def test_numbers_have_tags_of_their_own_and_mappings_none():
    assert {name for name, metric in METRICS.items() if metric.tag is None} == _MAPPINGS
    tags = [metric.tag for metric in METRICS.values() if metric.tag]
    assert len(set(tags)) == len(tags)


def test_everything_has_a_unit_and_a_label():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.label
        assert metrics.UNITS[name] == metric.unit != ""
    assert metrics.UNITS.keys() == METRICS.keys() | metrics.IDENTIFYING.keys()


def test_a_metric_of_one_network_says_which():
    assert describe("loss") is METRICS["loss"]
    assert describe("critic/loss") == (
        "critic/loss",
        METRICS["loss"].unit,
        "critic/Loss",
        "critic: loss",
    )
    assert describe("critics/0/q_mean").tag == "critics/0/MeanQ"
    assert describe("actor/sparsity_by_layer").tag is None


@pytest.mark.parametrize("name", ["q_men", "critic/q_men"])
def test_an_unknown_name_is_told_the_nearest(name):
    with pytest.raises(ValueError, match=rf"^'{name}' is no metric .*did you mean 'q_mean'\?$"):
        describe(name)
