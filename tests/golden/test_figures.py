"""What every figure's cells come to: settings as gin resolves them, against a table by hand.

The table is a base per agent, from Dopamine's own configurations, and what a figure changes, from
the paper; gin_configs/experiments/README.md says which of that is our choice. Agents and pruners
are built through gin alone: no replay, no network, nothing compiled.
"""

import functools
import inspect
import itertools

import gin
import pytest

from prune_rl import configuration, gin_files
from prune_rl.grid import Grid
from prune_rl.networks.q_network import QNetwork
from prune_rl.pruning.config import create_updater_from_config

from . import test_control_figures

# The paper's appendix B and section 5; 17: Kumar et al. 2021, from memory, unverified.
_GAMES = {
    2: "Breakout VideoPinball",
    4: "BeamRider Breakout Enduro VideoPinball",
    15: "MsPacman Pong Qbert Assault Asterix BeamRider Boxing Breakout CrazyClimber DemonAttack "
    "Enduro FishingDerby SpaceInvaders Tutankham VideoPinball",
    17: "Asterix BeamRider Breakout DemonAttack DoubleDunk Enduro IceHockey Jamesbond MsPacman "
    "Pong Qbert RoadRunner Seaquest SpaceInvaders WizardOfWor YarsRevenge Zaxxon",
    26: "Alien Amidar Assault Asterix BankHeist BattleZone Boxing Breakout ChopperCommand "
    "CrazyClimber DemonAttack Freeway Frostbite Gopher Hero Jamesbond Kangaroo Krull KungFuMaster "
    "MsPacman Pong PrivateEye Qbert RoadRunner Seaquest UpNDown",
}
_GAMES[60] = f"""{_GAMES[26]} AirRaid Asteroids Atlantis BeamRider Berzerk Bowling Carnival
    Centipede DoubleDunk ElevatorAction Enduro FishingDerby Gravitar IceHockey JourneyEscape
    MontezumaRevenge NameThisGame Phoenix Pitfall Pooyan Riverraid Robotank Skiing Solaris
    SpaceInvaders StarGunner Tennis TimePilot Tutankham Venture VideoPinball WizardOfWor
    YarsRevenge Zaxxon"""

_ATARI = {
    "gamma": 0.99,
    "min_replay_history": 20_000,
    "replay_ratio": 0.25,
    "target_update_period": 8_000,
    "epsilon_train": 0.01,
    "epsilon_eval": 0.001,
    "epsilon_decay_period": 250_000,
    "seed_strategy": "auto",
    "precision": "fp32",
    "optimizer": ("adam", 6.25e-5, 0.9, 0.999, 1.5e-4),
    "weight_decay": 0.0,
    "unit_norm_penalty": 0.0,
    "normalize_representation": False,
    "replay": (1_000_000, 32, 1.0),
    "sticky_actions": True,
    "terminal_on_life_loss": False,
    "max_noops": 0,
    "evaluation": (0, 0),
    "max_steps_per_episode": 27_000,
    "training_steps": 250_000,
    "interventions": [],
    "diagnostics": False,
    "data": None,
}
_DQN = _ATARI | {
    "agent": "DQNAgent",
    "update_horizon": 1,
    "replay_scheme": "uniform",
    "loss_type": "mse",
    "head_init": "xavier_uniform",
}
_RAINBOW = _ATARI | {
    "agent": "RainbowAgent",
    "update_horizon": 3,
    "replay_scheme": "prioritized",
    "loss_type": "huber",
    "atoms": (51, 10.0),
    "parts": (),
    "head_init": "rainbow",
}
_100K = _RAINBOW | {
    "update_horizon": 10,
    "min_replay_history": 1_600,
    "replay_ratio": 1,
    "optimizer": ("adam", 1e-4, 0.9, 0.999, 1.5e-4),
    "sticky_actions": False,
    "terminal_on_life_loss": True,
    "max_noops": 30,
    "head_init": "xavier_uniform",
}
_CQL = _ATARI | {
    "agent": "CQLAgent",
    "update_horizon": 1,
    "replay_scheme": "uniform",
    "target_update_period": 2_000,
    "loss_type": "huber",
    "atoms": (1, 10.0),
    "parts": (),
    "coefficients": (1.0, 0.1),
    "head_init": "xavier_uniform",
    "evaluation": (125_000, 0),
    "training_steps": 62_500,
    "data": ("data/dqn_replay", 0.05, "windows", None, 0, 32),
}
_AGENTS = {
    "dqn": _DQN,
    "rainbow": _RAINBOW,
    "cql": _CQL,
    "cql_c51": _CQL
    | {"update_horizon": 3, "target_update_period": 100, "atoms": (51, 10.0)}
    | {"parts": ("double_dqn", "dueling"), "head_init": "lecun_normal"},
    "der": _100K
    | {"target_update_period": 2_000, "epsilon_decay_period": 2_000}
    | {"parts": ("double_dqn", "dueling", "noisy")},
    "drq_eps": _100K
    | {"target_update_period": 1, "epsilon_decay_period": 5_000, "replay_scheme": "uniform"}
    | {"atoms": (1, 10.0), "parts": ("double_dqn", "dueling", "data_augmentation")}
    | {"augmentation": (4, 0.05)},
}

