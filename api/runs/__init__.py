"""The life of a run: claim, lease, execute, record frames."""
