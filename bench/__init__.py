"""Measurements anybody can repeat; each prints what it compared and exits 1 if an aim was missed."""
