"""What becomes of gin's names when a run is built."""

from functools import partial

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl import configuration, experiment, randomness
from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.games import num_actions
from prune_rl.errors import ConfigError
from prune_rl.sources.dataset import DatasetSource
from prune_rl.specs import Box, Discrete, ObservationSpec

_PARAMS = {
    "torso": {"kernel": jnp.arange(1.0, 401.0).reshape(20, 20), "bias": jnp.ones(20)},
    "head": {"kernel": jnp.arange(1.0, 41.0).reshape(20, 2), "bias": jnp.ones(2)},
}
_PRUNED = (
    "create_updater_from_config.pruner_type = 'magnitude'",
    "create_updater_from_config.dist_type = 'uniform'",
    "create_updater_from_config.schedule_type = 'one_shot'",
    "create_updater_from_config.update_start_step = 0",
    "create_updater_from_config.sparsity = 0.5",
    "create_optimizer.learning_rate = 0.01",
)


def _updated(optimizer, params):
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


def _sparsity(params):
    return [float((own["kernel"] == 0).mean()) for own in params.values()]


def test_a_network_has_the_pruner_and_optimizer_of_its_scope():
    gin.clear_config()
    scoped = [
        "actor/create_updater_from_config.sparsity = 0.9",
        "critic/create_optimizer.learning_rate = 0.02",
    ]
    gin.parse_config([*_PRUNED, *scoped])
    members = {"actor": None, "critic": 3, "value": None}
    optimizers = experiment.create_optimizers(members, 100, 100)
    assert list(optimizers) == ["actor", "critic", "value"]
    actor, value = (_updated(optimizers[name], _PARAMS) for name in ("actor", "value"))
    assert _sparsity(actor) == pytest.approx([0.9, 0.9])
    assert _sparsity(value) == pytest.approx([0.5, 0.5])
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), _PARAMS)
    critic = _updated(optimizers["critic"], stacked)
    assert _sparsity(critic) == pytest.approx([0.5, 0.5])
    # Adam's first step is the learning rate, whatever the gradient.
    for params, rate in ((actor, 0.01), (critic, 0.02), (value, 0.01)):
        np.testing.assert_allclose(params["head"]["bias"], 1 - rate, rtol=1e-4)


def test_members_are_pruned_each_on_its_own():
    """Of members a hundred times as large as the one before, ranked together, one would stay."""
    gin.clear_config()
    gin.parse_config(_PRUNED)
    critic = experiment.create_optimizers({"critic": 3}, 100, 100)["critic"]
    scales = [1.0, 100.0, 10_000.0]
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf * own for own in scales]), _PARAMS)
    for layer in _updated(critic, stacked).values():
        zeros = [float((member == 0).mean()) for member in layer["kernel"]]
        assert zeros == pytest.approx([0.5] * 3)


