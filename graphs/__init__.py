"""The three graphs, each a `build(deps)` that returns an uncompiled StateGraph."""