_IMPALA = {"torso": "ImpalaTorso", "scale_hidden": False, "stacks": (16, 32, 32)}
_IMPALA |= {"kernel_init": "xavier_uniform"}
_NATURE = {"torso": "NatureTorso", "scale_hidden": False}

_UNPRUNED = {"pruner": "no_prune", "sparsity": 0.0}
_PRUNED = {"pruner": "magnitude", "dist_type": "erk"}
_PRUNED |= {"sparsity_type": "unstructured", "dense_layers": []}
_ARMS = {
    "dense": _UNPRUNED,
    "reset": _UNPRUNED
    | {"interventions": [("Reset", "dense", range(200_000, 2_494_999, 200_000))]},
    "redo": _UNPRUNED
    | {"interventions": [("ReDo", 0.025, None, 256, range(1_000, 2_494_999, 1_000))]},
    "weight_decay": _UNPRUNED | {"weight_decay": 1e-5},
    "l2": _UNPRUNED | {"normalize_representation": True},
    **{str(x): _PRUNED | {"sparsity": x / 100} for x in (50, 75, 90, 95, 99)},
    "100M": _PRUNED | {"sparsity": 0.95},
    "40M": _PRUNED | {"sparsity": 0.95},
}
# Start, end and frequency of pruning in gradient steps: a fifth and four fifths of agent steps x
# replay ratio, and every 1,000, or so that 100 updates fit.
_SCHEDULES = {
    (40, 0.25): (500_000, 2_000_000, 1_000),
    (40, 0.5): (1_000_000, 4_000_000, 1_000),
    (40, 1): (2_000_000, 8_000_000, 1_000),
    (40, 2): (4_000_000, 16_000_000, 1_000),
    (100, 0.25): (1_250_000, 5_000_000, 1_000),
    (200, 0.25): (2_500_000, 10_000_000, 1_000),  # fixed data: of gradient steps, at any ratio
    (10, 1): (20_000, 80_000, 600),  # Atari 100k
}
_SPARSITIES = ["dense", "50", "75", "90", "95", "99"]
_PAIR, _WIDTHS, _RATIOS = ["dense", "95"], [1, 2, 3, 4, 5], [0.25, 0.5, 1, 2]


def _figure(num_games, agents, torso, widths, arms, *, ratios=None, iterations=40, **changes):
    """Expected settings by cell: `ratios` are an axis of the grid if there are any."""
    table = {}
    for agent, width, ratio, arm in itertools.product(agents, widths, ratios or [None], arms):
        labels = [agent, width and f"x{width}", ratio and f"rr{ratio}", arm]
        own = _AGENTS[agent] | torso | _ARMS[arm] | changes
        own |= {"width": width or 1, "num_iterations": iterations, "num_seeds": 5}
        own |= {"games": tuple(_GAMES[num_games].split())}
        own |= {"replay_ratio": ratio} if ratio else {}
        if own["pruner"] != "no_prune":
            steps = _SCHEDULES[40 if arm == "40M" else iterations, own["replay_ratio"]]
            own["schedule"] = ("polynomial", 3, *steps)
        table["/".join(label for label in labels if label)] = own
    return table


_BOTH, _OTHERS = ["dqn", "rainbow"], ["drq_eps", "der"]
_METHODS = ["dense", "95", "reset", "redo", "weight_decay", "l2"]


def _nature(agent):
    return _NATURE | {"kernel_init": _AGENTS[agent]["head_init"]}


