"""Rows, transactions, events, vectors and the sinks they travel to."""
