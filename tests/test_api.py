"""What the Python API trains is the command's, what it reads is on disk; gin stays as it was."""

import ast
import json
import math
import signal
import subprocess
import sys
import threading
from pathlib import Path

import gin
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prune_rl
from prune_rl import configuration, gin_state
from prune_rl.agents.dqn import DQNAgent
from prune_rl.errors import ConfigError
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.python_settings import composition
from prune_rl.recording.recorder import Recorder
from prune_rl.specs import Discrete, ObservationSpec

_DQN = ["agents/dqn.gin", "networks/minatar.gin"]
# As `minatar_flags` has them, in Python's types.
_SHORT = {
    "gin_files": ["experiments/minatar_breakout.gin", Path("pruning/magnitude.gin")],
    "Runner.num_seeds": np.int64(2),
    "Runner.num_iterations": 3,
    "Runner.training_steps": 200,
    "Runner.evaluation_steps": 50,
    "DQNAgent.min_replay_history": 60,
    "DQNAgent.target_update_period": 50,
    "DQNAgent.epsilon_decay_period": 100,
    "Runner.interventions": ["@ReDo()"],
    "ReDo.reset_period": 50,
}
_COMMAND = ("Runner.interventions=[@ReDo()]", "ReDo.reset_period=50")


@pytest.fixture(scope="module")
def by_command(trained_minatar):
    """The run that `_SHORT` describes, trained by the command line."""
    return trained_minatar(*_COMMAND, files=("pruning/magnitude.gin",))


def test_importing_it_imports_neither_jax_nor_gin():
    code = (
        "import sys, prune_rl, prune_rl.pruning\n"
        "assert not {'jax', 'gin', 'numpy', 'flax', 'optax'} & set(sys.modules)\n"
        "print(*sorted(name for name in dir(prune_rl) if name in prune_rl.__all__))\n"
        "print(prune_rl.__version__, *prune_rl.pruning.__all__)\n"
        "for name in prune_rl.__all__[1:]: assert callable(getattr(prune_rl, name))\n"
        "for name in prune_rl.pruning.__all__: getattr(prune_rl.pruning, name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names, others = done.stdout.splitlines()
    assert names == "__version__ build_agent load_run prune read_results train"
    assert others.startswith("0.1.0 METHODS SparseOptimizer")


@pytest.mark.parametrize("package", ["prune_rl", "prune_rl.pruning"])
def test_what_it_has_not_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'trian'"):
        _ = sys.modules[package].trian


def test_train_is_the_function_before_and_after_the_commands_module_is_imported():
    code = (
        "import prune_rl\nfirst = prune_rl.train\nimport prune_rl.train\n"
        "assert prune_rl.train is first and prune_rl.train.main\n"
        "try: prune_rl.train({}, base_dir='x')\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "Runner.agent: not set; add 'agents/dqn.gin' to gin_files\n", done.stderr


def test_help_on_train_is_the_functions_without_importing_jax():
    code = (
        "import inspect, sys, prune_rl\n"
        "seen = [inspect.getdoc(x) for x in (prune_rl.train, prune_rl.train.__call__)]\n"
        "assert 'jax' not in sys.modules\n"
        "from prune_rl import api\n"
        "assert seen == [inspect.getdoc(api.train)] * 2, seen\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_train_writes_what_the_command_does_and_leaves_gin_alone(
    by_command, tmp_path, assert_same_logs, agent_leaves
):
    gin.clear_config()
    gin.parse_config("DQNAgent.gamma = 0.5")
    results = prune_rl.train(_SHORT, base_dir=tmp_path / "run")
    assert gin.config_str().splitlines()[-1] == "DQNAgent.gamma = 0.5"
    assert gin.operative_config_str() == ""
    assert_same_logs(by_command, tmp_path / "run")
    assert (tmp_path / "run/config.gin").read_bytes() == (by_command / "config.gin").read_bytes()
    for one, other in zip(agent_leaves(by_command), agent_leaves(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert results.rows == prune_rl.read_results(str(tmp_path / "run")).rows


def test_interrupted_it_saves_and_the_same_call_goes_on(
    by_command, tmp_path, assert_same_logs, monkeypatch
):
    due, calls = Recorder.due, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 300:
            signal.raise_signal(signal.SIGINT)
        return due(self)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "due", interrupted)
        with pytest.raises(KeyboardInterrupt) as stopped:
            prune_rl.train(_SHORT, tmp_path / "run")
    words = str(stopped.value)
    assert words.startswith("SIGINT: saved after ")
    assert words.endswith(" agent steps; the same call goes on")
    assert signal.getsignal(signal.SIGINT) is before
    assert prune_rl.read_results(tmp_path / "run").rows[-1]["iteration"] == 0
    done = []  # and in a thread, which gets no signals
    thread = threading.Thread(target=lambda: done.append(prune_rl.train(_SHORT, tmp_path / "run")))
    thread.start()
    thread.join()
    assert done[0].rows[-1]["iteration"] == 2
    assert_same_logs(by_command, tmp_path / "run")


def test_the_command_takes_its_run_for_its_own(by_command, minatar_flags, capsys):
    assert len(prune_rl.train(_SHORT, by_command).rows) == 12
    assert "is finished (3 of 3 iterations); nothing to do" in capsys.readouterr().err


def test_results_are_the_rows_on_disk(by_command):
    results = prune_rl.read_results(by_command)
    rows = [json.loads(line) for line in (by_command / "metrics.jsonl").read_text().splitlines()]
    assert [own | row for own, row in zip(results.rows, rows, strict=True)] == results.rows
    assert (results.seeds, results.phase) == ((0, 1), "eval")
    assert results.units["gradient_steps"].startswith("optimizer updates per seed")
    assert results.units.keys() >= set().union(*rows)
    curve = results.curve()
    assert curve.steps.tolist() == [200, 400, 600]
    for seed in (0, 1):
        own = [x for x in rows if x["seed"] == seed]
        returns = [x["episode_return_mean"] for x in own if x["phase"] == "eval"]
        np.testing.assert_array_equal(curve.values[seed], np.array(returns, float))
        assert results.final_returns[seed] == pytest.approx(returns[-1], nan_ok=True)
        sparsities = [x["sparsity"] for x in own if x["phase"] == "train"]
        assert results.curve("sparsity", "train").values[seed].tolist() == sparsities


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sparsty",), "name='sparsty': no such choice; did you mean 'sparsity'?"),
        (("sparsity", "evl"), "phase='evl': no such choice; did you mean 'eval'?"),
        (("sparsity_by_layer",), "name='sparsity_by_layer': no such choice"),
    ],
)
def test_a_number_that_there_is_not_is_named(by_command, arguments, message):
    with pytest.raises(ConfigError, match="no such choice") as error:
        prune_rl.read_results(by_command).curve(*arguments)
    assert str(error.value).startswith(message)


def test_results_of_no_run_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=f"^{tmp_path}: holds no metrics.jsonl"):
        prune_rl.read_results(tmp_path)