def _on_nature(num_games, agents, widths, arms, **changes):
    each = (_figure(num_games, [x], _nature(x), widths, arms, **changes) for x in agents)
    return functools.reduce(dict.__or__, each)


_FIGURES = {
    "figure_1": _figure(15, _BOTH, _IMPALA, _WIDTHS, _PAIR),
    "figure_3": _figure(15, ["dqn"], _IMPALA, [3], _SPARSITIES),
    "figure_4": _on_nature(15, _BOTH, _WIDTHS, _PAIR),
    "figure_5": _figure(15, ["rainbow"], _IMPALA, [3], _PAIR, ratios=_RATIOS),
    "figure_6": _figure(17, ["cql", "cql_c51"], _IMPALA, _WIDTHS, _PAIR, iterations=200),
    "figure_7": _figure(60, _BOTH, _IMPALA, [3], _PAIR),
    "figure_8": _figure(26, _OTHERS, _IMPALA, [3], _PAIR),
    "figure_10": _figure(15, ["dqn"], _IMPALA, [3], ["dense", "100M", "40M"], iterations=100),
    "figure_11": _figure(4, ["dqn"], _IMPALA, [3], _PAIR, diagnostics=True),
    "figure_12": _figure(15, ["dqn"], _IMPALA, _WIDTHS, _METHODS),
    "figure_13": _figure(2, ["dqn"], _IMPALA, [3], _PAIR, diagnostics=True),
    "figure_14": _on_nature(15, _BOTH, [1], _SPARSITIES),
    "figure_15": _figure(15, ["rainbow"], _IMPALA, [3], _SPARSITIES),
    "figure_16": _figure(15, ["dqn"], _IMPALA, [1, 3], _PAIR, ratios=_RATIOS),
    "atari_100k": _on_nature(
        26, _OTHERS, [None], _PAIR, iterations=10, training_steps=10_000, evaluation=(0, 100)
    ),
}


@pytest.mark.parametrize("figure", _FIGURES)
def test_the_cells_of_a_figure_come_to_what_the_sources_say(figure):
    configuration.load([f"experiments/{figure}.gin"], [])
    grid, expected = Grid(), _FIGURES[figure]
    first = f"/{grid._suite.games[0]}/0"
    cells = {x.name.removesuffix(first): x for x in grid.cells() if x.name.endswith(first)}
    assert list(cells) == list(expected)
    for name, cell in cells.items():
        resolved = _resolve(cell) | {"games": grid._suite.games, "num_seeds": grid.num_seeds}
        assert resolved == expected[name], name


@pytest.mark.parametrize("figure", _FIGURES)
def test_five_seeds_in_a_cell_are_the_five_cells_in_one(figure):
    configuration.load([f"experiments/{figure}.gin"], [])
    alone = {x.name: x for x in Grid().cells()}
    configuration.load([f"experiments/{figure}.gin"], ["Grid.seeds_per_cell=5"])
    together = {x.name: x for x in Grid().cells()}
    games = Grid()._suite.games
    assert list(together) == [f"{x}/{game}/0-4" for x in _FIGURES[figure] for game in games]
    assert set(alone) == {x[:-3] + str(seed) for x in together for seed in range(5)}
    for name, cell in together.items():
        first = alone[name.removesuffix("-4")]
        seeds = [x.replace("Runner.num_seeds=5", "Runner.num_seeds=1") for x in cell.gin_bindings]
        assert seeds != list(cell.gin_bindings)
        assert (cell.gin_files, tuple(seeds)) == (first.gin_files, first.gin_bindings)


def test_every_shipped_grid_but_those_of_minatar_is_in_a_table():
    shipped = [x for x in gin_files.shipped_gin_files() if "Grid.axes" in _text(x)]
    held = [x for x in shipped if "/minatar" not in x]
    known = (*_FIGURES, *test_control_figures.FIGURES)
    assert sorted(held) == sorted(f"experiments/{figure}.gin" for figure in known)


def _text(name):
    return gin_files.find_gin_file(name).read_text()


def _settings(name):
    """What a configurable would be called with: gin's bindings, resolved, over its defaults."""
    parameters = inspect.signature(gin.get_configurable(name)).parameters.values()
    return {x.name: x.default for x in parameters} | gin.get_bindings(name)


