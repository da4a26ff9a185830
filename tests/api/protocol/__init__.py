"""Tests of the LangGraph wire protocol."""
