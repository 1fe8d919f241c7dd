"""Ratios of CPU time, measured side by side: `python -m benchmarks --help`."""
