"""Inputs that Dopamine 4.1.2 and our code both see, from fixed seeds; NumPy only.

What Dopamine makes of them is in dopamine.npz, by key (B = 8 transitions, A = 6 actions,
N = 51 atoms; images are (B, 84, 84, 4), newest frame last, and weights those of `weights`):

inputs                      JSON, a checksum of every input by name: see `checksums`
network/nature, /impala     q (B, A)
network/rainbow/{q, logits, probabilities}                                (B, A), (B, A, N) twice
network/full/{head}-{c51, scalar}/{q, logits, probabilities}   head single, dueling; scalar: q
network/noisy/{quiet, noise}/{...}                    the same; without noise and with
network/noisy/noise/{layer}/{in, out}                 f(p) (inputs,) and f(q) (outputs,) drawn, so
                                                      w_epsilon = outer(in, out), b_epsilon = out
dqn/target/{n}              (B,), n of N_STEPS;       dqn/cumulative_gammas (3,)
dqn/{mse, huber}/loss       scalar, 1-step;           dqn/{...}/gradient/...  see `summary`
dqn/adam/{steps}/moved, /mu, /nu   summaries after 1 and 3 whole steps on one batch (loss mse)
c51/projection              (cases, N) of `projections`
c51/{target, loss, mean_loss, gradient}               (B, N), (B,), scalar; 3-step, C51_WEIGHTS
full/{name}/{target, loss, mean_loss, gradient}       (B, N) or (B,), (B,), scalar; each of FULL
full/noisy/...              the same, double and dueling and distributional, with
full/noisy/noise/{online, target}/{layer}/{in, out}   the noise of loss and of targets
offline/{name}/{target, loss, td, gap, gradient}      (B,) or (B, N), scalars; each of OFFLINE
prioritized/{rainbow, full, atari_100k}/{weights, priorities}   (B,), of PROBABILITIES and LOSSES
prioritized/{...}/scheme    the replay scheme of an agent as constructed, 'uniform': upstream's bug
epsilon/{name}              (steps,) of EPSILONS;     defaults  JSON, {name: {argument: default}}
drq/{small, atari}/{offsets, factors, images}         (B, 2) top and left, (B,), float32 images (of
                                                      'atari' the sums over each image and channel)
replay/{n}/{states, actions, rewards, next_states, terminals}   of `stream`, a frame as its number
sum_tree/{counts, probabilities, max_priorities, power_of_two_fails}
atari/{game}/{crc, reward, terminal, num_actions}     per agent step, resets (reward NaN) included
atari_lives/{game}/{crc, reward, terminal, game_over, lives}    with terminal_on_life_loss
"""

import itertools
import zlib
from functools import cache
from pathlib import Path

import numpy as np

NUM_ACTIONS, NUM_ATOMS, VMAX, GAMMA, BATCH = 6, 51, 10.0, 0.99, 8
N_STEPS = (1, 3, 10)
ADAM_STEPS = (1, 3)
SUPPORT = np.linspace(-VMAX, VMAX, NUM_ATOMS).astype(np.float32)
# (double, dueling, distributional) of the full agent by name, such as 'double-single-c51'.
FULL = {
    f"{targets}-{head}-{loss}": (targets == "double", head == "dueling", loss == "c51")
    for targets, head, loss in itertools.product(
        ("max", "double"), ("single", "dueling"), ("huber", "mse", "c51")
    )
}
# Of Dopamine's offline agents: class, n, double, dueling, distributional, Impala, and coefficients
# of the temporal-difference loss (that of OfflineJaxDR3Agent has none) and of the penalty.
OFFLINE = {
    "cql": ("dr3", 1, False, False, False, False, 1.0, 0.1),
    "cql-3": ("dr3", 3, False, False, False, False, 1.0, 2.0),
    "cql_c51": ("rainbow", 3, True, True, True, False, 1.0, 0.1),
    "cql_c51-impala": ("rainbow", 3, True, True, True, True, 1.0, 0.1),
    "cql_c51-single": ("rainbow", 1, False, False, True, False, 0.5, 0.7),
    "cql-dueling": ("rainbow", 3, True, True, False, False, 0.25, 1.5),
}

_CONVS = {
    "Conv_0": {"kernel": (8, 8, 4, 32), "bias": (32,)},
    "Conv_1": {"kernel": (4, 4, 32, 64), "bias": (64,)},
    "Conv_2": {"kernel": (3, 3, 64, 64), "bias": (64,)},
}
_FLAT, _HIDDEN = 7744, 512


