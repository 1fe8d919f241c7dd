"""`create_updater_from_config` and its gin files."""

import sys
from dataclasses import replace
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import optax
import pytest

from prune_rl.errors import ConfigError
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.patterns import Block, Channel, NByM, Unstructured
from prune_rl.pruning.schedules import (
    NoUpdateSchedule,
    OneShotSchedule,
    PeriodicSchedule,
    PolynomialSchedule,
)

_GIN_FILES = Path(__file__).parents[2] / "gin_configs" / "pruning"
_SHAPES = {"Conv_0": (3, 3, 4, 8), "Dense_0": (100, 10), "head": (10, 6)}
_PARAMS = {
    layer: {
        "kernel": jax.ShapeDtypeStruct(shape, jnp.float32),
        "bias": jax.ShapeDtypeStruct(shape[-1:], jnp.float32),
    }
    for layer, shape in _SHAPES.items()
}
# ERK by hand. At 95 % the tensors of 288, 1,000 and 60 weights lose floor(0.95 n), 273, 950 and 57
# of them, so 68 stay; sums of their shapes are 18, 110 and 16: each keeps 68 / 144 of its own sum.
_ERK_95 = {"Conv_0": 1 - 8.5 / 288, "Dense_0": 1 - 935 / 18 / 1000, "head": 1 - 68 / 9 / 60}
_UNIFORM_95 = dict.fromkeys(_SHAPES, 0.95)


def _parse(*names):
    for name in names:
        gin.parse_config_file(str(_GIN_FILES / name))


def _shared(pruner):
    """Sparsity of every kernel; no bias has one."""
    shared = pruner.distribution(_PARAMS)
    assert [own["bias"] for own in shared.values()] == [None] * len(_SHAPES)
    return {layer: own["kernel"] for layer, own in shared.items()}


def test_magnitude_gin_prunes_to_95_percent_between_20_and_80_percent_of_the_run():
    _parse("magnitude.gin")
    pruner = create_updater_from_config(2_500_000)
    assert pruner.schedule == PolynomialSchedule(500_000, 2_000_000, 1000)
    assert _shared(pruner) == pytest.approx(_ERK_95)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_gin_file_of_its_name_at_95_percent(name):
    _parse(f"{name}.gin")
    pruner = create_updater_from_config(1000)
    assert pruner.method is METHODS[name]
    assert pruner.rng_seed == 8
    assert pruner.pattern == Unstructured()
    is_global = name in ("global_magnitude", "global_saliency", "global_snip")
    assert _shared(pruner) == pytest.approx(_UNIFORM_95 if is_global else _ERK_95)


@pytest.mark.parametrize(
    ("name", "pattern", "sparsities"),
    [
        ("block", Block(4, 4), {"Conv_0": None, "Dense_0": 0.95, "head": None}),
        ("nm", NByM(2, 4), {"Conv_0": 0.5, "Dense_0": 0.5, "head": None}),
    ],
)
def test_patterns_are_shared_uniformly_among_the_layers_that_have_them(name, pattern, sparsities):
    _parse(f"{name}.gin")
    pruner = create_updater_from_config(1000)
    assert pruner.method is METHODS["magnitude"]
    assert pruner.pattern == pattern
    assert _shared(pruner) == sparsities


_STEPS = {"update_start_step": 30, "update_end_step": 700, "update_freq": 7}


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        ({"schedule_type": "polynomial", "power": 2, **_STEPS}, PolynomialSchedule(30, 700, 7, 2)),
        ({"schedule_type": "periodic", "power": 2, **_STEPS}, PeriodicSchedule(30, 700, 7)),
        ({"schedule_type": "one_shot", "update_start_step": 0.5}, OneShotSchedule(500)),
        ({"schedule_type": "none", **_STEPS}, NoUpdateSchedule()),
    ],
)
def test_the_schedules_settings_reach_it(settings, schedule):
    assert (
        create_updater_from_config(1000, "magnitude", sparsity=0.5, **settings).schedule == schedule
    )


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("block_2,5", Block(2, 5)), ("nm_1,2", NByM(1, 2)), ("channel_0", Channel(0))],
)
def test_the_pattern_reaches_the_pruner(text, pattern):
    pruner = create_updater_from_config(100, "magnitude", sparsity_type=text, sparsity=0.5)
    assert pruner.pattern == pattern


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_the_drop_fraction_falls_from_its_own_value_to_the_schedules_end(name):
    settings = {"drop_fraction": 0.4, "schedule_type": "periodic", "update_end_step": 600}
    pruner = create_updater_from_config(1000, name, sparsity=0.8, **settings)
    fractions = [float(pruner.drop_fraction(step)) for step in (0, 300, 600)]
    assert fractions == pytest.approx([0.4, 0.2, 0.0], abs=1e-7)


