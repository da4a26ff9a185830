"""Campaigns that kill, cut and fill things while work is under way, then compare."""
