"""Tests of the graphs room."""
