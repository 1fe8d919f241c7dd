"""Lists, fetches, checks, describes and makes datasets: `python -m prune_rl.datasets --help`."""

from prune_rl.dataset_tool.command import main
from prune_rl.train import leave

if __name__ == "__main__":
    leave(main())
