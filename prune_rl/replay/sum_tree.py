"""Binary sum trees: drawing in proportion to a priority in O(log N) (Schaul et al. 2016, B.2.1)."""

import numpy as np


class SumTrees:
    """One sum tree per seed over `capacity` leaves, all zero at first.

    A node holds the sum of its two children. The trees lie side by side, level by level: node k of
    a level has children 2k and 2k + 1 of the next, and the roots are nodes 0 to S - 1 of the first.

    Memory: at most `BYTES_PER_LEAF` each, taken by the operating system as leaves are first set.
    """

    BYTES_PER_LEAF = 32  # float64, twice for the inner nodes, twice for padding to a power of two

    def __init__(self, num_trees: int, capacity: int) -> None:
        self._depth = (capacity - 1).bit_length()
        self._levels = [np.zeros(num_trees << d) for d in range(self._depth + 1)]
        self._roots = np.arange(num_trees)[:, None]
        # Views (nodes of the level above, 2), to read both children at once.
        self._children = [level.reshape(-1, 2) for level in self._levels[1:]]

    @property
    def totals(self) -> np.ndarray:
        """(S,) float64 sums of all leaves."""
        return self._levels[0].copy()

    def set(self, trees: np.ndarray, leaves: np.ndarray, values: np.ndarray) -> None:
        """Sets leaves to non-negative `values`; all arguments (N,). Later duplicates win.

        Parents are added up anew, so that rounding errors do not pile up over millions of writes.
        """
        nodes = (trees << self._depth) + leaves
        self._levels[-1][nodes] = values
        for level, children in zip(self._levels[-2::-1], self._children[::-1], strict=True):
            nodes >>= 1
            if len(level) <= len(nodes):
                np.add(children[:, 0], children[:, 1], out=level)
            else:
                pairs = children.take(nodes, axis=0)  # (N, 2)
                level[nodes] = pairs[:, 0] + pairs[:, 1]

    def find(self, targets: np.ndarray) -> np.ndarray:
        """Leaves (S, B) int64 at which the running sum first exceeds `targets` (S, B) float64.

        Targets lie in [0, total]; no leaf of value zero is ever found if the total is positive.
        """
        left_over = targets.ravel().copy()
        nodes = np.repeat(self._roots, targets.shape[1], axis=1).ravel()
        for children in self._children:
            pairs = children.take(nodes, axis=0)  # (S * B, 2)
            left = pairs[:, 0]
            # The second condition is for targets that rounding has pushed past a node's sum.
            rightwards = (left_over >= left) & (pairs[:, 1] > 0)
            left_over -= left * rightwards
            nodes <<= 1
            nodes += rightwards
        return nodes.reshape(targets.shape) - (self._roots << self._depth)

    def values(self, leaves: np.ndarray) -> np.ndarray:
        """(S, B) float64 at `leaves` (S, B)."""
        return self._levels[-1].take((self._roots << self._depth) + leaves)
