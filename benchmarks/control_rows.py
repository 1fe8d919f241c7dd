"""What is measured of continuous control, as `rows` has it: networks of 256 x 2, batches of 256."""

from typing import Any

from benchmarks.pairs import Row, Side
from benchmarks.rows import Group

_DATA = 1_000_000  # transitions, random ones, of HalfCheetah's sizes
_GAME, _HISTORY, _ROWS = "HalfCheetah-v5", 1_000, 100_000
TD3_BC, IQL = ["agents/td3_bc.gin"], ["agents/iql.gin"]
SAC = ["agents/sac.gin", "suites/mujoco.gin"]
_NORMALIZED = [  # critics as JAX-CORL has them
    "TD3BCAgent.critic_torso=@critic/MLPTorso()",
    "critic/MLPTorso.layer_norm=True",
]
_ONE = {"ours": 1.0}


def _offline(gin_files: list[str], *bindings: str) -> Side:
    """Gradient steps on fixed data, as training makes them."""
    settings = {"gin_files": gin_files, "gin_bindings": list(bindings), "what": "step"}
    return Side("benchmarks.workers.ours", settings | {"data": _DATA})


def _td3_bc() -> Group:
    """One seed, dense, against what others run."""

    def jax_corl(way: str, *, layer_norm: bool) -> Side:
        settings = {"data": _DATA, "way": way, "layer_norm": layer_norm}
        return Side("benchmarks.peers.jax_corl", settings, malloc=True)

    torch = Side("benchmarks.peers.torch_td3_bc", {"data": _DATA}, environment="torch", malloc=True)
    sides = {
        "ours": _offline(TD3_BC),
        "ours, LayerNorm": _offline(TD3_BC, *_NORMALIZED),
        "JAX-CORL, LayerNorm": jax_corl("scan", layer_norm=True),
        "JAX-CORL": jax_corl("scan", layer_norm=False),
        "JAX-CORL, unrolled": jax_corl("unrolled", layer_norm=False),
        "CORL": torch,
    }
    scan = "TD3+BC, times as fast as JAX-CORL's update in a scan, written again,"
    normalized = {"JAX-CORL, LayerNorm": 1.0}, {"ours, LayerNorm": 1.0}
    unrolled = "TD3+BC, times as fast as eight of JAX-CORL's updates unrolled, both plain"
    rows = [
        Row("td3_bc/jax_corl", f"{scan} both with its LayerNorm", *normalized, least=1.2),
        Row("td3_bc/jax_corl_plain", f"{scan} both plain", {"JAX-CORL": 1.0}, _ONE, least=1.2),
        Row("td3_bc/jax_corl_unrolled", unrolled, {"JAX-CORL, unrolled": 1.0}, _ONE),
        Row(
            "td3_bc/corl",
            "TD3+BC, times as fast as CORL's loop in PyTorch, written again",
            {"CORL": 1.0},
            _ONE,
            least=3.0,
        ),
    ]
    return Group("td3_bc", sides, rows)


def _sac() -> Group:
    """Agent steps, each with a gradient step."""
    bindings = [
        f'create_mujoco_environment.game_name="{_GAME}"',
        f"SACAgent.min_replay_history={_HISTORY}",
        f"ReplayBuffer.max_capacity={_ROWS}",
    ]

    def own(what: str) -> Side:
        settings = {"gin_files": SAC, "gin_bindings": bindings, "what": what}
        return Side("benchmarks.workers.ours", settings)

    told = {"game": _GAME, "history": _HISTORY, "capacity": _ROWS}
    sides = {
        "ours": own("step"),
        "sbx": Side("benchmarks.peers.sbx_sac", told, environment="sbx", malloc=True),
        "update": own("update"),
        "act": own("act"),
        "simulator": own("emulator"),
    }
    title = f"SAC on {_GAME}, steps with an update, times as fast as sbx-rl 0.28.0's"
    parts = {"update": 1.0, "act": 1.0, "simulator": 1.0}
    share = f"SAC on {_GAME} against its compiled work and simulation"
    rows = [
        Row("sac/sbx", title, {"sbx": 1.0}, _ONE, least=1.2),
        Row("sac/host", share, _ONE, parts),
    ]
    return Group("sac", sides, rows)


def _seeds() -> list[Group]:
    """Five seeds in one program against one, the work of five against that of one."""
    groups = []
    for name, (title, files) in {"td3_bc": ("TD3+BC", TD3_BC), "iql": ("IQL", IQL)}.items():
        sides = {f"S = {s}": _offline(files, f"Runner.num_seeds={s}") for s in (1, 5)}
        agent = {"td3_bc": "TD3BCAgent", "iql": "IQLAgent"}[name]
        sides["S = 5, stacked"] = _offline(
            files, "Runner.num_seeds=5", f'{agent}.seed_strategy="vmap"'
        )
        one, told = {"S = 1": 1.0}, f"five seeds in one program, times the work of one, {title}"
        own = f"control_seeds/{name}"
        rows = [
            Row(own, told, {"S = 5": 5.0}, one, most=3.5, default=name == "td3_bc"),
            Row(f"{own}/stacked", f"{told}, stacked", {"S = 5, stacked": 5.0}, one, default=False),
        ]
        groups.append(Group(own, sides, rows))
    return groups


def _pruning() -> Group:
    """Masks that are held, and remade as often as the files say."""

    def pruned(file: str, **steps: Any) -> Side:
        config = "create_updater_from_config"
        more = [f"{config}.update_{name}={value}" for name, value in steps.items()]
        return _offline([*TD3_BC, f"pruning/{file}.gin"], *more)

    late, end = 900_000, 1_000_000  # gradient steps, later than anything here
    sides = {
        "dense": _offline(TD3_BC),
        "magnitude, held": pruned("magnitude", start_step=late, end_step=end, freq=1),
        "magnitude, remade": pruned("magnitude", start_step=0, end_step=end, freq=1),
        "Sparse-Reg, held": pruned("sparse_reg", end_step=end, freq=late),  # made at the first
        "Sparse-Reg, remade": pruned("sparse_reg", end_step=end, freq=1),
    }
    rows = []
    for name, period in (("magnitude", 1_000), ("Sparse-Reg", 5_000)):
        over = {f"{name}, held": 1 - 1 / period, f"{name}, remade": 1 / period}
        own = f"control_pruning/{name.casefold().replace('-', '_')}"
        title = f"{name} on top of dense, TD3+BC, masks remade every {period:,} updates"
        rows.append(Row(own, title, over, {"dense": 1.0}, most=1.02))
    return Group("control_pruning", sides, rows)


def control_groups() -> list[Group]:
    """All of them, in the order of the table."""
    return [_td3_bc(), _sac(), *_seeds(), _pruning()]
