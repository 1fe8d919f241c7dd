"""How an agent plays."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import Learner
from prune_rl.learning.state import AgentState, Params


class Policy(NamedTuple):
    """The actions of S seeds, with the exploration that the agent's settings ask for."""

    agent: Agent
    learner: Learner

    def explore(
        self, state: AgentState, observations: np.ndarray, agent_steps: int
    ) -> tuple[np.ndarray, AgentState]:
        """Actions (S, *action) in training, after so many agent steps; moves the state's keys.

        Args:
            state: of S seeds.
            observations: (S, *observation), in the spec's dtype.
            agent_steps: taken so far.
        """
        numbers = self.agent.exploration(agent_steps).values()
        actions, keys = self.learner.act(state.params, state.keys, observations, *numbers)
        return np.asarray(actions), state.replace(keys=keys)

    def exploit(
        self, params: Mapping[str, Params], keys: jax.Array, observations: np.ndarray
    ) -> tuple[np.ndarray, jax.Array]:
        """Actions (S, *action) in evaluation, and the next keys (S, 2); see `explore`."""
        numbers = self.agent.exploration_eval.values()
        actions, keys = self.learner.act_eval(params, keys, observations, *numbers)
        return np.asarray(actions), keys
