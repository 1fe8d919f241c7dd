"""Random bindings of everything that gin can bind, each with what must become of it.

The verdicts are this table's, written by hand: the annotations under test are not read.
"""

import random
from typing import NamedTuple

# Right-hand sides by what they are.
POOL = {
    "bool": ["True", "False"],
    "none": ["None"],
    "string": ["'abc'", "''", "'erkk'", "'10'"],
    "negative": ["-1", "-7"],
    "negative float": ["-0.5", "-1e-3", "-1e30"],
    "zero": ["0"],
    "one": ["1"],
    "count": ["2", "3", "7"],
    "fraction": ["0.5", "0.25"],
    "above one": ["1.5", "7.25"],
    "huge": ["1000000000000", "4000000000000000000"],
    "too large": ["9" * 30, "1" + "0" * 400],
    "too large float": ["1e300", "-1e300"],
    "infinite": ["1e999", "-1e999"],
    "empty list": ["[]", "()"],
    "list": ["[1, 2]", "[None]", "(0.5, 'x')", "[[1], ['a', [2]]]", "[True]", "[@ReDo]"],
    "dict": ["{}", "{'a': 1}", "{1: [2]}"],
    "function": ["@DQNAgent", "@NatureTorso", "@ReDo", "@create_optimizer", "@Suite", "@Runner"],
    "made": ["@NatureTorso()", "@Suite()", "@Augmentation()", "@create_optimizer()", "@Grid()"],
    "broken": [
        *("[1", "'a", "Pong", "1 2", "", "{", ")", "@", "%", "lambda: 3", "1,,2", "{'a' 1}"),
        *("@NoSuch()", "@no.such.thing", "%undefined", "1 +", "'a' 'b", "a.b", "f(3)", '"', "\\"),
    ],
}
_NUMBERS = {"negative", "negative float", "zero", "one", "count", "fraction", "above one", "huge"}

