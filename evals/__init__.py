"""Offline evaluations: what the three agents did to the world and what they said, scored, compared and gated."""
