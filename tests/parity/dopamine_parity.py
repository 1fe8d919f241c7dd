"""How far our code is from Dopamine 4.1.2, quantity by quantity; needs dopamine.npz only.

test_dopamine.py holds every quantity to its limit; `python -m tests.parity.dopamine_deviations`
prints them as a table. A quantity is a function without arguments to (number of cases, largest
deviation). Deviations of values are relative to the largest value recorded beside them, those of
summaries to the tensor's norm; of what must be equal they count what is not.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.agents.dqn import DQNAgent
from prune_rl.environments.atari import create_atari_environment
from prune_rl.experiment import create_optimizers
from prune_rl.learning.learner import Learner
from prune_rl.learning.seed_axis import Separate, split_seeds
from prune_rl.learning.state import AgentState, Network
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.specs import Batch, Discrete, ObservationSpec

from . import dopamine_cases as cases
from .dopamine_replay import hand_made, interior, our_transitions, recorded_transitions

Result = tuple[int, float]


class Quantity(NamedTuple):
    """One row of the table."""

    name: str
    measure: Callable[[], Result]
    limit: float


def relative(pairs: Iterable[tuple[Any, Any]]) -> Result:
    """Of pairs (ours, recorded) of arrays; a case is one value."""
    found = [(np.asarray(ours, np.float64), np.asarray(theirs)) for ours, theirs in pairs]
    sizes = [theirs.size for _, theirs in found]
    return sum(sizes), max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in found
    )


def of_summaries(pairs: Iterable[tuple[Any, str]]) -> Result:
    """Of pairs (our tree in Dopamine's layout, name of the summaries); a case is one tensor."""
    found = []
    for tree, name in pairs:
        for path, values in cases.summary(tree).items():
            found.append(cases.deviation(values, cases.recorded()[f"{name}{path}"]))
    return len(found), float(max(found))


def to_ours(params: Any) -> Any:
    """Weights of NatureDQNNetwork or ImpalaDQNNetwork, as QNetwork names them."""
    layers = dict(params["params"])
    head, torso = layers.pop("Dense_1"), layers
    if "encoder" in layers:
        torso = {"Dense_0": layers["Dense_0"], **impala_stacks(layers["encoder"])}
    return {"params": {"torso": torso, "head": head}}


def impala_stacks(encoder: Any) -> Any:
    """Weights of ImpalaEncoder, as ImpalaTorso names them."""
    torso = {}
    for name, stack in encoder.items():
        blocks = {
            f"ResidualBlock_{j}": {f"Conv_{k}": stack[f"Conv_{1 + 2 * j + k}"] for k in range(2)}
            for j in range(2)
        }
        torso[f"ImpalaStack_{name[-1]}"] = {"Conv_0": stack["Conv_0"], **blocks}
    return torso


def to_dopamine(params: Any) -> Any:
    """Weights of a QNetwork with a Nature torso, as NatureDQNNetwork names them."""
    layers = params["params"]
    return {"params": {**layers["torso"], "Dense_1": layers["head"]}}


def observations(images: np.ndarray) -> np.ndarray:
    """(B, H, W, stack) to (B, stack, H, W, 1)."""
    return np.moveaxis(images, -1, 1)[..., None]


def nature_values() -> Result:
    """Outputs of the Nature network."""
    return _network_values("nature", QNetwork(NatureTorso(), cases.NUM_ACTIONS))


def impala_values() -> Result:
    """Outputs of the Impala network."""
    return _network_values("impala", QNetwork(ImpalaTorso(), cases.NUM_ACTIONS))


def _network_values(name: str, network: QNetwork) -> Result:
    shapes = cases.nature_shapes() if name == "nature" else cases.impala_shapes()
    apply: Any = jax.jit(jax.vmap(network.apply, in_axes=(None, 0)))
    ours = apply(to_ours(cases.weights(shapes, 0)), observations(cases.batch()[0]))
    return relative([(ours, cases.recorded()[f"network/{name}/q"])])


def our_batch(n: int = 1) -> Batch:
    """The batch of the cases, for one seed, its rewards taken as n-step returns."""
    states, actions, rewards, next_states, terminals = cases.batch()
    discounts = np.where(terminals, 0, np.float32(cases.GAMMA**n)).astype(np.float32)
    return Batch(observations(states), actions, rewards, discounts, observations(next_states))


@cache
def _learner(loss_type: str) -> Learner:
    """Dense DQN."""
    agent, spec = DQNAgent(loss_type=loss_type), ObservationSpec((84, 84, 1), stack_size=4)
    optimizers = create_optimizers(agent.networks, 100, 100)
    return agent.learner(spec, Discrete(cases.NUM_ACTIONS), optimizers)


@cache
def _state() -> AgentState:
    """The online and target weights of the cases, before any step; one seed."""
    online, target = (to_ours(cases.weights(cases.nature_shapes(), seed)) for seed in (0, 1))
    learner = _learner("mse")
    (state,) = split_seeds(learner.init([0]), learner.state_axes)
    weights = jax.tree.map(jnp.asarray, {"params": online, "target_params": target})
    return state.with_network("q", state.networks["q"].replace(**weights))


def dqn_targets() -> Result:
    """Bellman targets of each n."""
    targets: Any = _learner("mse").quantities["q"].q_targets
    measure, record = jax.jit(targets), cases.recorded()
    found = ((measure(_one_seed(), our_batch(n)), f"dqn/target/{n}") for n in cases.N_STEPS)
    return relative((ours, record[name]) for ours, name in found)


def _one_seed() -> AgentState:
    network = _state().networks["q"]
    own = Network(*jax.device_get((network.params, network.target_params)), None)
    return AgentState({"q": own}, None, None, None)


@cache
def _loss_and_gradient(loss_type: str) -> tuple[jax.Array, Any]:
    losses: Any = _learner(loss_type).quantities["q"].losses
    measure = jax.value_and_grad(lambda params, *inputs: losses(params, *inputs).mean())
    state = _one_seed()
    return jax.jit(measure)(state.networks["q"].params, state, our_batch())


def dqn_losses() -> Result:
    """Mean losses, squared and Huber."""
    record = cases.recorded()
    types = ("mse", "huber")
    return relative((_loss_and_gradient(x)[0], record[f"dqn/{x}/loss"]) for x in types)


def dqn_gradients() -> Result:
    """Gradients of both losses."""
    types = ("mse", "huber")
    return of_summaries((to_dopamine(_loss_and_gradient(x)[1]), f"dqn/{x}/gradient") for x in types)


@cache
def _adam_steps() -> dict[int, tuple[Any, Any]]:
    """(weights moved, Adam's state) after each of ADAM_STEPS whole updates."""
    before = _one_seed().networks["q"].params
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], our_batch())
    # `update` takes over what it is given.
    states, after = Separate([jax.tree.map(jnp.copy, _state())]), {}
    for step in range(1, max(cases.ADAM_STEPS) + 1):
        states, *_ = _learner("mse").update(states, batch)
        if step in cases.ADAM_STEPS:
            network = states.trees[0].networks["q"]
            now, adam = jax.device_get((network.params, network.opt_state.inner_state[0]))
            moved = jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), now, before)
            after[step] = moved, adam
    return after


