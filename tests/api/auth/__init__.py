"""Tests of everything about identity."""