def _dense(inputs, outputs, noisy=False):
    if not noisy:
        return {"kernel": (inputs, outputs), "bias": (outputs,)}
    kinds = ("mu", "sigma")
    kernels = {f"kernel_{kind}": (inputs, outputs) for kind in kinds}
    return {**kernels, **{f"bias_{kind}": (outputs,) for kind in kinds}}


def nature_shapes(outputs=NUM_ACTIONS):
    """NatureDQNNetwork; with A*N outputs, RainbowNetwork."""
    layers = {"Dense_0": _dense(_FLAT, _HIDDEN), "Dense_1": _dense(_HIDDEN, outputs)}
    return {"params": {**_CONVS, **layers}}


def full_shapes(dueling, distributional, noisy=False):
    """FullRainbowNetwork: hidden, then advantages and values, or all of them at once."""
    atoms, kind = NUM_ATOMS if distributional else 1, "NoisyNetwork" if noisy else "Dense"
    sizes = [(_FLAT, _HIDDEN), (_HIDDEN, NUM_ACTIONS * atoms)] + [(_HIDDEN, atoms)] * dueling
    layers = {f"{kind}_{i}": _dense(*size, noisy) for i, size in enumerate(sizes)}
    return {"params": {**_CONVS, **layers}}


def impala_shapes():
    """ImpalaDQNNetwork with nn_scale 1."""
    stacks, channels = {}, 4
    for i, width in enumerate((16, 32, 32)):
        inputs = [channels] + [width] * 4
        stacks[f"_stacks_{i}"] = {
            f"Conv_{j}": {"kernel": (3, 3, size, width), "bias": (width,)}
            for j, size in enumerate(inputs)
        }
        channels = width
    heads = {"Dense_0": _dense(11 * 11 * 32, _HIDDEN), "Dense_1": _dense(_HIDDEN, NUM_ACTIONS)}
    return {"params": {"encoder": stacks, **heads}}


def offline_shapes(name):
    """JAXDQNNetworkWithRepresentations, or ParameterizedRainbowNetwork with nn_scale 1."""
    kind, _, _, dueling, distributional, impala, *_ = OFFLINE[name]
    if kind == "dr3":
        return nature_shapes()
    encoder = impala_shapes()["params"]["encoder"] if impala else _CONVS
    flat = 11 * 11 * 32 if impala else _FLAT
    layers = full_shapes(dueling, distributional)["params"]
    heads = {layer: own for layer, own in layers.items() if layer not in _CONVS}
    return {"params": {"encoder": encoder, **heads, "Dense_0": _dense(flat, _HIDDEN)}}


def weights(shapes, seed):
    """float32 weights of that layout; what a tensor holds depends on its path, shape and seed."""

    def draw(path, node):
        if isinstance(node, dict):
            return {name: draw(f"{path}/{name}", child) for name, child in node.items()}
        rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
        values = rng.standard_normal(node, np.float32)
        if path.endswith("sigma"):
            return np.abs(values) * np.float32(0.1 / np.sqrt(node[0]))
        fan_in = np.prod(node[:-1]) if len(node) > 1 else 100
        return values * np.float32(np.sqrt(2.0 / fan_in))

    return draw("", shapes)


def leaves(tree, path=""):
    """{path: array} of nested dictionaries."""
    if not isinstance(tree, dict):
        return {path: np.asarray(tree)}
    return {k: v for name, node in tree.items() for k, v in leaves(node, f"{path}/{name}").items()}


