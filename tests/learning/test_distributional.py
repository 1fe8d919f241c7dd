"""C51's projection against algorithm 1 of the paper, loop by loop, and by its laws."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.learning.distributional import project

pytestmark = pytest.mark.usefixtures("quick_compiling")

SUPPORT = np.linspace(-10, 10, 51)


def project_by_loop(atoms, probabilities, support):
    """Bellemare et al. 2017, algorithm 1, one row in float64."""
    result, spacing = np.zeros(len(support)), support[1] - support[0]
    for atom, mass in zip(atoms, probabilities, strict=True):
        place = (min(max(atom, support[0]), support[-1]) - support[0]) / spacing
        low, high = int(np.floor(place + 1e-9)), int(np.ceil(place - 1e-9))
        if low == high:
            result[low] += mass
        else:
            result[low] += mass * (high - place)
            result[high] += mass * (place - low)
    return result


@st.composite
def distributions(draw):
    size = draw(st.integers(2, 9))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(-15, 15, (4, size)), rng.dirichlet(np.full(size, 0.5), 4)
    # Numbers that float32 holds: rounding an atom could move 1e-6 of mass by itself.
    return tuple(np.float64(np.float32(own)) for own in drawn)


@settings(max_examples=40, deadline=None)
@given(distributions())
def test_projection_equals_the_papers_loop(drawn):
    atoms, probabilities = drawn
    got = project(jnp.float32(atoms), jnp.float32(probabilities), jnp.float32(SUPPORT))
    for row, own_atoms, own in zip(got, atoms, probabilities, strict=True):
        np.testing.assert_allclose(row, project_by_loop(own_atoms, own, SUPPORT), atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(distributions())
def test_projection_keeps_mass_and_the_mean_inside_the_support(drawn):
    atoms, probabilities = drawn
    atoms = np.clip(atoms, -10, 10)
    got = np.asarray(
        project(jnp.float32(atoms), jnp.float32(probabilities), jnp.float32(SUPPORT)), np.float64
    )
    assert (got >= 0).all()
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(got @ SUPPORT, (atoms * probabilities).sum(1), atol=1e-4)


def test_atoms_on_the_support_stay_and_those_beyond_it_go_to_its_ends():
    support = jnp.array([-1.0, 0.0, 1.0])
    got = project(jnp.array([[-5.0, 0.0, 0.25, 7.0]]), jnp.array([[0.1, 0.2, 0.4, 0.3]]), support)
    np.testing.assert_allclose(got, [[0.1, 0.2 + 0.3, 0.1 + 0.3]], atol=1e-7)


def test_a_terminal_reward_is_split_between_its_neighbours():
    """All atoms fall on the reward: 0.3 is 3/4 of the way from 0 to 0.4."""
    got = project(jnp.full((1, 51), 0.3), jnp.full((1, 51), 1 / 51), jnp.float32(SUPPORT))
    expected = np.zeros(51)
    expected[25], expected[26] = 0.25, 0.75
    np.testing.assert_allclose(got[0], expected, atol=1e-5)


def test_lengths_that_differ_are_refused():
    with pytest.raises(AssertionError):
        project(jnp.zeros((1, 3)), jnp.zeros((1, 4)), jnp.float32(SUPPORT))
