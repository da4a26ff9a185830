"""Alembic environment and revisions, plain SQL."""
