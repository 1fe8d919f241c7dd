"""`create_updater_from_config` and its gin files."""

from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import optax
import pytest

from prune_rl.errors import ConfigError
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.schedules import PolynomialSchedule

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
        ({"dist_type": "ERK"}, "dist_type='ERK': no such choice; did you mean 'erk'?"),
        ({"pruner_type": "magnitude", "update_end_step": 101}, "update_end_step=101"),
    ],
)
def test_a_wrong_binding_is_named(bindings, message):
    with pytest.raises(ConfigError) as error:
        create_updater_from_config(100, **bindings)
    assert str(error.value).startswith("create_updater_from_config.")
    assert message in str(error.value)


def test_pruning_needs_gradient_steps():
    with pytest.raises(ConfigError, match="num_gradient_steps=0"):
        create_updater_from_config(0, "magnitude", sparsity=0.5)
