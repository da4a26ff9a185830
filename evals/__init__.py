"""Offline evaluation of the agents: datasets, scorers, runner, report."""
