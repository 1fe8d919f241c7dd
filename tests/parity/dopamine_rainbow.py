"""How far Rainbow, its networks, prioritised replay and DrQ are from Dopamine 4.1.2's.

More rows of the table in dopamine_parity.py; see there.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import jax
import numpy as np

from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.environments.atari import create_atari_environment
from prune_rl.learning.augmentation import intensify, shift
from prune_rl.learning.distributional import categorical_rules, project
from prune_rl.learning.temporal_difference import td_rules
from prune_rl.learning.value_learning import Rules, batch_outputs, importance_weights, priorities
from prune_rl.networks import noisy
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.replay.sum_tree import SumTrees
from prune_rl.specs import Batch

from . import dopamine_cases as cases
from .dopamine_parity import Quantity, Result, observations, of_summaries, our_batch, relative

_SIDES = ("in", "out")
_NAMES = {"kernel_mu": "kernel", "bias_mu": "bias"}
_HEADS = {
    f"{head}-{kind}": (head == "dueling", kind == "c51")
    for head in ("single", "dueling")
    for kind in ("c51", "scalar")
}


def network_of(dueling: bool, distributional: bool, with_noise: bool = False) -> QNetwork:
    """Ours with the settings of FullRainbowNetwork; not dueling and distributional, Rainbow's."""
    atoms = cases.NUM_ATOMS if distributional else 1
    torso = NatureTorso(noisy=with_noise)
    return QNetwork(
        torso,
        cases.NUM_ACTIONS,
        num_atoms=atoms,
        vmax=cases.VMAX,
        dueling=dueling,
        noisy=with_noise,
    )


def to_ours(params: Any, dueling: bool) -> Any:
    """Weights of RainbowNetwork or FullRainbowNetwork, as QNetwork names them."""
    layers = {
        name.replace("NoisyNetwork", "Dense"): {_NAMES.get(k, k): v for k, v in layer.items()}
        for name, layer in params["params"].items()
    }
    heads = {"advantage": layers.pop("Dense_1")} if dueling else {"head": layers.pop("Dense_1")}
    if dueling:
        heads["value"] = layers.pop("Dense_2")
    return {"params": {"torso": layers, **heads}}


def to_dopamine(params: Any, with_noise: bool = False) -> Any:
    """The way back."""
    layers, kind = dict(params["params"]["torso"]), "NoisyNetwork" if with_noise else "Dense"
    names = {"Dense_0": f"{kind}_0", "head": f"{kind}_1"}
    names |= {"advantage": f"{kind}_1", "value": f"{kind}_2"}
    back = {ours: theirs for theirs, ours in _NAMES.items()} if with_noise else {}
    layers |= {name: layer for name, layer in params["params"].items() if name != "torso"}
    renamed = {}
    for name, layer in layers.items():
        own = back if name in names else {}
        renamed[names.get(name, name)] = {own.get(k, k): v for k, v in layer.items()}
    return {"params": renamed}


def compact_outputs() -> Result:
    """Logits, probabilities and values of the compact Rainbow's network."""
    outputs = cases.NUM_ACTIONS * cases.NUM_ATOMS
    params = to_ours(cases.weights(cases.nature_shapes(outputs), 0), dueling=False)
    return relative(_outputs("network/rainbow", network_of(False, True), params))


def full_outputs() -> Result:
    """Of FullRainbowNetwork without noise, every head."""
    pairs = []
    for name, (dueling, distributional) in _HEADS.items():
        params = to_ours(cases.weights(cases.full_shapes(dueling, distributional), 0), dueling)
        pairs += _outputs(f"network/full/{name}", network_of(dueling, distributional), params)
    return relative(pairs)


def noisy_outputs() -> Result:
    """Of FullRainbowNetwork with noisy layers, silent and under Dopamine's noise."""
    network = network_of(True, True, with_noise=True)
    params = to_ours(cases.weights(cases.full_shapes(True, True, noisy=True), 0), dueling=True)
    pairs = list(_outputs("network/noisy/quiet", network, params))
    with _noise_of("network/noisy/noise"):
        key = jax.random.PRNGKey(0)
        pairs += _outputs("network/noisy/noise", network, params, key)
    return relative(pairs)


def _outputs(
    name: str, network: QNetwork, params: Any, key: Any = None
) -> Iterator[tuple[Any, Any]]:
    outputs = batch_outputs(network, params, observations(cases.batch()[0]), key)
    record = cases.recorded()
    yield network.expectation(outputs), record[f"{name}/q"]
    if network.num_atoms > 1:
        yield outputs, record[f"{name}/logits"]
        yield jax.nn.softmax(outputs), record[f"{name}/probabilities"]


