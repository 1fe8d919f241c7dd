"""What the cells on robots come to: settings as gin resolves them, against tables by hand.

The tables are of figures 9 and 17 (Obando-Ceron et al., section 4.5) and of Sparse-Reg's tables and
figures; gin_configs/experiments/README.md says what of them is our choice. Those of the grids that
are ours are the plans of results/continuous_control and results/sparse_reg.
"""

import itertools

import gin
import pytest

from prune_rl import configuration
from prune_rl.grid import Grid
from prune_rl.pruning.config import create_updater_from_config

_DENSE = {
    "steps": 1_000_000,
    "pruner": "no_prune",
    "sparsity": 0.0,
    "schedule": None,
    "data": None,
    "baseline": None,
    "units": (256, 2),
    "width": 1,
    "evaluation": 10,
    "measured": None,
}
_SAC = _DENSE | {"agent": "SACAgent", "learning_rate": 3e-4, "normalized": None}
# Sparse-Reg's table 6; its code normalises observations, and no rewards.
_OFFLINE = _DENSE | {"learning_rate": 1e-3, "normalized": ("observations",)}
_AGENTS = {"bc": "BCAgent", "td3_bc": "TD3BCAgent", "awac": "AWACAgent", "iql": "IQLAgent"}
_REMADE = ("periodic", 0, 200_000, 5_000)
_SIZES = {
    "5k": (5_000, 0.95),
    "10k": (10_000, 0.95),
    "50k": (50_000, 0.75),
    "100k": (100_000, 0.75),
}
_RIVALS = {
    "dropout": ("dropout", 0.1),
    "layer_norm": ("layer_norm", True),
    "spectral_norm": ("spectral_norm", True),
    "weight_decay": ("weight_decay", 0.01),
}
_THREE = ["HalfCheetah-v4", "Hopper-v4", "Walker2d-v4"]


def _learnt(name, agent, samples, quality, sparsity=0.0, **more):
    """One cell of fixed data, by its name."""
    own = _OFFLINE | {
        "agent": _AGENTS[agent],
        "data": (f"data/d4rl/{quality}", samples, "first", None),
    }
    own |= {"pruner": "global_snip", "schedule": _REMADE} if sparsity else {}
    return {name: own | {"sparsity": sparsity} | more}


def _pairs(agents, sizes, data="expert", label="", **more):
    """Dense and sparse of every agent and number of samples."""
    found = {}
    for agent, size in itertools.product(agents, sizes):
        count, sparsity = _SIZES[size]
        for network, own in (("dense", 0.0), ("sparse", sparsity)):
            name = "/".join(x for x in (agent, label, size, network) if x)
            found |= _learnt(name, agent, count, data, own, **more)
    return found


def _of_iql(label, data="expert", **more):
    return _learnt(label, "iql", 5_000, data, **more)


def _figure_2():
    found = {}
    for data in ("expert", "medium"):
        found |= _of_iql(f"iql/{data}/dense", data)
        found |= _of_iql(f"iql/{data}/sparse", data, sparsity=0.95)
        for name, own in _RIVALS.items():
            found |= _of_iql(f"iql/{data}/{name}", data, baseline=own)
    return found


def _figure_4():
    held = {"data": ("data/d4rl/expert", 50_000, "first", 200_000)}
    held |= {"measured": ["loss", "validation_loss"]}
    found = _learnt("bc/dense", "bc", 50_000, "expert", **held)
    found |= _learnt("bc/sparse", "bc", 50_000, "expert", 0.75, **held)
    return found | _learnt("bc/l1", "bc", 50_000, "expert", **held, baseline=("l1", 1e-4))


def _figure_6():
    found = {}
    for size in ("5k", "50k"):
        for label, sparsity in (("dense", 0.0), ("95", 0.95), ("75", 0.75)):
            count = _SIZES[size][0]
            own = _learnt(f"bc/{size}/{label}", "bc", count, "expert", sparsity, steps=800_000)
            found |= own
    return found


def _figure_8():
    found = {}
    for data in ("expert", "medium"):
        own = _pairs(["bc"], _SIZES, data, label=data, measured=["loss", "validation_loss"])
        for settings in own.values():
            settings["data"] = (*settings["data"][:3], 200_000)
        found |= own
    return found


