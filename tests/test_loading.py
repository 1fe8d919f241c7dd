"""Agents loaded from run directories of every kind, against their checkpoints and NumPy."""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import shutil
from typing import ClassVar

import gin
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from prune_rl import configuration, randomness
from prune_rl.acting.evaluation import Evaluation
from prune_rl.acting.lanes import Lanes, acting
from prune_rl.acting.policy import Policy
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import ConfigError
from prune_rl.learning.seed_axis import Separate
from prune_rl.loading import load_run, load_seeds
from prune_rl.results import read_results

from .begun_runs import KINDS, OF_ROBOTS_DATA, begin

pytestmark = pytest.mark.usefixtures("quick_compiling")
_FILE = "checkpoints/0/seed_{}.safetensors"


@pytest.fixture(scope="module")
def games(tmp_path_factory, quick_compiling):
    """Data of MinAtar Breakout, of random play."""
    from prune_rl.dataset_tool.making import create_runner, make

    out = tmp_path_factory.mktemp("made") / "data"
    bindings = ["Runner.num_seeds=1", "DQNAgent.min_replay_history=1000"]
    create = functools.partial(
        create_runner,
        agent_steps=60,
        gin_files=["experiments/minatar_breakout.gin"],
        gin_bindings=bindings,
    )
    make(out, format="dqn_replay", agent_steps=60, create_runner=create, checkpoint_rows=100)
    gin.clear_config()
    return out


@pytest.fixture(scope="module")
def begun(tmp_path_factory, request):
    """The directory of a run of that kind, begun once: to read only."""

    @functools.cache
    def of_kind(kind):
        data = request.getfixturevalue("games") if kind == "cql_c51" else None
        return begin(kind, tmp_path_factory.mktemp(kind), data)

    return of_kind


@pytest.fixture
def own_run(begun, tmp_path):
    """A copy of the directory of the DQN's run, to damage."""
    return shutil.copytree(begun("dqn"), tmp_path / "run")


def observations_of(run, count=5, seed=0):
    """Random ones, raw."""
    rng, spec = np.random.default_rng(seed), run.observation_spec
    if spec.dtype == np.uint8:
        return rng.integers(0, 256, (count, *spec.shape)).astype(np.uint8)
    return rng.normal(3, 2, (count, *spec.shape)).astype(np.float32)


def networks_in(directory, seed, folder=0):
    """{network: {tensor's path: array}} of a checkpoint's file."""
    flat = load_file(directory / f"checkpoints/{folder}/seed_{seed}.safetensors")
    found = {}
    for name, array in flat.items():
        parts = name.split("/")
        if parts[:2] == ["agent", "networks"] and parts[3] == "params":
            found.setdefault(parts[2], {})["/".join(parts[4:])] = array
    return found


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): np.asarray(x) for k, x in leaves}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_is_loaded_as_it_acts(begun, kind):
    directory = begun(kind)
    start = json.loads((directory / "provenance.json").read_text())[-1]
    for run in load_seeds(directory):
        stored = networks_in(directory, run.seed)
        assert set(run.params) == set(run.masks) == set(stored) == set(run.agent.networks)
        pruned = 0
        for name, tensors in stored.items():
            own, masks = flat(run.params[name]), flat(run.masks[name])
            assert own.keys() == tensors.keys()
            for path, array in tensors.items():
                np.testing.assert_array_equal(own[path], array)
                if path in masks:
                    assert (masks[path].shape, masks[path].dtype) == (array.shape, bool)
                    # Weights that are kept begin as anything but 0.
                    np.testing.assert_array_equal(masks[path], array != 0)
                    pruned += (~masks[path]).sum()
        assert pruned
        assert (run.agent_steps, run.gradient_steps, run.diverged_at) == (0, 0, 0)
        assert run.game == start["protocol"]["game"]
        assert run.config == (directory / "config.gin").read_text()
        _assert_it_acts_as_its_evaluation(run)


