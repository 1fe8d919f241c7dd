"""Files that list a configurable's defaults list all of them, as they are in the code."""

import inspect

import gin
import pytest

from prune_rl import configuration, gin_files

from . import bindings

_TORSO = {"noisy", "kernel_init", "parent", "name", "dtype"}
# Parameters that such a file leaves to the code that calls, or to other files.
_ELSEWHERE = {
    "NatureTorso": _TORSO,
    "ImpalaTorso": _TORSO,
    "MinAtarTorso": _TORSO,
    "create_atari_environment": {"game_name"},
    "create_optimizer": {"num_gradient_steps"},
    "Runner": {
        *("agent", "num_seeds", "seed", "interventions", "diagnostics"),
        "checkpoint_minutes",  # of the machine, not of the experiment
    },
    "Dataset": {"path", "chunks", "cache_gib"},  # of the machine
    "OnlineSource": {"replay_on_device"},  # of the machine
    "ReplayBuffer": {"update_horizon", "gamma", "longest_run", "create_sampler"},
}
# Parameters that it sets otherwise: a reference to what a file chooses, the paper's share.
_CHOSEN = {
    "torso",
    "actor_torso",
    "critic_torso",
    "value_torso",
    "create_environment_fn",
    "create_source_fn",
    "fraction",
}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("agents/dqn.gin", "DQNAgent"),
        ("agents/rainbow.gin", "RainbowAgent"),
        ("agents/cql.gin", "CQLAgent"),
        ("agents/cql.gin", "Dataset"),
        ("agents/sac.gin", "SACAgent"),
        ("agents/bc.gin", "BCAgent"),
        ("agents/td3_bc.gin", "TD3BCAgent"),
        ("agents/awac.gin", "AWACAgent"),
        ("agents/iql.gin", "IQLAgent"),
        ("agents/atari.gin", "create_optimizer"),
        ("agents/atari.gin", "create_atari_environment"),
        ("agents/atari.gin", "Runner"),
        ("agents/atari.gin", "OnlineSource"),
        ("agents/atari.gin", "ReplayBuffer"),
        ("agents/atari.gin", "PrioritizedSampler"),
        ("agents/drq_eps.gin", "Augmentation"),
        ("networks/nature.gin", "NatureTorso"),
        ("networks/impala.gin", "ImpalaTorso"),
        ("networks/minatar.gin", "MinAtarTorso"),
        ("plasticity/redo.gin", "ReDo"),
        ("plasticity/reset.gin", "Reset"),
        ("diagnostics/all.gin", "Diagnostics"),
    ],
)
def test_a_file_of_defaults_agrees_with_the_code(file, name):
    configuration.load([file], [])
    parameters = inspect.signature(gin.get_configurable(name)).parameters.values()
    defaults = {x.name: x.default for x in parameters if x.default is not inspect.Parameter.empty}
    read = bindings.read(gin_files.find_gin_file(file))
    said = {x.removeprefix(f"{name}."): value for x, value in read if x.startswith(f"{name}.")}
    assert set(said) == set(defaults) - _ELSEWHERE.get(name, set())
    values = {x: said[x] for x in said if x not in _CHOSEN}
    assert values == {x: defaults[x] for x in values}


@pytest.mark.parametrize(
    "file", ["plasticity/none.gin", "pruning/none.gin", "diagnostics/none.gin"]
)
def test_a_file_that_undoes_others_goes_back_to_the_defaults(file):
    configuration.load([file], [])
    for binding, value in bindings.read(gin_files.find_gin_file(file)):
        name, parameter = binding.split(".")
        default = inspect.signature(gin.get_configurable(name)).parameters[parameter].default
        assert (value or None) == (default or None), binding


def test_a_pruning_file_leaves_nothing_to_the_one_before_it():
    """But frequency, drop fraction and power, which few files bind, and what is not read."""
    required = ["pruner_type", "sparsity", "sparsity_type", "dense_layers", "schedule_type"]
    required += ["update_start_step", "update_end_step"]
    for name, path in gin_files.shipped_gin_files().items():
        if name.startswith("pruning/") and not name.endswith(("/none.gin", "_of_100m.gin")):
            said = dict(bindings.read(path))
            pruners = {
                x.rpartition("create_")[0]: y for x, y in said.items() if x.endswith("pruner_type")
            }
            assert "" in pruners, f"{name} leaves networks out"
            for scope in pruners:
                if said[f"{scope}create_updater_from_config.pruner_type"] != "no_prune":
                    own = {f"{scope}create_updater_from_config.{x}" for x in required}
                    assert own <= set(said), name
