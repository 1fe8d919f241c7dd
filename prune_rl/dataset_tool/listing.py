"""Prints the catalogue as tables."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from prune_rl.dataset_tool.catalogue import CAVEATS, DATASETS, OFFLINE_GAMES, VECTORS, Dataset
from prune_rl.environments.games import SUITES

_NARROW = 100  # columns, where the terminal does not say


def show(stream: TextIO) -> None:
    """Every dataset with its size, licence and addresses, then every game."""
    console = Console(file=stream, width=None if stream.isatty() else _NARROW, highlight=False)
    console.print(_games())
    atari = [_coverage(x.games) for x in DATASETS]
    console.print(_datasets("public datasets of Atari games", DATASETS, atari))
    sets = [f"{len(x.games)} sets, as {x.games[1]}" for x in VECTORS]
    console.print(_datasets("public datasets of robots", VECTORS, sets))
    for dataset in (*DATASETS, *VECTORS):
        for what in (dataset.bucket, dataset.source, f"licence: {dataset.licence}"):
            console.print(f"{dataset.name}: {what}", soft_wrap=True)
    for caveat in CAVEATS:
        console.print(f"note: {caveat}")
    console.print("list --game=Pong, or HalfCheetah-v5, says where it is and how to fetch it.")


def _datasets(title: str, datasets: Sequence[Dataset], games: Sequence[str]) -> Table:
    table = Table(title=title, show_lines=True)
    for name in ("", *(dataset.name for dataset in datasets)):
        table.add_column(name)
    rows = {
        "what": [x.title for x in datasets],
        "games": games,
        "size": [x.size for x in datasets],
        "layout": [x.layout for x in datasets],
    }
    for what, own in rows.items():
        table.add_row(what, *own)
    return table


def _coverage(games: tuple[str, ...]) -> str:
    suites = (
        f"{name} {len(set(own) & set(games))}/{len(own)}"
        for name, own in SUITES.items()
        if name.startswith("atari")
    )
    return f"{len(games)}; of the suites: {', '.join(suites)}"


def _games() -> Table:
    every = sorted({game for dataset in DATASETS for game in dataset.games})
    table = Table(title="games")
    for name in ("game", *(dataset.name for dataset in DATASETS), "figure 6"):
        table.add_column(name)
    for game in every:
        marks = [game in dataset.games for dataset in DATASETS] + [game in OFFLINE_GAMES]
        table.add_row(game, *("yes" if mark else "" for mark in marks))
    return table
