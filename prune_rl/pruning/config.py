"""A pruner from settings: those of a run are gin bindings."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import gin
import optax

from prune_rl.errors import require
from prune_rl.pruning import distributions
from prune_rl.pruning.methods import METHODS, Method
from prune_rl.pruning.patterns import SPARSITY_TYPES, is_sparsity_type, parse_sparsity_type
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.schedule_settings import (
    SCHEDULE_TYPES,
    Power,
    Step,
    UpdateFreq,
    resolve_schedule,
)
from prune_rl.pruning.schedules import NoUpdateSchedule, Schedule
from prune_rl.settings import Fraction, Holds, OneOf, Patterns, Range, checked_as

_DISTRIBUTIONS = {"uniform": distributions.uniform, "erk": distributions.erk}


@checked_as("create_updater_from_config")
def create_pruner(
    num_gradient_steps: int,
    pruner_type: Annotated[str, OneOf(["no_prune"], METHODS)] = "no_prune",
    *,
    nominal_gradient_steps: int | None = None,
    dist_type: Annotated[str, OneOf(_DISTRIBUTIONS)] = "erk",
    dense_layers: Patterns = (),
    sparsity_type: Annotated[str, Holds(is_sparsity_type, SPARSITY_TYPES)] = "unstructured",
    schedule_type: Annotated[str, OneOf(SCHEDULE_TYPES)] = "polynomial",
    power: Power = 3,
    update_start_step: Step = None,
    update_end_step: Step = None,
    update_freq: UpdateFreq = None,
    sparsity: Annotated[float, Range(least=0, below=1), "a fraction in [0, 1), as 0.95"] = 0.0,
    drop_fraction: Annotated[Fraction, "a fraction in [0, 1], as 0.1"] = 0.1,
    pool_members: bool = False,
    masked_momentum: bool = False,
    rng_seed: Annotated[int, Range(least=0, below=2**32), "an integer in [0, 2**32), as 8"] = 8,
) -> Pruner:
    """Creates a pruner; names are those of JaxPruner's Dopamine baseline.

    Args:
        num_gradient_steps: gradient steps that the run will make.
        pruner_type: 'no_prune' or one of `methods.METHODS`.
        nominal_gradient_steps: what fractions of the run are fractions of; None for
            num_gradient_steps.
        dist_type: 'uniform' or 'erk', how sparsity is shared among tensors; without meaning for
            methods that rank the whole network at once.
        dense_layers: glob patterns of the layers never to prune, see `distributions`.
        sparsity_type: 'unstructured', or a pattern as `patterns.parse_sparsity_type` reads it.
        schedule_type: see `schedule_settings.resolve_schedule`, as for the next four;
            'static_sparse' reads none of them.
        power: of the polynomial.
        update_start_step: gradient step (int) or fraction of the run (float) of the first mask
            update.
        update_end_step: gradient step (int) or fraction of the run (float) of the last mask
            update; straight-through methods go on every `update_freq`, unless 'one_shot'.
        update_freq: gradient steps between mask updates.
        sparsity: final fraction of zeros in kernels, in [0, 1).
        drop_fraction: part of the weights that 'set' and 'rigl' replace at step 0, in [0, 1]; it
            falls as a cosine to 0 at the last mask update.
        pool_members: whether the members of an ensemble, as twin critics, are ranked together where
            one threshold is over a whole network, as in Sparse-Reg's released code.
        masked_momentum: whether what the optimizer remembers of a weight moves it on while it is
            masked, as in the same code; of 'snip' and 'global_snip', whose masked weights wait.
        rng_seed: integer in [0, 2**32), folded into each seed's own stream of random masks.

    Raises:
        ConfigError: a setting is wrong or asks to prune without a pruner; names the gin binding.
    """
    if pruner_type == "no_prune":
        advice = "0.0 for pruner_type 'no_prune'; to prune add --gin_files=pruning/magnitude.gin"
        require(sparsity == 0.0, _binding("sparsity"), sparsity, advice)
        dense = partial(distributions.uniform, sparsity=0.0)
        return Pruner(Method(score=None), NoUpdateSchedule(), dense)
    method, pattern = METHODS[pruner_type], parse_sparsity_type(sparsity_type)
    single = sparsity_type == "unstructured" or not method.ranks_single_weights
    expected = f"'unstructured' with pruner_type={pruner_type!r}, which ranks single weights"
    require(single, _binding("sparsity_type"), sparsity_type, expected)
    expected = f"False with pruner_type={pruner_type!r}, which has a threshold for each layer"
    pools = method.whole_network or not pool_members
    require(pools, _binding("pool_members"), pool_members, expected)
    expected = f"False with pruner_type={pruner_type!r}, whose masked weights do not wait"
    waits = method.pruned == "frozen" or not masked_momentum
    require(waits, _binding("masked_momentum"), masked_momentum, expected)
    if masked_momentum:
        method = replace(method, pruned="moved")
    dist_type = "uniform" if method.whole_network else dist_type
    layers = [dense_layers] if isinstance(dense_layers, str) else tuple(dense_layers)
    share = partial(_DISTRIBUTIONS[dist_type], sparsity=float(sparsity), dense_layers=layers)
    create = partial(Pruner, method, pattern=pattern, rng_seed=rng_seed, pools_members=pool_members)
    if method.score is None:
        return create(NoUpdateSchedule(), share)
    schedule = resolve_schedule(
        num_gradient_steps,
        update_start_step,
        update_end_step,
        update_freq,
        nominal_gradient_steps=nominal_gradient_steps,
        schedule_type=schedule_type,
        power=power,
        goes_on=method.pruned == "trained",
    )
    decay = _decay(drop_fraction, schedule)
    return create(schedule, share, drop_fraction=decay)


# gin's bindings reach who calls this name, no other.
create_updater_from_config = gin.configurable("create_updater_from_config")(create_pruner)


def _decay(drop_fraction: float, schedule: Schedule) -> optax.Schedule:
    end = getattr(schedule, "update_end_step", 0)  # those without an end update once or never
    # A decay over no steps would divide by zero.
    return optax.cosine_decay_schedule(drop_fraction, max(1, end))


def _binding(name: str) -> str:
    return f"create_updater_from_config.{name}"