def _resolve(cell):
    configuration.load(cell.gin_files, cell.gin_bindings)
    run, environment = _settings("Runner"), _settings("create_atari_environment")
    agent = run["agent"]
    resolved = _agent(agent) | _torso(agent.torso) | _optimizer()
    resolved |= {x: run[x] for x in ("num_iterations", "training_steps", "max_steps_per_episode")}
    resolved["evaluation"] = (run["evaluation_steps"], run["num_eval_episodes"])
    resolved["diagnostics"] = run["diagnostics"] is not None
    protocol = ("sticky_actions", "terminal_on_life_loss", "max_noops")
    resolved |= {x: environment[x] for x in protocol}
    replay = [_settings("ReplayBuffer")[x] for x in ("max_capacity", "batch_size")]
    resolved["replay"] = (*replay, _settings("PrioritizedSampler")["priority_exponent"])
    steps = run["num_iterations"] * run["training_steps"]
    resolved["data"] = _data(run["create_source_fn"])
    fixed = resolved["data"] is not None
    made = steps if fixed else agent.num_gradient_steps(steps)
    nominal = steps if fixed else agent.nominal_gradient_steps(steps)
    own = [_intervention(x, made, nominal) for x in run["interventions"]]
    return resolved | {"interventions": own} | _pruner(made, nominal)


def _agent(agent):
    names = ["gamma", "update_horizon", "min_replay_history", "replay_ratio", "replay_scheme"]
    names += ["target_update_period", "epsilon_train", "epsilon_eval", "epsilon_decay_period"]
    names += ["loss_type", "seed_strategy", "precision"]
    resolved = {"agent": type(agent).__name__} | {x: getattr(agent, x) for x in names}
    if resolved["agent"] == "DQNAgent":
        return resolved
    parts = ("double_dqn", "dueling", "noisy", "data_augmentation")
    resolved["parts"] = tuple(x for x in parts if getattr(agent, x))
    resolved["atoms"] = (agent.num_atoms, agent.vmax)
    if resolved["agent"] == "CQLAgent":
        resolved["coefficients"] = (agent.td_coefficient, agent.cql_coefficient)
    if agent.data_augmentation:
        resolved["augmentation"] = tuple(_settings("Augmentation").values())
    return resolved


def _data(create_source):
    """Where fixed data are and how much of them is taken; None where games are played."""
    if create_source is gin.get_configurable("OnlineSource"):
        return None
    assert create_source is gin.get_configurable("DatasetSource")
    create_dataset = _settings("DatasetSource")["create_dataset_fn"]
    assert create_dataset is gin.get_configurable("Dataset")
    settings = _settings("Dataset")
    names = ("path", "fraction", "unit", "run", "seed", "batch_size")
    return tuple(settings[name] for name in names)


def _torso(torso):
    network = QNetwork(torso, num_actions=18)
    resolved = {x: getattr(torso, x) for x in ("width", "scale_hidden", "kernel_init")}
    resolved |= {"torso": type(torso).__name__, "head_init": network.kernel_init}
    resolved |= {"stacks": torso.stacks} if hasattr(torso, "stacks") else {}
    return resolved | {"normalize_representation": network.normalize_representation}


def _optimizer():
    settings = _settings("create_optimizer")
    numbers = tuple(settings[x] for x in ("name", "learning_rate", "beta1", "beta2", "eps"))
    regularisers = {x: settings[x] for x in ("weight_decay", "unit_norm_penalty")}
    return {"optimizer": numbers} | regularisers


def _pruner(made, nominal):
    settings = _settings("create_updater_from_config")
    resolved = {"pruner": settings["pruner_type"], "sparsity": settings["sparsity"]}
    if resolved["pruner"] == "no_prune":
        return resolved
    resolved |= {x: settings[x] for x in ("dist_type", "sparsity_type", "dense_layers")}
    schedule = create_updater_from_config(made, nominal_gradient_steps=nominal).schedule
    steps = (schedule.update_start_step, schedule.update_end_step, schedule.update_freq)
    return resolved | {"schedule": (settings["schedule_type"], schedule.power, *steps)}


def _intervention(intervention, made, nominal):
    every = intervention.occasions(made, nominal)
    acts = range(max(every.period, every.start), every.end, every.period)
    assert every.start % every.period == 0
    if type(intervention).__name__ == "Reset":
        return ("Reset", intervention.reset_layers, acts)
    settings = (intervention.dead_neurons_threshold, intervention.layers)
    return ("ReDo", *settings, intervention.statistics_batch_size, acts)
