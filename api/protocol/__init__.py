"""The LangGraph wire protocol: assistants, threads and runs."""
