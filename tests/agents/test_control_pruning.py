"""Agents of several networks while pruners of all kinds, one for each network, work on them."""

from types import MappingProxyType

import jax
import numpy as np
import pytest

from prune_rl.agents.awac import AWACAgent
from prune_rl.agents.bc import BCAgent
from prune_rl.agents.iql import IQLAgent
from prune_rl.agents.sac import SACAgent
from prune_rl.agents.td3_bc import TD3BCAgent
from prune_rl.networks.layers import kernels
from prune_rl.networks.torsos.simba import SimBaTorso
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.distributions import erk
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.tensors import tensor_name

from . import (
    control,
    test_awac_update,
    test_bc_update,
    test_iql_update,
    test_sac_update,
    test_td3_bc_update,
)
from .control import SEEDS

pytestmark = pytest.mark.usefixtures("quick_compiling")

AGENTS = {
    "sac": SACAgent,
    "bc": BCAgent,
    "td3_bc": TD3BCAgent,
    "awac": AWACAgent,
    "iql": IQLAgent,
}
METHOD_NAMES, STEPS, SPARSITY = list(METHODS), 14, 0.7


def _pruner(method, sparsity=SPARSITY, **more):
    settings = {"update_start_step": 2, "update_end_step": 10, "update_freq": 2} | more
    return create_updater_from_config(STEPS, method, sparsity=sparsity, **settings)


def _pruned(agent):
    """Names of the networks that have layers."""
    return [name for name in AGENTS[agent]().networks if name != "temperature"]


def _train(learner, steps=STEPS):
    state = learner.init(SEEDS)
    for step in range(steps):
        state, metrics, _ = learner.update(state, control.make_batch(step))
    assert all(np.isfinite(own).all() for own in metrics.values())
    return jax.device_get(state)


def _zeros(params, members):
    """Zeros of each kernel, by layer and, with members, for each: (S, members) or (S,)."""
    axes = 1 if members is None else 2
    counted = kernels(params).items()
    return {x: (own == 0).sum(tuple(range(axes, own.ndim))) for x, own in counted}


def _kept(masks, members):
    """Bits set in each kernel's mask, as `_zeros`; those of dense ones are not there."""
    axes = 1 if members is None else 2
    counted = kernels(masks).items()
    return {
        x: np.unpackbits(own, axis=-1).sum(tuple(range(axes, own.ndim)))
        for x, own in counted
        if own is not None
    }


def _sizes(params, members):
    axes = 1 if members is None else 2
    return {name: own[(0,) * axes].size for name, own in kernels(params).items()}


def _check(state, learner, name, method):
    """That a network is as sparse as asked, and its target is zero in the same places.

    Where pruned weights keep a value, what is stored of the target is dense.
    """
    network, members = state.networks[name], learner.members[name]
    zeros, sizes = _zeros(network.params, members), _sizes(network.params, members)
    if METHODS[method].whole_network:
        kept = sum(sizes.values()) - sum(zeros.values())
        assert (abs(kept - (1 - SPARSITY) * sum(sizes.values())) <= 1).all()
    else:
        one = jax.tree.map(lambda leaf: leaf[(0,) * (1 if members is None else 2)], network.params)
        shares = kernels(erk(one, SPARSITY))
        for layer, size in sizes.items():
            expected = size * (shares[layer] or 0.0)
            kept = _kept(network.opt_state.masks, members)
            pruned = size - kept.get(layer, np.array(size))
            assert (abs(pruned - expected) <= 1).all(), (name, layer, method)
            # What has been grown is zero until a gradient reaches it.
            grows = METHODS[method].grow is not None
            assert (zeros[layer] >= pruned if grows else zeros[layer] == pruned).all()
    if network.target_params is not None:
        pairs = zip(
            *map(jax.tree.leaves, (kernels(network.params), kernels(network.target_params))),
            strict=True,
        )
        for own, target in pairs:
            kept = METHODS[method].keeps_dense_weights
            np.testing.assert_array_equal(
                target == 0, np.zeros_like(own, bool) if kept else own == 0
            )
    masked = jax.tree_util.tree_leaves_with_path(network.opt_state.masks)
    assert masked
    assert {tensor_name(path).rpartition("/")[2] for path, _ in masked} == {"kernel"}


# Each run gives every network another method: in twelve of them each network has had each. In some
# of an agent's own all actors together have had each, and so have all critics.
_SOME = [(agent, first % 3 + x) for first, agent in enumerate(AGENTS) for x in (0, 3, 6, 9)]
_OTHERS = [(agent, offset) for agent in AGENTS for offset in range(12)]
_OTHERS = [own for own in _OTHERS if own not in _SOME]


