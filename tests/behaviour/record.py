"""Records what short runs of every agent, pruning method and intervention do, to the bit.

    python tests/behaviour/record.py --tree=. --out=before.json [--only=PATTERN]

Run it before and after a change that must change nothing, on one machine, then compare.py. Bits
depend on the processor and on the versions of jax: a recording is kept no longer than that.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_SMALL = (
    "Runner.num_iterations=2",
    "Runner.training_steps=500",
    "Runner.evaluation_steps=60",
    "Runner.num_seeds=2",
    "Runner.seed=3",
    "ReplayBuffer.max_capacity=700",
)
_DQN = ("DQNAgent.min_replay_history=100", "DQNAgent.target_update_period=90")
_RAINBOW = ("RainbowAgent.min_replay_history=100", "RainbowAgent.target_update_period=90")
_SPARSE = ("create_updater_from_config.sparsity=0.9", "create_updater_from_config.update_freq=7")
_RESET = ("Reset.reset_period=37",)
_REDO = ("ReDo.reset_period=37", "ReDo.dead_neurons_threshold=0.3")
_ATARI = (
    'create_atari_environment.game_name="Breakout"',
    "Runner.num_iterations=2",
    "Runner.training_steps=60",
    "Runner.evaluation_steps=20",
    "Runner.max_steps_per_episode=50",
    "Runner.num_seeds=2",
    "ReplayBuffer.max_capacity=200",
)
_MINATAR = "experiments/minatar_breakout.gin"
_PRUNING = (
    "block",
    "global_magnitude",
    "global_saliency",
    "global_snip",
    "magnitude",
    "magnitude_ste",
    "nm",
    "random",
    "random_ste",
    "rigl",
    "saliency",
    "set",
    "snip",
    "sparse_reg",
    "static_sparse",
)


def _minatar(agent: str = "", *files: str, bindings: tuple[str, ...] = ()) -> list[str]:
    own = _RAINBOW if agent else _DQN
    first = f"experiments/minatar_breakout{agent}.gin"
    return _flags((first, *files), (*_SMALL, *own, *bindings))


def _flags(files: tuple[str, ...], bindings: tuple[str, ...]) -> list[str]:
    return [f"--gin_files={x}" for x in files] + [f"--gin_bindings={x}" for x in bindings]


def cases() -> dict[str, list[str]]:
    """Flags of `python -m prune_rl.train` by the name of the run."""
    pruned = ("pruning/magnitude.gin",)
    dense = "create_updater_from_config.dense_layers=['head']"
    fewer = ("RainbowAgent.replay_ratio=0.25", "RainbowAgent.update_horizon=3")
    runs = {
        "dqn": _minatar(),
        "dqn/vmap": _minatar("", *pruned, bindings=(*_SPARSE, 'DQNAgent.seed_strategy="vmap"')),
        "dqn/unroll": _minatar("", *pruned, bindings=(*_SPARSE, 'DQNAgent.seed_strategy="unroll"')),
        "dqn/dense_head": _minatar("", *pruned, bindings=(*_SPARSE, dense)),
        "dqn/uniform": _minatar(
            "", *pruned, bindings=(*_SPARSE, 'create_updater_from_config.dist_type="uniform"')
        ),
        "dqn/channels": _minatar(
            "",
            *pruned,
            bindings=(*_SPARSE, 'create_updater_from_config.sparsity_type="channel_-1"', dense),
        ),
        "dqn/diagnostics": _minatar(
            "", *pruned, "diagnostics/all.gin", bindings=(*_SPARSE, "Diagnostics.probe_size=64")
        ),
        "rainbow": _minatar("_rainbow", *pruned, bindings=_SPARSE),
        "full_rainbow": _minatar("_full_rainbow", *pruned, "diagnostics/all.gin", bindings=_SPARSE),
        "der": _minatar("_der", *pruned, bindings=(*_SPARSE, *fewer)),
        "der/two_updates": _minatar(
            "_der", bindings=("RainbowAgent.replay_ratio=2.0", "Runner.training_steps=120")
        ),
        "drq_eps": _minatar("_drq_eps", *pruned, bindings=(*_SPARSE, *fewer)),
        "c51": _flags(
            ("agents/c51.gin", "experiments/minatar.gin", *pruned),
            (*_SMALL, *_RAINBOW, *_SPARSE, "ReplayBuffer.max_capacity=5000"),
        ),
        "reset_and_redo": _minatar(
            "",
            *pruned,
            bindings=(*_SPARSE, *_RESET, *_REDO, "Runner.interventions=[@Reset(), @ReDo()]"),
        ),
        "reset/ste": _minatar(
            "", "plasticity/reset.gin", "pruning/random_ste.gin", bindings=(*_SPARSE, *_RESET)
        ),
        "redo/full_rainbow": _minatar(
            "_full_rainbow", "plasticity/redo.gin", *pruned, bindings=(*_SPARSE, *_REDO)
        ),
        "adamw": _minatar(
            "",
            "plasticity/weight_decay.gin",
            *pruned,
            bindings=(*_SPARSE, 'create_optimizer.name="adamw"'),
        ),
        "atari/dqn": _flags(
            ("agents/dqn.gin", *pruned), (*_ATARI, *_SPARSE, "DQNAgent.min_replay_history=30")
        ),
        "atari/impala": _flags(
            ("agents/dqn.gin", "networks/impala.gin", "plasticity/redo.gin", *pruned),
            (*_ATARI, *_SPARSE, *_REDO, "DQNAgent.min_replay_history=80", "ReDo.reset_period=4"),
        ),
        "atari/der": _flags(
            ("agents/der.gin", *pruned),
            (*_ATARI, *_SPARSE, "RainbowAgent.min_replay_history=90", "Runner.num_eval_episodes=0"),
        ),
    }
    for method in _PRUNING:
        runs[f"pruning/{method}"] = _minatar(
            "", f"pruning/{method}.gin", bindings=("create_updater_from_config.update_freq=7",)
        )
    often = {"reset": _RESET, "redo": _REDO, "l2": (), "l2_unit_norm": (), "weight_decay": ()}
    for baseline, own in often.items():
        runs[f"plasticity/{baseline}"] = _minatar("", f"plasticity/{baseline}.gin", bindings=own)
    return runs


_PLAY = """
import hashlib, json, sys
import numpy as np
from prune_rl import runner, train
from prune_rl.environments.batch import EnvironmentBatch
seen, step = hashlib.sha256(), EnvironmentBatch.step
def spied(self, actions):
    result = step(self, actions)
    for x in (np.asarray(actions, np.int64), result.rewards, result.next_frames):
        seen.update(np.ascontiguousarray(x).tobytes())
    return result