def _assert_it_acts_as_its_evaluation(run):
    """By the learner's own program of one seed, on what its games would show it."""
    seen, keys = observations_of(run), np.zeros((1, 2), np.uint32)
    shown = run.scale(seen) if run.scale else seen
    params = Separate([run.params])
    numbers = [0.0] * len(run.agent.exploration_eval)
    expected = [run.learner.act_eval(params, keys, own[None], *numbers)[0] for own in shown]
    expected = np.concatenate(expected)
    actions = run.act(seen)
    assert (actions.shape, actions.dtype) == (expected.shape, run.action_spec.dtype)
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)
    one = run.act(seen[2])
    assert one.shape == run.action_spec.shape
    np.testing.assert_allclose(one, expected[2], rtol=1e-4, atol=1e-5)
    assert run.act(seen[:0]).shape == (0, *run.action_spec.shape)
    values = run.values(seen)
    if "critic" not in run.params and "q" not in run.params:
        assert values is None
    elif "q" in run.params:
        assert values.shape == (5, run.action_spec.num_actions)
        np.testing.assert_array_equal(values.argmax(axis=1), actions)
        np.testing.assert_allclose(run.values(seen[1]), values[1], rtol=1e-3, atol=1e-4)
    else:
        assert values.shape == (5,)
        assert run.values(seen[1]).shape == ()


def _dense(layer, x):
    return x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])


def test_a_dqn_acts_by_what_numpy_makes_of_its_weights(trained_minatar, quick_compiling):
    directory = trained_minatar(files=("pruning/magnitude.gin",))
    run = load_run(directory, seed=1)
    assert run.sparsity == pytest.approx(0.95, abs=2e-3)
    params = {
        name: {x: np.where(run.masks["q"]["params"][a][name][x], y, 0) if x == "kernel" else y
               for x, y in own.items()}
        for a, group in run.params["q"]["params"].items() if a == "torso"
        for name, own in group.items()
    }  # fmt: skip
    head = run.params["q"]["params"]["head"]
    seen = observations_of(run, 200)
    image = np.float64(seen[:, 0]) / 255
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))
    kernel = np.float64(params["Conv_0"]["kernel"])
    x = np.einsum("bhwcij,ijco->bhwo", windows, kernel) + np.float64(params["Conv_0"]["bias"])
    x = np.maximum(x, 0).reshape(len(seen), -1)
    q = _dense(head, np.maximum(_dense(params["Dense_0"], x), 0))
    np.testing.assert_allclose(run.values(seen), q, rtol=1e-4, atol=1e-5)
    clear = np.diff(np.sort(q, axis=1)[:, -2:], axis=1)[:, 0] > 1e-4
    assert clear.sum() > 150
    np.testing.assert_array_equal(run.act(seen)[clear], q.argmax(axis=1)[clear])


def _mlp(layers, x, member=()):
    own = jax.tree.map(lambda leaf: np.float64(leaf)[member], layers)
    for name in ("Dense_0", "Dense_1"):
        x = np.maximum(_dense(own["torso"][name], x), 0)
    return _dense(own["head"], x)


def test_sac_acts_and_judges_by_what_numpy_makes_of_its_weights(begun):
    run = load_run(begun("sac"), seed=1)
    seen = observations_of(run, 50)
    actor, critic = (run.params[name]["params"] for name in ("actor", "critic"))
    actions = np.tanh(_mlp(actor, np.float64(seen))[:, :6])
    np.testing.assert_allclose(run.act(seen), actions, rtol=1e-4, atol=1e-5)
    kernel, mask = (
        x["critic"]["params"]["torso"]["Dense_0"]["kernel"] for x in (run.params, run.masks)
    )
    np.testing.assert_array_equal(mask, np.asarray(kernel) != 0)
    both = np.concatenate([seen, actions], axis=1)
    values = [_mlp(critic, both, (member,))[:, 0] for member in (0, 1)]
    assert (values[0] != values[1]).all()
    np.testing.assert_allclose(run.values(seen), np.minimum(*values), rtol=1e-3, atol=1e-4)