# By kind of parameter: the classes that a run goes on with, and those that depend on other
# settings. All others are refused whatever else is set.
KINDS = {
    "given by the code": ((), ()),
    "count": (("one", "count"), ("huge",)),
    "long": (("one", "count", "huge"), ()),
    "long or zero": (("zero", "one", "count", "huge"), ()),
    "size": (("one", "count"), ()),
    "sizes": ((), ()),
    "small or zero": (("zero", "one", "count"), ()),
    "capacity": ((), ("count", "huge")),
    "warm-up": (("zero", "one", "count"), ("huge",)),
    "or zero": (("zero", "one", "count"), ("huge",)),
    "fraction": (("zero", "one", "fraction"), ()),
    "below one": (("zero", "fraction"), ()),
    "inside one": (("fraction",), ()),
    "below half": (("zero",), ("fraction",)),
    "positive": (("one", "count", "fraction", "above one", "huge"), ("too large",)),
    "not negative": (("zero", "one", "count", "fraction", "above one", "huge"), ("too large",)),
    "ratio": (("one", "count", "fraction"), ("too large", "huge", "above one")),
    "seed": (("zero", "one", "count"), ()),
    "period": (("one", "count", "fraction", "huge"), ("too large",)),
    "start": (("zero", "one", "count", "fraction", "huge"), ("too large",)),
    "end": (("none",), ("too large", "zero", "one", "count", "fraction", "above one", "huge")),
    "step": (("none",), ("zero", "one", "count", "fraction", "huge")),
    "frequency": (("none", "one", "count"), ()),
    "bool": (("bool",), ()),
    "only none": ((), ("none",)),
    "never true": ((), ("bool",)),
    "choice": ((), ()),
    "choice or none": (("none",), ()),
    "choices or none": (("none",), ("empty list",)),
    "patterns": (("empty list",), ()),
    "some patterns": ((), ("empty list",)),
    "patterns or none": (("none",), ("empty list",)),
    "function": ((), ()),
    "folder": ((), ()),
    "folder or none": (("none",), ("string",)),
    "share": (("one", "fraction"), ()),
    "number or none": (("none", "one"), ("count",)),
    "number": (
        ("negative", "negative float", "zero", "one", "count", "fraction", "above one", "huge"),
        ("too large",),
    ),
    "any or zero": (("zero", "one", "count", "huge"), ("too large",)),
    "torso": ((), ("made",)),
    "interventions": (("empty list",), ()),
    "diagnostics": (("none",), ()),
}
# Besides: right-hand sides that are right for one parameter.
RIGHT = {
    "Runner.agent": ["@DQNAgent()"],
    "Runner.interventions": ["[@Reset()]", "(@ReDo(),)"],
    "Runner.diagnostics": ["@Diagnostics()"],
    "Runner.create_environment_fn": ["@create_minatar_environment"],
    "Runner.create_source_fn": ["@OnlineSource", "@DeviceSource"],
    "DQNAgent.torso": ["@MinAtarTorso()", "%torso", "@NatureTorso()"],
    "DQNAgent.loss_type": ["'mse'", "'huber'"],
    "DQNAgent.replay_scheme": ["'prioritized'"],
    "DQNAgent.seed_strategy": ["'vmap'", "'unroll'"],
    "DQNAgent.precision": ["'tf32'", "'bf16'"],
    "create_optimizer.name": ["'adamw'"],
    "create_optimizer.learning_rate_decay": ["'cosine'", "'none'"],
    "create_updater_from_config.pruner_type": ["'random'", "'snip'", "'rigl'"],
    "create_updater_from_config.dist_type": ["'uniform'"],
    "create_updater_from_config.sparsity_type": ["'channel_-1'"],
    "create_updater_from_config.schedule_type": ["'none'", "'periodic'"],
    "create_updater_from_config.dense_layers": ["'head'", "['torso/*']"],
    "QNetwork.kernel_init": ["'rainbow'"],
    "MinAtarTorso.kernel_init": ["'rainbow'"],
    "ImpalaTorso.stacks": ["(1, 2, 3)", "[4, 4, 4]"],
    "Suite.name": ["'minatar'"],
    "create_minatar_environment.game_name": ["'breakout'", "'freeway'"],
    "create_atari_environment.game_name": ["'Pong'"],
    "Diagnostics.quantities": ["['srank']", "('q_norm', 'loss')"],
    "ReDo.layers": ["'torso/*'", "['torso/Dense_0']"],
    "Reset.reset_layers": ["'all'", "['head']"],
    "ReplayBuffer.max_capacity": ["64", "100"],
    "Dataset.unit": ["'transitions'"],
    "Dataset.fraction": ["0.1", "1e-3"],
}
_AGENT = {
    **dict.fromkeys(("gamma", "epsilon_train", "epsilon_eval"), "fraction"),
    **dict.fromkeys(("target_update_period", "epsilon_decay_period"), "long"),
    **{"update_horizon": "count", "min_replay_history": "warm-up", "replay_ratio": "ratio"},
    **{"replay_scheme": "choice", "seed_strategy": "choice", "loss_type": "choice"},
    "precision": "choice",
    "torso": "torso",
}
_RAINBOW = {
    **_AGENT,
    **{"num_atoms": "size", "vmax": "positive", "noisy": "bool", "data_augmentation": "bool"},
    **{"double_dqn": "bool", "dueling": "bool"},
}
_TORSO = {
    **{"width": "size", "kernel_init": "choice", "scale_hidden": "bool"},
    **{"global_average_pooling": "bool"},
    **{"noisy": "never true", "parent": "only none", "name": "only none", "dtype": "only none"},
}
_ACTOR = (
    *("gamma", "update_horizon", "min_replay_history", "replay_ratio", "replay_scheme"),
    *("seed_strategy", "actor_torso"),
)
_CRITIC = (*_ACTOR, "critic_torso", "num_critics", "target_smoothing_coefficient")
_MLP = ("units", "width", "kernel_init", "parent", "name")
# Actions are numbered here: no agent of continuous ones is made, nor a torso of vectors.
_ELSEWHERE = {
    "SACAgent": (
        *_CRITIC,
        *("initial_temperature", "target_entropy", "learn_temperature", "backup_entropy"),
    ),
    "BCAgent": (*_ACTOR, "policy"),
    "TD3BCAgent": (*_CRITIC, "alpha", "policy_noise", "noise_clip", "policy_delay", "score_leak"),
    "AWACAgent": (*_CRITIC, "advantage_temperature", "largest_weight", "min_log_std"),
    "IQLAgent": (
        *_CRITIC,
        *("value_torso", "expectile", "advantage_scale", "largest_weight", "bounded_mean"),
    ),
    "MLPTorso": (*_MLP, "depth", "layer_norm", "layer_norm_last", "spectral_norm", "dropout"),
    "SimBaTorso": (*_MLP, "num_blocks"),
    "create_mujoco_environment": ("seed", "game_name"),
}
_PERIODIC = {"reset_period": "period", "reset_start_step": "start", "reset_end_step": "end"}
PARAMETERS = {
    **{name: dict.fromkeys(own, "given by the code") for name, own in _ELSEWHERE.items()},
    "DQNAgent": _AGENT,
    "RainbowAgent": _RAINBOW,
    "CQLAgent": _RAINBOW | dict.fromkeys(("cql_coefficient", "td_coefficient"), "not negative"),
    "Augmentation": {"img_pad": "small or zero", "intensity_scale": "below half"},
    "NatureTorso": _TORSO,
    "MinAtarTorso": _TORSO,
    "ImpalaTorso": _TORSO | {"stacks": "sizes"},
    "QNetwork": {
        **{"normalize_representation": "bool", "kernel_init": "choice"},
        **dict.fromkeys(("torso", "num_actions", "num_atoms", "vmax"), "given by the code"),
        **dict.fromkeys(("dueling", "noisy", "precision"), "given by the code"),
        **dict.fromkeys(("parent", "name"), "given by the code"),
    },
    "Diagnostics": {
        **dict.fromkeys(("probe_size", "srank_probe_size", "dormant_probe_size"), "size"),
        **{"quantities": "choices or none", "period": "long", "fixed_probe": "bool"},
        **{"num_gradients": "size", "churn_batch_size": "size"},
        **{"dead_neurons_threshold": "not negative", "srank_delta": "inside one"},
    },
    "Suite": {"name": "choice or none"},
    "create_atari_environment": {
        **{"seed": "given by the code", "game_name": "choice", "sticky_actions": "bool"},
        **{"terminal_on_life_loss": "bool", "max_noops": "small or zero"},
    },
    "create_minatar_environment": {
        **{"seed": "given by the code", "game_name": "choice", "sticky_actions": "bool"},
    },
    "create_optimizer": {
        **{"name": "choice", "learning_rate": "positive", "eps": "positive"},
        **{"beta1": "below one", "beta2": "below one"},
        **dict.fromkeys(("weight_decay", "unit_norm_penalty", "l1_penalty"), "not negative"),
        **{"learning_rate_decay": "choice", "num_gradient_steps": "given by the code"},
    },
    "create_updater_from_config": {
        **dict.fromkeys(("num_gradient_steps", "nominal_gradient_steps"), "given by the code"),
        **dict.fromkeys(("pruner_type", "dist_type", "sparsity_type", "schedule_type"), "choice"),
        **{"dense_layers": "patterns", "power": "positive", "update_freq": "frequency"},
        **{"update_start_step": "step", "update_end_step": "step", "sparsity": "below one"},
        **{"drop_fraction": "fraction", "rng_seed": "seed"},
        **dict.fromkeys(("pool_members", "masked_momentum"), "never true"),
    },
    "PrioritizedSampler": {
        **{"ring": "given by the code", "horizon": "given by the code"},
        "priority_exponent": "fraction",
    },
    "ReplayBuffer": {
        **dict.fromkeys(("seeds", "observation_spec", "action_spec"), "given by the code"),
        **dict.fromkeys(("update_horizon", "gamma", "longest_run"), "given by the code"),
        **{"create_sampler": "given by the code", "max_capacity": "capacity"},
        "batch_size": "size",
    },
    "OnlineSource": {
        **{"setting": "given by the code", "clip_rewards": "bool", "replay_on_device": "bool"},
    },
    "DeviceSource": {"setting": "given by the code", "clip_rewards": "bool"},
    "Runner": {
        **dict.fromkeys(("num_iterations", "training_steps"), "count"),
        **dict.fromkeys(("evaluation_steps", "num_eval_episodes"), "long or zero"),
        **{"base_dir": "given by the code", "max_steps_per_episode": "long"},
        **{"num_seeds": "size", "seed": "seed", "agent": "function"},
        **{"create_environment_fn": "function", "create_source_fn": "function"},
        **{"interventions": "interventions", "diagnostics": "diagnostics"},
        "checkpoint_minutes": "positive",
    },
    "Dataset": {
        **{"setting": "given by the code", "path": "folder", "chunks": "folder or none"},
        **{"run": "number or none", "seed": "any or zero", "fraction": "share"},
        **{"unit": "choice", "batch_size": "size", "cache_gib": "positive"},
        **dict.fromkeys(("num_transitions", "held_out"), "only none"),  # of vectors alone
        **{"normalize_observations": "never true", "normalization_eps": "positive"},
        **{"normalize_rewards": "bool", "reward_scale": "number", "reward_shift": "number"},
        "timeouts": "choice",
    },
    # Nothing here trains a cell of a grid, or learns from data of another source.
    "Grid": dict.fromkeys(
        ("axes", "shared", "games", "num_seeds", "seeds_per_cell"), "given by the code"
    ),
    "DatasetSource": dict.fromkeys(("setting", "create_dataset_fn"), "given by the code"),
    "DeviceDatasetSource": dict.fromkeys(("setting", "create_dataset_fn"), "given by the code"),
    "MixedSource": dict.fromkeys(
        ("setting", "create_dataset_fn", "dataset_share"), "given by the code"
    ),
    "ReDo": {
        **_PERIODIC,
        **{"dead_neurons_threshold": "not negative", "layers": "patterns or none"},
        "statistics_batch_size": "size",
    },
    "Reset": _PERIODIC | {"reset_layers": "some patterns"},
}
# Whole bindings; nobody may mean any of them.
STATEMENTS = [
    *("torso = %torso", "a = %b\nb = %a", "DQNAgent.torso = @DQNAgent()", "=3", "x=3", "Runner=3"),
    *("import no_such_module", "import os.nowhere", "include 'nowhere.gin'", "include nowhere"),
    *("Nope.x = 1", "Runner.nope = 1", "Runner.agent.x = 3", "x/Runner.seed = 3", "Runner.seed"),
    *("actor/create_optimizer.eps = 1e-3", "a b c", "@Runner()", "Runner.seed := 3", "%x = 3"),
    *("Runner.interventions = @ReDo()", "Runner.interventions = [@ReDo]", "gin.macro.value = 3"),
    *("Runner.num_seeds = @gin.macro()", "Runner.interventions = [@gin.singleton()]"),
    *("ReplayBuffer.max_capacity = 3", "ReplayBuffer.batch_size = 200", "é = 3", "Runner.séed = 3"),
    *("DQNAgent.min_replay_history = 129", "Runner.seed = 2147483647\nRunner.num_seeds = 2"),
    *("Runner.num_iterations = 1000000\nRunner.training_steps = 100000000",),
]
# What makes a run use a configurable, on top of a short run of MinAtar.
_MINATAR = ("networks/minatar.gin", "suites/minatar.gin")  # after an agent of Atari's
FILES = {
    "RainbowAgent": ("agents/rainbow.gin", *_MINATAR),
    "CQLAgent": ("agents/cql.gin", *_MINATAR),
    "Dataset": ("agents/cql.gin", *_MINATAR),
    "PrioritizedSampler": ("agents/rainbow.gin", *_MINATAR),
    "Augmentation": ("agents/drq_eps.gin", *_MINATAR),
    "NatureTorso": ("networks/nature.gin",),
    "ImpalaTorso": ("networks/impala.gin",),
    "create_updater_from_config": ("pruning/magnitude.gin",),
    "ReDo": ("plasticity/redo.gin",),
    "Reset": ("plasticity/reset.gin",),
    "Diagnostics": ("diagnostics/all.gin",),
    "create_atari_environment": ("suites/atari_60.gin",),
}
BASE = (
    *("Runner.num_iterations = 1", "Runner.training_steps = 12", "Runner.evaluation_steps = 0"),
    *("Runner.num_eval_episodes = 0", "Runner.num_seeds = 1", "ReplayBuffer.max_capacity = 128"),
    *("ReplayBuffer.batch_size = 2", "DQNAgent.min_replay_history = 4"),
    *(
        "RainbowAgent.min_replay_history = 4",
        "RainbowAgent.update_horizon = 3",
        "CQLAgent.min_replay_history = 4",
        "Runner.create_source_fn = @OnlineSource",  # an offline agent can learn from games too
        "create_updater_from_config.update_start_step = 0",
    ),
    *("create_updater_from_config.update_end_step = None",),
)

