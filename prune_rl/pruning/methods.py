"""Every way to train a sparse network, as data that one wrapper reads (`pruner.Pruner`).

Names are those of JaxPruner's registry, and 'snip', 'global_snip'; tests/parity/README.md lists
where its masks are others. Those of straight-through methods ('trained' below) change at the
schedule's steps and go on changing, every `update_freq` steps, from its end to the run's: what they
leave out goes on learning. Under 'one_shot' they are made once, like any other's.

To add a method, write a score and name it; `import my_module` in a gin file is enough for
`pruner_type = 'mine'` to be known:

    register_score("mine", lambda param, grad, key: abs(param) * abs(grad) ** 2)
"""

from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp

from prune_rl.errors import blaming, require
from prune_rl.pruning.scores import Score, gradient, magnitude, random, saliency


@dataclass(frozen=True, kw_only=True)
class Method:
    """How masks are made, and what becomes of the weights that they leave out.

    Attributes:
        score: ranks weights at a mask update; None if masks never change after the first.
        grow: ranks those to put in the place of the weights that `score` drops, so that the
            number of weights never changes; None for methods that only choose what to keep.
        whole_network: one threshold for all tensors, instead of one per tensor.
        normalized: scores are divided by their L2 norm in each tensor before that threshold.
        starts_sparse: first masks are random, with the target sparsity; else they keep all.
        pruned: 'lost' if they are zero and stay pruned, unless grown from zero; 'trained' if their
            dense value goes on learning from the sparse network's gradient (straight-through);
            'frozen' if it waits as it was; 'moved' if without a gradient what the optimizer
            remembers moves it on. All but the lost may come back.
        scores_dense: gradients of a mask update are those at the dense weights.
        sparse_gradients: the optimizer sees zero gradients of pruned weights.
        skips_gradients: a step that makes masks trains nothing.
    """

    score: Score | None
    grow: Score | None = None
    whole_network: bool = False
    normalized: bool = True
    starts_sparse: bool = False
    pruned: Literal["lost", "trained", "frozen", "moved"] = "lost"
    scores_dense: bool = False
    sparse_gradients: bool = False
    skips_gradients: bool = False

    @property
    def keeps_dense_weights(self) -> bool:
        """Whether pruned weights have a value, to be stored beside the sparse network."""
        return self.pruned != "lost"

    @property
    def ranks_single_weights(self) -> bool:
        """Whether it has no use for patterns: it swaps weights, or ranks all tensors at once."""
        return self.grow is not None or self.whole_network


# Lee et al. 2018; with refreshes Arnob et al. 2025 and Sparse-Reg, section 4: the masked network is
# what trains, so that neither masked weights nor their moments learn anything.
_SNIP = Method(
    score=saliency, pruned="frozen", scores_dense=True, sparse_gradients=True, skips_gradients=True
)
_SET = Method(  # Mocanu et al. 2018
    score=magnitude, grow=random, starts_sparse=True, sparse_gradients=True, skips_gradients=True
)
METHODS: dict[str, Method] = {
    "magnitude": Method(score=magnitude),
    "random": Method(score=random),
    "saliency": Method(score=saliency),
    "global_magnitude": Method(score=magnitude, whole_network=True),
    "global_saliency": Method(score=saliency, whole_network=True),
    "magnitude_ste": Method(score=magnitude, pruned="trained"),
    "random_ste": Method(score=random, pruned="trained"),
    "snip": _SNIP,
    # Connection sensitivities are compared as they are: Sparse-Reg, equation 1.
    "global_snip": replace(_SNIP, whole_network=True, normalized=False),
    "static_sparse": Method(score=None, starts_sparse=True, sparse_gradients=True),
    "set": _SET,
    "rigl": replace(_SET, grow=gradient),  # Evci et al. 2020
}


def check_score(method: Method, shape: tuple[int, ...]) -> None:
    """Raises `ConfigError`, naming the method, unless its score fits a tensor of `shape`.

    Nothing is computed.
    """
    assert method.score is not None
    name = next((name for name, own in METHODS.items() if own == method), None)
    binding, tensor = (
        "create_updater_from_config.pruner_type",
        jax.ShapeDtypeStruct(shape, "float32"),
    )
    with blaming(f"{binding}={name!r}, its score", method.score):
        scores = jax.eval_shape(method.score, tensor, tensor, jax.random.PRNGKey(0))
    fits = (getattr(scores, "shape", None), getattr(scores, "dtype", None)) == (shape, jnp.float32)
    given = f"{scores.dtype} {scores.shape}" if hasattr(scores, "dtype") else type(scores).__name__
    expected = f"a score that gives float32 {shape} for a tensor of that shape, not {given}"
    require(fits, binding, name, expected)


def register_score(name: str, score: Score, *, whole_network: bool = False) -> None:
    """Makes gradual pruning by `score` known as `pruner_type = name`.

    Args:
        name: what gin files will call it.
        score: see `scores`.
        whole_network: as in `Method`.

    Raises:
        ValueError: another method has the name.
    """
    method = Method(score=score, whole_network=whole_network)
    if name == "no_prune" or METHODS.setdefault(name, method) != method:
        raise ValueError(f"a pruning method named {name!r} exists already; choose another name")