def _table_2():
    own = {f"iql/dense_{x}": {"units": (x, 2)} for x in (64, 128)}
    found = _of_iql("iql/dense")
    for name, units in own.items():
        found |= _of_iql(name, **units)
    return found | _of_iql("iql/sparse", sparsity=0.95)


def _table_3():
    found = {}
    for size, percent in itertools.product(_SIZES, (99, 95, 75, 50, 20)):
        name = f"iql/{size}/{percent}"
        found |= _learnt(name, "iql", _SIZES[size][0], "expert", percent / 100)
    return found


def _table_5():
    found = {}
    for size, half in (("5k", 2_500), ("10k", 5_000)):
        mixed = [("data/d4rl/expert", half), ("data/d4rl/medium_replay", half)]
        for network, sparsity in (("dense", 0.0), ("sparse", 0.95)):
            replay = f"iql/{size}_medium_replay/{network}"
            found |= _learnt(replay, "iql", 2 * half, "medium_replay", sparsity)
            of_both = {"data": (mixed, None, "first", None)}
            name = f"iql/{size}_expert_replay/{network}"
            found |= _learnt(name, "iql", 2 * half, "", sparsity, **of_both)
    return found


def _sac():
    found = {"sac/x5/dense": _SAC | {"width": 5}}
    for percent in (90, 95, 99):
        own = {"pruner": "magnitude", "sparsity": percent / 100, "width": 5}
        own |= {"schedule": ("polynomial", 200_000, 800_000, 1_000)}
        found[f"sac/x5/{percent}"] = _SAC | own
    return found


def _sac_pilot(width):
    pruned = {"pruner": "magnitude", "sparsity": 0.95}
    pruned |= {"schedule": ("polynomial", 20_000, 80_000, 600)}  # of 100 mask updates at least
    dense = _SAC | {"width": width, "steps": 100_000}
    return {f"sac/x{width}/dense": dense, f"sac/x{width}/95": dense | pruned}


def _here(data, agent, size, network, sparsity=0.0, **more):
    """One cell of data made here, with the learning rate of its agent's own paper."""
    own = {"data": (f"data/here/{data}", _SIZES[size][0], "first", None), "learning_rate": 3e-4}
    name = "/".join((data, agent, size, network))
    return _learnt(name, agent, 0, "", sparsity, **(own | more))


def _pairs_here(steps):
    found = {}
    for data, agent, size in itertools.product(("expert", "medium"), _AGENTS, ("5k", "100k")):
        found |= _here(data, agent, size, "dense", steps=steps)
        found |= _here(data, agent, size, "sparse", _SIZES[size][1], steps=steps)
    return found


def _rivals_here():
    found = {}
    for name, own in _RIVALS.items():
        found |= _here("expert", "iql", "5k", name, baseline=own, steps=100_000)
    return found


_ONCE = {"pruner": "global_snip", "sparsity": 0.95, "schedule": ("one_shot", 0)}
_THREE_AGENTS = ["td3_bc", "awac", "iql"]
# Of each grid its cells by name, without game and seeds, its games and the seeds of a cell.
_GRIDS = {
    "figure_9": (_sac(), ["Walker2d-v5", "Ant-v5"], 10, 1),
    "figure_17": (_sac(), ["HalfCheetah-v5", "Hopper-v5", "Humanoid-v5"], 10, 1),
    "sparse_reg_figure_1": (
        _pairs(["bc"], ["10k", "100k"]),
        ["HalfCheetah-v4", "Walker2d-v4"],
        5,
        5,
    ),
    "sparse_reg_figure_2": (_figure_2(), ["Hopper-v4", "Walker2d-v4"], 5, 5),
    "sparse_reg_figure_4": (_figure_4(), _THREE, 5, 5),
    "sparse_reg_figure_5": (
        _of_iql("iql/dense")
        | _of_iql("iql/once", **_ONCE)
        | _of_iql("iql/periodic", sparsity=0.95),
        _THREE,
        5,
        5,
    ),
    "sparse_reg_figure_6": (_figure_6(), ["HalfCheetah-v4"], 5, 5),
    "sparse_reg_figure_8": (_figure_8(), _THREE, 5, 5),
    "sparse_reg_figure_10": (_pairs(["bc"], _SIZES), _THREE, 5, 5),
    "sparse_reg_table_1": (_pairs(_THREE_AGENTS, _SIZES), _THREE, 5, 5),
    "sparse_reg_table_2": (_table_2(), ["HalfCheetah-v4", "Hopper-v4"], 5, 5),
    "sparse_reg_table_3": (_table_3(), ["HalfCheetah-v4"], 5, 5),
    "sparse_reg_table_4": (_pairs(_THREE_AGENTS, _SIZES, "medium"), _THREE, 5, 5),
    "sparse_reg_table_5": (_table_5(), ["HalfCheetah-v4", "Hopper-v4"], 5, 5),
    "sac_pilot": (_sac_pilot(1), ["HalfCheetah-v5", "Walker2d-v5"], 3, 1),
    "sac_pilot_wide": (_sac_pilot(3), ["Walker2d-v5"], 3, 1),
    "sparse_reg_here": (_pairs_here(100_000), ["HalfCheetah-v5"], 5, 5),
    "sparse_reg_rivals_here": (_rivals_here(), ["HalfCheetah-v5"], 5, 5),
    "sparse_reg_here_large": (
        _pairs_here(1_000_000),
        ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"],
        5,
        5,
    ),
}
FIGURES = tuple(_GRIDS)