# Besides, of what is used only there: DATA stands for a folder of data of MinAtar Breakout.
SETTINGS = {
    "Dataset": ("Runner.create_source_fn = @DatasetSource", "Dataset.path = 'DATA'"),
    "DeviceSource": ("Runner.create_source_fn = @DeviceSource",),
}


class Case(NamedTuple):
    """Flags of a run on top of `BASE`, and what must become of it: valid, invalid or either."""

    files: tuple[str, ...]
    settings: tuple[str, ...]
    bindings: tuple[str, ...]
    verdict: str
    short: bool  # whether a run of it, if there is one, is short


def cases(seed: int, count: int) -> list[Case]:
    """`count` of them; the first are the same for every count."""
    rng = random.Random(seed)
    return [_case(rng) for _ in range(count)]


def _case(rng: random.Random) -> Case:
    base = ("experiments/minatar_breakout.gin",)
    if rng.random() < 0.06:
        return Case(base, BASE, (rng.choice(STATEMENTS),), "invalid", False)
    drawn = [_binding(rng)]
    if rng.random() < 0.25:
        drawn.append(_binding(rng))
    verdicts = {verdict for _, _, verdict, _ in drawn}
    verdict = "invalid" if "invalid" in verdicts else "either"
    if len(drawn) == 1 and verdicts == {"valid"}:
        verdict = "valid"
    extra = [file for name, *_ in drawn for file in FILES.get(name, ())]
    game = ('create_atari_environment.game_name = "Pong"',) if "atari" in str(extra) else ()
    more = [setting for name, *_ in drawn for setting in SETTINGS.get(name, ())]
    bindings = tuple(binding for _, binding, _, _ in drawn)
    return Case(
        (*base, *extra), (*BASE, *game, *more), bindings, verdict, all(short for *_, short in drawn)
    )


def _binding(rng: random.Random) -> tuple[str, str, str, bool]:
    """A configurable, a binding of it, its verdict, and whether it leaves a run short."""
    name = rng.choice(sorted(PARAMETERS))
    parameter = rng.choice(sorted(PARAMETERS[name]))
    kind, left = PARAMETERS[name][parameter], f"{name}.{parameter}"
    if left in RIGHT and rng.random() < 0.4:
        return name, f"{left} = {rng.choice(RIGHT[left])}", "valid", True
    group = rng.choice(sorted(POOL))
    valid, either = KINDS[kind]
    verdict = "valid" if group in valid else "either" if group in either else "invalid"
    return name, f"{left} = {rng.choice(POOL[group])}", verdict, group != "huge"
