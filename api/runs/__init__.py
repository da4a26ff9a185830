"""Runs of the graphs: who owns one, how it is executed, and how what it says reaches every reader."""