def _check_methods(agent, offset):
    names = _pruned(agent)
    methods = {
        name: METHOD_NAMES[(offset + 5 * i) % len(METHOD_NAMES)] for i, name in enumerate(names)
    }
    pruners = {name: _pruner(method) for name, method in methods.items()}
    learner = control.make_learner(AGENTS[agent], pruners=pruners)
    state = _train(learner)
    for name, method in methods.items():
        _check(state, learner, name, method)
    if agent == "sac":
        assert not jax.tree.leaves(state.networks["temperature"].opt_state.masks)


@pytest.mark.parametrize(("agent", "offset"), _SOME)
def test_every_network_is_as_sparse_as_its_own_pruner_was_asked(agent, offset):
    assert len(METHOD_NAMES) == 12  # as the offsets count
    _check_methods(agent, offset)


@pytest.mark.nightly
@pytest.mark.parametrize(("agent", "offset"), _OTHERS)
def test_every_network_under_every_method(agent, offset):
    _check_methods(agent, offset)


def test_simbas_residual_networks_learn_and_prune():
    pruners = dict.fromkeys(("actor", "critic"), _pruner("magnitude"))
    torso = SimBaTorso(units=4, num_blocks=2)
    learner = control.make_learner(SACAgent, torso=torso, pruners=pruners)
    before = jax.device_get(learner.init(SEEDS))
    state = _train(learner)
    for name in pruners:
        _check(state, learner, name, "magnitude")
        moved = jax.tree.map(
            lambda a, b: (a != b).any(), before.networks[name].params, state.networks[name].params
        )
        assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("method", ["magnitude", "rigl"])
def test_a_target_that_waits_loses_what_its_network_loses(method):
    """TD3+BC's targets move at every fifth gradient step, masks change at every second."""
    pruner = _pruner(method, update_start_step=1)
    learner = control.make_learner(TD3BCAgent, policy_delay=5, pruners={"critic": pruner})
    state, zeros = learner.init(SEEDS), set()
    for step in range(STEPS):
        state, _, _ = learner.update(state, control.make_batch(step))
        own, slow = (
            kernels(x)
            for x in (state.networks["critic"].params, state.networks["critic"].target_params)
        )
        for layer, kernel in own.items():
            assert (np.asarray(slow[layer])[np.asarray(kernel) == 0] == 0).all(), (step, layer)
        zeros.add(sum(int((kernel == 0).sum()) for kernel in own.values()))
    assert len(zeros) > 3 or method == "rigl"


@pytest.mark.parametrize("agent", ["td3_bc", "iql"])
def test_what_one_network_has_pruned_leaves_the_others_dense(agent):
    pruners = {"critic": _pruner("magnitude")}
    learner = control.make_learner(AGENTS[agent], pruners=pruners)
    state = _train(learner)
    _check(state, learner, "critic", "magnitude")
    for name in set(_pruned(agent)) - {"critic"}:
        zeros = _zeros(state.networks[name].params, learner.members[name])
        assert not any(own.any() for own in zeros.values())


class Masked64:
    """A network of `mlp64` that keeps dense weights and shows them through masks."""

    def __init__(self, network):
        self.network, self.dense = network, [kernel for kernel, _ in network.layers]
        self.masks = [np.ones_like(kernel, bool) for kernel in self.dense]

    def show(self, masks=None):
        """Puts into the network what masks leave of its dense weights."""
        for layer, kernel, mask in zip(
            self.network.layers, self.dense, masks or self.masks, strict=True
        ):
            layer[0] = np.where(mask, kernel, 0)

    def show_dense(self):
        self.show([np.ones_like(mask) for mask in self.masks])

    def scores(self, grads):
        return [abs(w * g) for w, (g, _) in zip(self.dense, grads, strict=True)]

    def snip(self, grads):
        """Keeps all kernels' weights of the largest |w dL/dw|, one threshold for all."""
        self.keep(least_kept(self.scores(grads)), grads)

    def keep(self, least, grads):
        self.masks = [own >= least for own in self.scores(grads)]
        self.show()

    def train(self, grads):
        """Adam on what is not masked; masked weights wait as they are."""
        grads = [[g * mask, b] for (g, b), mask in zip(grads, self.masks, strict=True)]
        self.network.adam(grads, control.RATE, eps=control.EPS)
        moved = [kernel for kernel, _ in self.network.layers]
        kept = zip(self.masks, moved, self.dense, strict=True)
        self.dense = [np.where(mask, new, old) for mask, new, old in kept]
        self.show()


