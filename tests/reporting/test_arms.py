"""What runs are called: by every shipped agent and figure, and by what was changed."""

import collections
import inspect
import itertools

import gin
import pytest

from prune_rl import configuration, gin_files
from prune_rl.environments.suite import Suite
from prune_rl.grid import Grid
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.reporting.arms import contradicts, read_setup, tell_apart
from prune_rl.reporting.config import read_config

_EXPERIMENTS = [x for x in gin_files.shipped_gin_files() if x.startswith("experiments/")]
_APART = {  # what the arms of a grid do not name
    "experiments/minatar_scaling_large.gin": ("learning_rate=0.00025", "learning_rate=6.25e-05"),
    "experiments/sparse_reg_table_2.gin": ("units=64", "units=128", "units=256"),
}
_PRUNING = [x for x in gin_files.shipped_gin_files() if x.startswith("pruning/")]


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


@pytest.fixture
def setup_of(tmp_path):
    """What gin files and bindings come to, by the text that gin writes."""

    def read(files, bindings=()):
        configuration.load(files, bindings)
        (tmp_path / "config.gin").write_text(gin.config_str())
        return read_setup(read_config(tmp_path))

    return read


@pytest.mark.parametrize(
    "name", ["dqn", "c51", "rainbow", "full_rainbow", "der", "drq_eps", "cql", "cql_c51"], ids=str
)
def test_agents_are_called_as_their_files(setup_of, name):
    setup = setup_of([f"agents/{name}.gin"])
    assert setup.agent == name
    assert setup.arm == f"{name} nature x1 dense"


@pytest.mark.parametrize("name", ["der", "drq_eps", "full_rainbow", "rainbow"])
def test_agents_of_minatar_are_called_as_those_of_atari(setup_of, name):
    setup = setup_of([f"experiments/minatar_breakout_{name}.gin"])
    assert (setup.agent, setup.torso, setup.game) == (name, "minatar", "breakout")
    assert setup.replay_ratio == (1 if name in ("der", "drq_eps") else 0.25)


def test_a_mix_of_rainbows_parts_is_rainbow(setup_of):
    assert setup_of(["agents/rainbow.gin"], ["RainbowAgent.dueling = True"]).agent == "rainbow"
    c51_of_three_steps = ["RainbowAgent.update_horizon = 3"]
    assert setup_of(["agents/c51.gin"], c51_of_three_steps).agent == "rainbow"
    assert setup_of(["agents/der.gin"], c51_of_three_steps).agent == "full_rainbow"


@pytest.mark.parametrize("name", _EXPERIMENTS)
def test_arms_of_a_grid_are_as_many_as_its_kinds(setup_of, tmp_path, name):
    """So no two of its kinds are put into one curve, and each is of all games in one."""
    configuration.load([name], [])
    kinds = list(Grid().kinds()) if "Grid.axes" in gin.config_str() else []
    games = (Grid().games or Suite().games) if kinds else ("",)
    first, last = (f'game_name="{own}"' for own in (games[0], games[-1]))
    runs = []
    for kind, game in itertools.product(kinds, (first, last)):
        bindings = [x.replace(first, game) for x in kind.cell.gin_bindings]
        setup = setup_of(kind.cell.gin_files, bindings)
        runs.append((setup.arm, setup.game, read_config(tmp_path)))
    assert len({game for _, game, _ in runs}) == (min(2, len(games)) if kinds else 0)
    apart = tell_apart(runs)
    named = {f"{arm} {words}" for (arm, _, _), words in zip(runs, apart, strict=True)}
    assert len(named) == len(kinds)
    assert set(apart) <= {"", *_APART.get(name, ())}
    assert set(apart) >= {*_APART.get(name, ())}


@pytest.mark.parametrize("name", _PRUNING)
def test_the_schedule_of_a_pruners_own_file_is_not_named(setup_of, name):
    if "actor" in name or "critic" in name:
        return
    files = ["agents/dqn.gin", name]
    if name == "pruning/schedule_40m_of_100m.gin":
        files.insert(1, "pruning/magnitude.gin")
    setup = setup_of(files)
    named = {
        "pruning/schedule_40m_of_100m.gin": " polynomial 500,000-2,000,000",
        "pruning/sparse_reg.gin": " periodic 0-200,000",
        "pruning/nm.gin": " one_shot 20%",
    }
    sparsity = "50%" if name == "pruning/nm.gin" else "95%"
    expected = "dense" if name == "pruning/none.gin" else f"{setup.pruner} {sparsity}"
    assert setup.arm == f"dqn nature x1 {expected}{named.get(name, '')}"


