"""Prints one CSV line per run below a directory: the last training and evaluation of each."""

import csv
import sys
from pathlib import Path

from prune_rl.reporting.runs import read_metrics

_COLUMNS = ["run", "agent_steps", "gradient_steps", "sparsity", "loss", "q_mean"]
_COLUMNS += ["agent_steps_per_second", "train_return", "eval_return"]


def main(runs: Path) -> None:
    """Writes the lines to standard output."""
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for path in sorted(runs.glob("*/metrics.jsonl")):
        last = {row["phase"]: row for row in read_metrics(path.parent)}
        train, evaluation = last["train"], last["eval"]
        returns = {
            "train_return": train["episode_return_mean"],
            "eval_return": evaluation["episode_return_mean"],
        }
        writer.writerow(train | returns | {"run": path.parent.name})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
