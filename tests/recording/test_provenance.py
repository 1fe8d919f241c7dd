"""What a start of a run says of its code, against a checkout made for the purpose."""

import importlib.metadata
import json
import subprocess
import sys

import jax
import pytest

from prune_rl import version
from prune_rl.recording import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that the package takes for its own; returns a function that calls git there."""
    (tmp_path / "provenance.py").write_text("1\n")
    monkeypatch.setattr(version, "_FILE", tmp_path / "provenance.py")

    def git(*arguments):
        name = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        command = ["git", "-C", str(tmp_path), *name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return git


def _code():
    record = provenance.collect({})
    return record["git_commit"], record["git_dirty"]


def test_the_commit_and_whether_tracked_files_differ_from_it(tmp_path, checkout):
    checkout("init", "--quiet")
    checkout("add", "provenance.py")
    checkout("commit", "--quiet", "--message=x")
    commit = checkout("rev-parse", "HEAD")
    assert len(commit) == 40
    assert _code() == (commit, False)
    (tmp_path / "notes").write_text("not tracked\n")
    assert _code() == (commit, False)
    (tmp_path / "provenance.py").write_text("2\n")
    assert _code() == (commit, True)


def test_outside_a_checkout_there_is_no_commit(checkout):
    assert _code() == (None, False)


def test_a_record_is_of_this_environment_and_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "--base_dir=x"])
    record = provenance.collect({"game": "breakout"})
    assert record["protocol"] == {"game": "breakout"}
    assert record["command"] == ["train", "--base_dir=x"]


def test_a_record_lists_the_version_of_every_package():
    listed = provenance.collect({})["versions"]
    command = [sys.executable, "-m", "pip", "list", "--format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert listed == {own["name"]: own["version"] for own in json.loads(done.stdout)}
    assert listed["jax"] == jax.__version__


def test_a_record_says_the_units_of_counters_and_metrics():
    units = provenance.collect({})["units"]
    assert units["agent_steps"] == "environment steps per seed; frame_skip frames each"
    assert units["sparsity"] == "fraction of exact zeros among kernels (and noise scales)"
    assert {"frames", "gradient_steps", "episode_return_mean", "loss", "srank"} <= units.keys()


def test_starts_are_listed_one_after_another(tmp_path):
    for number in range(3):
        provenance.append(tmp_path / "provenance.json", {"start": number})
    starts = json.loads((tmp_path / "provenance.json").read_text())
    assert starts == [{"start": 0}, {"start": 1}, {"start": 2}]
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]


def test_versions_are_those_that_the_standard_library_reads(tmp_path, monkeypatch):
    """Of files as wheels and older tools write them, of one that no name is found in, and of one
    whose description looks like what is sought.
    """
    for name, file, text in (
        ("a", "a-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: A-a\nVersion: 1.0\n"),
        ("b", "b.egg-info/PKG-INFO", "Name: b\nVersion:2.0+local\n\nName: text\nVersion: 9\n"),
        ("c", "c-3.0.dist-info/METADATA", "NAME: c\nVERSION: 3.0\n"),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
    places = [str(tmp_path / name) for name in "cba"]
    find = importlib.metadata.distributions
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: find(path=places))
    assert list(provenance.collect({})["versions"].items()) == [
        ("A-a", "1.0"),
        ("b", "2.0+local"),
        ("c", "3.0"),
    ]