@pytest.mark.parametrize(
    ("bindings", "schedule"),
    [
        ([], "polynomial 20%-80%"),
        (["update_start_step = 0.1"], "polynomial 10%-80%"),
        (["update_start_step = 5_000", "update_end_step = 0.5"], "polynomial 5,000-50%"),
        (["schedule_type = 'periodic'"], "periodic 0-80%"),
        (["schedule_type = 'one_shot'"], "one_shot 0"),
        (["schedule_type = 'none'"], ""),
    ],
)
def test_schedules_have_the_defaults_of_pruning(setup_of, bindings, schedule):
    own = ["pruner_type = 'magnitude'", "sparsity = 0.5", *bindings]
    made = setup_of(["agents/dqn.gin"], [f"create_updater_from_config.{x}" for x in own])
    assert made.schedule == schedule
    defaults = inspect.signature(create_updater_from_config).parameters
    assert defaults["schedule_type"].default == "polynomial"
    assert defaults["update_start_step"].default is None


@pytest.mark.parametrize(
    ("files", "bindings", "arm"),
    [
        (["networks/impala.gin"], ["ImpalaTorso.width = 3"], "dqn impala x3 dense"),
        ([], ["NatureTorso.global_average_pooling = True"], "dqn nature x1 pooled dense"),
        ([], ["DQNAgent.replay_ratio = 2"], "dqn nature x1 dense ratio 2"),
        ([], ["DQNAgent.precision = 'bf16'"], "dqn nature x1 dense bf16"),
        (["plasticity/redo.gin"], [], "dqn nature x1 dense redo"),
        (["plasticity/l2.gin"], [], "dqn nature x1 dense l2"),
        (["plasticity/weight_decay.gin"], [], "dqn nature x1 dense weight_decay"),
        (["plasticity/l2_unit_norm.gin"], [], "dqn nature x1 dense l2_unit_norm"),
        (
            ["pruning/magnitude.gin"],
            ["Runner.interventions = [@Reset(), @ReDo()]"],
            "dqn nature x1 magnitude 95% reset+redo",
        ),
        (
            ["pruning/magnitude.gin"],
            ["create_updater_from_config.sparsity = 0.995"],
            "dqn nature x1 magnitude 99.5%",
        ),
    ],
)
def test_arms_name_what_is_not_as_usual(setup_of, files, bindings, arm):
    assert setup_of(["agents/dqn.gin", *files], bindings).arm == arm


def test_offline_agents_have_no_replay_ratio(setup_of):
    setup = setup_of(["agents/cql.gin"])
    assert setup.replay_ratio == 0


def test_agents_of_several_networks_and_no_torso_are_described_too():
    config = {
        "actor/create_updater_from_config.pruner_type": "'magnitude'",
        "actor/create_updater_from_config.sparsity": "0.9",
        "critic/create_updater_from_config.pruner_type": "'magnitude'",
        "critic/create_updater_from_config.sparsity": "0.5",
        "critic/create_optimizer.weight_decay": "1e-4",
        "Runner.agent": "@SACAgent()",
        "Runner.create_environment_fn": "@pendulum",
        "Runner.interventions": "[@actor/Reset(), @a.module.Shrink()]",
        "SACAgent.replay_ratio": "0.25",
    }
    setup = read_setup(config)
    pruned = "actor magnitude 90%, critic magnitude 50%"
    assert setup.arm == f"sac {pruned} reset+shrink+weight_decay ratio 0.25"
    assert (setup.game, setup.width, setup.torso) == ("pendulum", 1, "")
    other = config | {"critic/create_updater_from_config.update_freq": "7"}
    again = config | {"critic/create_updater_from_config.update_freq": "9"}
    runs = [(read_setup(own).arm, "pendulum", own) for own in (other, again)]
    assert tell_apart(runs) == ["critic/update_freq=7", "critic/update_freq=9"]


_MUJOCO = ["create_mujoco_environment.game_name = 'HalfCheetah-v5'"]


