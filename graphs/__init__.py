"""LangGraph state, nodes and edges: the only place an agent meets its tools."""
