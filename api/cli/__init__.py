"""The goals command."""
