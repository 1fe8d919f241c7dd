"""What gin says of a mistake, in one line, with what to write instead.

Knows names that Dopamine, CleanRL and Stable-Baselines3 have for what is called otherwise here, and
looks up among the package's configurables where a parameter is that was given to another.
"""

import inspect
import re
import shlex
import tokenize
from collections.abc import Sequence

import gin

from prune_rl.environments.games import spelled
from prune_rl.errors import first_line, nearest
from prune_rl.gin_files import shipped_gin_files

# Dopamine's parameters: ours, with its owner where the name alone says too little, and a remark.
_PARAMETERS = {
    "update_period": ("replay_ratio", "0.25 for an update_period of 4"),
    "num_updates_per_train_step": ("replay_ratio", "2 for two updates after each agent step"),
    "distributional": ("num_atoms", "1 for no distribution"),
    "mse_loss": ("loss_type", "'mse' or 'huber'"),
    "bc_coefficient": ("cql_coefficient", ""),
    "vmin": ("vmax", "the support is [-vmax, vmax]"),
    "replay_capacity": ("max_capacity", ""),
    "network": ("torso", "as @ImpalaTorso()"),
    "optimizer": ("create_optimizer.name", ""),
    "seed": ("Runner.seed", "the first of Runner.num_seeds"),
    "agent_name": ("Runner.agent", "as @DQNAgent(); --gin_files=agents/dqn.gin sets all of it"),
    "schedule": ("Runner.evaluation_steps", "0 for 'continuous_train'"),
    # CleanRL's and Stable-Baselines3's
    "lr": ("learning_rate", ""),
    "buffer_size": ("max_capacity", ""),
    "learning_starts": ("min_replay_history", ""),
    "total_timesteps": ("Runner.num_iterations", "of Runner.training_steps agent steps each"),
    "tau": ("target_smoothing_coefficient", ""),
    "target_network_frequency": ("target_update_period", ""),
    "target_update_interval": ("target_update_period", ""),
    "train_frequency": ("replay_ratio", "0.25 for a train_frequency of 4"),
    "train_freq": ("replay_ratio", "0.25 for a train_freq of 4"),
    "exploration_fraction": ("epsilon_decay_period", "in agent steps"),
    "end_e": ("epsilon_train", ""),
    "exploration_final_eps": ("epsilon_train", ""),
    "n_steps": ("update_horizon", ""),
}
# Its configurables, of several versions and labs, by their last name.
_CONFIGURABLES = {
    **dict.fromkeys(("JaxDQNAgent", "RecycledDQNAgent", "AtariDQNAgent"), "DQNAgent"),
    **dict.fromkeys(
        ("JaxRainbowAgent", "JaxFullRainbowAgent", "Atari100kRainbowAgent"), "RainbowAgent"
    ),
    **dict.fromkeys(("OfflineJaxDQNAgent", "OfflineJaxDR3Agent"), "CQLAgent"),
    **dict.fromkeys(("OfflineJaxRainbowAgent", "OfflineClassyCQLAgent"), "CQLAgent"),
    **dict.fromkeys(
        ("OutOfGraphReplayBuffer", "OutOfGraphPrioritizedReplayBuffer", "WrappedReplayBuffer"),
        "ReplayBuffer",
    ),
    "JaxFixedReplayBuffer": "Dataset",
    "PrioritizedSamplingDistribution": "PrioritizedSampler",
    "AtariPreprocessing": "create_atari_environment",
    **dict.fromkeys(("NatureDQNNetwork", "NatureNetwork"), "NatureTorso"),
    **dict.fromkeys(("ImpalaNetwork", "ImpalaCNN", "ImpalaEncoder"), "ImpalaTorso"),
    **dict.fromkeys(("create_runner", "create_agent", "TrainRunner"), "Runner"),
    **dict.fromkeys(("BaseRecycler", "NeuronRecycler", "NeuronRecyclerScheduled"), "ReDo"),
}
_GIVEN_BY_FLAX = ("parent", "name")
_READABLE = {"true": "True", "false": "False", "none": "None", "null": "None"}
_SUITES = ("atari", "minatar", "mujoco")
_SHOWN = 3  # places where a parameter is


def explain(error: Exception, binding: str | None) -> str:
    """gin's own words in one line, with what would have been valid.

    Args:
        error: what gin raised.
        binding: the one of the command line that it read, None where it read a file.
    """
    message, line = str(error), first_line(error)
    if isinstance(error, tokenize.TokenError):
        return "a bracket or a quote is opened and never closed"
    where = re.search(r"In file \"([^\"]+)\", line (\d+)", message)
    place = f" ({where[1]}, line {where[2]})" if where else ""
    if isinstance(error, ImportError):
        return f"cannot import: {line}{_no_dopamine(line)}{place}"
    unknown = re.match(r"No configurable matching (reference )?'@?([^'(]+)", line)
    if unknown:
        parameter = None if unknown[1] else _parameter_of(unknown[2], message)
        return f"nothing is called {unknown[2]!r}; {_of_configurable(unknown[2], parameter)}{place}"
    given = re.match(r"Configurable '([^']+)' doesn't have a parameter named '([^']+)'", line)
    if given:
        owner = given[1].split(".")[-1]
        return f"{owner} has no parameter {given[2]!r}; {_of_parameter(owner, given[2])}{place}"
    included = re.match(r"Unable to open file: (\S+?)\.? Searched", line)
    if included:
        return f"includes {included[1]}: no such file; {nearest(included[1], shipped_gin_files())}"
    if line.startswith(("malformed node or string", "Unable to parse value")):
        return _of_value(message, binding)
    denied = re.match(
        r"Configurable '([^']+)' (?:has denylisted|doesn't \S+) kwarg '([^']+)'", line
    )
    if denied:
        return f"{denied[1]}.{denied[2]} is given by the code, not by a binding{place}"
    macro = re.match(r"No bindings specified for '(?:(\S+)/)?gin\.macro'", line)
    if macro:
        name = macro[1] or "name"
        return f"%{name} has no value; give it one, as {name} = 1{place}"
    return f"{line}{place}"


