"""What a row says of episodes and weights, counted by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.acting.episodes import Episode
from prune_rl.environments.reference_scores import References
from prune_rl.recording.metrics import describe
from prune_rl.recording.rows import episode_fields, mean_return, sparsity_fields


def test_episodes_of_a_seed_by_hand():
    episodes = [Episode(1, 6.0, 10, True), Episode(1, -2.5, 21, False), Episode(1, 1.0, 2, True)]
    fields = episode_fields(episodes)
    assert fields == {
        "episode_return_mean": 1.5,
        "episode_length_mean": 11.0,
        "num_episodes": 3,
    }
    assert mean_return(episodes) == 1.5
    assert all(describe(name).name == name for name in fields)


def test_a_return_is_scored_where_the_game_has_references():
    references = References(random=-20.0, expert=80.0)
    episodes = [Episode(0, 30.0, 10, True), Episode(0, 50.0, 21, False)]
    fields = episode_fields(episodes, references)
    assert fields == episode_fields(episodes) | {"normalized_score": 60.0}
    assert describe("normalized_score").tag == "NormalizedScore"
    assert episode_fields([], references)["normalized_score"] is None


def test_no_episode_has_no_mean():
    expected = {"episode_return_mean": None, "episode_length_mean": None, "num_episodes": 0}
    assert episode_fields([]) == expected
    assert mean_return([]) is None


def _zeros(num_zeros, *shape):
    """Ones, but for so many zeros in each seed."""
    tensors = np.ones((len(num_zeros), np.prod(shape)), np.float32)
    for own, count in zip(tensors, num_zeros, strict=True):
        own[:count] = 0
    return jnp.asarray(tensors.reshape(-1, *shape))


def _layer(num_zeros, *shape):
    """With a bias, of zeros, which is no weight."""
    return {"kernel": _zeros(num_zeros, *shape), "bias": jnp.zeros((len(num_zeros), shape[-1]))}


def test_a_lone_networks_layers_by_hand():
    torso = {"Conv_0": _layer((2, 0), 2, 2), "Dense_0": _layer((1, 8), 4, 2)}
    noisy = {"kernel": _zeros((0, 1), 2, 2), "kernel_sigma": _zeros((3, 1), 2, 2)}
    rows = sparsity_fields({"q": {"params": {"torso": torso, "head": noisy}}})
    assert rows == [
        {
            "sparsity": pytest.approx(6 / 20),
            "sparsity_by_layer": {"torso/Conv_0": 0.5, "torso/Dense_0": 0.125, "head": 0.375},
        },
        {
            "sparsity": pytest.approx(10 / 20),
            "sparsity_by_layer": {"torso/Conv_0": 0.0, "torso/Dense_0": 1.0, "head": 0.25},
        },
    ]
    assert all(type(row["sparsity"]) is float for row in rows)  # as JSON takes it


def test_several_networks_by_hand():
    """Members of the critic count together; a temperature has no weights."""
    actor = {"torso": _layer((1, 3), 2, 2), "head": _layer((0, 1), 2, 1)}
    critic = {"torso": _layer((4, 0), 3, 2, 2)}  # three members
    params = {
        "critic": {"params": critic},
        "temperature": {"params": {"log_alpha": jnp.zeros(2)}},
        "actor": {"params": actor},
    }
    rows = sparsity_fields(params)
    names = {
        "sparsity",
        "actor/sparsity",
        "actor/sparsity_by_layer",
        "critic/sparsity",
        "critic/sparsity_by_layer",
    }
    for row, of_actor, of_critic in zip(rows, (1, 4), (4, 0), strict=True):
        assert row.keys() == names
        assert all(describe(name).name == name for name in row)
        assert row["sparsity"] == pytest.approx((of_actor + of_critic) / 18)
        assert row["actor/sparsity"] == pytest.approx(of_actor / 6)
        assert row["critic/sparsity"] == pytest.approx(of_critic / 12)
    assert rows[0]["actor/sparsity_by_layer"] == {"torso": 0.25, "head": 0.0}
    assert rows[1]["actor/sparsity_by_layer"] == {"torso": 0.75, "head": 0.5}
    assert rows[0]["critic/sparsity_by_layer"] == {"torso": pytest.approx(1 / 3)}
    assert rows[1]["critic/sparsity_by_layer"] == {"torso": 0.0}