def least_kept(scores):
    """The score down to which so many of all of these are kept."""
    ranked = np.sort(np.concatenate([own.reshape(-1) for own in scores]))[::-1]
    least = ranked[round((1 - SPARSITY) * len(ranked)) - 1]
    assert least > 0, "a batch that leaves enough to rank"
    return least


def _listed(networks):
    return networks if isinstance(networks, list) else [networks]


class Sniped:
    """A reference that makes masks at `REMADE`, and trains nothing then: before a `Reference`."""

    def __init__(self, *args):
        super().__init__(*args)
        self.count = 0
        self.own, self.slow = (
            {name: [Masked64(own) for own in _listed(networks)] for name, networks in all_.items()}
            for all_ in (self.networks, self.targets)
        )

    def update(self, batch):
        super().update(batch)
        self.count += 1

    def actor_step(self, *args):
        return self._scored("actor", super().actor_step, args)

    def copy_step(self, *args):
        before = self.log_std, self.moments
        with np.errstate(invalid="ignore", divide="ignore"):
            self._scored("actor", super().copy_step, args)
        if self.count in REMADE:
            self.log_std, self.moments = before

    def critic_step(self, *args, **settings):
        return self._scored("critic", super().critic_step, args, settings)

    def value_step(self, *args):
        return self._scored("value", super().value_step, args)

    def _scored(self, name, step, args, settings=MappingProxyType({})):
        """A step of a network, dense while its masks are made, as all others are then."""
        if self.count in REMADE:
            for own in self.own[name]:
                own.show_dense()
        return step(*args, **settings)

    def step(self, name, grads):
        grads = grads if isinstance(self.networks[name], list) else [grads]
        for own, own_grads in zip(self.own[name], grads, strict=True):
            if self.count in REMADE:
                own.snip(own_grads)
            else:
                own.train(own_grads)
        self._mask_target(name)

    def move(self, name):
        for own, slow in zip(self.own[name], self.slow[name], strict=True):
            own.show_dense()
            slow.show_dense()
            slow.network.towards(own.network, control.TAU)
            slow.dense = [kernel for kernel, _ in slow.network.layers]
            own.show()
        self._mask_target(name)

    def _mask_target(self, name):
        for own, slow in zip(self.own[name], self.slow.get(name, []), strict=False):
            slow.masks = own.masks
            slow.show()

    def stored(self):
        """As the learner has it: networks masked, what their targets are made from dense."""
        for slow in self.slow.values():
            for own in slow:
                own.show_dense()
        return self


REMADE = (0, 2)


_REFERENCES = {
    "sac": (test_sac_update.Reference, test_sac_update.NAMES),
    "td3_bc": (test_td3_bc_update.Reference, test_td3_bc_update.NAMES),
    "awac": (test_awac_update.Reference, test_awac_update.NAMES),
    "iql": (test_iql_update.Reference, test_iql_update.NAMES),
}


@pytest.mark.parametrize("agent", _REFERENCES)
def test_snips_masks_come_from_each_networks_own_loss_and_are_made_anew(agent):
    """Of all weights of a network, and of each critic by itself; at the dense weights.

    Losses see targets of what is kept now, as they were when it was not: Sparse-Reg, section 4.
    """
    schedule = {"schedule_type": "periodic", "update_start_step": 0, "update_end_step": 2}
    pruners = {x: _pruner("global_snip", **schedule) for x in _pruned(agent)}
    learner = control.make_learner(AGENTS[agent], pruners=pruners)
    kind, names = _REFERENCES[agent]
    state = learner.init(SEEDS)
    seeds = [type("Reference", (Sniped, kind), {})(state, seed) for seed in range(len(SEEDS))]
    masks = []
    for step in range(5):
        batch = control.make_batch(7 + step)
        state, _, _ = learner.update(state, batch)
        for place, seed in enumerate(seeds):
            seed.update(control.of_seed(batch, place))
        masks.append(np.concatenate([mask.reshape(-1) for mask in seeds[0].own["critic"][0].masks]))
    control.assert_networks(state, [seed.stored() for seed in seeds], names, rtol=2e-4, atol=2e-6)
    assert (masks[1] != masks[2]).any()
    assert (masks[0] == masks[1]).all()
    assert (masks[2] == masks[4]).all()


