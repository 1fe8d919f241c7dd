"""Our masks, weights, distributions and schedules against JaxPruner's, bit for bit.

jaxpruner.npz holds what record_jaxpruner.py wrote (its docstring has the command).
"""

import itertools
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.pruning import distributions
from prune_rl.pruning.masks import num_kept, topk_mask
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.packing import apply_masks, unpack_like
from prune_rl.pruning.patterns import Block, NByM
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.schedules import PeriodicSchedule, PolynomialSchedule

from . import jaxpruner_cases as cases

pytestmark = pytest.mark.usefixtures("quick_compiling")

_RECORD = dict(np.load(Path(__file__).with_name("jaxpruner.npz")))


def _bits(masks, params):
    leaves = jax.tree.leaves(jax.jit(unpack_like)(masks, params))
    return np.packbits(np.concatenate([np.asarray(leaf).reshape(-1) for leaf in leaves]))


def _train(pruner, shapes, optimizer):
    wrapped, params = pruner.wrap(optimizer), cases.draw(shapes, 0)
    state, update = jax.jit(wrapped.init)(params), jax.jit(wrapped.update)
    params, masks = apply_masks(params, state.masks), []
    for grads in cases.gradients(shapes):
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        masks.append(_bits(state.masks, params))
    return np.stack(masks), params


@pytest.mark.parametrize("name", cases.ALGORITHMS)
def test_training_gives_the_same_masks_and_weights(name):
    method, dynamic = METHODS[name], name in ("set", "rigl")
    distribution = distributions.uniform if method.whole_network else distributions.erk
    pruner = Pruner(
        method,
        PolynomialSchedule(cases.START, cases.END, cases.FREQ),
        partial(distribution, sparsity=cases.SPARSITY),
        drop_fraction=optax.cosine_decay_schedule(0.3, cases.END),
    )
    shapes = cases.KERNELS if dynamic else cases.SHAPES
    masks, params = _train(pruner, shapes, optax.sgd(0.125, momentum=0.5))
    np.testing.assert_array_equal(masks, _RECORD[f"{name}/masks"])
    for i, leaf in enumerate(jax.tree.leaves(params)):
        np.testing.assert_allclose(leaf, _RECORD[f"{name}/params/{i}"], rtol=1e-6, atol=1e-7)


def test_straight_through_masks_are_those_of_the_forward_pass_after_the_schedule_too():
    pruner = Pruner(
        METHODS["magnitude_ste"],
        PolynomialSchedule(0, cases.END, 1, goes_on=True),
        partial(distributions.erk, sparsity=cases.SPARSITY),
    )
    masks, _ = _train(pruner, cases.SHAPES, optax.sgd(0.125))
    np.testing.assert_array_equal(masks, _RECORD["magnitude_ste/masks"])
    assert (masks[cases.END] != masks[-1]).any()


@pytest.mark.parametrize("i", range(len(cases.TOPK)))
def test_masks_with_ties_and_nan(i):
    size, sparsity = cases.TOPK[i]
    scores = cases.tied_scores(size)
    if i % 2:
        scores[size // 2] = np.nan
    mask = topk_mask(scores, np.ones(size, bool), jnp.float32(sparsity))
    if i % 2 and num_kept(size, jnp.float32(sparsity)) == size:
        # JaxPruner's threshold is NaN here, so that it prunes everything; ours keeps all.
        assert not _RECORD[f"topk/{i}"].any()
        assert mask.all()
    else:
        np.testing.assert_array_equal(np.packbits(mask), _RECORD[f"topk/{i}"])


@pytest.mark.parametrize("shape", cases.PATTERN_SHAPES)
def test_patterns(shape):
    scores, active = cases.tied_scores(shape), np.ones(shape, bool)
    for n, m in cases.N_BY_M:
        mask = jax.jit(NByM(n, m))(scores, active, jnp.float32(0.5))
        np.testing.assert_array_equal(np.packbits(mask), _RECORD[f"nm/{shape}/{n},{m}"])
    for block in cases.BLOCKS:
        mask = jax.jit(Block(*block))(scores, active, jnp.float32(0.5))
        np.testing.assert_array_equal(np.packbits(mask), _RECORD[f"block/{shape}/{block}"])


@pytest.mark.parametrize("target", cases.TARGETS)
@pytest.mark.parametrize("name", ["uniform", "erk"])
def test_distributions(name, target):
    distribution, params = getattr(distributions, name), cases.draw(cases.SHAPES, 0)
    whole = jax.tree.leaves(distribution(params, target))
    np.testing.assert_array_equal(whole, _RECORD[f"{name}/{target}"])
    filtered = jax.tree.leaves(distribution(params, target, ["head"]))
    np.testing.assert_array_equal(filtered, _RECORD[f"{name}/{target}/without head"])


@pytest.mark.parametrize("power", [1, 3])
def test_schedules(power):
    steps = jnp.arange(30)
    schedule = PolynomialSchedule(4, 24, 3, power)
    # Ours also updates at its end, which 3 does not divide, so as to reach the target.
    expected = _RECORD[f"polynomial/{power}/updates"] | (np.arange(30) == 24)
    np.testing.assert_array_equal(schedule.is_mask_update(steps), expected)
    sparsities = jax.vmap(partial(schedule.sparsity, 0.9))(steps)
    np.testing.assert_allclose(sparsities, _RECORD[f"polynomial/{power}/sparsities"], rtol=3e-7)
    periodic = PeriodicSchedule(4, 24, 3).is_mask_update(steps)
    np.testing.assert_array_equal(periodic, _RECORD["periodic/updates"])


def test_the_tests_that_the_table_of_exceptions_names_are_there():
    here = Path(__file__).parent
    _, table = (here / "README.md").read_text().split("## Where JaxPruner does something else")
    table, _, _ = table.partition("\n## ")
    rows = [
        line for line in table.splitlines() if line.startswith("| ") and "JaxPruner" not in line
    ]
    named = [re.findall(r"`([\w/]+\.py)::(\w+)`", row) for row in rows]
    assert len(rows) == 16
    assert all(named)
    for path, name in itertools.chain(*named):
        file = here.parents[1] / path if "/" in path else here.parent / "pruning" / path
        assert f"def {name}(" in file.read_text(), name