def images(seed, shape=(BATCH, 84, 84, 4)):
    """uint8 stacks: noise with large dark areas, as in games."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, shape, np.uint8)
    return noise * (rng.random(shape) < 0.4).astype(np.uint8)


def batch():
    """State, action, reward, next state and terminal of B transitions."""
    rng = np.random.default_rng(5)
    terminals = np.zeros(BATCH, bool)
    terminals[[1, 6]] = True
    rewards = rng.normal(0, 1.5, BATCH).astype(np.float32)
    actions = rng.integers(0, NUM_ACTIONS, BATCH).astype(np.int32)
    return images(1), actions, rewards, images(2), terminals


_RNG = np.random.default_rng(6)
C51_WEIGHTS = _RNG.uniform(0.1, 1.0, BATCH).astype(np.float32)
PROBABILITIES = _RNG.uniform(1e-6, 1e-2, BATCH)
LOSSES = np.concatenate([[0.0], 10.0 ** np.arange(-11, -4)[:3], _RNG.uniform(0, 6, 4)]).astype("f4")


def projections():
    """(target supports, probabilities), each (cases, N): cut off, on atoms, terminal, random."""
    rng = np.random.default_rng(7)
    fixed = [(0.0, 1.0), (0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (-0.8, 1.0), (100.0, 0.99)]
    fixed += [(-100.0, 0.99), (10.0, 0.0), (-10.0, 0.0), (0.2, 0.0), (0.1, 1.0), (10.3, 0.0)]
    drawn = [(rng.uniform(-15, 15), GAMMA ** rng.integers(1, 11)) for _ in range(20)]
    supports = np.array([r + g * SUPPORT for r, g in fixed + drawn], np.float32)
    scores = np.exp(rng.normal(0, 2, supports.shape))
    return supports, (scores / scores.sum(1, keepdims=True)).astype(np.float32)


# (decay period, warm-up, final): DQN, Atari 100k with DrQ(eps), DER.
EPSILONS = {"dqn": (250_000, 20_000, 0.01), "drq_eps": (5_000, 1_600, 0.01)}
EPSILONS["der"] = (2_000, 1_600, 0.01)


def epsilon_steps(decay, warm_up):
    """Agent steps about the corners of a schedule and between them."""
    corners = [0, 1, warm_up - 1, warm_up, warm_up + 1, warm_up + decay - 1, warm_up + decay]
    return np.unique([*corners, warm_up + decay + 1, *np.linspace(0, 2 * decay, 40).astype(int)])


def drq_images(name):
    """float32 images in [0, 1]; oblong, so that mistaken axes are found, or as large as Atari's."""
    shape = (BATCH, 12, 10, 4) if name == "small" else (BATCH, 84, 84, 4)
    return images(3, shape).astype(np.float32) / np.float32(255)


EPISODES = [(1, True), (2, True), (5, True), (4, False), (12, True), (30, False), (11, True)]
EPISODES += [(3, False), (25, True)]


def stream():
    """Agent steps (frame number, action, reward, terminated, episode over) of EPISODES.

    Frames are numbered from 1; that after an episode's last step never reaches Dopamine.
    """
    rng, number, steps = np.random.default_rng(8), 0, []
    for length, terminated in EPISODES:
        for t in range(length):
            number, last = number + 1, t == length - 1
            reward = float(rng.integers(-8, 9)) / 8
            steps.append((number, int(rng.integers(18)), reward, last and terminated, last))
    return steps


PRIORITIES = np.concatenate([[0.0, 1e-5, 100.0], np.random.default_rng(9).uniform(0, 5, 47)])
NUM_DRAWS = 100_000

GAMES = {"Pong": 1, "Breakout": 3, "Qbert": 2, "Seaquest": 2, "MsPacman": 1}  # whole episodes
LIVES_GAMES = {"Breakout": 2, "Qbert": 2}
ALE_SEED = 5  # games of Pong and Qbert end in the last two ticks of an agent step


def scripted_actions(game, num_actions):
    """Actions without end, one per agent step."""
    rng = np.random.default_rng(zlib.crc32(game.encode()))
    while True:
        yield int(rng.integers(num_actions))


def summary(tree):
    """{path: (69,) float64}: L2 norm, products with 4 random tensors, 64 random entries."""
    return {path: _summary(path, leaf) for path, leaf in leaves(tree).items()}


def _summary(path, leaf):
    rng, flat = np.random.default_rng(zlib.crc32(path.encode())), leaf.astype(np.float64).ravel()
    products = [rng.standard_normal(flat.size, np.float32) @ flat for _ in range(4)]
    return np.array([np.linalg.norm(flat), *products, *flat[rng.integers(0, flat.size, 64)]])


def deviation(actual, recorded):
    """Largest difference between two summaries of a tensor, relative to the tensor's norm."""
    return np.abs(actual - recorded).max() / max(recorded[0], 1e-30)


@cache
def recorded():
    """What Dopamine made of all this, by key."""
    return dict(np.load(Path(__file__).with_name("dopamine.npz")))


def checksums():
    """CRC-32 of the inputs, so that a generator that changes is not taken for a deviation."""
    trees = {"nature": nature_shapes(), "impala": impala_shapes()}
    named = {name: list(leaves(weights(tree, 0)).values()) for name, tree in trees.items()}
    named |= {"batch": batch(), "projections": projections(), "drq": [drq_images("small")]}
    named |= {"priorities": [PRIORITIES, C51_WEIGHTS, PROBABILITIES, LOSSES]}
    named |= {"stream": [np.array(stream(), np.float64)]}
    return {name: crc(arrays) for name, arrays in named.items()}


def crc(arrays):
    """CRC-32 of arrays, one after the other."""
    return zlib.crc32(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
