"""What is measured: groups of sides that take turns, and the rows that are ratios of them.

Everything is per step of one seed, so that five seeds in one program compare with five programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.pairs import Row, Side

FOUND = "82e3750"  # the host loop before there was another
_UPDATE_SHARE = 0.25  # updates per agent step at the default replay ratio
_HISTORY, _ROWS = 1_000, 20_000
PONG = ["agents/dqn.gin", "networks/nature.gin"]
RAINBOW_PONG = ["agents/rainbow.gin", "networks/nature.gin"]
IMPALA_PONG = ["agents/dqn.gin", "networks/impala.gin"]
BREAKOUT = ["experiments/minatar_breakout.gin"]
_GAME = 'create_atari_environment.game_name="Pong"'
_DEVICE = "Runner.create_source_fn=@DeviceSource"
_TORSOS: dict[str, tuple[str, list[str], list[str]]] = {
    "nature": ("Nature CNN", PONG, []),
    "impala": ("Impala x1", IMPALA_PONG, []),
    "minatar": ("MinAtar x1", BREAKOUT, []),
    "minatar_x4": ("MinAtar x4", BREAKOUT, ["MinAtarTorso.width=4"]),
}


class Group(NamedTuple):
    """Sides that take turns, and their ratios.

    Attributes:
        name: the first part of its rows' names.
        sides: by the name that readers see.
        rows: each of those sides.
    """

    name: str
    sides: Mapping[str, Side]
    rows: Sequence[Row]


def ours(
    gin_files: Sequence[str],
    *bindings: str,
    what: str = "step",
    commit: str | None = None,
    **more: Any,
) -> Side:
    """Training of these files, its replay made small enough for any machine."""
    agent = "RainbowAgent" if "agents/rainbow.gin" in gin_files else "DQNAgent"
    short = [f"{agent}.min_replay_history={_HISTORY}"]
    if gin_files is not BREAKOUT:
        short += [_GAME, f"ReplayBuffer.max_capacity={_ROWS}"]
    settings = {"gin_files": list(gin_files), "gin_bindings": [*short, *bindings], "what": what}
    if commit is not None:
        settings["malloc"] = False  # as it was found
    return Side("benchmarks.workers.ours", settings | more, commit=commit)


def _seeds(number: int) -> str:
    return f"Runner.num_seeds={number}"


def _dopamine(agent: str) -> Side:
    settings = {"agent": agent, "game": "Pong", "history": _HISTORY, "capacity": _ROWS}
    return Side("benchmarks.peers.dopamine", settings, environment="dopamine")


def _shares(group: str, of: str, whole: str) -> list[Row]:
    """The floors: what compiled updates and emulators alone take of a step."""
    floors = {"update": _UPDATE_SHARE, "act": 1.0, "emulator": 1.0}
    return [
        Row(f"{group}/{part}", f"{part} alone, share of a step, {of}", {part: x}, {whole: 1.0})
        for part, x in floors.items()
    ]


def _pong() -> Group:
    """Nature, S = 1: against Dopamine, and against what it is made of."""
    found = _dopamine("dqn")
    sides = {
        "ours": ours(PONG),
        "Dopamine": found,
        "Dopamine, malloc": replace(found, malloc=True),
        "update": ours(PONG, what="update"),
        "act": ours(PONG, what="act"),
        "emulator": ours(PONG, what="emulator"),
    }
    parts = {"update": _UPDATE_SHARE, "act": 1.0, "emulator": 1.0}
    titles = (
        "DQN on Pong, Nature CNN, against Dopamine 4.1.2 as installed",
        "the same with the same malloc settings on both sides",
        "host loop against its compiled work and emulation, Pong, Nature CNN, S = 1",
    )
    one = {"ours": 1.0}
    return Group(
        "pong",
        sides,
        [
            Row("pong/dopamine", titles[0], one, {"Dopamine": 1.0}, most=0.75),
            Row("pong/dopamine_malloc", titles[1], one, {"Dopamine, malloc": 1.0}, most=0.85),
            Row("pong/host", titles[2], one, parts, most=1.10),
            *_shares("pong", "Pong, Nature CNN", "ours"),
        ],
    )


def _rainbow() -> Group:
    title = "Rainbow on Pong, Nature CNN, against Dopamine 4.1.2, its prioritised replay put back"
    sides = {"ours": ours(RAINBOW_PONG), "Dopamine": _dopamine("rainbow"), "DQN": ours(PONG)}
    own, more = {"ours": 1.0}, "Rainbow against DQN, both ours, Pong, Nature CNN"
    rows = [
        Row("rainbow/dopamine", title, own, {"Dopamine": 1.0}, most=0.80),
        Row("rainbow/dqn", more, own, {"DQN": 1.0}),
    ]
    return Group("rainbow", sides, rows)


def _torch() -> Group:
    def update(net: str, layout: str) -> Side:
        settings = {"what": "update", "net": net, "layout": layout}
        return Side("benchmarks.peers.torch_loop", settings, environment="torch")

    sides = {
        "ours": ours(PONG),
        "PyTorch": Side("benchmarks.peers.torch_loop", {"what": "pong"}, environment="torch"),
        "Nature": ours(PONG, what="update"),
        "Impala x1": ours(IMPALA_PONG, what="update"),
        "Nature, PyTorch": update("nature", "contiguous"),
        "Impala x1, PyTorch": update("impala", "channels_last"),
    }
    titles = (
        "DQN on Pong, Nature CNN, against a CleanRL-style one in PyTorch",
        "update of the Nature CNN against PyTorch's",
        "update of Impala x1 against PyTorch's, channels last",
    )
    rows = [
        Row("torch/pong", titles[0], {"ours": 1.0}, {"PyTorch": 1.0}),
        Row("torch/nature", titles[1], {"Nature": 1.0}, {"Nature, PyTorch": 1.0}, most=0.65),
        Row("torch/impala", titles[2], {"Impala x1": 1.0}, {"Impala x1, PyTorch": 1.0}, most=1.5),
    ]
    return Group("torch", sides, rows)


def _five_seeds() -> list[Group]:
    """S = 5 against five programs of one seed."""
    groups = []
    for name, (title, files, bindings) in _TORSOS.items():
        sides = {f"S = {s}": ours(files, *bindings, _seeds(s)) for s in (1, 5)}
        title = f"five seeds in one program against five programs, {title}"
        row = Row(f"seeds/{name}", title, {"S = 5": 1.0}, {"S = 1": 1.0}, most=1.03)
        groups.append(Group(row.name, sides, [row]))
    return groups


def _device() -> list[Group]:
    """The device loop against the host loop as it was, and the share of the host in that of now."""
    groups = []
    for seeds, least in ((1, 2.5), (5, 1.5)):
        sides = {
            "device": ours(BREAKOUT, _DEVICE, _seeds(seeds)),
            "host as found": ours(BREAKOUT, _seeds(seeds), commit=FOUND),
            "host": ours(BREAKOUT, _seeds(seeds)),
            "update": ours(BREAKOUT, _seeds(seeds), what="update"),
            "act": ours(BREAKOUT, _seeds(seeds), what="act"),
            "emulator": ours(BREAKOUT, _seeds(seeds), what="emulator"),
        }
        parts = {"update": _UPDATE_SHARE, "act": 1.0, "emulator": 1.0}
        own, found = {"device": 1.0}, {"host as found": 1.0}
        of = f"MinAtar Breakout, S = {seeds}"
        faster = f"device loop, times as fast as the host loop of {FOUND}, {of}"
        now = f"host loop, times as fast as that of {FOUND}, {of}"
        share = f"host loop against its compiled work and emulation, {of}"
        rows = [
            Row(f"minatar_{seeds}/device", faster, found, own, least=least),
            Row(f"minatar_{seeds}/host_found", now, found, {"host": 1.0}),
            Row(f"minatar_{seeds}/host", share, {"host": 1.0}, parts, most=1.10),
            *_shares(f"minatar_{seeds}", of, "host"),
        ]
        groups.append(Group(f"minatar_{seeds}", sides, rows))
    return groups


def _breakout_peers() -> Group:
    """MinAtar Breakout, S = 1, replay ratio 0.25 unless said otherwise."""

    def jax_peer(module: str, **settings: Any) -> Side:
        return Side(f"benchmarks.peers.{module}", settings, environment="rejax")

    breakout = Side("benchmarks.peers.torch_loop", {"what": "breakout"}, environment="torch")
    sides = {
        "device": ours(BREAKOUT, _DEVICE),
        "device, ratio 1": ours(BREAKOUT, _DEVICE, "DQNAgent.replay_ratio=1.0"),
        "host": ours(BREAKOUT),
        "Rejax, 4 environments": jax_peer("rejax_dqn", environments=4),
        "Rejax, ratio 1": jax_peer("rejax_dqn", environments=1),
        "PureJaxRL-style": jax_peer("pgx_dqn"),
        "PyTorch": breakout,
    }
    rows = []
    peers = {
        "rejax": ("Rejax's DQN with 4 environments", "Rejax, 4 environments", "device"),
        "rejax_ratio_1": ("Rejax's DQN, both at ratio 1", "Rejax, ratio 1", "device, ratio 1"),
        "torch": ("a CleanRL-style DQN in PyTorch", "PyTorch", "device"),
        "purejaxrl": ("a PureJaxRL-style DQN on pgx", "PureJaxRL-style", "device"),
    }
    for name, (title, peer, own) in peers.items():
        least = None if name == "purejaxrl" else 3.0
        title = f"device loop, MinAtar Breakout, times as fast as {title}"
        rows.append(Row(f"breakout/{name}", title, {peer: 1.0}, {own: 1.0}, least=least))
    for name, (title, peer, own) in peers.items():
        if own == "device":
            title = f"host loop, MinAtar Breakout, times as fast as {title}"
            rows.append(Row(f"breakout/{name}_host", title, {peer: 1.0}, {"host": 1.0}))
    return Group("breakout", sides, rows)


def _pruning() -> Group:
    """Masks that are held, and remade once in `update_freq` gradient steps."""
    period, config = 1_000, "create_updater_from_config"  # the default update_freq

    def pruned(start: int, end: int) -> Side:
        steps = {"update_start_step": start, "update_end_step": end, "update_freq": 1}
        files = [*PONG, "pruning/magnitude.gin"]
        return ours(files, *(f"{config}.{name}={value}" for name, value in steps.items()))

    sides = {
        "dense": ours(PONG),
        "masks held": pruned(5_000_000, 10_000_000),  # later than anything here
        "masks remade": pruned(0, 10_000),
    }
    over = {"masks held": 1 - 1 / period, "masks remade": 1 / period}
    title = "magnitude pruning on top of dense, Pong, Nature CNN, masks remade every 1,000 updates"
    row = Row("pruning/magnitude", title, over, {"dense": 1.0}, most=1.02)
    return Group("pruning", sides, [row])


def _scaling() -> list[Group]:
    """What grows with seeds, width, replay ratio and replay; against what they would be."""
    seeds = {f"S = {s}": ours(PONG, _seeds(s)) for s in (1, 2, 5, 10)}
    small = {f"S = {s}": ours(BREAKOUT, _seeds(s)) for s in (1, 2, 5, 10)}
    widths = {f"x{w}": ours(IMPALA_PONG, f"ImpalaTorso.width={w}") for w in (1, 3, 5)}
    ratios = {f"ratio {x}": ours(BREAKOUT, f"DQNAgent.replay_ratio={x}") for x in (0.25, 1.0, 4.0)}
    sizes = {
        f"{x:,} rows": ours(
            BREAKOUT, f"ReplayBuffer.max_capacity={x}", "Runner.num_iterations=100", fill=x
        )
        for x in (10_000, 100_000, 1_000_000)
    }
    return [
        _scaled("seeds_nature", "a seed's step against S = 1, Pong, Nature CNN", seeds),
        _scaled("seeds_minatar", "a seed's step against S = 1, MinAtar Breakout", small),
        _scaled("width", "a step against width 1, Pong, Impala", widths),
        _scaled("ratio", "a step against replay ratio 0.25, MinAtar Breakout", ratios),
        _scaled("replay", "a step against 10,000 rows in replay, MinAtar Breakout", sizes),
    ]


def _strategies() -> list[Group]:
    """'unroll' against 'vmap' over five seeds: what `seed_axis.default_strategy` follows."""
    groups = []
    for name, (title, files, bindings) in _TORSOS.items():
        sides = {
            x: ours(files, *bindings, _seeds(5), f"DQNAgent.seed_strategy={x!r}")
            for x in ("unroll", "vmap")
        }
        title = f"five seeds, 'unroll' against 'vmap', {title}"
        own = f"strategies/{name}"
        rows = [Row(own, title, {"unroll": 1.0}, {"vmap": 1.0}, default=False)]
        groups.append(Group(own, sides, rows))
    return groups


def _scaled(name: str, title: str, sides: Mapping[str, Side]) -> Group:
    first, *others = sides
    rows = [
        Row(f"scaling/{name}/{i}", f"{title}: {other}", {other: 1.0}, {first: 1.0}, default=False)
        for i, other in enumerate(others, 1)
    ]
    return Group(f"scaling/{name}", sides, rows)


def groups() -> list[Group]:
    """All of them, in the order of the table."""
    return [
        _pong(),
        _rainbow(),
        _torch(),
        *_five_seeds(),
        *_device(),
        _breakout_peers(),
        _pruning(),
        *_scaling(),
        *_strategies(),
    ]


def sides_of(rows: Sequence[Row]) -> list[str]:
    """Those that the rows need, each once, in order."""
    return list(dict.fromkeys(name for row in rows for name in row.sides))
