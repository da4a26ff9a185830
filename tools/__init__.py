"""The verbs a model may call."""