@pytest.mark.parametrize("name", ["sac", "bc", "td3_bc", "awac", "iql"])
def test_agents_on_vectors_are_called_as_their_files(setup_of, name):
    setup = setup_of([f"agents/{name}.gin", "suites/mujoco.gin"], _MUJOCO)
    assert (setup.agent, setup.torso, setup.game) == (name, "mlp", "HalfCheetah-v5")
    assert setup.arm == f"{name} mlp x1 dense"
    assert setup_of([f"agents/{name}.gin"], ["MLPTorso.width = 3"]).arm == f"{name} mlp x3 dense"


_SPARSE = "global_snip 95% periodic 0-200,000"


@pytest.mark.parametrize(
    ("path", "count", "words"),
    [
        ("'data/d4rl/expert'", 5_000, "expert 5k "),
        ("'/far/halfcheetah_medium_replay-v2.hdf5'", 500, "medium-replay 500 "),
        ("'mujoco/halfcheetah/medium-v0'", 12_500, "medium 12.5k "),
        ("'data/medium/'", None, "medium "),
        ("'data/cheetah'", 100_000, "100k "),
        ("'data/experts'", None, ""),
        ("[('a/expert', 2_500), ('medium_replay', 7_500)]", None, "expert+medium-replay 10k "),
    ],
)
def test_arms_name_the_data_that_they_learn_from(setup_of, path, count, words):
    data = [f"Dataset.path = {path}", f"Dataset.num_transitions = {count}"]
    setup = setup_of(["agents/iql.gin", "pruning/sparse_reg.gin"], data)
    assert setup.arm == f"iql mlp x1 {words}{_SPARSE}"
    online = setup_of(["agents/sac.gin", "suites/mujoco.gin"], [*_MUJOCO, *data])
    assert online.arm == "sac mlp x1 dense"


@pytest.mark.parametrize(
    "name", ["dropout", "layer_norm", "spectral_norm", "weight_decay", "l1"], ids=str
)
def test_regularisers_are_baselines(setup_of, name):
    for files in ([], ["pruning/sparse_reg.gin"]):
        setup = setup_of(["agents/iql.gin", *files, f"regularization/{name}.gin"])
        assert setup.baseline == name
        assert setup.arm == f"iql mlp x1 {_SPARSE if files else 'dense'} {name}"


def test_a_regulariser_of_any_network_is_one():
    config = {"Runner.agent": "@IQLAgent()"}
    config |= {f"{x}/create_optimizer.weight_decay": "0.0" for x in ("actor", "critic")}
    assert read_setup(config).baseline == ""
    own = config | {"critic/create_optimizer.weight_decay": "0.1"}
    assert read_setup(own).baseline == "weight_decay"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("static_actor", "actor static_sparse 95%"),
        ("gradual_critic", "critic magnitude 95%"),
        ("gradual_critic_static_actor", "actor static_sparse 95%, critic magnitude 95%"),
    ],
)
def test_a_pruner_for_each_network_is_named_with_it(setup_of, name, words):
    setup = setup_of(["agents/iql.gin", f"pruning/{name}.gin"])
    assert setup.arm == f"iql mlp x1 {words}"
    assert setup.sparsity == 0.95


def test_networks_that_are_pruned_alike_are_not_named():
    """As a run writes it: every network in its scope, the temperature too, which has no weights."""
    of_one = {"pruner_type": "'magnitude'", "sparsity": "0.95", "schedule_type": "'polynomial'"}
    config = {"Runner.agent": "@SACAgent()", "SACAgent.replay_ratio": "1"}
    for network in ("actor", "critic"):
        config |= {f"{network}/create_updater_from_config.{x}": y for x, y in of_one.items()}
    config |= {"temperature/create_updater_from_config.pruner_type": "'no_prune'"}
    assert read_setup(config).arm == "sac magnitude 95%"
    late = {"critic/create_updater_from_config.update_start_step": "0.5"}
    both = "actor magnitude 95%, critic magnitude 95% polynomial 50%-80%"
    assert read_setup(config | late).arm == f"sac {both}"
    unscoped = {name.removeprefix("actor/"): text for name, text in config.items()}
    other = unscoped | {"critic/create_updater_from_config.sparsity": "0.5"}
    assert read_setup(other).arm == "sac others magnitude 95%, critic magnitude 50%"


