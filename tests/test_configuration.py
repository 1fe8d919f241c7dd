"""gin files are found by name and by path, from anywhere, and compose; so is what they bind."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import gin
import pytest

from prune_rl import configuration
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError
from prune_rl.gin_files import find_gin_file, shipped_gin_files

_REGISTERING = {"configurable", "external_configurable", "register"}
_DECORATED = "import gin\n\n\n@gin.configurable\ndef {}(x=0):\n    return x\n"
_NEW_FILES = {
    "prune_rl/novel/__init__.py": "",
    "prune_rl/novel/deep/__init__.py": "",
    "prune_rl/novel/deep/thing.py": _DECORATED.format("novel"),
    "prune_rl/novel/plain.py": "from gin import configurable\n\n\n@configurable\n"
    "def plain(x=0):\n    return x\n",
    "prune_rl/novel/silent.py": "raise AssertionError('imported, but gin needs nothing of it')",
    "prune_rl/novel/.#plain.py": "the lock file of an editor",
    "my_own.py": _DECORATED.format("mine"),
    "own.gin": "import my_own\nmine.x = 3\nnovel.x = 4\nplain.x = 5\n",
}
_PROBE = """
import json, sys
import gin
from prune_rl import configuration

configuration.load(["own.gin"], [])
for name in json.loads(sys.argv[1]):
    gin.get_configurable(name)
bound = [gin.get_configurable(name)() for name in ("mine", "novel", "plain")]
print(json.dumps([bound, sorted(sys.modules)]))
"""


def _registered(root):
    """By module below `root`/prune_rl: the functions and classes registered, by their syntax."""
    found = {}
    for path in sorted((root / "prune_rl").rglob("[!.]*.py")):
        tree = ast.parse(path.read_text())
        nodes = list(ast.walk(tree))
        imports = [x for x in nodes if isinstance(x, ast.Import | ast.ImportFrom)]
        names = {
            alias.asname or alias.name
            for own in imports
            for alias in own.names
            if (alias.name if isinstance(own, ast.Import) else own.module) == "gin"
        }
        if any(_is_registering(node, names) for node in nodes):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            found[module] = [
                _name_given(y) or x.name
                for x in nodes
                for y in getattr(x, "decorator_list", ())
                if _is_registering(getattr(y, "func", y), names)
            ]
    return found


def _name_given(decorator):
    """'Runner' of `gin.configurable("Runner")`; None where the function's own name serves."""
    given = [x.value for x in getattr(decorator, "args", ()) if isinstance(x, ast.Constant)]
    return given[0] if given else None


def _is_registering(node, names):
    if isinstance(node, ast.Attribute) and node.attr in _REGISTERING:
        return isinstance(node.value, ast.Name) and node.value.id in names
    return isinstance(node, ast.Name) and node.id in names & _REGISTERING


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A copy of the package with new modules, after one `load` in a process of its own.

    What its modules register, all known to gin; what `own.gin` bound; the modules imported.
    """
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(__file__).parents[1] / "prune_rl", root / "prune_rl")
    for name, text in _NEW_FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    registered = _registered(root)
    names = [f"{module}.{name}" for module, own in registered.items() for name in own]
    command = [sys.executable, "-c", _PROBE, json.dumps(names)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return registered, *json.loads(done.stdout)


def test_every_module_that_registers_something_is_found(fresh):
    registered, _, imported = fresh
    assert registered["prune_rl.agents.dqn"] == ["DQNAgent"]
    assert set(registered) <= set(imported)
    new = {"prune_rl.novel.deep.thing", "prune_rl.novel.plain"}
    assert set(configuration.configurable_modules()) == set(registered) - new


def test_a_new_module_and_a_users_own_are_found_without_a_list(fresh):
    registered, bound, _ = fresh
    assert registered["prune_rl.novel.deep.thing"] == ["novel"]
    assert bound == [3, 4, 5]


def test_a_module_that_registers_nothing_is_not_imported_for_it(fresh):
    *_, imported = fresh
    unasked = ("prune_rl.novel.silent", "prune_rl.reporting", "prune_rl.train", "matplotlib")
    assert [x for x in imported if any(f"{x}.".startswith(f"{own}.") for own in unasked)] == []


def test_shipped_files_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_gin_file("agents/dqn.gin").is_file()


def test_a_folder_of_python_code_hides_no_file_that_is_included(tmp_path, monkeypatch):
    (tmp_path / "agents").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    configuration.load(["experiments/minatar_breakout.gin"], [])
    assert gin.query_parameter("DQNAgent.gamma") == 0.99


def test_a_path_goes_before_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "agents" / "dqn.gin"
    own.parent.mkdir()
    own.write_text("DQNAgent.gamma = 0.5")
    assert find_gin_file("agents/dqn.gin").resolve() == own


@pytest.mark.parametrize("name", sorted(shipped_gin_files()))
def test_every_shipped_file_parses(name):
    configuration.load([name], [])


def test_later_files_and_bindings_win(tmp_path):
    own = tmp_path / "own.gin"
    own.write_text("include 'agents/dqn.gin'\nDQNAgent.gamma = 0.5\nDQNAgent.replay_ratio = 0.5\n")
    bindings = ["DQNAgent.gamma = 0.75", "Runner.seed = 3", "DQNAgent.gamma = 0.25"]
    configuration.load(["agents/dqn.gin", str(own)], bindings)
    assert gin.query_parameter("DQNAgent.gamma") == 0.25
    assert gin.query_parameter("Runner.seed") == 3
    assert gin.query_parameter("DQNAgent.replay_ratio") == 0.5
    assert gin.query_parameter("DQNAgent.min_replay_history") == 20_000


def test_a_binding_is_used_in_its_scope_or_refused():
    binding = "evaluation/Suite.name = 'minatar'"
    configuration.load([], [binding])
    with pytest.raises(ConfigError, match="nothing in this configuration uses it"):
        configuration.check_bindings_are_used([binding])
    with gin.config_scope("evaluation"):
        assert Suite().name == "minatar"
    configuration.check_bindings_are_used([binding])


def test_nothing_is_left_of_an_earlier_configuration():
    configuration.load(["agents/dqn.gin"], ["DQNAgent.gamma = 0.25"])
    configuration.load(["agents/dqn.gin"], [])
    assert gin.query_parameter("DQNAgent.gamma") == 0.99


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include 'agents/dqm.gin'", "did you mean 'agents/dqn.gin'?"),
        ("\nDQNAgent.gama = 0.5", "line 2"),
        ("DQNAgent.gamma = ", "own.gin"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(tmp_path, text, expected):
    own = tmp_path / "own.gin"
    own.write_text(text)
    with pytest.raises(ConfigError) as caught:
        configuration.load([str(own)], [])
    message = str(caught.value)
    assert "own.gin" in message
    assert expected in message
    assert "\n" not in message


def test_a_binding_in_a_scope_counts_where_that_scope_was_used():
    binding = "actor/Suite.name = 'minatar'"
    configuration.load([], ["Suite.name = 'minatar'", binding])
    Suite()
    with pytest.raises(ConfigError, match="nothing in this configuration uses it"):
        configuration.check_bindings_are_used([binding])
    with gin.config_scope("actor"):
        Suite()
    configuration.check_bindings_are_used([binding])