def test_an_agent_is_built_and_gin_left_alone():
    gin.parse_config("DQNAgent.gamma = 0.5")
    agent = prune_rl.build_agent(
        {"gin_files": _DQN, "DQNAgent.gamma": 0.97, "MinAtarTorso.width": 3, "Runner.num_seeds": 7}
    )
    assert isinstance(agent, DQNAgent)
    assert (agent.gamma, agent.torso.width, agent.target_update_period) == (0.97, 3, 8_000)
    assert isinstance(agent.torso, MinAtarTorso)
    assert gin.config_str().splitlines()[-1] == "DQNAgent.gamma = 0.5"
    assert DQNAgent().gamma == 0.5


@pytest.mark.parametrize(
    ("files", "settings", "own"),
    [
        ([*_DQN, "plasticity/l2.gin"], {}, (True, "xavier_uniform")),
        (["agents/rainbow.gin", "networks/minatar.gin"], {}, (False, "rainbow")),
        (_DQN, {"QNetwork.normalize_representation": True}, (True, "xavier_uniform")),
    ],
)
def test_its_learner_has_the_networks_settings_that_the_command_has(files, settings, own):
    agent = prune_rl.build_agent({"gin_files": files, **settings})
    specs = ObservationSpec((10, 10, 4)), Discrete(3)
    optimizers = {"q": prune_rl.prune(optax.sgd(1.0), sparsity=0.5, num_gradient_steps=9)}
    built = agent.learner(*specs, optimizers).acts_with
    with gin_state.kept():  # as the command has it, from files to learner
        configuration.load(files, list(composition(settings).bindings.values()))
        composed = gin.get_bindings("Runner")["agent"].learner(*specs, optimizers).acts_with
    assert built == composed
    assert (built.normalize_representation, built.kernel_init) == own
    assert DQNAgent().learner(*specs, optimizers).acts_with.normalize_representation is False


