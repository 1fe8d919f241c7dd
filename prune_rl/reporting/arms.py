"""What a run's settings are called, and what tells the runs of one game apart."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prune_rl.reporting.config import Config, class_name, number, setting

# Agents that share a class are told apart by these settings, the first that fit; see
# gin_configs/agents. Any other mix of Rainbow's parts is 'rainbow'.
_FULL: dict[str, object] = {"noisy": True, "dueling": True, "double_dqn": True}
_VARIANTS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "RainbowAgent": (
        ("drq_eps", {"data_augmentation": True, "num_atoms": 1}),
        ("der", {**_FULL, "update_horizon": 10}),
        ("full_rainbow", _FULL),
        ("c51", {**dict.fromkeys(_FULL, False), "replay_scheme": "uniform", "update_horizon": 1}),
    ),
    "CQLAgent": (("cql", {"num_atoms": 1}), ("cql_c51", {})),
}
_RATIOS = {"der": 1.0, "drq_eps": 1.0}  # replay ratios that arms do not name
_RATIO = 0.25  # nor this one, of the other agents
_STARTS = {"polynomial": 0.2, "periodic": 0, "one_shot": 0}  # of pruning, as resolve_schedule
_END = 0.8
_AT_ONCE, _DROP_AND_GROW = "one_shot 0", "periodic 0-80%"
_SCHEDULES = {  # of pruning/*.gin, which arms do not name; else _SCHEDULE
    **{"snip": _AT_ONCE, "global_snip": _AT_ONCE, "rigl": _DROP_AND_GROW, "set": _DROP_AND_GROW},
}
_SCHEDULE = "polynomial 20%-80%"
_CALLED = re.compile(r"@(?:[\w./]*[./])?(\w+)\(\)")


def agent_of(config: Config) -> str:
    """'dqn', 'c51', 'rainbow', 'full_rainbow', 'der', 'drq_eps', 'cql', 'cql_c51' or 'sac'.

    That is the name of the agent's file, by its class and settings; another agent is its class in
    small letters, without 'Agent'.
    """
    name = class_name(config.get("Runner.agent"))
    for variant, settings in _VARIANTS.get(name, ()):
        if all(setting(config, f"{name}.{key}") == value for key, value in settings.items()):
            return variant
    return name.removesuffix("Agent").lower()


def torso_of(config: Config) -> tuple[str, str]:
    """'minatar', 'nature', …, and the class, as 'MinAtarTorso'; '' twice for an agent without."""
    agent = class_name(config.get("Runner.agent"))
    name = class_name(setting(config, f"{agent}.torso", config.get("torso")))
    return name.removesuffix("Torso").lower(), name


def schedule_of(config: Config, pruner: str) -> str:
    """When masks change, as 'polynomial 20%-80%' or 'periodic 0-200,000'; '' if they do not.

    A share is one of the run, a whole number gradient steps.
    """
    name = "create_updater_from_config"
    kind = setting(config, f"{name}.schedule_type", "polynomial")
    if kind not in _STARTS or pruner in ("no_prune", "static_sparse"):
        return ""
    start = _step(config, f"{name}.update_start_step", _STARTS[kind])
    end = _step(config, f"{name}.update_end_step", _END)
    return f"{kind} {start}" if kind == "one_shot" else f"{kind} {start}-{end}"


def _step(config: Config, binding: str, default: float) -> str:
    given = setting(config, binding)  # None: gin's way to leave it
    step = default if given is None else number(config, binding, default)
    return f"{100 * step:g}%" if isinstance(step, float) else f"{step:,}"


def baseline_of(config: Config) -> str:
    """'reset', 'redo', 'weight_decay', 'l2', 'l2_unit_norm', joined by '+'; '' if none."""
    named = {
        "weight_decay": setting(config, "create_optimizer.weight_decay", 0.0),
        "l2_unit_norm": setting(config, "create_optimizer.unit_norm_penalty", 0.0),
        "l2": setting(config, "QNetwork.normalize_representation", False),
    }
    called = _CALLED.findall(config.get("Runner.interventions", ""))
    return "+".join([name.lower() for name in called] + [x for x in named if named[x]])


@dataclass(frozen=True)
class Setup:
    """What a run was told to train.

    Attributes:
        agent: see `agent_of`.
        torso: 'minatar', 'nature', 'impala', …; '' for an agent without one.
        width: of the torso.
        pooled: whether its features are averaged over the picture, not flattened.
        pruner: 'magnitude', …; 'no_prune' for a dense one.
        sparsity: that pruning aims at; 0 without a pruner. Of several networks, the first's.
        schedule: see `schedule_of`.
        baseline: see `baseline_of`.
        game: its name; of an environment that is no game, the function that makes it.
        replay_ratio: gradient steps per agent step; 0 where no agent acts (offline).
        precision: of the networks, 'fp32' or 'bf16'.
        apart: what the arm does not name and yet tells it from other runs, see `tell_apart`.
    """

    agent: str
    torso: str
    width: float
    pooled: bool
    pruner: str
    sparsity: float
    schedule: str
    baseline: str
    game: str
    replay_ratio: float
    precision: str
    apart: str

    @property
    def arm(self) -> str:
        """What is compared, in words: 'dqn impala x3 magnitude 95%'.

        What is as usual is not named: replay ratio 0.25 (1 of DER and DrQ(ε)), the schedule of the
        pruner's own file, flattened features, fp32.
        """
        dense = self.pruner == "no_prune"
        usual_schedule = self.schedule in ("", _SCHEDULES.get(self.pruner, _SCHEDULE))
        usual_ratio = self.replay_ratio in (0, _RATIOS.get(self.agent, _RATIO))
        parts = [
            *(self.agent, self.torso, f"x{self.width:g}" if self.torso else ""),
            "pooled" if self.pooled else "",
            "dense" if dense else f"{self.pruner} {100 * self.sparsity:.10g}%",
            "" if usual_schedule else self.schedule,
            self.baseline,
            "" if usual_ratio else f"ratio {self.replay_ratio:g}",
            "" if self.precision == "fp32" else self.precision,
            self.apart,
        ]
        return " ".join(part for part in parts if part)


def read_setup(config: Config) -> Setup:
    """What the settings of a run come to; nothing is told apart yet.

    Raises:
        ConfigError: a number is none; names the binding.
    """
    updater, agent = "create_updater_from_config", class_name(config.get("Runner.agent"))
    pruner = setting(config, f"{updater}.pruner_type", "no_prune")
    name, torso = torso_of(config)
    environment = class_name(config.get("Runner.create_environment_fn"))
    return Setup(
        agent=agent_of(config),
        torso=name,
        width=number(config, f"{torso}.width", 1),
        pooled=bool(setting(config, f"{torso}.global_average_pooling", False)),
        pruner=pruner,
        sparsity=0.0 if pruner == "no_prune" else float(number(config, f"{updater}.sparsity", 0)),
        schedule=schedule_of(config, pruner),
        baseline=baseline_of(config),
        game=str(setting(config, f"{environment}.game_name", environment)),
        replay_ratio=0.0
        if is_offline(config)
        else float(number(config, f"{agent}.replay_ratio", _RATIO)),
        precision=str(setting(config, f"{agent}.precision", "fp32")),
        apart="",
    )


def is_offline(config: Config) -> bool:
    """Whether it learns from fixed data, and counts gradient steps."""
    return class_name(config.get("Runner.create_source_fn")).startswith("Dataset")


# What runs of one arm may differ in: their seeds, what is measured, when they save.
_FREE = re.compile(
    r"Runner\.(seed|num_seeds|checkpoint_minutes|diagnostics|evaluation_steps|num_eval_episodes)"
    r"|Diagnostics\..*|Suite\..*|.*\.seed_strategy|.*\.game_name"
    r"|Dataset\.(run|path|chunks|cache_gib)"
)
_BRACKETS = str.maketrans("[]", "()")  # gin writes a list where a user did


def tell_apart(runs: Sequence[tuple[str, str, Config]]) -> list[str]:
    """What arms do not name and yet differs between runs of one arm, for each run.

    Between games the suite and the environment may differ, within one they may not.

    Args:
        runs: arm, game and settings of each.

    Returns:
        Words as 'learning_rate=0.0001, num_iterations=100'; '' where the arm says it all.
    """
    telling: dict[str, set[str]] = defaultdict(set)  # bindings, by arm
    of_an_arm: dict[str, dict[str, list[Config]]] = defaultdict(lambda: defaultdict(list))
    for arm, game, config in runs:
        of_an_arm[arm][game].append(config)
    for arm, games in of_an_arm.items():
        every = [config for configs in games.values() for config in configs]
        telling[arm] = _differing(every) - _of_the_game(every)
        telling[arm] |= {name for configs in games.values() for name in _differing(configs)}
    return [_words(config, telling[arm]) for arm, _, config in runs]


def _differing(configs: Sequence[Config]) -> set[str]:
    """The bindings that have several values; what only some set is no difference."""
    if all(config == configs[0] for config in configs):
        return set()
    values: dict[str, set[str]] = defaultdict(set)
    for config in configs:
        for name, text in config.items():
            values[name].add(text.translate(_BRACKETS))
    return {x for x, own in values.items() if len(own) > 1 and not _FREE.fullmatch(x)}


def _of_the_game(configs: Sequence[Config]) -> set[str]:
    """Bindings of what makes the environments, and which function does."""
    makers = {class_name(config.get(_ENVIRONMENT)) for config in configs} - {""}
    names = {name for config in configs for name in config}
    return {_ENVIRONMENT} | {x for x in names if x.rpartition(".")[0].split("/")[-1] in makers}


_ENVIRONMENT = "Runner.create_environment_fn"
_OF_PRUNING = "create_updater_from_config."  # which no dense arm depends on


def contradicts(apart: str, config: Config, other: Config) -> bool:
    """Whether `other` sets something otherwise than the words `apart` of `config` say."""
    named = {name: _words({name: text}, [name]) for name, text in config.items()}
    told = [name for name, words in named.items() if f", {words}," in f", {apart},"]
    told = [name for name in told if _OF_PRUNING not in name]
    return any(other.get(name, config[name]) != config[name] for name in told)


def _words(config: Config, telling: Iterable[str]) -> str:
    named = [name for name in config if name in telling]
    short = [re.sub(r"^(q|torso)/", "", name).split("/") for name in named]
    words = ["/".join([*scopes, last.rpartition(".")[2]]) for *scopes, last in short]
    return ", ".join(f"{word}={config[name]}" for word, name in zip(words, named, strict=True))
