"""Deep RL agents that prune their networks while they learn."""

__version__ = "0.1.0"
