"""What a run's settings are called, and what tells the runs of one game apart."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prune_rl.reporting.config import Config, class_name, number, setting, settings
from prune_rl.reporting.offline import (
    PATH,
    data_of,
    in_thousands,
    is_offline,
    last_parts,
    samples_of,
)
from prune_rl.reporting.pruned import Pruning, read_pruning

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
    "TD3BCAgent": (("td3_bc", {}),),
}
_RATIOS = {"der": 1.0, "drq_eps": 1.0, "sac": 1.0}  # replay ratios that arms do not name
_RATIO = 0.25  # nor this one, of the other agents
_CALLED = re.compile(r"@(?:[\w./]*[./])?(\w+)\(\)")


def agent_of(config: Config) -> str:
    """'dqn', 'c51', 'rainbow', 'full_rainbow', 'der', 'drq_eps', 'cql', 'cql_c51', 'td3_bc', …

    That is the name of the agent's file, by its class and settings; another agent is its class in
    small letters, without 'Agent'.
    """
    name = class_name(config.get("Runner.agent"))
    for variant, own in _VARIANTS.get(name, ()):
        if all(setting(config, f"{name}.{key}") == value for key, value in own.items()):
            return variant
    return name.removesuffix("Agent").lower()


def torso_of(config: Config) -> tuple[str, str]:
    """'minatar', 'nature', …, and the class, as 'MinAtarTorso'; '' twice for an agent without.

    Of an agent of several networks it is the actor's.
    """
    agent = class_name(config.get("Runner.agent"))
    actors = setting(config, f"{agent}.actor_torso", config.get("torso"))
    name = class_name(setting(config, f"{agent}.torso", actors))
    return name.removesuffix("Torso").lower(), name


def baseline_of(config: Config) -> str:
    """What is done to keep a network plastic, or from overfitting, joined by '+'; '' if nothing.

    'reset', 'redo', 'weight_decay', 'l2', 'l2_unit_norm', 'l1', 'dropout', 'layer_norm',
    'spectral_norm'.
    """
    named = {
        "weight_decay": "create_optimizer.weight_decay",
        "l2_unit_norm": "create_optimizer.unit_norm_penalty",
        "l1": "create_optimizer.l1_penalty",
        "l2": "QNetwork.normalize_representation",
        **{x: f"MLPTorso.{x}" for x in ("dropout", "layer_norm", "spectral_norm")},
    }
    called = _CALLED.findall(config.get("Runner.interventions", ""))
    there = [x for x, binding in named.items() if any(settings(config, binding))]
    return "+".join([name.lower() for name in called] + there)


@dataclass(frozen=True)
class Setup:
    """What a run was told to train.

    Attributes:
        agent: see `agent_of`.
        torso: 'minatar', 'nature', 'impala', …; '' for an agent without one.
        width: of the torso.
        pooled: whether its features are averaged over the picture, not flattened.
        data: how good they are, see `data_of`; '' where no data are learnt from, or not known.
        samples: how many transitions of them; 0 for all.
        pruner, sparsity, schedule, networks: see `Pruning`.
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
    data: str
    samples: int
    pruner: str
    sparsity: float
    schedule: str
    networks: str
    baseline: str
    game: str
    replay_ratio: float
    precision: str
    apart: str

    @property
    def arm(self) -> str:
        """What is compared, in words: 'dqn impala x3 magnitude 95%'.

        What is as usual is not named: replay ratio 0.25 (1 of SAC, DER and DrQ(ε)), the schedule of
        the pruner's own file, flattened features, fp32.
        """
        usual_ratio = self.replay_ratio in (0, _RATIOS.get(self.agent, _RATIO))
        parts = [
            *(self.agent, self.torso, f"x{self.width:g}" if self.torso else ""),
            "pooled" if self.pooled else "",
            *self.data_words,
            *self.pruning.words,
            self.baseline,
            "" if usual_ratio else f"ratio {self.replay_ratio:g}",
            "" if self.precision == "fp32" else self.precision,
            self.apart,
        ]
        return " ".join(part for part in parts if part)

    @property
    def pruning(self) -> Pruning:
        """What is done to its weights."""
        return Pruning(self.pruner, self.sparsity, self.schedule, self.networks)

    @property
    def data_words(self) -> list[str]:
        """What it learns from, as ['expert', '5k']; those that are known."""
        known = [self.data, in_thousands(self.samples) if self.samples else ""]
        return [word for word in known if word]


def read_setup(config: Config) -> Setup:
    """What the settings of a run come to; nothing is told apart yet.

    Raises:
        ConfigError: a number is none; names the binding.
    """
    agent = class_name(config.get("Runner.agent"))
    name, torso = torso_of(config)
    environment = class_name(config.get("Runner.create_environment_fn"))
    return Setup(
        agent=agent_of(config),
        torso=name,
        width=number(config, f"{torso}.width", 1),
        pooled=bool(setting(config, f"{torso}.global_average_pooling", False)),
        data=data_of(config),
        samples=samples_of(config),
        **read_pruning(config)._asdict(),
        baseline=baseline_of(config),
        game=str(setting(config, f"{environment}.game_name", environment)),
        replay_ratio=0.0
        if is_offline(config)
        else float(number(config, f"{agent}.replay_ratio", _RATIO)),
        precision=str(setting(config, f"{agent}.precision", "fp32")),
        apart="",
    )


# What runs of one arm may differ in: their seeds, what is measured, when they save.
_FREE = re.compile(
    r"Runner\.(seed|num_seeds|checkpoint_minutes|diagnostics|evaluation_steps|num_eval_episodes)"
    r"|Diagnostics\..*|Suite\..*|.*\.seed_strategy|.*\.game_name"
    r"|Dataset\.(run|chunks|cache_gib)"
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
            values[name].add(_plain(name, text))
    return {x for x, own in values.items() if len(own) > 1 and not _FREE.fullmatch(x)}


def _plain(name: str, text: str) -> str:
    """The text of a setting without what says nothing."""
    return (last_parts(text) if name == PATH else text).translate(_BRACKETS)


def _of_the_game(configs: Sequence[Config]) -> set[str]:
    """Bindings of what makes the environments, which function does, and where their data lie."""
    makers = {class_name(config.get(_ENVIRONMENT)) for config in configs} - {""}
    names = {name for config in configs for name in config}
    made = {x for x in names if x.rpartition(".")[0].split("/")[-1] in makers}
    return {_ENVIRONMENT, PATH} | made


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
    values = [last_parts(config[name]) if name == PATH else config[name] for name in named]
    return ", ".join(f"{word}={text}" for word, text in zip(words, values, strict=True))
