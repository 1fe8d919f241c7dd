"""Learners and batches, as the tests of agents have them."""

from ..agents.conftest import make_batch, make_learner

__all__ = ["make_batch", "make_learner"]
