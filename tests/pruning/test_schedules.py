from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.pruning.schedules import NoUpdateSchedule, PolynomialSchedule, resolve_schedule

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


@pytest.mark.parametrize(
    ("given_steps", "expected"),
    [
        ((None, None, None), (500_000, 2_000_000, 1000)),
        ((0.5, 0.75, 10), (1_250_000, 1_875_000, 10)),
        ((7, 1_000, None), (7, 1_000, 9)),
        ((7, 7, None), (7, 7, 1)),
        ((0, 1.0, 5000), (0, 2_499_999, 5000)),
        ((2_500_000, 2_500_000, 1), (2_499_999, 2_499_999, 1)),
        ((0.0, 1, 1), (0, 1, 1)),  # an integer is a step even if it is 1
    ],
)
def test_settings_resolve_to_steps(given_steps, expected):
    assert resolve_schedule(2_500_000, *given_steps) == PolynomialSchedule(*expected)


def test_a_fraction_is_not_truncated_by_its_float():
    assert resolve_schedule(100, 0.29, 0.57).update_start_step == 29  # 0.29 * 100 < 29


@given(
    st.integers(1, 3_000),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.floats(0, 1)),
)
@settings(max_examples=50, deadline=None)
def test_any_run_ends_at_its_target(num_gradient_steps, start, end):
    if (0.2 if start is None else start) > (0.8 if end is None else end):
        start, end = end, start
    schedule = resolve_schedule(num_gradient_steps, start, end)
    assert 0 <= schedule.update_start_step <= schedule.update_end_step < num_gradient_steps
    last = np.int32(schedule.update_end_step)
    assert schedule.is_mask_update(last)
    assert schedule.sparsity(0.9, last) == np.float32(0.9)


@given(st.integers(2, 10_000_000))
@settings(max_examples=30, deadline=None)
def test_default_frequency_leaves_room_for_a_hundred_mask_updates(num_gradient_steps):
    schedule = resolve_schedule(num_gradient_steps)
    length = schedule.update_end_step - schedule.update_start_step
    assert 1 <= schedule.update_freq <= 1000
    assert schedule.update_freq == 1 or length / schedule.update_freq >= 100
    assert schedule.update_freq == 1000 or length / (schedule.update_freq + 1) < 100


@pytest.mark.parametrize(
    ("settings_", "name", "mentions"),
    [
        ({"update_end_step": 1001}, "update_end_step=1001", "the nearest is 1000"),
        ({"update_start_step": -1}, "update_start_step=-1", "the nearest is 0"),
        ({"update_end_step": 1.5}, "update_end_step=1.5", "the nearest is 1.0"),
        ({"update_end_step": 5e5}, "update_end_step=500000.0", "integer number of gradient steps"),
        ({"update_start_step": float("nan")}, "update_start_step=nan", "[0.0, 1.0]"),
        ({"update_start_step": 0.9}, "update_start_step=0.9", "update_end_step=0.8"),
        (
            {"update_start_step": 0.7, "update_end_step": 0.3},
            "update_start_step=0.7",
            "update_end_step=0.3 (gradient step 300 of 1000); the latest is 300",
        ),
        ({"update_start_step": 50, "update_end_step": 40}, "update_start_step=50", "latest is 40"),
        ({"update_start_step": True}, "update_start_step=True", "an integer number"),
        ({"update_end_step": "0.8"}, "update_end_step='0.8'", "a float fraction"),
        ({"update_freq": 0}, "update_freq=0", "an integer >= 1"),
        ({"update_freq": 10.0}, "update_freq=10.0", "an integer >= 1"),
        ({"update_freq": True}, "update_freq=True", "an integer >= 1"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(settings_, name, mentions):
    with pytest.raises(ConfigError) as error:
        resolve_schedule(1000, **settings_)
    assert str(error.value).startswith(f"create_updater_from_config.{name}: expected")
    assert mentions in str(error.value)


def test_a_run_without_gradient_steps_cannot_prune():
    with pytest.raises(ConfigError, match="num_gradient_steps=0: expected a run that makes"):
        resolve_schedule(0)
