"""The command lines on robots' data that are wrong: one line, nothing left."""

import json

import h5py
import numpy as np
import pytest

from prune_rl import train
from prune_rl.dataset_tool import command
from tests.datasets.vector_episodes import play, publish

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAME = "halfcheetah_medium-v2.hdf5"
ARRAYS = play([12, 8], "ot")
_SHORT = (
    *("Runner.num_iterations=1", "Runner.training_steps=2", "Runner.num_eval_episodes=0"),
    *("Dataset.batch_size=4", "MLPTorso.units=8", "MinAtarTorso.width=1"),
)


def _flags(*bindings, agent="bc", files=("suites/mujoco.gin",)):
    given = [x for x in _SHORT if x.partition(".")[0] not in _unused(agent)]
    named = [f"--gin_files={x}" for x in (f"agents/{agent}.gin", *files)]
    return named + [f"--gin_bindings={x}" for x in (*given, *bindings)]


def _unused(agent):
    of_vectors = agent in ("bc", "td3_bc", "awac", "iql", "sac")
    plays = agent in ("sac", "dqn")
    return {"MinAtarTorso" if of_vectors else "MLPTorso", *(["Dataset"] if plays else [])}


@pytest.fixture
def refused(tmp_path, capsys):
    """What is said in one line where training must be refused; `about` what is read of it first."""

    def run(*bindings, about=None, **own):
        capsys.readouterr()
        assert train.main([f"--base_dir={tmp_path / 'run'}", *_flags(*bindings, **own)]) == 2
        lines = capsys.readouterr().err.splitlines()
        told = f"{about}: "
        (line,) = [x for x in lines if not x.startswith((told, "      run "))]
        assert not (tmp_path / "run").exists()
        assert line.startswith("prune_rl.train: ")
        assert "unexpected" not in line
        return line.removeprefix("prune_rl.train: ")

    return run


def _with(name, row, value):
    array = ARRAYS[name].copy()
    array[row] = value
    return {name: array}


def _both():
    return _with("terminals", 11, True)


_OWN = {"game": "HalfCheetah-v5", "run": 1}
# Each: what a file made here says of itself, and what is said of that.
ABOUT = {
    "a list": ([1], "metadata/about: '[1]', expected an object with game and run"),
    "no game": ({"run": 1}, "metadata/about: game='None', expected a text"),
    "run": (_OWN | {"run": True}, "run='True', expected an integer >= 1"),
    "run 0": (_OWN | {"run": 0}, "run='0', expected an integer >= 1"),
    "three borders": (_OWN | {"low": [-1.0] * 3}, "low='[-1.0, -1.0, -1.0]', expected 6 finite n"),
    "a text": (_OWN | {"low": "abcdef"}, "low='abcdef', expected 6 finite numbers"),
    "a number": (_OWN | {"high": 1}, "high='1', expected 6 finite numbers"),
    "nulls": (_OWN | {"high": [None] * 6}, "high='[None, None, None, None, None, None]', expec"),
    "no room": (_OWN | {"low": [1] * 6}, "low=[1, 1, 1, 1, 1, 1], expected less than high=[1, 1"),
    "protocol": (_OWN | {"protocol": "abc"}, "protocol='abc', expected an object"),
    "Hopper": (
        _OWN | {"game": "Hopper-v5"},
        "observations of 17 and actions of 6 numbers, expected those of Hopper-v5, which are 11 an",
    ),
}
# Each: what is changed of D4RL's arrays, which are left out, and what is said of it.
BROKEN = {
    "keys": ({}, ["rewards", "timeouts"], "no rewards, timeouts; expected what D4RL's v1 and v2 h"),
    "both flags": (_both(), [], "terminals and timeouts: row 11 (1 in all) is terminal and timed"),
    "a flag": (
        {"terminals": np.full(20, 2, np.int8)},
        [],
        "terminals: row 0 is 2.0, expected 0 or 1",
    ),
    "NaN observation": (
        _with("observations", 7, np.nan),
        [],
        "observations: row 7 has nan, expected finite numbers",
    ),
    "infinite action": (_with("actions", 3, np.inf), [], "actions: row 3 has inf, expected finit"),
    "NaN reward": (_with("rewards", 19, np.nan), [], "rewards: row 19 has nan, expected finite n"),
    "NaN next observation": (
        _with("next_observations", 11, np.nan),
        [],
        "next_observations: row 11 has nan, expected finite numbers",
    ),
    "lengths": ({"rewards": ARRAYS["rewards"][:-1]}, [], "19 rewards, "),
    "words": (
        {"rewards": np.full(20, b"one")},
        [],
        "rewards: |S3 (20,), expected numbers (n)",
    ),
    "one axis": ({"observations": ARRAYS["rewards"]}, [], "observations: float32 (20,), expected"),
    "sizes": (
        {"actions": ARRAYS["actions"][:, :3]},
        [],
        "observations of 17 and actions of 3 numbers, expected those of HalfCheetah",
    ),
    "bounds": (_with("actions", 5, 1.5), [], ", but that game has -1 to 1"),
    **{f"about: {name}": ({"about": about}, [], said) for name, (about, said) in ABOUT.items()},
    "nothing": (
        {name: own[:0] for name, own in ARRAYS.items()},
        [],
        "no transition",
    ),
}