class Released(Sniped, test_td3_bc_update.Reference):
    """Masks as Sparse-Reg's code makes them: of both critics together, and with a leak."""

    def __init__(self, *args, pooled, leaking):
        super().__init__(*args)
        self.pooled, self.leaking = pooled, leaking

    def update(self, batch):
        self.batch = batch
        super().update(batch)

    def step(self, name, grads):
        if name != "critic" or self.count not in REMADE:
            super().step(name, grads)
            return
        if self.leaking:
            leaks = zip(grads[0], self.leak(), strict=True)
            grads = [[[a + b for a, b in zip(*own, strict=True)] for own in leaks], *grads[1:]]
        pairs = list(zip(self.own["critic"], grads, strict=True))
        together = least_kept([x for own, own_grads in pairs for x in own.scores(own_grads)])
        for own, own_grads in pairs:
            own.keep(together if self.pooled else least_kept(own.scores(own_grads)), own_grads)
        self._mask_target("critic")

    def leak(self):
        """The gradient of the actor's loss in the first critic."""
        critic = self.networks["critic"][0]
        actions = np.tanh(self.networks["actor"](self.batch.s_tm1))
        inputs = critic.forward(np.concatenate([self.batch.s_tm1, actions], axis=1))
        scale = self.alpha / abs(inputs[-1]).mean()
        return critic.backward(inputs, np.full((control.BATCH, 1), -scale / control.BATCH))[0]


@pytest.mark.parametrize(("pooled", "leaking"), [(True, False), (False, True), (True, True)])
def test_masks_as_sparse_regs_code_makes_them(pooled, leaking):
    schedule = {"schedule_type": "periodic", "update_start_step": 0, "update_end_step": 2}
    pruner = _pruner("global_snip", **schedule, pool_members=pooled)
    pruners = dict.fromkeys(("actor", "critic"), pruner)
    learner = control.make_learner(TD3BCAgent, pruners=pruners, score_leak=leaking)
    state = learner.init(SEEDS)
    seeds = [Released(state, x, pooled=pooled, leaking=leaking) for x in range(len(SEEDS))]
    for step in range(5):
        batch = control.make_batch(7 + step)
        state, _, _ = learner.update(state, batch)
        for place, seed in enumerate(seeds):
            seed.update(control.of_seed(batch, place))
    names = test_td3_bc_update.NAMES
    control.assert_networks(state, [seed.stored() for seed in seeds], names, rtol=2e-4, atol=2e-6)
    for seed in seeds:
        kept = [sum(map(np.sum, own.masks)) for own in seed.own["critic"]]
        assert (kept[0] == kept[1]) is not pooled
        assert kept[0] > 2 * kept[1] or not (pooled and leaking)


_AT_0 = {"update_start_step": 0, "update_end_step": None, "update_freq": None}


def test_snips_masks_of_a_cloned_policy():
    learner = control.make_learner(
        BCAgent, pruners={"actor": _pruner("global_snip", schedule_type="one_shot", **_AT_0)}
    )
    state, batch = learner.init(SEEDS), control.make_batch(7)
    seeds = [control.Seed64(state, seed, test_bc_update.NAMES) for seed in range(len(SEEDS))]
    state, _, _ = learner.update(state, batch)
    for place, seed in enumerate(seeds):
        own, actor = control.of_seed(batch, place), seed.networks["actor"]
        inputs = actor.forward(own.s_tm1)
        actions = np.tanh(inputs[-1])
        errors = actions - control.inside(own.a_tm1)
        grads = actor.backward(inputs, 2 * errors / errors.size * (1 - actions**2))[0]
        Masked64(actor).snip(grads)
    control.assert_networks(state, seeds, test_bc_update.NAMES, rtol=1e-5, atol=1e-7)


def test_sparse_regs_masks_are_remade_and_weights_come_back_as_they_were():
    """Every 4 gradient steps until 8; the actor, which learns at every second, at the same."""
    settings = {"schedule_type": "periodic", "update_start_step": 0, "update_end_step": 8}
    pruner = _pruner("global_snip", **settings, update_freq=4)
    learner = control.make_learner(TD3BCAgent, pruners=dict.fromkeys(("actor", "critic"), pruner))
    state = learner.init(SEEDS)
    before = jax.device_get(state)
    remade = {"actor": [], "critic": []}
    for step in range(14):
        state, _, _ = learner.update(state, control.make_batch(step))
        after = jax.device_get(state)
        for name, steps in remade.items():
            old, new = before.networks[name], after.networks[name]
            masks = zip(
                *map(jax.tree.leaves, (old.opt_state.masks, new.opt_state.masks)), strict=True
            )
            if any((a != b).any() for a, b in masks):
                steps.append(step)
                _check(after, learner, name, "global_snip")
                _came_back_as_they_were(old, new)
        before = after
    assert remade == {"actor": [0, 4, 8], "critic": [0, 4, 8]}


def _came_back_as_they_were(old, new):
    weights = kernels(old.opt_state.weights)
    for layer, kernel in kernels(new.params).items():
        back = (kernels(old.params)[layer] == 0) & (kernel != 0)
        np.testing.assert_array_equal(kernel[back], weights[layer][back])