def _no_dopamine(line: str) -> str:
    known = re.search(r"'dopamine\b", line)
    return "; names need no import of Dopamine here, so remove the line" if known else ""


def _parameter_of(name: str, message: str) -> str | None:
    """That which the statement at fault, in what gin says, gives to `name`."""
    found = re.search(rf"{re.escape(name)}\.(\w+)\s*=", message)
    return found[1] if found else None


def _of_configurable(name: str, parameter: str | None) -> str:
    """What is to be said of a name that nothing has."""
    last = name.split(".")[-1]
    ours = last if last in _configurables() else _CONFIGURABLES.get(last)
    if ours is None:
        return nearest(last, _configurables())
    if parameter is None:
        return f"here it is {ours}"
    return _place_of(ours, parameter) or f"here it is {ours}, without {parameter!r}"


def _of_parameter(owner: str, parameter: str) -> str:
    """What is to be said of a parameter that `owner` lacks."""
    place, close = _place_of(owner, parameter), nearest(parameter, _parameters(owner))
    if place is None or parameter in _PARAMETERS or not close.startswith("did you mean"):
        return place or close
    return f"{close} There is also {place.removeprefix('here it is ')}"


def _place_of(owner: str, parameter: str) -> str | None:
    """'here it is ReplayBuffer.batch_size' for a parameter of `owner`'s or any other's, by either
    name; None if nothing has it."""
    ours, remark = _PARAMETERS.get(parameter, (parameter, ""))
    places = [ours] if "." in ours else _holders(ours)
    own = _parameters(owner)
    if parameter in own:
        places, remark = [f"{owner}.{parameter}"], ""
    elif ours in own:
        places = [f"{owner}.{ours}"]
    if not places:
        return None
    return f"here it is {' or '.join(places[:_SHOWN])}{', ' * bool(remark)}{remark}"


def _holders(parameter: str) -> list[str]:
    """Where a parameter of that name can be bound.

    Only where it has been bound so far, if it has; else only in what has got any binding, if any.
    """
    found = [name for name, own in _configurables().items() if parameter in own]
    bound: dict[str, set[str]] = {}
    for (_, selector), own in gin.config._CONFIG.items():  # gin offers no public list
        bound.setdefault(selector.split(".")[-1], set()).update(own)
    set_there = [name for name in found if parameter in bound.get(name, ())]
    chosen = set_there or [name for name in found if name in bound] or found
    return sorted(f"{name}.{parameter}" for name in chosen)


def _parameters(owner: str) -> Sequence[str]:
    """Those of a configurable of ours or of a user's."""
    if owner in _configurables():
        return _configurables()[owner]
    return list(inspect.signature(gin.get_configurable(owner)).parameters)


def _configurables() -> dict[str, list[str]]:
    """By name of the package's configurables, the parameters that a binding may give."""
    registered = gin.config._REGISTRY._selector_map  # gin offers no public list
    return {
        selector.split(".")[-1]: _bindable(own)
        for selector, own in registered.items()
        if selector.startswith("prune_rl.")
    }


def _bindable(registered: gin.config.Configurable) -> list[str]:
    parameters = inspect.signature(registered.wrapped).parameters.values()
    of_flax = _GIVEN_BY_FLAX if any(x.name == "parent" for x in parameters) else ()
    return [
        x.name
        for x in parameters
        if x.default is not x.empty  # else the code gives it
        and x.name not in of_flax
        and (registered.allowlist is None or x.name in registered.allowlist)
    ]


def _of_value(message: str, binding: str | None) -> str:
    """What is to be said of a value that gin cannot read: most often a string without quotes."""
    token = re.search(r"Failed to parse token '([^']+)'", message)
    line = re.search(r" \(.+, line \d+\)", message)
    place = line[0] if line else ""
    statement = re.fullmatch(r"\s*([\w./]+)\s*=\s*([\w./:~+()-]+)\s*", binding or "")
    if statement is not None:
        name, value = statement[1], statement[2]
        return f"{value} is no value that gin reads; {_written(name, value)}"
    if token is None:
        return f'no value that gin reads; strings need quotes, as "Pong"{place}'
    value = _READABLE.get(token[1], f'"{token[1]}" if it is a string')
    return f"{token[1]} is no value that gin reads; write {value}{place}"


def _written(name: str, value: str) -> str:
    """How a binding is written, in a shell, whose value was written without quotes or @."""
    if value in _READABLE:
        return f"write {_in_shell(name, _READABLE[value])}"
    if value.removesuffix("()") in _configurables():
        return f"a reference needs an @: {_in_shell(name, f'@{value}')}"
    if name == "game_name":  # of no suite, it would be a macro that nothing uses
        suite = next((own for own in _SUITES if spelled(value, own) == value), None)
        suite = suite or next((own for own in _SUITES if spelled(value, own)), _SUITES[0])
        name = f"create_{suite}_environment.game_name"
    environment = re.search(r"create_(atari|minatar|mujoco)_environment\.game_name$", name)
    if environment:
        value = spelled(value, environment[1]) or value
    quoted = f'"{value}"'
    return f"a string needs quotes: {_in_shell(name, quoted)}"


def _in_shell(name: str, value: str) -> str:
    return f"--gin_bindings={shlex.quote(f'{name}={value}')}"