def _publish(path, but, about=None, **changes):
    publish(path, ARRAYS | changes, but)
    if about is not None:
        with h5py.File(path, "a") as file:
            file["metadata/about"] = json.dumps(about)
    return path


@pytest.mark.parametrize("source", ["DatasetSource", "DeviceDatasetSource"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_wrong_is_one_line(refused, tmp_path, case, source):
    changes, but, said = BROKEN[case]
    path = _publish(tmp_path / NAME, but, **changes)
    bindings = [f"Dataset.path={str(path)!r}", f"Runner.create_source_fn=@{source}"]
    bindings.append(f"{source}.create_dataset_fn=@Dataset")
    line = refused(*bindings, about=path)
    assert said in line
    assert str(path) in line


@pytest.mark.parametrize("case", BROKEN)
def test_verify_says_the_same(tmp_path, capsys, case):
    changes, but, said = BROKEN[case]
    path = _publish(tmp_path / NAME, but, **changes)
    code = command.main(["verify", str(path)])
    out, err = capsys.readouterr()
    told = [x for x in (out + err).splitlines() if not x.startswith("verifying")]
    if err and code == 2:  # what is wrong with the form of it
        assert len(told) == 1
    else:
        assert code == 1
    if case == "bounds":
        said = "actions: row 5 is outside of its game's bounds"
    assert any(said in x for x in told), told
    assert not any("unexpected" in x for x in told)


@pytest.mark.parametrize("place", [10, 900, -200])
def test_a_truncated_file_is_one_line(refused, tmp_path, capsys, place):
    path = publish(tmp_path / NAME, ARRAYS)
    path.write_bytes(path.read_bytes()[:place])
    assert f"{path}: cannot be read: " in refused(f"Dataset.path={str(path)!r}")
    for tool in ("verify", "describe"):
        assert command.main([tool, str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"prune_rl.datasets: {path}: cannot be read: ")


@pytest.mark.parametrize("name", ["halfcheetah_medium-v2.hdf5", "cheetah.hdf5"])
def test_what_is_no_hdf5_or_does_not_say_what_it_is_of(refused, tmp_path, name):
    path = tmp_path / name
    path.write_text("observations, actions\n")
    assert f"{path}: cannot be read: " in refused(f"Dataset.path={str(path)!r}")
    path = publish(tmp_path / "x" / "cheetah.hdf5", ARRAYS)
    expected = f"{path}: does not say which environment it is of; expected a name as halfcheetah_m"
    assert expected in refused(f"Dataset.path={str(path)!r}")


# Each: bindings beside the path of a whole file, and what is said.
WRONG = [
    (
        ["create_mujoco_environment.game_name='HalfCheetah-v5'"],
        "the data are of HalfCheetah-v4, not of the game asked for, HalfCheetah-v5; did you mean "
        "'HalfCheetah-v4'? (in create_mujoco_environment.game_name, or none)",
    ),
    (
        ["create_mujoco_environment.game_name='Hopper-v4'"],
        "the data are of HalfCheetah-v4, not of the game asked for, Hopper-v4; ",
    ),
    (
        ["Runner.create_environment_fn=@create_minatar_environment", "Runner.num_eval_episodes=1"],
        "expected @create_mujoco_environment, for the data are of HalfCheetah-v4",
    ),
    (
        ["Runner.create_environment_fn=None", "Runner.num_eval_episodes=1"],
        "Runner.create_environment_fn: not set; add ",
    ),
    (["Dataset.num_transitions=21"], "Dataset.num_transitions=21: expected at most the 20"),
    (["Dataset.num_transitions=0"], "Dataset.num_transitions=0: expected an integer >= 1"),
    (
        ["Dataset.num_transitions=5", "Dataset.fraction=0.5"],
        "Dataset.fraction=0.5: expected 1.0, for Dataset.num_transitions=5 says how many",
    ),
    (["Dataset.held_out=20"], "Dataset.held_out=20: expected fewer than the 20 transitions"),
    (["Dataset.held_out=-1"], "Dataset.held_out=-1: expected an integer >= 1"),
    (
        ["Dataset.held_out=15", "Dataset.num_transitions=6"],
        "Dataset.num_transitions=6: expected at most the 5 that are not held out",
    ),
    (["Dataset.run=2"], "Dataset.run=2: no such run; expected one of 1"),
    (["Dataset.unit='last'"], "Dataset.unit='last': no such choice; "),
    (
        ["Dataset.num_transitions=5", "Dataset.unit='first'", "Dataset.normalize_rewards=True"],
        "Dataset.normalize_rewards=True: expected complete episodes of different returns",
    ),
    (
        ["Dataset.normalize_observations=True", "Dataset.chunks='chunks'"],
        "Dataset.normalize_observations=True: expected False with Dataset.chunks",
    ),
    (["Dataset.normalization_eps=0"], "Dataset.normalization_eps=0: expected a number > 0"),
    (
        [
            *("Runner.diagnostics=@Diagnostics()", "Diagnostics.quantities=['validation_loss']"),
        ],
        "Diagnostics.quantities='validation_loss': expected fixed data of which some are held out",
    ),
    (["Dataset.held=3"], "Dataset.held"),
]


@pytest.mark.parametrize(("bindings", "said"), WRONG)
def test_what_does_not_fit_the_data_is_one_line(refused, tmp_path, monkeypatch, bindings, said):
    monkeypatch.chdir(tmp_path)
    path = publish(tmp_path / NAME, ARRAYS)
    assert said in refused(f"Dataset.path={str(path)!r}", *bindings, about=path)
    assert [x.name for x in tmp_path.iterdir()] == [NAME]


_MINATAR = ("networks/minatar.gin", "suites/minatar.gin")
_BREAKOUT = "create_minatar_environment.game_name='breakout'"
_CHEETAH = "create_mujoco_environment.game_name='HalfCheetah-v5'"
# Each: an agent, gin files and bindings, and what is said; DATA is a file of vectors, IMAGES one of
# images.
MISMATCHED = [
    ("cql", ("networks/minatar.gin", "suites/mujoco.gin"), ["Dataset.path=DATA"], "numbered act"),
    ("dqn", ("networks/minatar.gin", "suites/mujoco.gin"), [_CHEETAH], "numbered actions, but"),
    ("sac", ("suites/minatar.gin",), [_BREAKOUT], "expected vectors, but this source has numbere"),
    *(
        (agent, ("suites/minatar.gin",), ["Dataset.path=IMAGES"], "but this source has numbered a")
        for agent in ("bc", "iql")
    ),
    *(
        (agent, ("suites/minatar.gin",), ["Dataset.path=IMAGES"], "the data are of images")
        for agent in ("td3_bc", "awac")  # which normalise observations
    ),
    *(
        ("cql", _MINATAR, ["Dataset.path=IMAGES", "Dataset.fraction=1.0", binding], said)
        for binding, said in (
            ("Dataset.normalize_observations=True", "expected False: the data are of images"),
            ("Dataset.num_transitions=5", "expected a fraction: counts are of vectors alone"),
            ("Dataset.unit='first'", "expected a fraction: counts are of vectors alone"),
            ("Dataset.held_out=5", "expected None: some are held out of vectors alone"),
        )
    ),
    *(
        (agent, ("diagnostics/validation.gin", *files), bindings, "expected fixed data of which")
        for agent, files, bindings in (
            ("sac", ("suites/mujoco.gin",), [_CHEETAH]),
            ("dqn", _MINATAR, [_BREAKOUT]),
        )
    ),
]


@pytest.mark.parametrize(("agent", "files", "bindings", "said"), MISMATCHED)
def test_an_agent_and_what_it_cannot_learn_from(
    refused, tmp_path, made_data, agent, files, bindings, said
):
    path = publish(tmp_path / NAME, ARRAYS)
    paths = {"DATA": path, "IMAGES": made_data}
    own = bindings
    for name, there in paths.items():
        own = [x.replace(name, repr(str(there))) for x in own]
    about = made_data if "IMAGES" in str(bindings) else path
    assert said in refused(*own, agent=agent, files=files, about=about)


@pytest.fixture
def minari_set(tmp_path):
    """Makes a folder as Minari's; changes of its metadata, and of its file."""

    def make(metadata=(), change=None, sizes=(11, 3), game="Hopper-v5"):
        folder = tmp_path / "minari" / "mujoco" / "own" / "medium-v0" / "data"
        folder.mkdir(parents=True)

        def box(size, bound):
            space = {"type": "Box", "dtype": "float32", "shape": [size]}
            return json.dumps(space | {"low": [-bound] * size, "high": [bound] * size})

        told = {
            "dataset_id": "mujoco/own/medium-v0",
            "data_format": "hdf5",
            "total_episodes": 2,
            "observation_space": box(sizes[0], float("inf")),
            "action_space": box(sizes[1], 1.0),
            "env_spec": json.dumps({"id": game}),
        } | dict(metadata)
        (folder / "metadata.json").write_text(json.dumps(told))
        rng = np.random.default_rng(0)
        with h5py.File(folder / "main_data.hdf5", "w") as file:
            for number, steps in enumerate((6, 9)):
                group = file.create_group(f"episode_{number}")
                group["observations"] = rng.normal(size=(steps + 1, sizes[0]))
                group["actions"] = rng.uniform(-1, 1, (steps, sizes[1]))
                group["rewards"] = rng.normal(size=steps)
                group["terminations"] = np.arange(steps) == steps - 1
                group["truncations"] = np.zeros(steps, bool)
            if change is not None:
                change(file)
        return folder

    return make


def _space(**own):
    return json.dumps({"type": "Box", "dtype": "float32", "shape": [3]} | own)


def _no_episode(file):
    del file["episode_1"]


def _spoil(name, row, value):
    def change(file):
        file[f"episode_1/{name}"][row] = value

    return change


def _cut(file):
    rewards = file["episode_1/rewards"][:-1]
    del file["episode_1/rewards"]
    file["episode_1/rewards"] = rewards


_ENDLESS = _space(low=[float("-inf")] * 3, high=[float("inf")] * 3)
MINARI = {
    "unbounded actions": (
        {"action_space": _ENDLESS},
        None,
        "Runner.agent=BCAgent: expected actions between two finite borders",
    ),
    "numbered actions": (
        {"action_space": json.dumps({"type": "Discrete", "n": 4})},
        None,
        "action_space: a Discrete; expected a Box of one axis: vectors",
    ),
    "images": (
        {"observation_space": _space(shape=[8, 8, 3], low=[0], high=[255])},
        None,
        "observation_space: a Box of shape [8, 8, 3]; expected a Box of one axis: vectors",
    ),
    "arrow": ({"data_format": "arrow"}, None, "data_format='arrow': expected 'hdf5'"),
    "no space": ({"action_space": "{"}, None, "action_space: '{' is no space as Minari writes it"),
    "no game": ({"env_spec": None}, None, "env_spec: expected the specification of the environ"),
    "fewer episodes": ({}, _no_episode, "no episode_1, which metadata.json counts"),
    "lengths": ({}, _cut, "episode_1 observations: float64 (10, 11), expected numbers (9, 11)"),
    "NaN": ({}, _spoil("observations", 4, np.nan), "episode_1/observations: row 4 has nan, expec"),
    **{
        f"prune_rl: {name}": ({"prune_rl": about}, None, said)
        for name, (about, said) in {
            "text": ("game", "prune_rl: 'game', expected an object with game and run"),
            "no run": ({"game": "Hopper-v5"}, "prune_rl: run='None', expected an integer >= 1"),
            "protocol": (
                {"game": "Hopper-v5", "run": 1, "protocol": "x"},
                "prune_rl: protocol='x', expected an object",
            ),
            "another game": (
                {"game": "HalfCheetah-v5", "run": 1},
                "observations of 11 and actions of 3 numbers, expected those of HalfCheetah-v5, wh",
            ),
        }.items()
    },
    "goes on": ({}, _spoil("truncations", 2, True), "episode_1: goes on after step 2, with whic"),
    "bounds": ({}, _spoil("actions", 3, 1.5), "but that game has -1 to 1"),
}


@pytest.mark.parametrize("case", MINARI)
def test_a_set_of_minari_that_is_wrong_is_one_line(refused, minari_set, case):
    metadata, change, said = MINARI[case]
    folder = minari_set(metadata, change)
    line = refused(f"Dataset.path={str(folder)!r}", about=folder)
    assert said in line
    assert str(folder) in line or case == "unbounded actions"


def test_a_truncated_set_of_minari_is_one_line(refused, minari_set):
    folder = minari_set()
    path = folder / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-3000])
    assert f"{path}: cannot be read: " in refused(f"Dataset.path={str(folder)!r}", about=folder)
    path.unlink()
    assert f"{folder}: no main_data.hdf5" in refused(f"Dataset.path={str(folder)!r}")


@pytest.mark.parametrize(
    ("game", "sizes", "said"),
    [
        ("Hopper-v5", (11, 3), "D4RL's of that game are taken"),
        ("Humanoid-v5", (348, 17), "returns cannot be normalised"),
    ],
)
def test_a_set_without_reference_scores_says_so_and_is_learned_from(
    tmp_path, capsys, minari_set, game, sizes, said
):
    bound = 0.4 if game == "Humanoid-v5" else 1.0
    space = {"type": "Box", "dtype": "float32", "shape": [sizes[1]]}
    space |= {"low": [-bound] * sizes[1], "high": [bound] * sizes[1]}

    def change(file):
        for group in file.values():
            group["actions"][:] *= bound

    folder = minari_set({"action_space": json.dumps(space)}, change, sizes, game)
    flags = _flags(f"Dataset.path={str(folder)!r}")
    assert train.main([f"--base_dir={tmp_path / 'run'}", *flags]) == 0
    lines = capsys.readouterr().err.splitlines()
    expected = f"      run 1: no reference scores in metadata.json: {said}"
    assert [x for x in lines if "reference scores" in x] == [expected]
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    told = provenance[0]["protocol"]["reference_scores"]
    assert (told is None) == (game == "Humanoid-v5")


_EVALUATED = "Runner.num_eval_episodes=1"


def test_a_robot_that_is_not_played_here_is_learned_from_alone(refused, minari_set, tmp_path):
    """As Minari's Swimmer and Adroit."""
    folder = minari_set(sizes=(8, 2), game="Swimmer-v5")
    path = f"Dataset.path={str(folder)!r}"
    line = refused(path, _EVALUATED, about=folder)
    assert "the data are of Swimmer-v5, which is not played here" in line
    assert "Runner.num_eval_episodes=0" in line
    assert train.main([f"--base_dir={tmp_path / 'run'}", *_flags(path)]) == 0


def test_ant_of_d4rls_files_is_not_evaluated(refused, tmp_path):
    path = publish(tmp_path / "ant_medium-v2.hdf5", play([6], "o", (111, 8)))
    line = refused(f"Dataset.path={str(path)!r}", _EVALUATED, about=path)
    shown = [
        f"observations of {x} float32 and actions of 8 numbers from -1 to 1" for x in (27, 111)
    ]
    assert f"{shown[0]}; expected what the data have, {shown[1]}; to learn from them alone" in line
    assert "Runner.num_eval_episodes=0" in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--format=d4rl", "--gin_files=agents/dqn.gin", *_MINATAR], "images or numbered actions"),
        (
            ["--format=dqn_replay", "--gin_files=agents/sac.gin", "suites/mujoco.gin"],
            "a dataset of HalfCheetah-v5: expected frames of uint8 images",
        ),
        (
            ["--format=d4rl", "--gin_files=agents/iql.gin", "suites/mujoco.gin"],
            "Dataset.path: not set; name a dataset",
        ),
    ],
)
def test_what_cannot_be_made_is_one_line(tmp_path, capsys, flags, said):
    form, agent, *files = flags
    game = _BREAKOUT if "minatar" in str(files) else _CHEETAH
    own = [form, agent, *(f"--gin_files={x}" for x in files)]
    if "iql" not in agent:
        own.append(f"--gin_bindings={game}")
    made = ["make", f"--out={tmp_path / 'made'}", "--agent_steps=5", *own]
    assert command.main(made) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "unexpected" not in line
    assert list(tmp_path.iterdir()) == []
