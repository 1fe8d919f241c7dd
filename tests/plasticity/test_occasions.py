import doctest

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.plasticity import occasions
from prune_rl.plasticity.occasions import Occasions
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset


def resolve(kind, made, nominal, period, start, end):
    """The occasions of a `kind` of intervention with these settings."""
    own = kind(reset_period=period, reset_start_step=start, reset_end_step=end)
    return own.occasions(made, nominal)


def test_docstring_example():
    failed, attempted = doctest.testmod(occasions)
    assert attempted > 0
    assert failed == 0


@given(st.integers(1, 20), st.integers(0, 50), st.integers(0, 100))
def test_they_are_the_multiples_of_the_period_in_the_range(period, start, length):
    every = Occasions(period, start, start + length)
    expected = {k * period for k in range(1, 200) if start <= k * period < start + length}
    assert {steps for steps in range(200) if steps in every} == expected


def test_fractions_are_of_the_run_and_integers_are_gradient_steps():
    assert resolve(Reset, 900, 1000, 0.1, 0.25, 0.75) == Occasions(100, 250, 750)
    assert resolve(Reset, 900, 1000, 7, 20, 30) == Occasions(7, 20, 30)
    assert resolve(Reset, 900, 1000, 7, 0, None) == Occasions(7, 0, 900)


@pytest.mark.parametrize("intervention", [ReDo, Reset])
def test_the_settings_of_an_intervention_reach_its_occasions(intervention):
    own = intervention(reset_period=0.1, reset_start_step=0.25, reset_end_step=0.75)
    assert own.occasions(900, 1000) == Occasions(100, 250, 750)
    assert intervention(reset_period=7).occasions(900, 1000) == Occasions(7, 0, 900)


@pytest.mark.parametrize("end", [0.95, 1.0, 2_000])
def test_none_comes_when_the_run_is_over(end):
    """Fractions are of 1,000 steps, of which a run that warmed up makes 900."""
    every = resolve(Reset, 900, 1000, 300, 0.25, end)
    assert [steps for steps in range(2_000) if steps in every] == [300, 600]


def test_a_start_that_the_run_does_not_reach_is_never_reached():
    never = resolve(Reset, 500, 1000, 10, 0.6, 0.8)
    assert not any(steps in never for steps in range(1_001))


def test_a_period_longer_than_the_run_never_comes():
    never = resolve(Reset, 100, 100, 200_000, 0, None)
    assert not any(steps in never for steps in range(101))


@pytest.mark.parametrize("last", [2**31 - 1, 2**31, 20_000_000_000])
def test_compiled_programs_which_count_in_int32_hold_them(last):
    own = resolve(ReDo, 2**31 - 1, 2**31 - 1, 10_000_000_000, last - 1, last + 1)
    steps = jnp.array([0, 1, 2**30, 2**31 - 2], jnp.int32)
    assert not jax.jit(own.due)(steps).any()
    assert jax.jit(resolve(ReDo, 100, 100, 5, 0, last).due)(jnp.int32(95))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ((0, 0, None), "reset_period"),
        ((0.0, 0, None), "reset_period"),
        ((1.5, 0, None), "reset_period"),
        (("often", 0, None), "reset_period"),
        ((True, 0, None), "reset_period"),
        ((10, -1, None), "reset_start_step"),
        ((10, 0.5, 0.5), "reset_end_step"),
        ((10, 0, "late"), "reset_end_step"),
    ],
)
def test_a_wrong_setting_names_its_binding(settings, name):
    with pytest.raises(ConfigError, match=rf"ReDo\.{name}="):
        resolve(ReDo, 1000, 1000, *settings)
