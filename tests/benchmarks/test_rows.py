"""The plan: every row can be measured, its bindings are gin's, its bars the table's."""

from collections.abc import Iterator

import pytest

from benchmarks.control_rows import control_groups
from benchmarks.pairs import Side
from benchmarks.rows import groups
from prune_rl import configuration

_ALL = [*groups(), *control_groups()]
_GROUPS = {group.name: group for group in groups()}
_ROWS = {row.name: row for group in groups() for row in group.rows}


def test_names_are_unique():
    assert len({group.name for group in _ALL}) == len(_ALL)
    names = [row.name for group in _ALL for row in group.rows]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("group", _ALL, ids=lambda group: group.name)
def test_a_row_is_named_after_its_group_and_made_of_its_sides(group):
    for row in group.rows:
        assert row.name == group.name or row.name.startswith(f"{group.name}/")
        assert set(row.sides) <= set(group.sides)
    assert {name for row in group.rows for name in row.sides} == set(group.sides)


def _ours() -> Iterator[Side]:
    sides = [side for group in _ALL for side in group.sides.values()]
    for index, side in enumerate(sides):
        if side.module == "benchmarks.workers.ours" and side not in sides[:index]:
            yield side


@pytest.mark.parametrize(
    "side", list(_ours()), ids=lambda side: " ".join(side.settings["gin_bindings"])
)
def test_gin_knows_what_ours_is_told(side):
    configuration.load(side.settings["gin_files"], side.settings["gin_bindings"])


def test_sides_of_a_ratio_learn_alike():
    """But for what the ratio is about, and Dopamine's own settings are the same numbers."""
    pong = _GROUPS["pong"].sides
    assert "DQNAgent.min_replay_history=1000" in pong["ours"].settings["gin_bindings"]
    assert "ReplayBuffer.max_capacity=20000" in pong["ours"].settings["gin_bindings"]
    told = {"agent": "dqn", "game": "Pong", "history": 1000, "capacity": 20000}
    assert pong["Dopamine"].settings == pong["Dopamine, malloc"].settings == told
    assert (pong["Dopamine"].malloc, pong["Dopamine, malloc"].malloc) == (False, True)
    found = _GROUPS["minatar_5"].sides["host as found"]
    host = _GROUPS["minatar_5"].sides["host"]
    assert (found.commit, host.commit) == ("82e3750", None)
    assert found.settings == host.settings | {"malloc": False}


def test_a_host_loop_is_weighed_against_a_quarter_of_an_update():
    for name, whole in (("pong", "ours"), ("minatar_1", "host"), ("minatar_5", "host")):
        row = _ROWS[f"{name}/host"]
        assert row.over == {whole: 1.0}
        assert row.under == {"update": 0.25, "act": 1.0, "emulator": 1.0}


def test_pruning_is_weighed_by_how_often_masks_are_remade():
    over = _ROWS["pruning/magnitude"].over
    assert over == pytest.approx({"masks held": 0.999, "masks remade": 0.001})


def test_bars_are_those_that_were_set():
    bars = {row.name: row.bar for row in _ROWS.values() if row.bar}
    assert bars == {
        "pong/dopamine": "≤ 0.75",
        "pong/dopamine_malloc": "≤ 0.85",
        "pong/host": "≤ 1.1",
        "rainbow/dopamine": "≤ 0.8",
        "torch/nature": "≤ 0.65",
        "torch/impala": "≤ 1.5",
        "seeds/nature": "≤ 1.03",
        "seeds/impala": "≤ 1.03",
        "seeds/minatar": "≤ 1.03",
        "seeds/minatar_x4": "≤ 1.03",
        "minatar_1/device": "≥ 2.5",
        "minatar_1/host": "≤ 1.1",
        "minatar_5/device": "≥ 1.5",
        "minatar_5/host": "≤ 1.1",
        "breakout/rejax": "≥ 3",
        "breakout/rejax_ratio_1": "≥ 3",
        "breakout/torch": "≥ 3",
        "pruning/magnitude": "≤ 1.02",
    }
    assert all(_ROWS[name].default for name in bars)