def test_raw_observations_are_put_on_the_datas_scale(begun):
    run = load_run(begun("td3_bc"), seed=1)
    stored = load_file(begun("td3_bc") / _FILE.format(1))
    np.testing.assert_array_equal(run.scale.mean, stored["source/replay/observations/mean"])
    seen = observations_of(run)
    scaled = (np.float64(seen) - run.scale.mean) / run.scale.scale
    actor = run.params["actor"]["params"]
    actions = np.tanh(_mlp(actor, scaled.astype(np.float32)))
    np.testing.assert_allclose(run.act(seen), actions, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(run.act(seen.astype(np.float64)), run.act(seen))


def test_games_show_raw_observations_and_lanes_those_of_the_scale(begun):
    run = load_run(begun("td3_bc"), seed=1)
    lanes = Lanes(run, 1, act=acting(run.learner), number=5, exploration=[0.0])
    looks = []
    with contextlib.closing(lanes):
        lanes.play(1, watch=lambda own: looks.append((own.observation.copy(), own.action.copy())))
    raw = run.create_games([randomness.lane_seed(1, 5, 0)])[0]
    frame = raw.reset()
    for observation, action in looks[:3]:
        np.testing.assert_allclose(observation, (frame - run.scale.mean) / run.scale.scale, 1e-4)
        np.testing.assert_allclose(run.act(frame), action, 1e-4, 1e-5)
        frame, _, _ = raw.step(action)


class _Recorded(Policy):
    """Notes what it was shown and did."""

    seen: ClassVar[list] = []

    def exploit(self, params, keys, observations):
        actions, keys = super().exploit(params, keys, observations)
        self.seen.append((observations.copy(), actions))
        return actions, keys


def test_it_does_what_an_evaluation_without_exploration_does(trained_minatar, quick_compiling):
    run = load_run(trained_minatar(files=("pruning/magnitude.gin",)))
    policy = _Recorded(dataclasses.replace(run.agent, epsilon_eval=0.0), run.learner)
    games = EnvironmentBatch(run.create_games([11]), run.max_steps_per_episode)
    keys = np.zeros((1, 2), np.uint32)
    params = Separate([run.params])
    evaluation = Evaluation(policy, games, params=params, keys=keys, num_steps=60)
    evaluation.start()
    while not evaluation.done:
        evaluation.step()
    shown = np.concatenate([x for x, _ in policy.seen])
    np.testing.assert_array_equal(run.act(shown), np.concatenate([x for _, x in policy.seen]))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.zeros((2, 10, 10, 4), np.uint8), r"\(2, 10, 10, 4\) uint8"),
        (np.zeros((3, 2, 1, 10, 10, 4), np.uint8), r"\(3, 2, 1, 10, 10, 4\)"),
        (np.zeros((2, 1, 10, 10, 4), np.float32), r"\(2, 1, 10, 10, 4\) float32"),
        (np.zeros((2, 1, 10, 10, 4), np.int64), r"\(2, 1, 10, 10, 4\) int64"),
        (np.zeros((1, 10, 10, 4), np.uint16), r"\(1, 10, 10, 4\) uint16"),
    ],
)
def test_other_observations_are_refused_in_one_line(begun, given, found):
    run = load_run(begun("dqn"))
    shapes = r"\(1, 10, 10, 4\) or \(B, 1, 10, 10, 4\)"
    expected = rf"^observations: {found}.*; expected {shapes} uint8(: add .*)?$"
    for ask in (run.act, run.values):
        with pytest.raises(ConfigError, match=expected):
            ask(given)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (np.zeros((10, 10, 4), np.uint8), r"uint8: add the axis of frames by np\.expand_dims\(.*"),
        (np.zeros((3, 10, 10, 4), np.uint8), r"uint8: add the axis of frames by np\.expand_dims"),
        (np.zeros((1, 10, 10, 4), bool), r"bool; .* uint8: the games here show what is set as 255"),
        ([[1], [1, 2]], "^observations: lists of unequal lengths; expected an array$"),
    ],
)
def test_images_given_otherwise_are_told_how_they_fit(begun, given, line):
    run = load_run(begun("dqn"))
    with pytest.raises(ConfigError, match=line) as caught:
        run.act(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [True, 4.0, "4", [4]])
