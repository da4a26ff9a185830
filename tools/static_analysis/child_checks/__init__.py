"""Checks that read learner code inside a limited child process; imports nothing of ours, so the child starts fast."""
