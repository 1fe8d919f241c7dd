from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.pruning.schedules import (
    NoUpdateSchedule,
    OneShotSchedule,
    PeriodicSchedule,
    PolynomialSchedule,
)

_PAPER = PolynomialSchedule(500_000, 2_000_000, 1000)


@st.composite
def schedules(draw):
    start = draw(st.integers(0, 200))
    end = start + draw(st.integers(0, 200))
    return PolynomialSchedule(start, end, draw(st.integers(1, 300)), draw(st.integers(1, 4)))


def _over_run(schedule, target, num_steps=500):
    steps = jnp.arange(num_steps, dtype=jnp.int32)
    sparsities = schedule.sparsity(target, steps)
    assert sparsities.dtype == jnp.float32
    return np.asarray(schedule.is_mask_update(steps)), np.asarray(sparsities)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # Printed by JaxPruner f133ee50 for this schedule and target 0.95.
        (500_000, 1.8686e-06),
        (501_000, 1.900655e-03),
        (1_000_000, 0.6685194),
        (1_250_000, 0.8312504),
        (1_999_000, 0.95),
        (2_000_000, 0.95),
    ],
)
def test_sparsity_is_that_of_jaxpruner(step, expected):
    assert bool(_PAPER.is_mask_update(step))
    assert float(_PAPER.sparsity(0.95, step)) == pytest.approx(expected, rel=3e-7, abs=1e-10)


@pytest.mark.parametrize("step", [0, 499_000, 500_001, 2_001_000])
def test_no_mask_update_outside_the_range_or_off_the_grid(step):
    assert not bool(_PAPER.is_mask_update(step))


@given(schedules(), st.floats(1e-6, 0.99))
@settings(max_examples=30, deadline=None)
def test_sparsity_rises_along_a_polynomial_of_progress(schedule, target):
    start, end = schedule.update_start_step, schedule.update_end_step
    _, sparsities = _over_run(schedule, target)
    made = np.clip(np.arange(500) + 1.0 - start, 0, None)
    progress = np.minimum(made / (end - start), 1) if end > start else (made > 0).astype(float)
    np.testing.assert_allclose(sparsities, target * (1 - (1 - progress) ** schedule.power), 0, 3e-7)
    assert (np.diff(sparsities) >= 0).all()


@given(schedules(), st.floats(1e-6, 0.99))
@settings(max_examples=30, deadline=None)
def test_the_last_mask_update_reaches_the_target_exactly(schedule, target):
    updates, sparsities = _over_run(schedule, target)
    last = np.flatnonzero(updates)[-1]
    assert last == schedule.update_end_step
    assert sparsities[last] == np.float32(target)


@given(schedules())
@settings(max_examples=30, deadline=None)
def test_masks_change_at_multiples_of_the_frequency_and_at_the_end(schedule):
    updates, _ = _over_run(schedule, 0.5)
    start, end = schedule.update_start_step, schedule.update_end_step
    grid = {step for step in range(0, 500, schedule.update_freq) if start <= step <= end}
    assert set(np.flatnonzero(updates)) == grid | {end}


def test_traced_steps_give_the_same():
    schedule, steps = PolynomialSchedule(3, 20, 4), jnp.arange(30, dtype=jnp.int32)
    updates = jax.jit(jax.vmap(schedule.is_mask_update))(steps)
    sparsities = jax.jit(jax.vmap(partial(schedule.sparsity, 0.9)))(steps)
    expected_updates, expected = _over_run(schedule, 0.9, 30)
    np.testing.assert_array_equal(updates, expected_updates)
    np.testing.assert_allclose(sparsities, expected, 1e-6)


def test_without_updates_the_target_holds_at_every_step():
    updates, sparsities = _over_run(NoUpdateSchedule(), 0.3, 10)
    assert not updates.any()
    assert (sparsities == np.float32(0.3)).all()


def test_one_shot_is_once_and_at_once_what_is_asked():
    updates, sparsities = _over_run(OneShotSchedule(7), 0.9, 20)
    assert np.flatnonzero(updates).tolist() == [7]
    assert (sparsities == np.float32(0.9)).all()


@given(st.integers(0, 100), st.integers(0, 200), st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_periodic_is_the_multiples_in_the_range_at_full_sparsity(start, length, freq):
    updates, sparsities = _over_run(PeriodicSchedule(start, start + length, freq), 0.9)
    expected = [step for step in range(0, 500, freq) if start <= step <= start + length]
    assert np.flatnonzero(updates).tolist() == expected
    assert (sparsities == np.float32(0.9)).all()


@pytest.mark.parametrize(
    ("schedule", "before_the_end", "after_it"),
    [
        # By hand: multiples of 6 from 4 on, and the end itself.
        (partial(PolynomialSchedule, 4, 14, 6), [6, 12, 14], [18, 24, 30, 36]),
        (partial(PolynomialSchedule, 4, 12, 6), [6, 12], [18, 24, 30, 36]),
        (partial(PeriodicSchedule, 4, 14, 6), [6, 12], [18, 24, 30, 36]),
        (partial(PolynomialSchedule, 5, 5, 6), [5], [6, 12, 18, 24, 30, 36]),
    ],
)
def test_a_schedule_that_goes_on_keeps_its_steps_and_the_target_after_its_end(
    schedule, before_the_end, after_it
):
    ending, going_on = schedule(), schedule(goes_on=True)
    updates, sparsities = _over_run(ending, 0.5, 40)
    assert np.flatnonzero(updates).tolist() == before_the_end
    updates, its_sparsities = _over_run(going_on, 0.5, 40)
    assert np.flatnonzero(updates).tolist() == before_the_end + after_it
    np.testing.assert_array_equal(its_sparsities, sparsities)
    assert (its_sparsities[ending.update_end_step :] == 0.5).all()


@pytest.mark.parametrize("power", [1, 0.5, 2.5])
def test_any_power(power):
    _, sparsities = _over_run(PolynomialSchedule(0, 10, 1, power), 0.8, 12)
    progress = np.minimum((np.arange(12) + 1) / 10, 1)
    np.testing.assert_allclose(sparsities, 0.8 * (1 - (1 - progress) ** power), 0, 3e-7)