def test_the_seed_of_random_masks_reaches_the_pruner():
    assert create_updater_from_config(100, "random", sparsity=0.5, rng_seed=11).rng_seed == 11


@pytest.mark.parametrize("dist_type", ["uniform", "erk"])
@pytest.mark.parametrize("dense_layers", ["Conv_*", ["Conv_*"], ("Conv_0",)])
def test_dense_layers_stay_dense_and_the_others_share_among_themselves(dist_type, dense_layers):
    """ERK by hand: 50 and 3 weights stay, by 110 and 16 of 126."""
    pruner = create_updater_from_config(
        100, "magnitude", dist_type=dist_type, dense_layers=dense_layers, sparsity=0.95
    )
    shared = _shared(pruner)
    assert shared.pop("Conv_0") is None
    erk = {"Dense_0": 1 - 53 * 110 / 126 / 1000, "head": 1 - 53 * 16 / 126 / 60}
    others = {"Dense_0": 0.95, "head": 0.95}
    assert shared == pytest.approx(erk if dist_type == "erk" else others)


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_dynamic_methods_start_at_once_and_replace_less_and_less(name):
    _parse(f"{name}.gin")
    pruner = create_updater_from_config(1000)
    assert (pruner.schedule.update_start_step, pruner.schedule.update_end_step) == (0, 800)
    fractions = [float(pruner.drop_fraction(step)) for step in (0, 400, 800, 999)]
    assert fractions == pytest.approx([0.1, 0.05, 0.0, 0.0], abs=1e-7)


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_dynamic_methods_update_every_1000_gradient_steps_whatever_came_before(name):
    _parse("sparse_reg.gin", f"{name}.gin")
    pruner = create_updater_from_config(2_494_999, nominal_gradient_steps=2_500_000)
    assert pruner.schedule == PeriodicSchedule(0, 2_000_000, 1000)


@pytest.mark.parametrize("num_gradient_steps", [100, 1_000_000])
def test_sparse_reg_is_the_same_in_any_run(num_gradient_steps):
    _parse("sparse_reg.gin")
    schedule = create_updater_from_config(num_gradient_steps).schedule
    assert schedule == PeriodicSchedule(0, 200_000, 5_000)


@pytest.mark.parametrize("name", METHODS)
def test_masks_of_straight_through_methods_alone_go_on_changing_after_the_schedule(name):
    settings = {"update_start_step": 4, "update_end_step": 14, "update_freq": 6, "sparsity": 0.5}

    def steps(schedule_type):
        pruner = create_updater_from_config(40, name, schedule_type=schedule_type, **settings)
        return [step for step in range(40) if pruner.schedule.is_mask_update(jnp.int32(step))]

    after = [18, 24, 30, 36] if name in ("magnitude_ste", "random_ste") else []
    never = name == "static_sparse"
    assert steps("polynomial") == ([] if never else [6, 12, 14, *after])
    assert steps("periodic") == ([] if never else [6, 12, *after])
    assert steps("none") == []
    settings["update_end_step"] = None
    assert steps("one_shot") == ([] if never else [4])


@pytest.mark.parametrize("name", ["snip", "global_snip"])
def test_snip_makes_its_masks_at_the_first_gradient_step(name):
    _parse(f"{name}.gin")
    schedule = create_updater_from_config(1000).schedule
    assert [step for step in range(1000) if schedule.is_mask_update(step)] == [0]
    assert schedule.sparsity(0.95, jnp.int32(0)) == pytest.approx(0.95)


@pytest.mark.parametrize("name", ["snip", "global_snip"])
def test_momentum_moves_what_snip_has_masked_only_if_asked_to(name):
    method, asked = (
        create_updater_from_config(100, name, sparsity=0.5, masked_momentum=own).method
        for own in (False, True)
    )
    assert (method, asked) == (METHODS[name], replace(METHODS[name], pruned="moved"))


@pytest.mark.parametrize("name", [x for x in METHODS if "snip" not in x])
def test_momentum_of_methods_whose_weights_do_not_wait_is_not_asked_for(name):
    binding = rf"create_updater_from_config\.masked_momentum=True: expected False with .*{name}"
    with pytest.raises(ConfigError, match=binding):
        create_updater_from_config(100, name, sparsity=0.5, masked_momentum=True)


@pytest.mark.parametrize("name", ["global_magnitude", "global_saliency", "global_snip"])
def test_one_threshold_for_all_ignores_the_distribution(name):
    pruner = create_updater_from_config(100, name, dist_type="erk", sparsity=0.5)
    assert _shared(pruner) == dict.fromkeys(_SHAPES, 0.5)


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
    for dist_type, expected in (("uniform", _UNIFORM_95), ("erk", _ERK_95)):
        pruner = create_updater_from_config(100, "magnitude", dist_type=dist_type, sparsity=0.95)
        assert _shared(pruner) == pytest.approx(expected)


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
