"""Revisions in the order they run."""
