"""Dopamine 4.1.2 on Pong, its DQN or its Rainbow, in the environment of the parity tests.

Every setting is that of its gin files (none are in its wheel), but for the size of the replay and
the steps before learning, which are shorter, as on our side. No summaries are written, which is to
its advantage. The loop is that of its `Runner._run_one_episode`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import gin
import jax
import numpy as np
from dopamine.discrete_domains import atari_lib
from dopamine.jax.agents.dqn import dqn_agent
from dopamine.jax.agents.rainbow import rainbow_agent

from benchmarks.serve import Loop, serve

_UPDATE_PERIOD, _WARM_UPDATES = 4, 8
_GIN = """
    JaxDQNAgent.min_replay_history = {history}
    JaxRainbowAgent.min_replay_history = {history}
    JaxRainbowAgent.update_horizon = 3
    ReplayBuffer.max_capacity = {capacity}
    ReplayBuffer.batch_size = 32
    PrioritizedSamplingDistribution.max_capacity = {capacity}
    AtariPreprocessing.terminal_on_life_loss = False
"""


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: agent ('dqn' or 'rainbow'), game, history, capacity."""
    gin.parse_config(_GIN.format(**settings))
    environment = atari_lib.create_atari_environment(settings["game"], sticky_actions=True)
    agent, note = _agent(settings["agent"], environment.action_space.n), ""
    if settings["agent"] == "rainbow":
        # JaxDQNAgent's constructor, called last, sets 'uniform' whatever was asked for.
        agent._replay_scheme, note = "prioritized", "prioritised replay put back"
    steps = _steps(environment, agent)

    def run(number: int) -> None:
        for _ in range(number):
            next(steps)
        jax.block_until_ready((agent.online_params, agent.optimizer_state))

    run(settings["history"] + _UPDATE_PERIOD * _WARM_UPDATES)
    return Loop(run, quantum=_UPDATE_PERIOD, note=note)


def _agent(name: str, num_actions: int) -> Any:
    agents = {"dqn": dqn_agent.JaxDQNAgent, "rainbow": rainbow_agent.JaxRainbowAgent}
    return agents[name](num_actions=num_actions, seed=0)


def _steps(environment: Any, agent: Any) -> Iterator[None]:
    """Yields after every agent step."""
    while True:
        action, over = agent.begin_episode(environment.reset()), False
        while not over:
            frame, reward, terminal, _ = environment.step(action)
            reward, over = np.clip(reward, -1, 1), environment.game_over
            if over:
                agent.end_episode(reward, terminal)
            else:
                action = agent.step(reward, frame)
            yield


if __name__ == "__main__":
    serve(create, ["dopamine_rl", "jax", "jaxlib", "flax", "optax", "numpy", "ale-py"])
