"""Writes jaxpruner.npz: what JaxPruner makes of the inputs in jaxpruner_cases.py.

pip install git+https://github.com/google-research/jaxpruner@f133ee50 ml_collections
python tests/parity/record_jaxpruner.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import jaxpruner_cases as cases
import numpy as np
import optax

jax.tree_map = jax.tree.map  # the one name that JaxPruner misses on current versions

import jaxpruner  # noqa: E402
from jaxpruner import mask_calculator, sparsity_distributions  # noqa: E402


def masks_of(masks):
    """All mask bits of a tree in one packed array, tensors in the order of their names."""
    leaves = [np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(masks)]
    return np.packbits(np.concatenate(leaves))


def train(updater, params, gradients, optimizer):
    """Masks after each step and final parameters."""
    wrapped = updater.wrap_optax(optimizer)
    state = wrapped.init(params)
    params, masks = updater.post_gradient_update(params, state), []
    for grads in gradients:
        updates, state = wrapped.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        params = updater.post_gradient_update(params, state)
        masks.append(masks_of(state.masks))
    return np.stack(masks), params


def record_algorithms(record):
    """Gradual and sparse training with gradients that are given."""
    schedule = jaxpruner.PolynomialSchedule(
        update_freq=cases.FREQ, update_start_step=cases.START, update_end_step=cases.END
    )
    for name, class_name in cases.ALGORITHMS.items():
        dynamic = name in ("set", "rigl")
        shapes = cases.KERNELS if dynamic else cases.SHAPES
        settings = {"scheduler": schedule, "rng_seed": jax.random.PRNGKey(8)}
        if name.startswith("global_"):
            settings["sparsity"] = cases.SPARSITY
        else:
            settings["sparsity_distribution_fn"] = lambda tree: sparsity_distributions.erk(
                tree, sparsity=cases.SPARSITY
            )
        if dynamic:
            settings["drop_fraction_fn"] = optax.cosine_decay_schedule(0.3, cases.END)
        updater = getattr(jaxpruner, class_name)(**settings)
        optimizer = optax.sgd(0.125, momentum=0.5)
        params, gradients = cases.draw(shapes, 0), cases.gradients(shapes)
        masks, params = train(updater, params, gradients, optimizer)
        record[f"{name}/masks"] = masks
        for i, leaf in enumerate(jax.tree.leaves(params)):
            record[f"{name}/params/{i}"] = np.asarray(leaf)


def record_straight_through(record):
    """Masks of each forward pass."""
    updater = jaxpruner.SteMagnitudePruning(
        scheduler=jaxpruner.PolynomialSchedule(
            update_freq=1, update_start_step=0, update_end_step=cases.END
        ),
        sparsity_distribution_fn=lambda tree: sparsity_distributions.erk(tree, cases.SPARSITY),
    )
    wrapped, params = updater.wrap_optax(optax.sgd(0.125)), cases.draw(cases.SHAPES, 0)
    state, masks = wrapped.init(params), []
    for grads in cases.gradients(cases.SHAPES):
        forward = updater.pre_forward_update(params, state)
        kernels = [leaf != 0 for leaf in jax.tree.leaves(forward) if leaf.ndim > 1]
        masks.append(masks_of(kernels))
        updates, state = wrapped.update(grads, state, params)
        params = updater.post_gradient_update(optax.apply_updates(params, updates), state)
    record["magnitude_ste/masks"] = np.stack(masks)


def record_masks(record):
    """Single masks, with ties and a NaN."""
    for i, (size, sparsity) in enumerate(cases.TOPK):
        scores = cases.tied_scores(size)
        if i % 2:
            scores[size // 2] = np.nan
        mask = mask_calculator.topk_mask_calculator(jnp.asarray(scores), jnp.float32(sparsity))
        record[f"topk/{i}"] = np.packbits(mask)
    for shape in cases.PATTERN_SHAPES:
        scores = jnp.asarray(cases.tied_scores(shape))
        for n, m in cases.N_BY_M:
            find = mask_calculator.get_topk_fn(jaxpruner.sparsity_types.NByM(n, m))
            record[f"nm/{shape}/{n},{m}"] = np.packbits(find(scores, 0.5))
        for block in cases.BLOCKS:
            find = mask_calculator.get_topk_fn(jaxpruner.sparsity_types.Block(block_shape=block))
            record[f"block/{shape}/{block}"] = np.packbits(find(scores, jnp.float32(0.5)))


def record_rules(record):
    """Distributions and schedules."""
    params = cases.draw(cases.SHAPES, 0)
    for name in ("uniform", "erk"):
        distribution = getattr(sparsity_distributions, name)
        for target in cases.TARGETS:
            whole = distribution(params, target)
            filtered = distribution(
                params, target, filter_fn=lambda key, leaf: leaf.ndim > 1 and "head" not in key
            )
            record[f"{name}/{target}"] = np.array(jax.tree.leaves(whole))
            record[f"{name}/{target}/without head"] = np.array(jax.tree.leaves(filtered))
    steps = jnp.arange(30)
    for power in (1, 3):
        schedule = jaxpruner.PolynomialSchedule(3, 4, 24, power)
        record[f"polynomial/{power}/updates"] = np.asarray(schedule.is_mask_update_iter(steps))
        values = [schedule.get_sparsity_at_step(0.9, step) for step in steps]
        record[f"polynomial/{power}/sparsities"] = np.array(values, np.float32)
    schedule = jaxpruner.PeriodicSchedule(3, 4, 24)
    record["periodic/updates"] = np.asarray(schedule.is_mask_update_iter(steps))


def main():
    """Writes the file beside this one."""
    record = {}
    record_algorithms(record)
    record_straight_through(record)
    record_masks(record)
    record_rules(record)
    np.savez_compressed(Path(__file__).with_name("jaxpruner.npz"), **record)


if __name__ == "__main__":
    main()
