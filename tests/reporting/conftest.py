"""Run directories with made-up numbers, and what a picture of them must show."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.reporting.page_browser import open_page, start_browser, write_example


@pytest.fixture
def write_run():
    """Writes seeds 4, 3, 5 and two iterations; returns are 10 * seed + iteration."""

    def write(directory, *, phases=("train",), missing=False):
        directory.mkdir()
        with (directory / "metrics.jsonl").open("w") as file:
            for seed in (4, 3, 5):
                for iteration in range(2):
                    for phase in phases:
                        row = {
                            "seed": seed,
                            "iteration": iteration,
                            "phase": phase,
                            "agent_steps": 100 * (iteration + 1),
                            "gradient_steps": 25 * (iteration + 1),
                            "frames": 400 * (iteration + 1),
                            "sparsity": 0.5 * iteration,
                        }
                        value = None if missing and iteration == 0 else float(10 * seed + iteration)
                        measured = {"srank": value, "q_norm": float(seed)}
                        played = {"episode_return_mean": value, "num_episodes": 2}
                        row |= measured if phase == "diagnostics" else played
                        file.write(json.dumps(row) + "\n")
        return directory

    return write


@pytest.fixture
def write_values():
    """Writes {phase: {field: (S, T) values, NaN for null}}; iteration i ends at `steps[i]`.

    Steps are agent steps and no row says so, as of old; or gradient steps, without agent steps.
    """

    def write(directory, steps, phases, *, offline=False):
        directory.mkdir()
        lines = []
        for phase, fields in phases.items():
            for s, t in np.ndindex(np.shape(next(iter(fields.values())))):
                row = {"seed": 7 + s, "iteration": t, "phase": phase}
                when = {"clock": "gradient_steps", "agent_steps": 0, "gradient_steps": steps[t]}
                row |= when if offline else {"agent_steps": steps[t]}
                own = {name: float(np.asarray(values)[s][t]) for name, values in fields.items()}
                row |= {name: None if np.isnan(value) else value for name, value in own.items()}
                lines.append(json.dumps(row) + "\n")
        # Neither seeds nor iterations come in order.
        (directory / "metrics.jsonl").write_text("".join(lines[::-1]))
        return directory

    return write


@pytest.fixture
def mean_of():
    """Mean of (S, T) over seeds, NaNs left out, number by number."""

    def mean(values):
        columns = [[x for x in column if not np.isnan(x)] for column in np.transpose(values)]
        return [sum(own) / len(own) if own else np.nan for own in columns]

    return mean


@pytest.fixture
def interval_of(mean_of):
    """2.5 % and 97.5 % of the means of 2,000 draws of S from S seeds, sorted and read off."""

    def quantile(ordered, share):
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    def interval(values):
        values = np.asarray(values, np.float64)
        draws = np.random.default_rng(0).integers(0, len(values), (2_000, len(values)))
        means = np.array([mean_of(values[draw]) for draw in draws])
        ordered = [sorted(column[~np.isnan(column)]) for column in means.T]
        return [(quantile(own, 0.025), quantile(own, 0.975)) if own else None for own in ordered]

    return interval


@pytest.fixture
def line_called():
    """The one line of the axes with that label."""

    def find(axes, label):
        (line,) = [line for line in axes.lines if line.get_label() == label]
        return line

    return find


@pytest.fixture
def band_of_color():
    """{x: (lowest, highest)} of the one band of that colour."""

    def read(axes, color):
        (band,) = [x for x in axes.collections if to_hex(x.get_facecolor()[0]) == to_hex(color)]
        points = np.concatenate([path.vertices for path in band.get_paths()])
        at = {x: points[points[:, 0] == x, 1] for x in np.unique(points[:, 0])}
        return {x: (y.min(), y.max()) for x, y in at.items()}

    return read


@pytest.fixture
def write_matrices():
    """Stores gradient covariances of seeds 3 and 4, as a run does."""

    def write(directory, iteration, matrix, *, clock="agent_steps"):
        folder = directory / "diagnostics"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / f"gradient_covariance_{iteration:04d}.npz",
            matrix=np.asarray(matrix, np.float32),
            seeds=np.arange(3, 3 + len(matrix)),
            **{clock: 100 * (iteration + 1)},
        )
        return directory

    return write


_OF_A_RUN = {
    "torso": "@MinAtarTorso()",
    "create_minatar_environment.game_name": "'breakout'",
    "q/create_updater_from_config.pruner_type": "'no_prune'",
    "q/create_updater_from_config.sparsity": "0.0",
    "DQNAgent.replay_ratio": "0.25",
    "DQNAgent.torso": "%torso",
    "torso/MinAtarTorso.width": "1",
    "Runner.agent": "@DQNAgent()",
    "Runner.create_environment_fn": "@create_minatar_environment",
    "Runner.create_source_fn": "@OnlineSource",
    "Runner.num_iterations": "4",
    "Runner.num_seeds": "1",
    "Runner.seed": "0",
    "Runner.training_steps": "100",
}


@pytest.fixture
def write_training():
    """Writes config.gin, with `changes` to a DQN on MinAtar, and rows of {phase: (S, T) returns}.

    A return may be None. Seeds are those of the config; rows come iteration by iteration.
    """

    def write(directory, returns=None, *, rows=(), **changes):
        config = _OF_A_RUN | {name.replace("__", "."): text for name, text in changes.items()}
        directory.mkdir(parents=True)
        lines = [f"# Parameters\n{name} = {text}\n" for name, text in config.items() if text]
        (directory / "config.gin").write_text("".join(lines))
        (directory / "provenance.json").write_text("[]")
        first, offline = int(config["Runner.seed"]), "Dataset" in config["Runner.create_source_fn"]
        made = [
            _row(first + s, t, phase, value, offline)
            for phase, values in (returns or {}).items()
            for s, own in enumerate(values)
            for t, value in enumerate(own)
        ]
        made = sorted(made, key=lambda row: row["iteration"]) + list(rows)
        text = "".join(json.dumps(row) + "\n" for row in made)
        (directory / "metrics.jsonl").write_text(text)
        return directory

    return write


def _row(seed, iteration, phase, value, offline):
    agent_steps = 0 if offline else 100 * (iteration + 1)
    return {
        **{"seed": seed, "iteration": iteration, "phase": phase},
        "clock": "gradient_steps" if offline else "agent_steps",
        "agent_steps": agent_steps,
        "gradient_steps": 100 * (iteration + 1) if offline else agent_steps // 4,
        "frames": 4 * agent_steps,
        **{"sparsity": 0.5, "episode_return_mean": value, "num_episodes": 3},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The file of a page, for a browser."""
    return write_example(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium."""
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def at(browser, page):
    """Opens the page at a width, in light or dark, and gives the browser."""

    def opened(width=1280, scheme="light", file=page):
        open_page(browser, file, width, scheme)
        return browser

    return opened