def test_a_scope_that_is_no_network_is_refused(train_minatar, tmp_path, capsys):
    binding = "actor/create_optimizer.learning_rate=0.1"
    assert train_minatar(tmp_path / "run", binding) == 2
    message = "actor/create_optimizer: the agent has no such network; choose from q"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_network_can_be_bound_by_name_on_the_command_line(train_minatar, tmp_path, read_metrics):
    pruned = ("q/create_updater_from_config.sparsity=0.6", "Runner.num_iterations=1")
    files = ("pruning/magnitude.gin",)
    assert train_minatar(tmp_path, *pruned, files=files) == 0
    assert read_metrics(tmp_path)[-1]["sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert "q/create_updater_from_config.sparsity = 0.6" in (tmp_path / "config.gin").read_text()


def test_an_agent_of_numbered_actions_refuses_vectors():
    optimizers = experiment.create_optimizers({"q": None}, 10, 10)
    spec = ObservationSpec((3,), np.float32)
    with pytest.raises(ConfigError, match=r"Runner.agent=DQNAgent: .*numbered.*vectors of 2"):
        DQNAgent().learner(spec, Box((-1.0, -1.0), (1.0, 1.0)), optimizers)


def test_what_shifts_images_refuses_vectors():
    optimizers = experiment.create_optimizers({"q": None}, 10, 10)
    agent, spec = RainbowAgent(data_augmentation=True), ObservationSpec((3,), np.float32)
    with pytest.raises(ConfigError, match=r"RainbowAgent.data_augmentation=True: .*no images"):
        agent.learner(spec, Discrete(2), optimizers)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("Runner.create_source_fn=3", "Runner.create_source_fn=3: expected a function"),
        ("Runner.agent=3", "Runner.agent=3: expected an agent"),
    ],
)
def test_a_part_of_the_wrong_kind_is_refused(tmp_path, binding, message):
    configuration.load(["experiments/minatar_breakout.gin"], [binding])
    with pytest.raises(ConfigError, match=message):
        experiment.create_runner(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_scope_in_a_file_is_checked_too(tmp_path):
    gin.clear_config()
    gin.parse_config("critic/create_updater_from_config.sparsity = 0.5")
    with pytest.raises(ConfigError, match=r"critic/create_updater_from_config: .*'critics'"):
        experiment.create_optimizers({"actor": None, "critics": 2}, 10, 10)


def test_a_function_that_was_called_by_mistake_is_one_line(train_minatar, tmp_path, capsys):
    assert train_minatar(tmp_path / "run", "Runner.create_source_fn=@OnlineSource()") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'setting'; bind a function without (), as @OnlineSource" in line
    assert not (tmp_path / "run").exists()


def test_without_an_environment_an_online_run_says_what_to_add(tmp_path):
    configuration.load(
        ["agents/dqn.gin", "networks/minatar.gin"], ["Runner.create_environment_fn=None"]
    )
    with pytest.raises(ConfigError, match=r"Runner.create_environment_fn: not set; add --gin_fi"):
        experiment.create_runner(tmp_path / "run")


class _Data:
    """Fixed data that say what they are of, and hold nothing."""

    action_spec = Discrete(3)

    def __init__(self, channels=4, **protocol):
        self.observation_spec, self.protocol = ObservationSpec((10, 10, channels)), protocol
        self.setting = None

    def __call__(self, setting):
        self.setting = setting
        return self


_BREAKOUT = {"suite": "minatar", "game": "breakout"}
_FREEWAY = "create_minatar_environment.game_name='freeway'"
_NAMED = "create_minatar_environment.game_name='breakout'"
_ON_ATARI = "Runner.create_environment_fn=@create_atari_environment"


@pytest.fixture
def runner_on(tmp_path):
    """Makes a runner that learns from such data."""

    def make(data, *bindings, evaluated=True):
        files = ["agents/cql.gin", "networks/minatar.gin", "suites/minatar.gin"]
        configuration.load(files, bindings)
        source = partial(DatasetSource, create_dataset_fn=data)
        steps = 20 if evaluated else 0
        return experiment.create_runner(
            tmp_path / "run", create_source_fn=source, evaluation_steps=steps
        )

    return make


@pytest.mark.parametrize(
    ("bindings", "game"),
    [
        ((), None),
        ((_NAMED,), "breakout"),
        (("create_minatar_environment.game_name=%game", "game='breakout'"), "breakout"),
        (("create_minatar_environment.game_name=None",), None),
        ((_NAMED, _ON_ATARI), None),
        ((_NAMED, _ON_ATARI, "create_atari_environment.game_name='Pong'"), "Pong"),
        ((_NAMED, "Runner.create_environment_fn=None"), None),
        ((_NAMED, "Runner.create_environment_fn=@create_optimizer"), None),
    ],
)
def test_data_are_asked_for_the_game_that_is_bound(runner_on, bindings, game):
    data = _Data(**_BREAKOUT)
    runner_on(data, *bindings, evaluated=False)
    assert data.setting.game == game


def test_a_function_that_gin_does_not_know_has_no_game(runner_on, tmp_path):
    data = _Data(**_BREAKOUT)
    runner_on(data, evaluated=False)
    source = partial(DatasetSource, create_dataset_fn=data)
    for own in (lambda seed: None, partial(create_atari_environment, game_name="Pong")):
        settings = {"create_environment_fn": own, "create_source_fn": source}
        settings |= {"evaluation_steps": 0}
        experiment.create_runner(tmp_path / "run", **settings)
        assert data.setting.game is None


@pytest.mark.parametrize("bindings", [(), (_NAMED,)])
def test_the_game_that_evaluates_is_that_of_the_data(runner_on, bindings):
    runner = runner_on(_Data(**_BREAKOUT), *bindings)
    games = runner.create_environments(randomness.EVALUATION, 0)
    assert games.protocol["game"] == "breakout"
    assert runner.source.protocol == _BREAKOUT | {"evaluation": games.protocol}
    games.close()


def test_data_that_do_not_say_their_game_need_one_that_is_bound(runner_on):
    with pytest.raises(ConfigError, match=r"create_minatar_environment\.game_name"):
        runner_on(_Data())
    games = runner_on(_Data(), _NAMED).create_environments(randomness.EVALUATION, 0)
    assert games.protocol["game"] == "breakout"
    games.close()


@pytest.mark.parametrize(
    ("data", "bindings", "message"),
    [
        (_BREAKOUT, (_ON_ATARI,), r"expected @create_minatar_environment, for the data are of br"),
        ({"suite": "atari", "game": "Pong"}, (), "expected @create_atari_environment, for the da"),
        (_BREAKOUT, ("Runner.create_environment_fn=None",), "not set; add --gin_files=suites/mi"),
        (
            _BREAKOUT,
            (_FREEWAY,),
            r"10 x 10 x 7 uint8 .* what the data have, .* of 1 x 10 x 10 x 4 ",
        ),
        (
            _BREAKOUT | {"channels": 5},
            (),
            r"what the data have, .* of 1 x 10 x 10 x 5 .*; to learn from ",
        ),
    ],
)
def test_games_that_cannot_evaluate_the_data_are_refused(runner_on, data, bindings, message):
    with pytest.raises(ConfigError, match=f"Runner.create_environment_fn[=:].*{message}"):
        runner_on(_Data(**data), *bindings)
    runner_on(_Data(**data), *bindings, evaluated=False)


@pytest.mark.parametrize(
    ("game", "count"), [("Pong", 6), ("Breakout", 4), ("Seaquest", 18), ("Freeway", 3)]
)
def test_a_games_minimal_actions_are_those_of_its_environment(game, count):
    """Counts: Machado et al. 2018, the ALE's documentation."""
    assert num_actions(game) == count
    environment = create_atari_environment(0, game)
    assert environment.action_spec.num_actions == count
    environment.close()


def test_a_game_that_there_is_not_has_no_actions():
    with pytest.raises(ConfigError, match="'Pongg': no such Atari game; did you mean 'Pong'"):
        num_actions("Pongg")
