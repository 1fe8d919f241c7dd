"""The measurements of agents of continuous actions."""

import jax
import numpy as np
import pytest

from prune_rl.agents.iql import IQLAgent
from prune_rl.agents.sac import SACAgent
from prune_rl.diagnostics.suite import Diagnostics
from prune_rl.errors import ConfigError
from prune_rl.recording.metrics import describe

from ..agents import control, test_iql_update

pytestmark = pytest.mark.usefixtures("quick_compiling")

SIZES = {"values": 8, "srank": 8, "dormant": 8, "gradients": 3, "churn": 4}
_HIDDEN = {"srank", "dormant", "dormant_by_layer", "dead_units", "dead_units_by_layer"}
_HIDDEN |= {"gradient_covariance", "gradient_correlation", "probe_loss", "probe_grad_norm"}
_ALL = {"parameter_norm", "parameter_norm_by_tensor", "mask_churn"}
_VALUES = {"q_variance", "q_norm", "value_churn"}


def _rows(learner, state, diagnostics):
    bound = diagnostics.bind(learner)
    probe = {name: control.make_batch(3, batch_size=SIZES[name]) for name in bound.draws}
    shown = {
        x: probe[x].inputs if draw.inputs_only else probe[x] for x, draw in bound.draws.items()
    }
    return bound.rows(state, shown), probe


@pytest.mark.parametrize("kind", [SACAgent, IQLAgent])
def test_each_network_gives_what_it_has(kind):
    learner = control.make_learner(kind)
    sizes = {"srank_probe_size": 8, "dormant_probe_size": 8, "num_gradients": 3}
    diagnostics = Diagnostics(probe_size=8, churn_batch_size=4, **sizes)
    (row, _), _ = _rows(learner, learner.init(control.SEEDS), diagnostics)
    expected = {f"actor/{name}" for name in _ALL | _HIDDEN}
    expected |= {f"critic/{name}" for name in _ALL | _HIDDEN | _VALUES | {"q_target_variance"}}
    if kind is IQLAgent:
        expected |= {f"value/{name}" for name in _ALL | _HIDDEN | _VALUES}
    else:
        expected |= {f"temperature/{name}" for name in _ALL}
    assert set(row) == expected
    for name, own in row.items():
        if not name.endswith("gradient_covariance"):
            describe(name)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(own)), name


def test_values_are_means_over_critics_of_the_actions_taken():
    learner = control.make_learner(IQLAgent)
    state = learner.init(control.SEEDS)
    asked = Diagnostics(quantities=["q_variance", "q_target_variance", "loss"])
    rows, probe = _rows(learner, state, asked)
    for place, row in enumerate(rows):
        seed = test_iql_update.Reference(state, place)
        batch = control.of_seed(probe["values"], place)
        actions = control.inside(batch.a_tm1)
        q = control.q_values(seed.networks["critic"], batch.s_tm1, actions)
        targets = control.td_targets(batch, seed.value(batch.s_t))
        assert row["critic/q_variance"] == pytest.approx(q.var(axis=1).mean(), rel=1e-4)
        assert row["critic/q_target_variance"] == pytest.approx(targets.var(), rel=1e-4)
        loss = ((q - targets) ** 2).mean()
        assert row["critic/probe_loss"] == pytest.approx(loss, rel=1e-4)


def test_a_quantity_that_no_network_has_is_one_line():
    with pytest.raises(ConfigError, match=r"^Diagnostics\.quantities='q_valiance'"):
        Diagnostics(quantities=["q_valiance"]).bind(control.make_learner(SACAgent))
