import gin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl import configuration
from prune_rl.errors import ConfigError
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.schedule_settings import resolve_schedule
from prune_rl.pruning.schedules import (
    NoUpdateSchedule,
    OneShotSchedule,
    PeriodicSchedule,
    PolynomialSchedule,
)


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


@pytest.mark.parametrize(
    ("given_steps", "expected"),
    [
        ((None, None), (500_000, 2_000_000)),
        ((0.2, 0.999), (500_000, 2_494_999)),  # the run's last step
        ((0.999, 1.0), (2_494_999, 2_494_999)),
        ((7, 1_000), (7, 1_000)),
    ],
)
def test_fractions_are_of_the_nominal_length(given_steps, expected):
    schedule = resolve_schedule(2_495_000, *given_steps, nominal_gradient_steps=2_500_000)
    assert (schedule.update_start_step, schedule.update_end_step) == expected


def test_a_step_is_within_the_run_not_within_its_nominal_length():
    with pytest.raises(ConfigError, match="nearest is 2495000"):
        resolve_schedule(2_495_000, 0, 2_500_000, nominal_gradient_steps=2_500_000)


def test_one_shot_at_a_fraction_of_the_nominal_length():
    schedule = resolve_schedule(900, 0.2, nominal_gradient_steps=1_000, schedule_type="one_shot")
    assert schedule == OneShotSchedule(200)


def test_a_fraction_is_not_truncated_by_its_float():
    assert resolve_schedule(100, 0.29, 0.57).update_start_step == 29  # 0.29 * 100 < 29


@given(
    st.integers(1, 3_000),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.floats(0, 1)),
    st.integers(0, 500),
)
@settings(max_examples=50, deadline=None)
def test_any_run_ends_at_its_target(num_gradient_steps, start, end, warm_up):
    if (0.2 if start is None else start) > (0.8 if end is None else end):
        start, end = end, start
    nominal = num_gradient_steps + warm_up
    schedule = resolve_schedule(num_gradient_steps, start, end, nominal_gradient_steps=nominal)
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
        ({"power": 0}, "power=0", "a number > 0"),
        ({"power": "cubic"}, "power='cubic'", "a number > 0"),
        (
            {"schedule_type": "one_shot", "update_start_step": 5, "update_end_step": 9},
            "update_end_step=9",
            "one_shot has no other step",
        ),
        ({"schedule_type": "periodic", "update_freq": 0}, "update_freq=0", "an integer >= 1"),
        (
            {"schedule_type": "periodic", "update_start_step": 1001, "update_end_step": 2000},
            "update_start_step=1001",
            "the nearest is 1000",
        ),
        ({"schedule_type": "periodic", "update_end_step": -1}, "update_end_step=-1", "is 0"),
        ({"schedule_type": "periodic", "update_end_step": 1.5}, "update_end_step=1.5", "is 1.0"),
        ({"schedule_type": "periodic", "update_end_step": True}, "update_end_step=True", "integer"),
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


@pytest.mark.parametrize(
    ("schedule_type", "given_steps", "expected"),
    [
        ("one_shot", (), OneShotSchedule(0)),
        ("one_shot", (0.5, 0.5), OneShotSchedule(500)),
        ("one_shot", (9,), OneShotSchedule(9)),
        ("periodic", (), PeriodicSchedule(0, 800, 8)),
        ("periodic", (10, 200, 50), PeriodicSchedule(10, 200, 50)),
        ("periodic", (0, 200_000, 5_000), PeriodicSchedule(0, 200_000, 5_000)),
        ("periodic", (100, 200_000), PeriodicSchedule(100, 200_000, 9)),  # 900 steps are left
        ("none", (), NoUpdateSchedule()),
    ],
)
def test_other_types(schedule_type, given_steps, expected):
    assert resolve_schedule(1000, *given_steps, schedule_type=schedule_type) == expected


def test_an_unknown_type_names_the_nearest():
    with pytest.raises(ConfigError, match=r"schedule_type='oneshot'.*'one_shot'"):
        resolve_schedule(1000, schedule_type="oneshot")


def test_a_power_of_its_own():
    assert resolve_schedule(1000, 0, 100, 10, power=2) == PolynomialSchedule(0, 100, 10, 2)


def test_the_40m_schedule_of_a_100m_run():
    """Figure 10: 25M agent steps make 6.25M gradient steps; pruning ends after the first 2M."""
    files = ["agents/dqn.gin", "pruning/magnitude.gin", "pruning/schedule_40m_of_100m.gin"]
    configuration.load(files, [])
    compressed = create_updater_from_config(6_250_000 - 5_000)
    assert compressed.schedule == PolynomialSchedule(500_000, 2_000_000, 1000)
    assert gin.query_parameter("Runner.num_iterations") == 100
