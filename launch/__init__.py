"""Decides where the cells of a grid run: this machine, Slurm, Ray."""
