"""Writes dopamine.npz: what Dopamine 4.1.2 makes of the inputs in dopamine_cases.py.

bash tests/parity/dopamine_environment.sh tests/parity/record_dopamine.py
"""

import inspect
import json
import sys
from pathlib import Path

import dopamine_cases as cases
import numpy as np
import record_dopamine_atari
import record_dopamine_learning
import record_dopamine_networks
import record_dopamine_offline
import record_dopamine_replay
from dopamine.discrete_domains import atari_lib, run_experiment
from dopamine.jax.agents.dqn import dqn_agent
from dopamine.jax.agents.full_rainbow import full_rainbow_agent
from dopamine.jax.agents.rainbow import rainbow_agent
from dopamine.jax.replay_memory import replay_buffer, samplers
from dopamine.labs.atari_100k import atari_100k_rainbow_agent

PARTS = {
    "networks": record_dopamine_networks.record,
    "learning": record_dopamine_learning.record,
    "offline": record_dopamine_offline.record,
    "replay": record_dopamine_replay.record,
    "atari": record_dopamine_atari.record,
}
SIGNATURES = {
    "JaxDQNAgent": dqn_agent.JaxDQNAgent,
    "JaxRainbowAgent": rainbow_agent.JaxRainbowAgent,
    "JaxFullRainbowAgent": full_rainbow_agent.JaxFullRainbowAgent,
    "Atari100kRainbowAgent": atari_100k_rainbow_agent.Atari100kRainbowAgent,
    "create_optimizer": dqn_agent.create_optimizer,
    "Runner": run_experiment.Runner,
    "create_atari_environment": atari_lib.create_atari_environment,
    "AtariPreprocessing": atari_lib.AtariPreprocessing,
    "ReplayBuffer": replay_buffer.ReplayBuffer,
    "PrioritizedSamplingDistribution": samplers.PrioritizedSamplingDistribution,
}


def default_arguments(function):
    """Arguments that have a default; functions and classes by name."""
    parameters = inspect.signature(function).parameters.values()
    given = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return {name: getattr(value, "__name__", value) for name, value in given.items()}


def record_settings(record):
    """Defaults and epsilon schedules."""
    defaults = {name: default_arguments(function) for name, function in SIGNATURES.items()}
    record["defaults"] = json.dumps(defaults, default=str)
    for name, (decay, warm_up, final) in cases.EPSILONS.items():
        steps = cases.epsilon_steps(decay, warm_up)
        schedule = dqn_agent.linearly_decaying_epsilon
        values = [float(schedule(decay, step, warm_up, final)) for step in steps]
        record[f"epsilon/{name}"] = np.array(values, np.float32)


def main(chosen):
    """Writes the file beside this one; only the parts named, if some are, the others kept."""
    path = Path(__file__).with_name("dopamine.npz")
    record = dict(np.load(path)) if chosen else {}
    record["inputs"] = json.dumps(cases.checksums())
    record_settings(record)
    for name in chosen or PARTS:
        print(f"recording {name}", flush=True)
        PARTS[name](record)
    np.savez_compressed(path, **record)
    print(f"{path.name}: {len(record)} arrays, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
