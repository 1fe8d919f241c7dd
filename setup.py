"""Finds the packages; all that can be said as data is in setup.cfg."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["prune_rl*", "launch*"]), "prune_rl.gin_configs"])