def _noise_of(*names: str) -> Any:
    """Our layers draw what was recorded under these names, in the order they are traced."""
    layers, record = ("NoisyNetwork_0", "NoisyNetwork_1", "NoisyNetwork_2"), cases.recorded()
    drawn = [record[f"{x}/{layer}/{side}"] for x in names for layer in layers for side in _SIDES]
    return mock.patch.object(noisy, "_noise", side_effect=drawn)


def projections() -> Result:
    """Distributions projected on the support."""
    atoms, probabilities = cases.projections()
    return relative(
        [(project(atoms, probabilities, cases.SUPPORT), cases.recorded()["c51/projection"])]
    )


class _Training:
    """What one of Dopamine's training steps recorded, and ours on the same inputs."""

    def __init__(self, name: str, rules: Rules, shapes: Any) -> None:
        self.name, self.rules = name, rules
        self.params, self.target_params = (
            to_ours(cases.weights(shapes, seed), rules.network.dueling) for seed in (0, 1)
        )
        self.batch = our_batch(3)
        self.key = jax.random.PRNGKey(0) if rules.network.noisy else None

    @property
    def targets(self) -> jax.Array:
        return self.rules.targets(self.params, self.target_params, self.batch, self.key)

    def losses_and_gradient(self) -> tuple[jax.Array, jax.Array, Any]:
        targets = self.targets

        def loss_of(params: Any) -> tuple[jax.Array, jax.Array]:
            outputs = batch_outputs(self.rules.network, params, self.batch.s_tm1, self.key)
            losses = self.rules.losses(outputs, self.batch, targets)
            return (cases.C51_WEIGHTS * losses).mean(), losses

        (mean, losses), gradient = jax.value_and_grad(loss_of, has_aux=True)(self.params)
        return mean, losses, to_dopamine(gradient, self.rules.network.noisy)


@cache
def _trainings() -> list[tuple[str, Any, Any, Any, Any]]:
    """(name, targets, mean loss, losses, gradient) of ours for every recorded training step."""
    compact = cases.nature_shapes(cases.NUM_ACTIONS * cases.NUM_ATOMS)
    steps = [_Training("c51", categorical_rules(network_of(False, True)), compact)]
    for name, (double, dueling, c51) in cases.FULL.items():
        network = network_of(dueling, c51)
        loss_type = "mse" if name.endswith("mse") else "huber"
        scalar = td_rules(network, loss_type, double_dqn=double)
        rules = categorical_rules(network, double_dqn=double) if c51 else scalar
        steps.append(_Training(f"full/{name}", rules, cases.full_shapes(dueling, c51)))
    found = [(step.name, step.targets, *step.losses_and_gradient()) for step in steps]
    rules = categorical_rules(network_of(True, True, with_noise=True), double_dqn=True)
    step = _Training("full/noisy", rules, cases.full_shapes(True, True, noisy=True))
    target, online = (f"full/noisy/noise/{side}" for side in ("target", "online"))
    with _noise_of(target, target):  # the target network, then the online one that chooses
        targets = step.targets
    with _noise_of(target, target, online):
        found.append((step.name, targets, *step.losses_and_gradient()))
    return found


def targets() -> Result:
    """Target distributions and values of every training step."""
    record = cases.recorded()
    return relative((ours, record[f"{name}/target"]) for name, ours, *_ in _trainings())


def losses() -> Result:
    """Losses by transition, and their weighted means."""
    record, pairs = cases.recorded(), []
    for name, _, mean, own, _ in _trainings():
        pairs += [(own, record[f"{name}/loss"]), (mean, record[f"{name}/mean_loss"])]
    return relative(pairs)


def gradients() -> Result:
    """Gradients of the weighted means."""
    return of_summaries((gradient, f"{name}/gradient") for name, *_, gradient in _trainings())


def weights_and_priorities() -> Result:
    """Importance weights of probabilities, new priorities of losses."""
    probabilities = cases.PROBABILITIES.astype(np.float32)
    batch = Batch(None, None, np.zeros(cases.BATCH, np.float32), None, None, probabilities)  # type: ignore[arg-type]
    record, pairs = cases.recorded(), []
    for agent in ("rainbow", "full", "atari_100k"):
        pairs += [(importance_weights(batch), record[f"prioritized/{agent}/weights"])]
        pairs += [(priorities(cases.LOSSES), record[f"prioritized/{agent}/priorities"])]
    return relative(pairs)