def test_where_data_lie_tells_runs_apart_by_their_last_parts_within_a_game():
    path = "Dataset.path"
    runs = [("a", "Ant-v5", {path: x}) for x in ("'/here/ant'", "'/there/ant/'")]
    assert tell_apart(runs) == ["", ""]
    runs += [("a", "Hopper-v5", {path: "'/here/hopper'"})]
    assert tell_apart(runs) == ["", "", ""]
    runs += [("a", "Ant-v5", {path: "'/here/other_ant'"})]
    named = ["path='ant'", "path='ant'", "path='hopper'", "path='other_ant'"]
    assert tell_apart(runs) == named


def test_what_arms_do_not_name_tells_them_apart():
    base = {"q/create_optimizer.learning_rate": "1e-4", "Runner.num_iterations": "40"}
    runs = [
        ("a", "Pong", base),
        ("a", "Pong", base | {"q/create_optimizer.learning_rate": "2e-4"}),
        ("a", "Qbert", base),
        ("b", "Pong", base),
        ("b", "Pong", base | {"Runner.num_iterations": "100"}),
        ("c", "Pong", base | {"only_here.x": "1"}),
        ("c", "Pong", base),
        ("c", "Qbert", base | {"Runner.num_iterations": "7"}),
    ]
    rates = ["learning_rate=1e-4", "learning_rate=2e-4", "learning_rate=1e-4"]
    lengths = [f"num_iterations={x}" for x in (40, 100, 40, 40, 7)]
    assert tell_apart(runs) == [*rates, *lengths]


def test_games_may_differ_in_suite_and_environment_and_in_nothing_else():
    function = "Runner.create_environment_fn"
    atari = {function: "@create_atari_environment", "Suite.name": "'atari_2'"}
    other = {function: "@create_minatar_environment", "Suite.name": "'minatar'"}
    sticky, calm = ({"create_atari_environment.sticky_actions": x} for x in ("True", "False"))
    runs = [("a", "Pong", atari | sticky), ("a", "Qbert", atari | calm), ("a", "freeway", other)]
    assert tell_apart(runs) == ["", "", ""]
    runs = [("a", "Pong", atari | sticky), ("a", "Pong", atari | calm), ("a", "freeway", other)]
    assert tell_apart(runs) == ["sticky_actions=True", "sticky_actions=False", ""]
    steps = ({"Runner.training_steps": x} for x in ("1", "2"))
    runs = [("a", game, atari | own) for game, own in zip(("Pong", "Qbert"), steps, strict=True)]
    assert tell_apart(runs) == ["training_steps=1", "training_steps=2"]


def test_settings_contradict_what_an_arms_name_says_of_others():
    config = {"q/create_optimizer.learning_rate": "0.1", "Runner.training_steps": "5"}
    other = {"q/create_optimizer.learning_rate": "0.2", "Runner.training_steps": "7"}
    assert not contradicts("", config, other)
    assert contradicts("learning_rate=0.1", config, other)
    assert contradicts("a=1, training_steps=5", config, other)
    assert not contradicts("learning_rate=0.1", config, {"Runner.training_steps": "7"})
    assert not contradicts("some_learning_rate=0.1", config, other)
    pruning = "q/create_updater_from_config.update_freq"
    assert not contradicts("update_freq=1", {pruning: "1"}, {pruning: "2"})


@pytest.mark.parametrize(
    "binding",
    [
        *("Runner.seed", "Runner.num_seeds", "Runner.diagnostics", "Runner.evaluation_steps"),
        *("Diagnostics.period", "DQNAgent.seed_strategy", "Dataset.run", "Suite.name"),
        *("create_atari_environment.game_name", "Runner.checkpoint_minutes"),
    ],
)
def test_seeds_and_what_is_measured_tell_nothing_apart(binding):
    runs = [("a", "Pong", {binding: "1"}), ("a", "Pong", {binding: "2"})]
    assert tell_apart(runs) == ["", ""]
    lists = [("a", "Pong", {"x.y": "[]"}), ("a", "Pong", {"x.y": "()"})]
    assert tell_apart(lists) == ["", ""]


def test_names_of_settings_in_arms_are_their_own():
    several = collections.Counter(
        setup
        for words in tell_apart([("a", "g", {"q/x.y": str(i), "torso/z.w": "1"}) for i in range(3)])
        for setup in words.split(", ")
    )
    assert several == {"y=0": 1, "y=1": 1, "y=2": 1}
