"""Which arms the paper's figures take, and which of their kind they name as left out."""

import pytest

from prune_rl.reporting.paper_figures import draw_figures
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .trees import DENSE, PRUNED, write_tree

_IMPALA = {"agent": "dqn", "torso": "impala", "width": 3}
_SPARSITIES = {"0": _IMPALA} | {
    f"{x}": {**_IMPALA, "sparsity": x, "pruner": "magnitude"} for x in (0.5, 0.9, 0.95)
}
_WIDTHS = {f"x1/{x['pruner']}": {"torso": "impala", **x} for x in (DENSE, PRUNED)}
_EARLY = {"bindings": {"q/create_updater_from_config.update_end_step": 800}}


def _study(root):
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    study.scale = choose_scale(study, study.arms[-1].name)
    return study


_BF16 = {"bindings": {"DQNAgent.precision": "'bf16'"}}
_RATE = {"bindings": {"q/create_optimizer.learning_rate": 0.75}}
_SLOW = {"bindings": {"q/create_optimizer.learning_rate": 0.25}}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({**PRUNED, **_BF16}, "dqn impala x3 magnitude 95% bf16"),
        ({**PRUNED, **_EARLY}, "dqn impala x3 magnitude 95% polynomial 20%-800"),
        ({**PRUNED, "ratio": 1}, "dqn impala x3 magnitude 95% ratio 1"),
        (_BF16, "dqn impala x3 dense bf16"),
    ],
)
@pytest.mark.parametrize("number", [1, 3])
def test_an_arm_set_otherwise_takes_no_usual_ones_place_and_is_named(
    tmp_path, other, named, number
):
    cells = _SPARSITIES | _WIDTHS | {"zz": {**_IMPALA, **other}}
    study = _study(write_tree(tmp_path, cells, games=["Pong"], seeds=[0]))
    assert named in [arm.name for arm in study.arms]
    (picture,) = draw_figures(study, [number])
    drawn = {row[2] for row in picture.numbers}
    usual = {f"dqn impala x3 {x}" for x in ("dense", "magnitude 95%")}
    assert usual <= drawn
    assert named not in drawn
    assert f"not drawn: {named}" in picture.caption


def test_figures_of_arms_of_several_learning_rates_are_of_one(tmp_path):
    cells = {
        f"{label}/{rate}": {**own, "bindings": rate["bindings"]}
        for label, own in _SPARSITIES.items()
        for rate in (_RATE, _SLOW)
    }
    study = _study(write_tree(tmp_path, cells, games=["Pong"], seeds=[0]))
    (picture,) = draw_figures(study, [3])
    assert {row[2].rpartition("=")[2] for row in picture.numbers} == {"0.25"}
    assert "not drawn: dqn impala x3 dense learning_rate=0.75" in picture.caption


def test_pooled_arms_and_those_without_diagnostics_are_named_too(tmp_path):
    pooled = {"bindings": {"torso/ImpalaTorso.global_average_pooling": True}}
    measured = {f"{x['pruner']}": {**_IMPALA, **x, "measured": True} for x in (DENSE, PRUNED)}
    cells = measured | {"pooled": {**_IMPALA, **pooled}, "late": {**_IMPALA, **PRUNED, "ratio": 1}}
    study = _study(write_tree(tmp_path, cells, games=["Pong"], seeds=[0]))
    (picture,) = draw_figures(study, [11])
    missed = ("dqn impala x3 magnitude 95% ratio 1", "dqn impala x3 pooled dense")
    assert f"not drawn: {', '.join(missed)}" in picture.caption