def test_a_seed_is_an_integer(own_run, seed):
    with pytest.raises(ConfigError, match=r"seed=.*: expected one of the run's: 4, 5$"):
        load_run(own_run, seed=seed)


@pytest.mark.parametrize("read", [load_run, read_results])
def test_a_directory_is_a_path(read):
    with pytest.raises(ConfigError, match=r"^directory=None: expected a path, as 'runs/x'$"):
        read(None)


def test_a_run_is_only_read_and_its_lock_left_to_who_runs_it(own_run):
    def snapshot():
        stats = {path: path.stat() for path in sorted(own_run.rglob("*"))}
        return {x: (s.st_mtime_ns, s.st_size, s.st_ino) for x, s in stats.items()}

    (own_run / "checkpoints/1.part").mkdir()  # that is being written
    before = snapshot()
    with (own_run / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run = load_run(own_run)
        run.values(observations_of(run))
    assert snapshot() == before


def test_seeds_are_loaded_together_or_by_number(begun):
    directory = begun("dqn")
    both = load_seeds(directory)
    assert [(run.seed, run.seeds) for run in both] == [(4, (4, 5)), (5, (4, 5))]
    assert [load_run(directory, seed=own).seed for own in (None, 5)] == [4, 5]
    (one,) = load_seeds(directory, [5, 5])
    kernels = [x.params["q"]["params"]["head"]["kernel"] for x in (*both, one)]
    assert (kernels[0] != kernels[1]).any()
    np.testing.assert_array_equal(kernels[1], kernels[2])
    for load in (lambda: load_run(directory, seed=6), lambda: load_seeds(directory, [4, 6])):
        with pytest.raises(ConfigError, match=r"seed=6: expected one of the run's: 4, 5$"):
            load()


def test_the_newest_whole_checkpoint_is_loaded(own_run, capsys):
    shutil.copytree(own_run / "checkpoints/0", own_run / "checkpoints/1")
    (own_run / "checkpoints/1/manifest.json").write_text("{")
    assert load_run(own_run).gradient_steps == 0
    assert "checkpoint 1 is damaged" in capsys.readouterr().err


def _without_specs(own_run):
    path = own_run / "provenance.json"
    starts = json.loads(path.read_text())
    for name in ("observation_spec", "action_spec"):
        del starts[-1][name]
    path.write_text(json.dumps(starts))


def test_a_run_from_before_specs_were_recorded_asks_its_game(own_run):
    expected = load_run(own_run)
    _without_specs(own_run)
    run = load_run(own_run)
    assert run.observation_spec == expected.observation_spec
    assert run.action_spec == expected.action_spec


def test_data_from_before_specs_were_recorded_are_asked_for_another_start(begun, tmp_path):
    own_run = shutil.copytree(begun("bc"), tmp_path / "run")
    _without_specs(own_run)
    with pytest.raises(
        ConfigError, match=r"did not record what its data look like.*go on with it$"
    ):
        load_run(own_run)


@pytest.mark.parametrize("kind", OF_ROBOTS_DATA[:1])
def test_a_policy_of_data_alone_is_played_on_their_game(begun, kind):
    run = load_run(begun(kind))
    (game,) = run.create_games([3])
    assert game.protocol["game"] == run.game == "HalfCheetah-v4"
    (other,) = run.create_games([3], "HalfCheetah-v5")
    assert other.protocol["game"] == "HalfCheetah-v5"
    with pytest.raises(ConfigError, match=r"^game 'Hopper-v5': it has .* the agent expects"):
        run.create_games([3], "Hopper-v5")
    with pytest.raises(ConfigError, match="did you mean 'HalfCheetah-v5'"):
        run.create_games([3], "HalfCheeta-v5")


def _remove(name):
    return lambda run: shutil.rmtree(run / name) if (run / name).is_dir() else os.remove(run / name)


def _write(name, text):
    return lambda run: (run / name).write_text(text)


def _flip(run):
    path = run / _FILE.format(4)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_remove("checkpoints"), "run: no checkpoint yet"),
        (_remove("checkpoints/0"), "run: no checkpoint yet"),
        (_remove("provenance.json"), "provenance.json: not there yet"),
        (_remove("config.gin"), r"run: holds no run \(config.gin\)"),
        (_flip, "checkpoint 0 is damaged .*its bytes are not those that were written"),
        (_write("checkpoints/0/manifest.json", "{"), "checkpoint 0 is damaged .*cannot be read"),
        (_write("provenance.json", "[]"), "provenance.json: is not a list of starts"),
        (_write("provenance.json", "[1]"), "provenance.json: is not a list of starts"),
        (_write("config.gin", "DQNAgent.gama = 3"), "did you mean 'gamma'"),
        (_write("config.gin", "Runner.seed = 3"), "config.gin: says nothing of Runner.agent"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(own_run, damage, expected):
    damage(own_run)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_run(own_run)
    assert "\n" not in str(caught.value)


_COPY = "; put back a copy of what is named$"
_ON_PATH = "or put that on PYTHONPATH$"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_write("checkpoints/0/manifest.json", "{"), rf"/run: checkpoint 0 is damaged .*{_COPY}"),
        (_write("config.gin", "DQNAgent.gama = 3"), "/run/config.gin: DQNAgent has no parameter"),
        (
            _write("config.gin", "import my_own_pruning"),
            "/run/config.gin: cannot import: No module named 'my_own_pruning'.*; "
            rf"run it in the folder of my_own_pruning\.py, {_ON_PATH}",
        ),
        (
            _write("config.gin", "import my_own.pruning"),
            rf"No module named 'my_own'.*; run it in the folder of my_own/, {_ON_PATH}",
        ),
        (
            lambda run: (
                _write("config.gin", "import needs_other")(run),
                _write("needs_other.py", "import not_installed")(run),
            ),
            r"No module named 'not_installed'[^;]*$",
        ),
    ],
)
def test_what_is_wrong_is_told_of_the_run_and_not_of_flags_for_training(
    own_run, monkeypatch, damage, expected
):
    damage(own_run)
    monkeypatch.syspath_prepend(own_run)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_run(own_run)
    assert str(caught.value).startswith(str(own_run))
    assert "--" not in str(caught.value)