def sampling_probabilities() -> Result:
    """Priority over sum of priorities, of the items that Dopamine drew."""
    theirs = cases.recorded()["sum_tree/probabilities"]
    drawn = theirs > 0
    trees, size = _trees(), len(cases.PRIORITIES)
    ours = trees.values(np.arange(size)[None])[0] / trees.totals[0]
    return relative([(ours[drawn], theirs[drawn])])


def _trees() -> SumTrees:
    size = len(cases.PRIORITIES)
    trees = SumTrees(1, size)
    trees.set(np.zeros(size, np.int64), np.arange(size), cases.PRIORITIES)
    return trees


def sampling_counts() -> Result:
    """Of 100,000 draws from the numbers that Dopamine drew: how many find another item.

    That our own draws follow the priorities is tested in tests/replay (chi-square).
    """
    trees, theirs = _trees(), cases.recorded()["sum_tree/counts"]
    drawn = np.random.default_rng(0).uniform(0, trees.totals[0], (1, cases.NUM_DRAWS))
    ours = np.bincount(trees.find(drawn)[0], minlength=len(theirs))
    return cases.NUM_DRAWS, float(np.abs(ours - theirs).sum() / 2)


def augmented_images() -> Result:
    """DrQ's shifts and intensities, given the offsets and factors that Dopamine drew."""
    record, pairs = cases.recorded(), []
    for name in ("small", "atari"):
        offsets, factors = record[f"drq/{name}/offsets"], record[f"drq/{name}/factors"]
        images = observations(cases.drq_images(name))
        ours = intensify(shift(images, offsets[:, 0], offsets[:, 1], 4), factors)
        ours = np.moveaxis(np.asarray(ours, np.float64)[..., 0], 1, -1)
        pairs.append((ours if name == "small" else ours.sum((1, 2)), record[f"drq/{name}/images"]))
    return relative(pairs)


def lives() -> Result:
    """Agent steps that differ where a lost life is terminal: frames, rewards, both kinds of end."""
    found = [_lives_differ(game) for game in cases.LIVES_GAMES]
    return sum(steps for steps, _ in found), float(sum(differ for _, differ in found))


def _lives_differ(game: str) -> tuple[int, int]:
    names = ("crc", "reward", "terminal", "game_over")
    record = [cases.recorded()[f"atari_lives/{game}/{name}"].tolist() for name in names]
    environment = create_atari_environment(cases.ALE_SEED, game, terminal_on_life_loss=True)
    actions, differ = cases.scripted_actions(game, environment.action_spec.num_actions), 0
    for crc, reward, terminal, over in zip(*record, strict=True):
        if np.isnan(reward):
            frame, ours = environment.reset(), (reward, False)
        else:
            frame, *ours = environment.step(next(actions))
        ends = environment.life_lost or ours[1]
        differ += cases.crc([frame]) != crc or (*ours, ends) != (reward, over, terminal)
    return len(record[0]), differ


def exploration() -> Result:
    """RainbowAgent's schedules, with and without noisy nets."""
    pairs = []
    for name, (decay, warm_up, final) in cases.EPSILONS.items():
        agent = RainbowAgent(
            epsilon_decay_period=decay, min_replay_history=warm_up, epsilon_train=final
        )
        steps = cases.epsilon_steps(decay, warm_up).tolist()
        pairs.append(([agent.epsilon(x) for x in steps], cases.recorded()[f"epsilon/{name}"]))
    return relative(pairs)


QUANTITIES = [
    Quantity("compact Rainbow's logits, probabilities, values", compact_outputs, 1e-5),
    Quantity("full Rainbow's, single and dueling, C51 and scalar", full_outputs, 1e-5),
    Quantity("full Rainbow's with noisy layers, silent and not", noisy_outputs, 1e-5),
    Quantity("C51 projections", projections, 1e-5),
    Quantity("Rainbow targets, 14 sets of parts", targets, 1e-5),
    Quantity("Rainbow losses, weighted and by transition", losses, 1e-5),
    Quantity("Rainbow gradients, by tensor", gradients, 1e-5),
    Quantity("importance weights and priorities", weights_and_priorities, 1e-5),
    Quantity("probabilities of prioritised sampling", sampling_probabilities, 1e-6),
    Quantity("prioritised sampling (draws that differ)", sampling_counts, 0),
    Quantity("DrQ's augmented images", augmented_images, 1e-5),
    Quantity("exploration schedules of DrQ(ε) and DER", exploration, 1e-6),
    Quantity("Atari where lives end (steps that differ)", lives, 0),
]