EnvironmentBatch.step = spied
# What a run plays to measure itself is forgotten; older trees do not.
run = runner.Runner.run
runner.Runner.run = lambda self, stop=None, *other: run(self, *([stop] if stop else []))
code = train.main(sys.argv[1:])
print("PLAYED", seen.hexdigest())
sys.exit(code)
"""

_LEAVES = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import load_file
folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())["manifest"]
seeds = sorted(map(int, manifest["seeds"]))
files = [load_file(folder / f"seed_{seed}.safetensors") for seed in seeds]
leaves = {}
for path in files[0]:
    if path.startswith("agent/"):
        # What all seeds share is in the file of each.
        shared = path.endswith(("agent/step", "opt_state/count"))
        x = files[0][path] if shared else np.stack([own[path] for own in files])
        leaves[path.removeprefix("agent/")] = hashlib.sha256(x.tobytes()).hexdigest()
print(json.dumps(leaves))
"""


def _record(tree: Path, name: str, flags: list[str]) -> dict[str, object]:
    started = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(tree)}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-c", _PLAY, f"--base_dir={run}", *flags]
        played = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True
        )
        if played.returncode:
            print(f"{name} failed: {played.stderr[-3000:]}", flush=True)
            return {}
        numbers = [int(x.name) for x in (run / "checkpoints").iterdir() if x.name.isdecimal()]
        command = [sys.executable, "-c", _LEAVES, str(run / "checkpoints" / str(max(numbers)))]
        leaves = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=True
        )
        result = {
            "played": played.stdout.split("PLAYED ")[1].strip(),
            "episodes": hashlib.sha256((run / "episodes.csv").read_bytes()).hexdigest(),
            "rows": [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()],
            "leaves": json.loads(leaves.stdout.splitlines()[-1]),
        }
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    return result


def main() -> None:
    """Records every case whose name fits, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path("."), help="the checkout to run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="*", help="glob pattern of names")
    flags = parser.parse_args()
    chosen = {name: own for name, own in cases().items() if fnmatch.fnmatchcase(name, flags.only)}
    tree = flags.tree.resolve()
    with ThreadPoolExecutor(2) as pool:
        recorded = pool.map(lambda name: _record(tree, name, chosen[name]), chosen)
        flags.out.write_text(json.dumps(dict(zip(chosen, recorded, strict=True)), indent=1))


if __name__ == "__main__":
    main()