def test_a_wrong_directory_is_told_what_it_is(begun, own_run, tmp_path):
    with pytest.raises(ConfigError, match=r"ru: no such directory; .*did you mean 'run'"):
        load_run(tmp_path / "ru")
    shutil.copytree(own_run, tmp_path / "other/run")
    folder = tmp_path
    with pytest.raises(ConfigError, match=r"holds 2 runs, .*name one of \S*/other/run, \S*/run$"):
        load_run(folder)
    with pytest.raises(ConfigError, match="lock: no such directory"):
        load_run(own_run / "lock")


def _gin_now():
    own = gin.config
    return (
        gin.config_str(),
        gin.operative_config_str(),
        gin.config_is_locked(),
        list(own._LOCATION_PREFIXES),
        list(own._FILE_READERS),
        set(own._IMPORTS),
        dict(own._SINGLETONS),
    )


def test_gin_is_afterwards_what_it_was(begun, own_run):
    (own_run / "config.gin").write_text("DQNAgent.gamma = 3.5\nRunner.agent = @DQNAgent()")
    directory = begun("sac")
    for locked in (True, False):
        configuration.load(["agents/dqn.gin"], ["DQNAgent.gamma=0.5", "own = 3"])
        gin.get_configurable("DQNAgent")()  # so that something is operative
        if not locked:
            gin.config._set_config_is_locked(False)
        gin.config._SINGLETONS["own"] = 3
        before = _gin_now()
        with gin.config_scope("actor"):
            run = load_run(directory)
            for ask in (run.act, run.values):
                ask(observations_of(run))
            run.create_games([3])
            assert gin.current_scope_str() == "actor"
        for wrong in (own_run, own_run / "no"):
            with pytest.raises(ConfigError):
                load_run(wrong)
        assert _gin_now() == before
        with gin.unlock_config():
            gin.bind_parameter("DQNAgent.gamma", 0.25)
        assert gin.get_configurable("DQNAgent")().gamma == 0.25