def test_without_files_an_agent_is_a_reference():
    agent = prune_rl.build_agent(
        {"Runner.agent": "@DQNAgent()", "torso": "@MinAtarTorso()", "DQNAgent.torso": "%torso"}
    )
    assert isinstance(agent.torso, MinAtarTorso)
    assert agent.gamma == 0.99


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"DQNAgent.gama": 0.9},
            "settings['DQNAgent.gama']: DQNAgent has no parameter 'gama'; did",
        ),
        ({"DQNAgnt.gamma": 0.9}, "settings['DQNAgnt.gamma']: nothing is called 'DQNAgnt'; did you"),
        ({"DQNAgent.gamma": 1.5}, "DQNAgent.gamma=1.5: expected a number in [0, 1]"),
        ({"DQNAgent.gamma": "0.9"}, "DQNAgent.gamma='0.9': expected a number"),
        ({"DQNAgent.gamma": math.nan}, "settings['DQNAgent.gamma']=nan: expected a finite number"),
        ({"DQNAgent.gamma": {1, 2}}, "settings['DQNAgent.gamma']={1, 2}: expected a number, a "),
        ({"DQNAgent": {"gamma": 0.9}}, "expected a flat dict, as 'DQNAgent.gamma': 0.99"),
        ({"Runner.agent": DQNAgent}, "settings['Runner.agent']=@DQNAgent: expected a function or"),
        ({"Runner.agent": "@DQNAgnt()"}, "settings['Runner.agent']: nothing is called 'DQNAgnt'"),
        ({"Runner.agent": 3}, "settings: no agent; add 'agents/dqn.gin' to gin_files"),
        ({"gin_files": ["agents/dqm.gin"]}, "settings['gin_files']: agents/dqm.gin: no such file"),
        ({"gin_files": 3}, "settings['gin_files']=3: expected a list of gin files"),
        ({"DQNAgent gamma": 1}, "settings: the key='DQNAgent gamma': expected gin_files or a gin"),
        ({3: 1}, "settings: the key=3: expected gin_files or a gin name"),
        ({"ImpalaTorso.width": 3}, "settings['ImpalaTorso.width']: no setting of DQNAgent or its"),
        ({"create_optimizer.eps": 1e-8}, "['create_optimizer.eps']: no setting of DQNAgent or"),
        ({"ImpalaTorso.width": 3}, "or its torso; nothing here uses it"),
        ({"width": 3}, "or its torso; nothing here uses it"),
        ({"ReDo.reset_period": 3}, "or its torso; nothing here uses it"),
        ({"q/create_optimizer.eps": 1e-8}, "or its torso; prune_rl.train uses it"),
        ({"create_updater_from_config.sparsity": 0.9}, "or its torso; prune_rl.train uses it"),
        ({"ReplayBuffer.batch_size": 8}, "or its torso; prune_rl.train uses it"),
        ({"OnlineSource.clip_rewards": False}, "or its torso; prune_rl.train uses it"),
        ({"atari.create_atari_environment.game_name": "Pong"}, "its torso; prune_rl.train uses it"),
        ({"gin_file": ["pruning/erk.gin"]}, "settings: the key='gin_file': did you mean 'gin_fi"),
        ({"gin_flies": "pruning/erk.gin"}, "settings: the key='gin_flies': did you mean 'gin_fi"),
        ({"gin_bindings": ["DQNAgent.gamma = 0.9"]}, "a key for each, as 'DQNAgent.gamma': 0.99"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_with_its_key(settings, message):
    with pytest.raises(ConfigError) as error:
        prune_rl.build_agent({"gin_files": _DQN, **settings})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "--gin" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ImpalaTorso.width": 3}, "settings['ImpalaTorso.width']: nothing in this configuration"),
        ({"create_updater_from_config.sparsity": 0.9}, "add 'pruning/magnitude.gin' to gin_files"),
        (
            {"gin_files": ["experiments/figure_1.gin"]},
            "settings['gin_files']: a grid of 1,500 trainings; expected the files of one; the",
        ),
        ({"gin_files": [], "gin_file": _DQN}, "the key='gin_file': did you mean 'gin_files'?"),
        ([], "settings=[]: expected a dict"),
    ],
)
def test_what_would_train_nothing_is_refused_before_anything_is_written(
    settings, message, tmp_path
):
    if isinstance(settings, dict):
        settings = {"gin_files": ["experiments/minatar_breakout.gin"], **settings}
    with pytest.raises(ConfigError) as error:
        prune_rl.train(settings, tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(value=_VALUES)
def test_values_reach_gin_as_they_are(value):
    text = composition({"macro.x": value}).bindings["macro.x"]
    name, _, written = text.partition(" = ")
    if "@" not in text and "%" not in text:
        assert (name, ast.literal_eval(written)) == ("macro.x", value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("@DQNAgent()", "@DQNAgent()"),
        ("@actor/create_optimizer", "@actor/create_optimizer"),
        (["%torso", "a b"], "[%torso, 'a b']"),
        ("@home = 'x'\ny.z = 1", repr("@home = 'x'\ny.z = 1")),
        ("100 %", "'100 %'"),
        ((0.1, np.float32(0.5), np.bool_(True)), "[0.1, 0.5, True]"),
        ({"a": Path("b/c")}, "{'a': 'b/c'}"),
    ],
)
def test_references_are_gins_and_all_else_is_quoted(value, written):
    assert composition({"x.y": value}).bindings == {"x.y": f"x.y = {written}"}


def test_a_macro_may_have_a_name_like_gin_files():
    settings = {"min_files": 3, "gin_file": 3, "torso": "@MLPTorso()"}
    assert list(composition(settings).bindings) == list(settings)


def test_settings_compose_as_files_and_bindings_do():
    settings = {"gin_files": _DQN, "DQNAgent.gamma": 0.9, "actor/create_optimizer.eps": 1e-8}
    files, bindings = composition(settings)
    configuration.load(files, list(bindings.values()))
    assert gin.query_parameter("DQNAgent.gamma") == 0.9
    assert gin.query_parameter("actor/create_optimizer.eps") == 1e-8