def adam_steps() -> Result:
    """How far whole updates move the weights."""
    steps = _adam_steps().items()
    return of_summaries((to_dopamine(moved), f"dqn/adam/{i}/moved") for i, (moved, _) in steps)


def adam_moments() -> Result:
    """Adam's moments after them."""
    steps = _adam_steps().items()
    return of_summaries(
        (to_dopamine(getattr(adam, name)), f"dqn/adam/{i}/{name}")
        for i, (_, adam) in steps
        for name in ("mu", "nu")
    )


def epsilons() -> Result:
    """DQNAgent's schedule with three settings."""

    def schedule(decay: int, warm_up: int, final: float) -> list[float]:
        agent = DQNAgent(
            epsilon_decay_period=decay, min_replay_history=warm_up, epsilon_train=final
        )
        return [agent.epsilon(step) for step in cases.epsilon_steps(decay, warm_up).tolist()]

    record = cases.recorded()
    return relative((schedule(*x), record[f"epsilon/{name}"]) for name, x in cases.EPSILONS.items())


def n_step_inside() -> Result:
    """n-step transitions that do not touch an episode's end."""
    compared, worst = 0, 0.0
    for n in cases.N_STEPS:
        ours, theirs = our_transitions(n), recorded_transitions(n)
        for start in interior(n):
            a, (b,) = ours[start], theirs[start]
            same = (a.state, a.action, a.next_state, a.terminal) == (
                b.state, b.action, b.next_state, b.terminal,
            )  # fmt: skip
            worst = max(worst, abs(a.reward - b.reward) if same else np.inf)
            compared += 1
    return compared, worst


def n_step_ends() -> Result:
    """Ours at episode ends, against values worked out by hand; Dopamine is wrong there."""
    compared, worst = 0, 0.0
    for n in cases.N_STEPS:
        ours, expected = our_transitions(n), hand_made(n)
        for start in expected.keys() - set(interior(n)):
            a, b = ours[start], expected[start]
            same = a._replace(reward=0.0) == b._replace(reward=0.0)
            worst = max(worst, abs(a.reward - b.reward) if same else np.inf)
            compared += 1
    return compared, worst


@cache
def _atari_differences(game: str) -> tuple[int, int]:
    """Of whole sticky games: agent steps, and those that differ."""
    names = ("crc", "reward", "terminal")
    record = [cases.recorded()[f"atari/{game}/{name}"].tolist() for name in names]
    environment = create_atari_environment(cases.ALE_SEED, game)
    actions, differ = cases.scripted_actions(game, environment.action_spec.num_actions), 0
    for crc, reward, terminal in zip(*record, strict=True):
        if np.isnan(reward):
            frame, ours = environment.reset(), (reward, False)
        else:
            frame, *ours = environment.step(next(actions))
        differ += tuple(ours) != (reward, terminal) or cases.crc([frame]) != crc
    return len(record[0]), differ


def atari_frames() -> Result:
    """Frames, rewards and ends of whole episodes."""
    found = [_atari_differences(game) for game in cases.GAMES]
    return sum(steps for steps, _ in found), float(sum(differ for _, differ in found))


QUANTITIES = [
    Quantity("action values, Nature network", nature_values, 1e-5),
    Quantity("action values, Impala network", impala_values, 1e-5),
    Quantity("DQN targets, n = 1, 3, 10", dqn_targets, 1e-5),
    Quantity("DQN losses, squared and Huber", dqn_losses, 1e-5),
    Quantity("DQN gradients, by tensor", dqn_gradients, 1e-5),
    Quantity("Adam's moments after 1 and 3 steps, by tensor", adam_moments, 1e-5),
    # Weights of 0.01 to 0.1 move by 1e-5 to 1e-4 and are rounded to 1e-9 and more.
    Quantity("weights moved by 1 and 3 steps, by tensor", adam_steps, 2e-4),
    Quantity("exploration schedules", epsilons, 1e-6),
    Quantity("n-step transitions inside episodes", n_step_inside, 1e-6),
    Quantity("n-step transitions at ends, by hand", n_step_ends, 1e-6),
    Quantity("Atari frames, rewards, ends (steps that differ)", atari_frames, 0),
]
