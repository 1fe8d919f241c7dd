"""`create_updater_from_config` and its gin files."""

import sys
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import optax
import pytest

from prune_rl.errors import ConfigError
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.schedules import NoUpdateSchedule, PolynomialSchedule

_GIN_FILES = Path(__file__).parents[2] / "gin_configs" / "pruning"
_PARAMS = {"kernel": jax.ShapeDtypeStruct((100, 10), jnp.float32)}


def _parse(*names):
    for name in names:
        gin.parse_config_file(str(_GIN_FILES / name))


def test_magnitude_gin_prunes_to_95_percent_between_20_and_80_percent_of_the_run():
    _parse("magnitude.gin")
    pruner = create_updater_from_config(2_500_000)
    assert pruner.schedule == PolynomialSchedule(500_000, 2_000_000, 1000)
    assert pruner.distribution(_PARAMS) == {"kernel": pytest.approx(0.95)}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_gin_file_of_its_name_at_95_percent(name):
    _parse(f"{name}.gin")
    pruner = create_updater_from_config(1000)
    assert pruner.method is METHODS[name]
    assert pruner.rng_seed == 8
    assert pruner.distribution(_PARAMS) == {"kernel": pytest.approx(0.95)}


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_dynamic_methods_start_at_once_and_replace_less_and_less(name):
    _parse(f"{name}.gin")
    pruner = create_updater_from_config(1000)
    assert (pruner.schedule.update_start_step, pruner.schedule.update_end_step) == (0, 800)
    fractions = [float(pruner.drop_fraction(step)) for step in (0, 400, 800, 999)]
    assert fractions == pytest.approx([0.1, 0.05, 0.0, 0.0], abs=1e-7)


@pytest.mark.parametrize("name", ["snip", "global_snip"])
def test_snip_makes_its_masks_at_the_first_gradient_step(name):
    _parse(f"{name}.gin")
    schedule = create_updater_from_config(1000).schedule
    assert [step for step in range(1000) if schedule.is_mask_update(step)] == [0]
    assert schedule.sparsity(0.95, jnp.int32(0)) == pytest.approx(0.95)


@pytest.mark.parametrize("name", ["global_magnitude", "global_saliency", "global_snip"])
def test_one_threshold_for_all_ignores_the_distribution(name):
    params = _PARAMS | {"small": jax.ShapeDtypeStruct((10, 10), jnp.float32)}
    pruner = create_updater_from_config(100, name, dist_type="erk", sparsity=0.5)
    assert pruner.distribution(params) == {"kernel": 0.5, "small": 0.5}


def test_static_masks_have_no_schedule_and_need_no_gradient_steps():
    schedule = create_updater_from_config(0, "static_sparse", sparsity=0.5).schedule
    assert schedule == NoUpdateSchedule()


def test_a_score_of_ones_own_is_found_through_an_import_in_a_gin_file(tmp_path, monkeypatch):
    module = tmp_path / "a_score_of_my_own.py"
    module.write_text(
        "import jax.numpy as jnp\n"
        "from prune_rl.pruning.methods import register_score\n"
        "register_score('mine', lambda param, grad, key: jnp.square(param * grad))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        gin.parse_config(
            "import a_score_of_my_own\ncreate_updater_from_config.pruner_type = 'mine'\n"
            "create_updater_from_config.sparsity = 0.5"
        )
        method = create_updater_from_config(100).method
        assert method.score(jnp.float32(2), jnp.float32(3), None) == 36
    finally:
        METHODS.pop("mine", None)
        sys.modules.pop("a_score_of_my_own", None)


@pytest.mark.parametrize("files", [[], ["none.gin"], ["magnitude.gin", "none.gin"]])
def test_dense_training_has_no_masks_even_without_gradient_steps(files):
    _parse(*files)
    state = create_updater_from_config(0).wrap(optax.sgd(0.1)).init({"kernel": jnp.ones((2, 2))})
    assert not jax.tree.leaves(state.masks)


def test_dist_type_chooses_the_distribution():
    params = _PARAMS | {"small": jax.ShapeDtypeStruct((10, 10), jnp.float32)}
    by_type = {
        name: create_updater_from_config(
            100, "magnitude", dist_type=name, sparsity=0.5
        ).distribution(params)
        for name in ("uniform", "erk")
    }
    assert by_type["uniform"] == {"kernel": 0.5, "small": 0.5}
    assert by_type["erk"]["kernel"] > 0.5 > by_type["erk"]["small"]


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        ({"sparsity": 0.9}, "sparsity=0.9: expected 0.0 for pruner_type 'no_prune'"),
        ({"sparsity": 0.9}, "add --gin_files=pruning/magnitude.gin"),
        ({"pruner_type": "magnitude", "sparsity": 1.0}, "sparsity=1.0: expected a fraction"),
        ({"pruner_type": "magnitude", "sparsity": -0.1}, "sparsity=-0.1"),
        ({"pruner_type": "magnitude", "sparsity": 95}, "sparsity=95"),
        ({"pruner_type": "magnitude", "sparsity": float("nan")}, "sparsity=nan"),
        ({"pruner_type": "magnitude", "sparsity": "0.95"}, "sparsity='0.95'"),
        ({"pruner_type": "magnitude", "sparsity": True}, "sparsity=True"),
        ({"pruner_type": "magnitud"}, "pruner_type='magnitud': no such choice; did you mean"),
        ({"drop_fraction": 1.5}, "drop_fraction=1.5: expected a fraction in [0, 1]"),
        ({"drop_fraction": "0.1"}, "drop_fraction='0.1'"),
        ({"rng_seed": -1}, "rng_seed=-1: expected an integer"),
        ({"rng_seed": 8.0}, "rng_seed=8.0"),
        ({"dist_type": "ERK"}, "dist_type='ERK': no such choice; did you mean 'erk'?"),
        ({"pruner_type": "magnitude", "update_end_step": 101}, "update_end_step=101"),
    ],
)
def test_a_wrong_binding_is_named(bindings, message):
    with pytest.raises(ConfigError) as error:
        create_updater_from_config(100, **bindings)
    assert str(error.value).startswith("create_updater_from_config.")
    assert message in str(error.value)


@pytest.mark.parametrize("pruner_type", ["static_sparse", "random", "set"])
def test_rng_seed_reaches_the_pruner_whether_masks_change_or_not(pruner_type):
    assert create_updater_from_config(100, pruner_type, sparsity=0.5).rng_seed == 8
    assert create_updater_from_config(100, pruner_type, sparsity=0.5, rng_seed=3).rng_seed == 3


def test_pruning_needs_gradient_steps():
    with pytest.raises(ConfigError, match="num_gradient_steps=0"):
        create_updater_from_config(0, "magnitude", sparsity=0.5)
