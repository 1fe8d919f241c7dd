"""Prunes a small classifier to 95 % while it learns, with flax, optax and `prune_rl.prune` alone.

    python examples/prune_a_classifier.py

The data are real and need no network: patches of 21 x 21 pixels from what six Atari games show
while they are played at random (ale-py brings the games). Which game is a patch from? Training and
test patches are from games of their own, played apart.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

import prune_rl
from prune_rl.environments.atari import create_atari_environment
from prune_rl.pruning import weight_sparsity

GAMES = ("Asterix", "Breakout", "Enduro", "MsPacman", "Qbert", "Seaquest")
STEPS, BATCH = 1_000, 128


def patches(seed: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches (N, 441) float32 in [0, 1] and the numbers of their games (N,), eight of a frame."""
    rng, images, labels = np.random.default_rng(seed), [], []
    for label, name in enumerate(GAMES):
        game = create_atari_environment(seed, name)
        game.reset()
        for step in range(4 * frames):
            frame, _, over = game.step(int(rng.integers(game.action_spec.num_actions)))
            if over:
                game.reset()
            for top, left in rng.integers(0, 84 - 21, (8, 2)) if step % 4 == 0 else ():
                patch = frame[top : top + 21, left : left + 21]
                if patch.std() > 8:  # a patch of background says nothing
                    images.append(patch.reshape(-1) / np.float32(255))
                    labels.append(label)
    return np.stack(images), np.array(labels)


class Classifier(nn.Module):
    """Two hidden layers."""

    @nn.compact
    def __call__(self, images):  # (B, 441) -> (B, 6)
        for width in (256, 128):
            images = nn.relu(nn.Dense(width)(images))
        return nn.Dense(len(GAMES))(images)


@jax.jit
def learn(state: TrainState, images: jax.Array, labels: jax.Array) -> TrainState:
    """One gradient step; nothing in it knows of pruning."""

    def loss(params):
        logits = state.apply_fn({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return state.apply_gradients(grads=jax.grad(loss)(state.params))


def train(optimizer: optax.GradientTransformation, images, labels) -> TrainState:
    """The classifier after `STEPS` batches; the same initial weights and batches every time."""
    net, rng = Classifier(), np.random.default_rng(0)
    params = net.init(jax.random.key(0), images[:1])["params"]
    state = TrainState.create(apply_fn=net.apply, params=params, tx=optimizer)
    for _ in range(STEPS):
        batch = rng.integers(len(images), size=BATCH)
        state = learn(state, images[batch], labels[batch])
    return state


def main() -> dict[str, tuple[float, float]]:
    """Prints, and returns, accuracy on the test patches and sparsity, of each optimizer."""
    images, labels = patches(seed=0, frames=60)
    test_images, test_labels = patches(seed=1, frames=20)
    print(f"{len(images):,} patches to learn from, {len(test_images):,} to test")
    prune = partial(prune_rl.prune, optax.adam(1e-3), sparsity=0.95, num_gradient_steps=STEPS)
    optimizers = {
        "dense": optax.adam(1e-3),
        "magnitude, gradually": prune("magnitude"),
        "random, gradually": prune("random"),
        "RigL": prune("rigl", schedule_type="periodic"),
    }
    results = {}
    for name, optimizer in optimizers.items():
        state = train(optimizer, images, labels)
        guesses = jnp.argmax(state.apply_fn({"params": state.params}, test_images), axis=-1)
        accuracy = float((guesses == test_labels).mean())
        sparsity = {layer: float(x) for layer, x in weight_sparsity(state.params).items()}
        results[name] = accuracy, sparsity["total"]
        shown = ", ".join(f"{layer} {x:.3f}" for layer, x in sparsity.items())
        print(f"{name:20} {accuracy:.1%} right; zeros: {shown}")
    return results


if __name__ == "__main__":
    main()
