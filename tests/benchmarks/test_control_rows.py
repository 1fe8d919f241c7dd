"""The plan for continuous control: sides of a ratio do the same, bars are those that were set."""

import gin
import pytest

from benchmarks.control_rows import control_groups
from prune_rl import configuration

_GROUPS = {group.name: group for group in control_groups()}
_ROWS = {row.name: row for group in control_groups() for row in group.rows}


def test_bars_are_those_that_were_set():
    assert {row.name: row.bar for row in _ROWS.values() if row.bar} == {
        "td3_bc/jax_corl": "≥ 1.2",
        "td3_bc/jax_corl_plain": "≥ 1.2",
        "td3_bc/corl": "≥ 3",
        "sac/sbx": "≥ 1.2",
        "control_seeds/td3_bc": "≤ 3.5",
        "control_seeds/iql": "≤ 3.5",
        "control_pruning/magnitude": "≤ 1.02",
        "control_pruning/sparse_reg": "≤ 1.02",
    }


def test_every_side_that_learns_from_data_has_a_million_transitions():
    sides = [side for name in _GROUPS if name != "sac" for side in _GROUPS[name].sides.values()]
    assert {side.settings["data"] for side in sides} == {1_000_000}


def test_layer_normalisation_is_on_both_sides_or_on_none():
    sides = _GROUPS["td3_bc"].sides
    row = _ROWS["td3_bc/jax_corl"]
    assert (list(row.over), list(row.under)) == (["JAX-CORL, LayerNorm"], ["ours, LayerNorm"])
    assert sides["JAX-CORL, LayerNorm"].settings["layer_norm"]
    assert not sides["JAX-CORL"].settings["layer_norm"]
    own = {name: sides[name].settings["gin_bindings"] for name in ("ours", "ours, LayerNorm")}
    assert own["ours"] == []
    assert "critic/MLPTorso.layer_norm=True" in own["ours, LayerNorm"]


def test_the_simulators_of_both_are_filled_alike():
    sides = _GROUPS["sac"].sides
    assert sides["sbx"].settings == {"game": "HalfCheetah-v5", "history": 1000, "capacity": 100000}
    for name in ("ours", "update", "act", "simulator"):
        assert sides[name].settings["gin_bindings"] == [
            'create_mujoco_environment.game_name="HalfCheetah-v5"',
            "SACAgent.min_replay_history=1000",
            "ReplayBuffer.max_capacity=100000",
        ]


def test_five_seeds_are_weighed_as_the_work_of_five():
    row = _ROWS["control_seeds/td3_bc"]
    assert (row.over, row.under) == ({"S = 5": 5.0}, {"S = 1": 1.0})


@pytest.mark.parametrize(("name", "period"), [("magnitude", 1_000), ("sparse_reg", 5_000)])
def test_pruning_is_weighed_by_how_often_masks_are_remade(name, period):
    row = _ROWS[f"control_pruning/{name}"]
    held, remade = row.over.values()
    assert (held, remade) == pytest.approx((1 - 1 / period, 1 / period))
    assert [side.rpartition(", ")[2] for side in row.over] == ["held", "remade"]


def test_sparse_regs_period_is_that_of_its_file():
    configuration.load(["agents/td3_bc.gin", "pruning/sparse_reg.gin"], [])
    assert gin.query_parameter("create_updater_from_config.update_freq") == 5_000