@pytest.mark.parametrize("figure", _GRIDS)
def test_the_cells_of_a_figure_come_to_what_the_sources_say(figure):
    expected, games, num_seeds, per_cell = _GRIDS[figure]
    configuration.load([f"experiments/{figure}.gin"], [])
    grid = Grid()
    cells = list(grid.cells())
    assert (grid.games, grid.num_seeds, grid.seeds_per_cell) == (games, num_seeds, per_cell)
    assert len(cells) == len(expected) * len(games) * num_seeds // per_cell
    first = f"/{games[0]}/0" if per_cell == 1 else f"/{games[0]}/0-{per_cell - 1}"
    named = {x.name.removesuffix(first): x for x in cells if x.name.endswith(first)}
    assert sorted(named) == sorted(expected)
    for name, cell in named.items():
        configuration.load(cell.gin_files, cell.gin_bindings)
        assert _resolved() == expected[name], name


def _resolved():
    run, torso = gin.get_bindings("Runner"), gin.get_bindings("MLPTorso")
    steps = run["num_iterations"] * run["training_steps"]
    offline = "create_source_fn" in run
    data = gin.get_bindings("Dataset")
    names = {"path": None, "num_transitions": None, "unit": "windows", "held_out": None}
    held = tuple(data.get(name, default) for name, default in names.items())
    assert (run["evaluation_steps"], run["max_steps_per_episode"]) == (0, 1_000)
    networks = [f"{name}/create_optimizer" for name in run["agent"].networks]
    (rate,) = {gin.get_bindings(name)["learning_rate"] for name in networks}  # of all the same
    scaled = tuple(x for x in ("observations", "rewards") if data.get(f"normalize_{x}"))
    return {
        "agent": type(run["agent"]).__name__,
        "steps": steps,
        **_pruning(steps),
        "learning_rate": rate,
        "data": held if offline else None,
        "normalized": scaled if offline else None,
        "baseline": _baseline(torso),
        "units": (torso["units"], torso["depth"]),
        "width": torso["width"],
        "evaluation": run["num_eval_episodes"],
        "measured": gin.get_bindings("Diagnostics").get("quantities"),
    }


def _baseline(torso):
    """The regulariser that is set, and how much; no two are."""
    optimizer = gin.get_bindings("create_optimizer")
    found = [(x, torso[x]) for x in ("dropout", "layer_norm", "spectral_norm") if torso[x]]
    found += [("l1", optimizer["l1_penalty"])] if optimizer.get("l1_penalty") else []
    if optimizer.get("weight_decay"):
        assert optimizer["name"] == "adamw"
        found.append(("weight_decay", optimizer["weight_decay"]))
    assert len(found) < 2
    return found[0] if found else None


def _pruning(steps):
    settings = gin.get_bindings("create_updater_from_config")
    pruner, sparsity = settings["pruner_type"], settings["sparsity"]
    if pruner == "no_prune":
        return {"pruner": pruner, "sparsity": sparsity, "schedule": None}
    made = create_updater_from_config(steps, nominal_gradient_steps=steps).schedule
    if settings["schedule_type"] == "one_shot":
        return {"pruner": pruner, "sparsity": sparsity, "schedule": ("one_shot", made.update_step)}
    when = (made.update_start_step, made.update_end_step, made.update_freq)
    return {"pruner": pruner, "sparsity": sparsity, "schedule": (settings["schedule_type"], *when)}
