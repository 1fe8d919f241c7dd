"""How an agent plays."""

from typing import Any, NamedTuple

import numpy as np

from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import Learner
from prune_rl.learning.state import AgentStates


class Policy(NamedTuple):
    """The actions of S seeds, with the exploration that the agent's settings ask for."""

    agent: Agent
    learner: Learner

    def explore(
        self, state: AgentStates, observations: np.ndarray, agent_steps: int
    ) -> tuple[np.ndarray, AgentStates]:
        """Actions (S, *action) in training, after so many agent steps; moves the states' keys.

        Args:
            state: of S seeds.
            observations: (S, *observation), in the spec's dtype.
            agent_steps: taken so far.
        """
        numbers = self.agent.exploration(agent_steps).values()
        actions, keys = self.learner.act(state.params, state.keys, observations, *numbers)
        return np.asarray(actions), state.replace(keys=keys)

    def exploit(self, params: Any, keys: Any, observations: np.ndarray) -> tuple[np.ndarray, Any]:
        """Actions (S, *action) in evaluation, and the next keys; see `Learner.act`."""
        numbers = self.agent.exploration_eval.values()
        actions, keys = self.learner.act_eval(params, keys, observations, *numbers)
        return np.asarray(actions), keys
